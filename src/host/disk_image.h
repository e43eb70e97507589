// Disk images that are more than their sectors: qcow2, VHD, VHDX. QEMU's storage daemon knows them better than
// anything we could write; it is started for each such disk and serves it over NBD, on a socket that only this process
// is connected to. It ends with us, however we end. libnbd speaks to it; it is loaded when the first such disk is
// opened, so that nobody else needs it.
#pragma once

#include "host/disk.h"

// `format` is the storage daemon's name for it. Blocks until the daemon serves, or has said why it does not. Before any
// thread, and before the process is jailed.
int disk_image_open(struct disk *disk, const struct disk_config *config, const char *format, struct error *error);
