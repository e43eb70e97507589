// What nidus says of a host's KVM that cannot give what is asked for: which thing is missing, and the way out. The
// host is made of two functions here, so that each kind of it is tried on every machine.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kvm/kvm.h"

static struct {
    int cause;       // of open's failure; 0: it opens
    int version;
    long missing;    // a KVM_CAP_* that it lacks
    const char *vendor;
    bool vmx, svm;
} host;

static void host_supported_cpuid(struct kvm_cpuid2 *cpuid)
{
    const char *vendor = host.vendor;
    cpuid->nent = 3;
    cpuid->entries[0] = (struct kvm_cpuid_entry2){.function = 0};
    memcpy(&cpuid->entries[0].ebx, vendor, 4);
    memcpy(&cpuid->entries[0].edx, vendor + 4, 4);
    memcpy(&cpuid->entries[0].ecx, vendor + 8, 4);
    cpuid->entries[1] = (struct kvm_cpuid_entry2){.function = 1, .ecx = (u32)host.vmx << 5};
    cpuid->entries[2] = (struct kvm_cpuid_entry2){.function = 0x80000001, .ecx = (u32)host.svm << 2};
}

// In front of the C library's.
int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if (strcmp(path, "/dev/kvm"))
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    errno = host.cause;
    return host.cause ? -1 : (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
}

int ioctl(int fd, unsigned long request, ...)
{
    (void)fd;
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    switch (request) {
    case KVM_GET_API_VERSION: return host.version;
    case KVM_CHECK_EXTENSION: return (long)argument != host.missing;
    case KVM_GET_SUPPORTED_CPUID: host_supported_cpuid(argument); return 0;
    default: errno = ENOTTY; return -1;
    }
}

static int good_host(void **state)
{
    (void)state;
    host.cause = 0;
    host.version = KVM_API_VERSION;
    host.missing = -1;
    host.vendor = "GenuineIntel";
    host.vmx = true;
    host.svm = false;
    return 0;
}

static const char *probe(struct engine_config config)
{
    static struct error error;
    error = (struct error){""};
    config.vcpus = 1;
    config.trace_fd = -1;
    return kvm_probe(&config, &error) ? error.text : NULL;
}

#define NESTED (struct engine_config){.nested = true, .vendor = ENGINE_VENDOR_HOST}
#define PLAIN (struct engine_config){.nested = false, .vendor = ENGINE_VENDOR_HOST}

static void assert_says(const char *text, const char *what, const char *way_out)
{
    assert_non_null(text);
    if (!strstr(text, what) || !strstr(text, way_out))
        fail_msg("\"%s\" says neither \"%s\" nor \"%s\"", text, what, way_out);
}

static void test_good(void **state)
{
    (void)state;
    assert_null(probe(NESTED));
    assert_null(probe(PLAIN));
}

static void test_no_device(void **state)
{
    (void)state;
    host.cause = ENOENT;
    assert_says(probe(PLAIN), "no /dev/kvm", "--engine soft");
    host.cause = EACCES;
    assert_says(probe(PLAIN), "may not be opened", "group");
    host.cause = ENODEV;
    assert_says(probe(PLAIN), "no KVM behind it", "--engine soft");
}

static void test_old(void **state)
{
    (void)state;
    host.missing = KVM_CAP_IMMEDIATE_EXIT;
    assert_says(probe(PLAIN), "immediate exits", "update the host's kernel");
    good_host(NULL);
    host.version = KVM_API_VERSION - 1;
    assert_says(probe(PLAIN), "version 11", "--engine soft");
}

// A device node, an Intel processor, and still no nesting.
static void test_no_nesting(void **state)
{
    (void)state;
    host.vmx = false;
    assert_says(probe(NESTED), "does not nest", "nested=1");
    assert_null(probe(PLAIN));
    good_host(NULL);
    host.missing = KVM_CAP_NESTED_STATE;
    assert_says(probe(NESTED), "no nested state", "--nested off");
    assert_null(probe(PLAIN));
}

static void test_vendor(void **state)
{
    (void)state;
    host.vendor = "AuthenticAMD";
    host.vmx = false;
    host.svm = true;
    assert_null(probe(NESTED));
    struct engine_config config = NESTED;
    config.vendor = ENGINE_VENDOR_INTEL;
    assert_says(probe(config), "AuthenticAMD", "--vendor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good, good_host), cmocka_unit_test_setup(test_no_device, good_host),
        cmocka_unit_test_setup(test_old, good_host), cmocka_unit_test_setup(test_no_nesting, good_host),
        cmocka_unit_test_setup(test_vendor, good_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
