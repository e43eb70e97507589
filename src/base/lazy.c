// See lazy.h. The first call of a library resolves everything that is called of it.
#include "base/lazy.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"

struct lazy_symbol {
    const char *name;
    u64 library;
};

// The stubs'; absent where there are none.
extern void *lazy_slots[] __attribute__((weak));
extern const struct lazy_symbol lazy_symbols[] __attribute__((weak));
extern const char lazy_libraries[] __attribute__((weak)); // names, one behind another
extern const u32 lazy_symbol_count __attribute__((weak)), lazy_library_count __attribute__((weak));

void *lazy_resolve(u32 index); // called by the stubs

static _Noreturn void lazy_fail(const char *library)
{
    fprintf(stderr, "nidus: %s cannot be loaded: %s\n", library, dlerror());
    _exit(127);
}

// Several threads may do this at once: they write the same.
static void lazy_open(u64 library)
{
    const char *name = lazy_libraries;
    for (u64 i = 0; i < library; i++)
        name += strlen(name) + 1;
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        lazy_fail(name);
    for (u32 i = 0; i < lazy_symbol_count; i++) {
        if (lazy_symbols[i].library != library)
            continue;
        void *function = dlsym(handle, lazy_symbols[i].name);
        if (!function)
            lazy_fail(name);
        __atomic_store_n(&lazy_slots[i], function, __ATOMIC_RELEASE);
    }
}

void *lazy_resolve(u32 index)
{
    lazy_open(lazy_symbols[index].library);
    return lazy_slots[index];
}

void lazy_load(void)
{
    for (u32 i = 0; &lazy_library_count && i < lazy_library_count; i++)
        lazy_open(i);
}
