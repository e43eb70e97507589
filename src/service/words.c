// See words.h.
#include "service/words.h"

#include <stdio.h>
#include <string.h>

#include "base/types.h"

// The first that fits is taken, so that longer ones stand before what they begin with.
static const struct {
    const char *option, *cmdlet;
} words[] = {
    {"configuration: \"kernel\" is missing",
     "there is nothing to start in it, since nidus boots kernels, not disks: name one with Set-VMFirmware -KernelPath"},
    {"--engine kvm: ", ""},
    {"--engine soft: ", ""},
    {"--disk: ", ""},
    {"--console: ", ""},
    {"--kernel: ", ""},
    {"--initrd: ", ""},
    {"--append: ", "-KernelCommandLine: "},
    {"use --engine soft", "use Set-VMProcessor -Engine Soft"},
    {"--engine soft", "Set-VMProcessor -Engine Soft"},
    {"with --engine", "with Set-VMProcessor -Engine"},
    {"leave out --vendor", "take Set-VMProcessor -Vendor Host"},
    {"use '--vendor intel'", "take Set-VMProcessor -Vendor Intel"},
    {"--nested off", "Set-VMProcessor -ExposeVirtualizationExtensions $false"},
    {"--nested on", "Set-VMProcessor -ExposeVirtualizationExtensions $true"},
    {"with --memory", "with Set-VMMemory -StartupBytes"},
    {"--memory ", "Set-VMMemory -StartupBytes "},
    {"with --kernel", "with Set-VMFirmware -KernelPath"},
    {"--append is", "-KernelCommandLine is"},
    {"--cpus ", "Set-VMProcessor -Count "},
    {"with --disk and --net", "with Add-VMHardDiskDrive and Add-VMNetworkAdapter"},
};

void words_of_cmdlets(char *to, size_t room, const char *text)
{
    size_t at = 0;
    while (*text && at + 1 < room) {
        size_t i = 0;
        while (i < ARRAY_SIZE(words) && strncmp(text, words[i].option, strlen(words[i].option)) != 0)
            i++;
        if (i == ARRAY_SIZE(words)) {
            to[at++] = *text++;
            continue;
        }
        const int length = snprintf(to + at, room - at, "%s", words[i].cmdlet);
        at = at + (size_t)length < room ? at + (size_t)length : room - 1;
        text += strlen(words[i].option);
    }
    to[at] = 0;
}
