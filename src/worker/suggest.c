// See suggest.h. Distance is Damerau's (insertions, deletions, substitutions, swaps of neighbours).
#include "worker/suggest.h"

#include <ctype.h>
#include <string.h>

#include "base/types.h"

enum { SUGGEST_LENGTH = 31 };

static unsigned suggest_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    u8 cost[SUGGEST_LENGTH + 1][SUGGEST_LENGTH + 1];
    if (rows > SUGGEST_LENGTH || columns > SUGGEST_LENGTH)
        return ~0U;
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (!i || !j) {
                cost[i][j] = (u8)(i + j);
                continue;
            }
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            unsigned best = cost[i - 1][j - 1] + !same;
            if (cost[i - 1][j] + 1U < best)
                best = cost[i - 1][j] + 1U;
            if (cost[i][j - 1] + 1U < best)
                best = cost[i][j - 1] + 1U;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && cost[i - 2][j - 2] + 1U < best)
                best = cost[i - 2][j - 2] + 1U;
            cost[i][j] = (u8)best;
        }
    }
    return cost[rows][columns];
}

const char *suggest_nearest(const char *word, const char *(*candidate)(unsigned index))
{
    const char *nearest = NULL;
    unsigned least = (unsigned)strlen(word) / 3 + 2;
    for (unsigned i = 0; candidate(i); i++) {
        unsigned distance = suggest_distance(word, candidate(i));
        // A word that was cut short ("--mem") is meant too.
        if (strlen(word) >= 4 && !strncmp(candidate(i), word, strlen(word)))
            distance = 1;
        if (distance < least) {
            least = distance;
            nearest = candidate(i);
        }
    }
    return nearest;
}
