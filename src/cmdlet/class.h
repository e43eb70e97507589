// The classes of objects that cmdlets put out: which properties they have, in which order and of which type, and which
// of them a table shows. One row here is what formatting, completion of property names, the JSON wire form and the
// API's schema know of a class.
#pragma once

#include <stdio.h>

#include "cmdlet/value.h"

enum property_type {
    PROPERTY_ANY, // as the value is
    PROPERTY_STRING,
    PROPERTY_BOOL,
    PROPERTY_INT,
    PROPERTY_REAL,
    PROPERTY_TIMESPAN,
    PROPERTY_DATETIME,
    PROPERTY_STRINGS, // an array of strings
    PROPERTY_OBJECT,  // of the class named in `object`
    PROPERTY_OBJECTS, // an array of them
};

struct property {
    const char *name;
    enum property_type type;
    const char *object; // PROPERTY_OBJECT, PROPERTY_OBJECTS: class
    const char *help;   // one line, for the API's schema
};

// A column of the default table. A property may be shown scaled: bytes in MiB, as Hyper-V shows memory.
struct column {
    const char *property;
    const char *heading; // NULL: the property's name
    u64 divide;          // 0: as it is
    bool right;          // numbers stand right
};

// A property that is no part of the object but asked for when it is read, as Hyper-V's $vm.NetworkAdapters is: what
// `cmdlet` puts out of the object, which it takes as -`parameter`.
struct link {
    const char *name;
    const char *class;  // of what it is
    const char *cmdlet;
    const char *parameter;
    s64 number;         // given as -Number; 0: not given, and the property is a list
    const char *help;   // one line
};

enum { CLASS_COLUMNS = 12 };

struct class {
    const char *name;      // "VirtualMachine": also what "@type" says on the wire
    const char *full_name; // "Microsoft.HyperV.PowerShell.VirtualMachine": what Get-Member and errors say
    const char *key;       // the property by which a cmdlet finds the object again ("Id"); NULL: none
    const char *display;   // the property that stands for the object in "$object" and in errors ("Name")
    const char *parent;    // NULL, or the class whose parameters take this one as well
    const struct property *properties; // ends with a NULL name
    const struct link *links;          // ends with a NULL name; NULL: none
    struct column columns[CLASS_COLUMNS]; // ends with a NULL property; none at all: a list is the default view
};

const struct class *class_find(const char *name); // without regard to case; NULL: none
const struct class *class_at(unsigned index);      // NULL past the last
const struct property *class_property(const struct class *class, const char *name);
const struct link *class_link(const struct class *class, const char *name);
// Whether an object of class `name` is one of class `wanted` (or of a class derived from it).
bool class_is(const char *name, const char *wanted);
