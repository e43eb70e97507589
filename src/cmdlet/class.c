// See class.h. The classes stand in the nouns' files beside their cmdlets (table/); this is the list of them.
#include "cmdlet/class.h"

#include <stddef.h>

#include "cmdlet/table/table.h"

const struct class *class_at(unsigned index)
{
    for (unsigned i = 0; table_nouns[i]; i++)
        for (const struct class *class = table_nouns[i]->classes; class && class->name; class++)
            if (!index--)
                return class;
    return NULL;
}

const struct class *class_find(const char *name)
{
    for (unsigned i = 0; table_nouns[i]; i++)
        for (const struct class *class = table_nouns[i]->classes; class && class->name; class++)
            if (!value_name_compare(class->name, name) || !value_name_compare(class->full_name, name))
                return class;
    return NULL;
}

const struct property *class_property(const struct class *class, const char *name)
{
    for (const struct property *property = class->properties; property && property->name; property++)
        if (!value_name_compare(property->name, name))
            return property;
    return NULL;
}

const struct link *class_link(const struct class *class, const char *name)
{
    for (const struct link *link = class->links; link && link->name; link++)
        if (!value_name_compare(link->name, name))
            return link;
    return NULL;
}

bool class_is(const char *name, const char *wanted)
{
    // As deep as the table's own inheritance, which is the table's to keep finite.
    for (const struct class *class = class_find(name); class; class = class->parent ? class_find(class->parent) : NULL)
        if (!value_name_compare(class->name, wanted))
            return true;
    return false;
}
