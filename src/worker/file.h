// A whole file as bytes, for the images a VM starts from. Regular files are mapped, so that nothing is copied twice;
// what cannot be mapped (a pipe, as `--initrd <(...)` gives) is read.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct file {
    u8 *data;
    u64 bytes;
    bool mapped;
};

// `option` names the file's purpose in errors ("--kernel"). Nothing longer than `most` bytes is taken.
int file_load(struct file *file, const char *option, const char *path, u64 most, struct error *error);
// Not needed for a while: the host may take its pages back, and reads them again when they are touched.
void file_rest(const struct file *file);
void file_free(struct file *file);
