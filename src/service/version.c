// See version.h.
#include "service/version.h"

#include <stdio.h>
#include <string.h>

const struct version_row version_rows[] = {
    {"5.0", "Microsoft Windows 8.1/Server 2012 R2"},
    {"6.2", "Microsoft Windows 10 1507/Server 2016 Technical Preview 3"},
    {"7.0", "Microsoft Windows 10 1511/Server 2016 Technical Preview 4"},
    {"7.1", "Microsoft Windows 10 Insider/Server 2016 Technical Preview 5"},
    {"8.0", "Microsoft Windows 10 Anniversary Update/Server 2016"},
    {"8.1", "Microsoft Windows 10 Creators Update"},
    {"8.2", "Microsoft Windows 10 Fall Creators Update/Server 1709"},
    {"8.3", "Microsoft Windows 10 April 2018 Update/Server 1803"},
    {"9.0", "Microsoft Windows 10 October 2018 Update/Server 2019"},
    {"9.1", "Microsoft Windows 10 May 2019 Update/Server 1903"},
    {"9.2", "Microsoft Windows 10 May 2020 Update/Server 2004"},
    {"9.3", "Microsoft Windows 10 Insider/Server 2022 Preview"},
    {"10.0", "Microsoft Windows 11 21H2/Server 2022"},
    {"11.0", "Microsoft Windows 11 22H2"},
    {"12.0", "Microsoft Windows 11 24H2/Server 2025"},
    {VERSION_DEFAULT, "nidus"},
    {NULL, NULL},
};

bool version_supported(const char *version)
{
    for (const struct version_row *row = version_rows; row->version; row++)
        if (!strcmp(row->version, version))
            return true;
    return false;
}

static u64 version_number(const char *version)
{
    unsigned major = 0, minor = 0;
    sscanf(version, "%5u.%5u", &major, &minor);
    return (u64)major << 32 | minor;
}

int version_compare(const char *left, const char *right)
{
    const u64 l = version_number(left), r = version_number(right);
    return l < r ? -1 : l > r;
}
