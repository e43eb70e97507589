// Whether the host's KVM can give what a VM asks for. Only KVM's own answers count: the device node exists on hosts
// whose KVM cannot nest, and the CPU's vmx flag is there where KVM was told not to pass it on.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/kvm/kvm.h"

enum { KVM_CPUID_ENTRIES = 256 };

static int kvm_open_error(int cause, struct error *error)
{
    switch (cause) {
    case ENOENT:
        return error_set(error, "this host has no /dev/kvm: load kvm_intel or kvm_amd (modprobe), or use the engine "
                                "that needs no such device: --engine soft");
    case EACCES:
    case EPERM:
        return error_set(error, "/dev/kvm may not be opened by this user: become a member of its group (usually "
                                "\"kvm\"), or use --engine soft");
    case ENODEV:
    case ENXIO:
        return error_set(error, "/dev/kvm is there, but no KVM behind it (kvm_intel or kvm_amd is not loaded, or the "
                                "processor has no virtualization to offer): use --engine soft");
    default:
        return error_set(error, "/dev/kvm: %s: use --engine soft", strerror(cause));
    }
}

int kvm_host_open(const struct engine_config *config, struct error *error)
{
    static const struct {
        long capability;
        const char *name;
    } needed[] = {
        {KVM_CAP_USER_MEMORY, "user memory"},       {KVM_CAP_SPLIT_IRQCHIP, "a split interrupt controller"},
        {KVM_CAP_SIGNAL_MSI, "message interrupts"}, {KVM_CAP_IMMEDIATE_EXIT, "immediate exits"},
        {KVM_CAP_MP_STATE, "processor states"},     {KVM_CAP_EXT_CPUID, "CPUID tables"},
    };
    int kvm = config->device ? fcntl(config->device, F_DUPFD_CLOEXEC, 3) : open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        return kvm_open_error(errno, error);
    int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        close(kvm);
        return error_set(error, "/dev/kvm speaks version %d of the KVM API, not %d: use --engine soft", version,
                         KVM_API_VERSION);
    }
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].capability) > 0)
            continue;
        close(kvm);
        return error_set(error, "this host's KVM lacks %s (Linux before 4.13?): update the host's kernel, or use "
                                "--engine soft", needed[i].name);
    }
    return kvm;
}

struct kvm_offer {
    bool vmx, svm;
    char vendor[13];
};

static int kvm_offer_read(int kvm, struct kvm_offer *offer, struct error *error)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + KVM_CPUID_ENTRIES * sizeof cpuid->entries[0]);
    if (!cpuid)
        return error_set(error, "out of memory for KVM's CPUID table");
    cpuid->nent = KVM_CPUID_ENTRIES;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
        int cause = errno;
        free(cpuid);
        return error_set(error, "KVM does not say what processors it offers: %s: use --engine soft", strerror(cause));
    }
    *offer = (struct kvm_offer){.vmx = false};
    for (u32 i = 0; i < cpuid->nent && i < KVM_CPUID_ENTRIES; i++) {
        const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        if (entry->function == 0) {
            memcpy(offer->vendor, &entry->ebx, 4);
            memcpy(offer->vendor + 4, &entry->edx, 4);
            memcpy(offer->vendor + 8, &entry->ecx, 4);
        }
        if (entry->function == 1)
            offer->vmx = entry->ecx & 1U << 5;
        if (entry->function == 0x80000001)
            offer->svm = entry->ecx & 1U << 2;
    }
    free(cpuid);
    return 0;
}

static int kvm_probe_vendor(const struct kvm_offer *offer, enum engine_vendor vendor, struct error *error)
{
    static const char *const names[] = {[ENGINE_VENDOR_INTEL] = "GenuineIntel", [ENGINE_VENDOR_AMD] = "AuthenticAMD"};
    if (vendor == ENGINE_VENDOR_HOST || !strcmp(offer->vendor, names[vendor]))
        return 0;
    return error_set(error, "this host's KVM offers processors of \"%s\" and the VM wants \"%s\": leave out --vendor, "
                            "or use --engine soft", offer->vendor, names[vendor]);
}

static int kvm_probe_nested(int kvm, const struct kvm_offer *offer, struct error *error)
{
    if (!offer->vmx && !offer->svm)
        return error_set(error, "this host's KVM does not nest (it offers VMs neither vmx nor svm): reload kvm_intel "
                                "or kvm_amd with nested=1 if the host is a real machine, use --engine soft, or do "
                                "without (--nested off)");
    if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) <= 0)
        return error_set(error, "this host's KVM shows VMs %s but keeps no nested state (Linux before 4.20?): update "
                                "the host's kernel, use --engine soft, or do without (--nested off)",
                         offer->vmx ? "vmx" : "svm");
    return 0;
}

// Hyper-V's words for it, which is what people look up.
static int kvm_no_nesting(struct error *error)
{
    return error_prefix(error, "this platform does not support nested virtualization");
}

int kvm_probe(const struct engine_config *config, struct error *error)
{
    struct kvm_offer offer;
    if (config->trace & ~(unsigned)ENGINE_TRACE_EXITS)
        return error_set(error, "KVM does not say what its processors do: trace exits only, or use --engine soft");
    int kvm = kvm_host_open(config, error);
    if (kvm < 0)
        return config->nested ? kvm_no_nesting(error) : -1;
    int result = kvm_offer_read(kvm, &offer, error);
    if (!result)
        result = kvm_probe_vendor(&offer, config->vendor, error);
    if (!result && config->nested && kvm_probe_nested(kvm, &offer, error))
        result = kvm_no_nesting(error);
    int most = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    if (!result && most > 0 && config->vcpus > (unsigned)most)
        result = error_set(error, "this host's KVM gives a VM %d processors at most, not %u", most, config->vcpus);
    close(kvm);
    return result;
}
