// See nearest.h.
#include "cmdlet/nearest.h"

#include <string.h>

enum { NEAREST_LETTERS = 80 };

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

// Levenshtein's, one row at a time.
unsigned nearest_distance(const char *left, const char *right, unsigned most)
{
    unsigned row[NEAREST_LETTERS + 1];
    size_t width = strlen(right);
    if (width > NEAREST_LETTERS || strlen(left) > NEAREST_LETTERS)
        return most + 1;
    for (unsigned i = 0; i <= width; i++)
        row[i] = i;
    for (unsigned line = 1; left[line - 1]; line++) {
        unsigned diagonal = row[0];
        row[0] = line;
        for (unsigned i = 1; i <= width; i++) {
            unsigned above = row[i];
            bool same = ((u8)left[line - 1] | 32) == ((u8)right[i - 1] | 32);
            row[i] = least(least(above, row[i - 1]) + 1, diagonal + !same);
            diagonal = above;
        }
    }
    return row[width] > most ? most + 1 : row[width];
}

// A third of the letters may be wrong, and no more than three.
static unsigned most_wrong(const char *name)
{
    size_t third = strlen(name) / 3;
    return third > 3 ? 3 : third < 1 ? 1 : (unsigned)third;
}

static void nearer(const char *name, const char *candidate, unsigned *best, const char **found)
{
    unsigned distance = nearest_distance(name, candidate, most_wrong(name));
    if (distance >= *best)
        return;
    *best = distance;
    *found = candidate;
}

const char *nearest_cmdlet(const char *name)
{
    const char *found = NULL;
    unsigned best = most_wrong(name) + 1;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
        if (!(cmdlet->flags & CMDLET_ABSENT))
            nearer(name, cmdlet->name, &best, &found);
    return found;
}

const char *nearest_parameter(const struct cmdlet *cmdlet, const char *name)
{
    const char *found = NULL;
    unsigned best = most_wrong(name) + 1;
    for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++)
        nearer(name, parameter->name, &best, &found);
    for (const struct parameter *parameter = cmdlet_common_parameters; parameter->name; parameter++)
        if (cmdlet_takes(cmdlet, parameter))
            nearer(name, parameter->name, &best, &found);
    return found;
}

const char *nearest_word(const char *words, const char *name, char *room, size_t bytes)
{
    unsigned best = most_wrong(name) + 1;
    bool found = false;
    for (const char *at = words; at && *at; at += strspn(at, " ")) {
        char word[NEAREST_LETTERS + 1];
        size_t length = strcspn(at, " ");
        if (length < sizeof word && length < bytes) {
            memcpy(word, at, length);
            word[length] = 0;
            unsigned distance = nearest_distance(name, word, most_wrong(name));
            if (distance < best) {
                best = distance;
                memcpy(room, word, length + 1);
                found = true;
            }
        }
        at += length;
    }
    return found ? room : NULL;
}
