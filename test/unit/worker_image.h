// A guest of a few instructions: a Multiboot image whose code, for 32-bit protected mode, begins right behind the header.
#pragma once

#include <stdio.h>

#include "base/types.h"

enum { IMAGE_LOAD = 0x100000, IMAGE_HEADER_BYTES = 32, IMAGE_CODE = IMAGE_LOAD + IMAGE_HEADER_BYTES };

static inline void image_write(const char *path, const u8 *code, size_t bytes)
{
    const u32 header[IMAGE_HEADER_BYTES / 4] = {0x1badb002, 1 << 16, 0 - (0x1badb002 + (1 << 16)), IMAGE_LOAD,
                                                IMAGE_LOAD, 0, 0, IMAGE_CODE};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(header, sizeof header, 1, file), 1);
    assert_int_equal(fwrite(code, bytes, 1, file), 1);
    fclose(file);
}
