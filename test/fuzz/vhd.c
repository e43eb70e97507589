// Headers of VHD and VHDX files of any kind: whether they say "fixed" is found out within bounds, or not at all.
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/vhd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VHDX_REGIONS = 192 << 10, VHDX_METADATA = 256 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    const int fd = memfd_create("vhd", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    // The same bytes as a footer, as a table of regions, and as what the table leads to.
    for (off_t at = 0; at <= VHDX_METADATA; at += at ? VHDX_METADATA - VHDX_REGIONS : VHDX_REGIONS)
        if (pwrite(fd, data, size, at) != (ssize_t)size)
            return -1; // not to be kept
    vhd_header_fixed(path, VHD_VHDX);
    vhd_header_fixed(path, VHD_VPC);
    close(fd);
    return 0;
}
