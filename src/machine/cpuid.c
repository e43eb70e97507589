// See cpuid.h. Leaves and bits: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E.
#include "machine/cpuid.h"

#include <stdlib.h>
#include <string.h>

enum cpuid_leaf {
    CPUID_FEATURES = 1,
    CPUID_CACHES = 4,
    CPUID_TOPOLOGY = 0xb,
    CPUID_TOPOLOGY_2 = 0x1f,
};

#define CPUID_AMD_FEATURES 0x80000001u
#define CPUID_AMD_SIZES 0x80000008u
#define CPUID_AMD_SVM 0x8000000au
#define CPUID_AMD_CACHES 0x8000001du
#define CPUID_AMD_TOPOLOGY 0x8000001eu

enum { CPUID_ECX_VMX = 1 << 5, CPUID_ECX_TSC_DEADLINE = 1 << 24, CPUID_EDX_HTT = 1 << 28, CPUID_AMD_ECX_SVM = 1 << 2 };
#define CPUID_ECX_HYPERVISOR (1u << 31)

// Bits of the APIC id that number the cores.
static unsigned cpuid_core_bits(unsigned cpus) { return cpus > 1 ? 32 - (unsigned)__builtin_clz(cpus - 1) : 0; }

static void cpuid_adjust_features(struct kvm_cpuid_entry2 *entry, const struct cpuid_config *config, unsigned id)
{
    entry->ebx = (entry->ebx & 0xffff) | (1u << cpuid_core_bits(config->cpus)) << 16 | id << 24;
    entry->edx = config->cpus > 1 ? entry->edx | CPUID_EDX_HTT : entry->edx & ~CPUID_EDX_HTT;
    entry->ecx |= CPUID_ECX_HYPERVISOR;
    if (!config->nested)
        entry->ecx &= ~CPUID_ECX_VMX;
}

// Leaf 4: who shares each cache (bits 25:14, counted in APIC ids less one), how many ids the package has (31:26).
static void cpuid_adjust_cache(struct kvm_cpuid_entry2 *entry, const struct cpuid_config *config)
{
    if (!(entry->eax & 0x1f))
        return;
    u32 ids = 1u << cpuid_core_bits(config->cpus);
    u32 level = entry->eax >> 5 & 7;
    u32 sharing = level >= 3 ? ids - 1 : 0;
    u32 package = entry->function == CPUID_CACHES ? ids - 1 : 0; // reserved in AMD's leaf
    entry->eax = (entry->eax & 0x3fff) | sharing << 14 | package << 26;
}

static void cpuid_adjust_amd_sizes(struct kvm_cpuid_entry2 *entry, const struct cpuid_config *config)
{
    entry->ecx = (entry->ecx & ~0xf0ffu) | cpuid_core_bits(config->cpus) << 12 | (config->cpus - 1);
}

static void cpuid_adjust_entry(struct kvm_cpuid_entry2 *entry, const struct cpuid_config *config, unsigned id)
{
    switch (entry->function) {
    case CPUID_FEATURES:
        cpuid_adjust_features(entry, config, id);
        break;
    case CPUID_CACHES:
    case CPUID_AMD_CACHES:
        cpuid_adjust_cache(entry, config);
        break;
    case CPUID_AMD_FEATURES:
        if (!config->nested)
            entry->ecx &= ~CPUID_AMD_ECX_SVM;
        break;
    case CPUID_AMD_SIZES:
        cpuid_adjust_amd_sizes(entry, config);
        break;
    case CPUID_AMD_SVM:
        if (!config->nested)
            entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
        break;
    case CPUID_AMD_TOPOLOGY:
        entry->eax = entry->ebx = id;
        entry->ecx = 0;
        break;
    default:
        break;
    }
}

static bool cpuid_is_topology(const struct kvm_cpuid_entry2 *entry)
{
    return entry->function == CPUID_TOPOLOGY || entry->function == CPUID_TOPOLOGY_2;
}

// Leaf 0xB is built anew: threads, cores, end. Leaf 0x1F stays empty, which sends software to 0xB.
static void cpuid_build_topology(struct kvm_cpuid2 *table, const struct cpuid_config *config, unsigned id)
{
    const struct kvm_cpuid_entry2 levels[] = {
        {.function = CPUID_TOPOLOGY, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 0, .ebx = 1,
         .ecx = 1 << 8 | 0, .edx = id},
        {.function = CPUID_TOPOLOGY, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
         .eax = cpuid_core_bits(config->cpus), .ebx = config->cpus, .ecx = 2 << 8 | 1, .edx = id},
        {.function = CPUID_TOPOLOGY, .index = 2, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ecx = 2, .edx = id},
    };
    for (size_t i = 0; i < ARRAY_SIZE(levels) && table->nent < CPUID_ENTRIES; i++)
        table->entries[table->nent++] = levels[i];
}

void cpuid_adjust(struct kvm_cpuid2 *table, const struct cpuid_config *config, unsigned id)
{
    u32 kept = 0, highest = 0;
    for (u32 i = 0; i < table->nent; i++) {
        struct kvm_cpuid_entry2 entry = table->entries[i];
        if (entry.function == 0)
            highest = entry.eax;
        if (cpuid_is_topology(&entry))
            continue;
        cpuid_adjust_entry(&entry, config, id);
        table->entries[kept++] = entry;
    }
    table->nent = kept;
    if (highest >= CPUID_TOPOLOGY)
        cpuid_build_topology(table, config, id);
}

static void cpuid_add_timer(struct kvm_cpuid2 *table)
{
    for (u32 i = 0; i < table->nent; i++)
        if (table->entries[i].function == CPUID_FEATURES)
            table->entries[i].ecx |= CPUID_ECX_TSC_DEADLINE;
}

struct kvm_cpuid2 *cpuid_make(const struct engine *engine, struct engine_vm *vm, const struct cpuid_config *config,
                              unsigned id, struct error *error)
{
    struct kvm_cpuid2 *table = calloc(1, sizeof *table + CPUID_ENTRIES * sizeof table->entries[0]);
    if (!table) {
        error_set(error, "out of memory for the processors' CPUID table");
        return NULL;
    }
    table->nent = CPUID_ENTRIES;
    int result = engine->vm_ioctl(vm, KVM_GET_SUPPORTED_CPUID, table);
    if (result < 0) {
        error_set(error, "the %s engine does not say what its processors can do: %s", engine->name, strerror(-result));
        free(table);
        return NULL;
    }
    if (table->nent > CPUID_ENTRIES)
        table->nent = CPUID_ENTRIES;
    // KVM tells of its APIC's deadline timer apart from the table.
    if (engine->vm_ioctl(vm, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_TSC_DEADLINE_TIMER) > 0)
        cpuid_add_timer(table);
    cpuid_adjust(table, config, id);
    return table;
}

int cpuid_set(const struct engine *engine, struct engine_vm *vm, struct engine_vcpu *vcpu,
              const struct cpuid_config *config, unsigned id, struct error *error)
{
    struct kvm_cpuid2 *table = cpuid_make(engine, vm, config, id, error);
    if (!table)
        return -1;
    int result = engine->vcpu_ioctl(vcpu, KVM_SET_CPUID2, table);
    free(table);
    return result < 0 ? error_set(error, "the %s engine refuses the CPUID table of processor %u: %s", engine->name, id,
                                  strerror(-result))
                      : 0;
}
