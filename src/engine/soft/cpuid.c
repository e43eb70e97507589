// What CPUID says. A guest's instructions run on the host's silicon, so a computational feature is there when the
// host has it and the engine knows how to re-encode it (the `host` masks); what the engine does itself is there on
// every host (the `always` masks); the rest is not shown. A processor of Intel's make that is not the host's own
// keeps the host's features under a generic family and model.
//
// Speculation: nidus is one process, and its guests are isolated from each other as processes of the host are. Within
// a guest no barrier it could ask for would change what the silicon does with re-encoded code, so it is told, by
// IA32_ARCH_CAPABILITIES, that there is nothing to mitigate, and IBRS is on offer because with it Linux leaves its
// indirect branches alone. Who needs protection of a guest's kernel from its own users must not rely on a virtual CPU
// of this kind.
#include "engine/soft/cpuid.h"

#include <cpuid.h>
#include <errno.h>

#include "engine/soft/fpu.h"
#include "engine/soft/insn_msr.h"
#include "engine/soft/msr.h"

enum {
    CPUID_BASIC_MAX = 0x16,
    CPUID_CRYSTAL_KHZ = 1000000, // the local APIC timer's clock: one tick a nanosecond
    CPUID_LINEAR_BITS = 48,
};
#define CPUID_HYPERVISOR 0x40000000u
#define CPUID_EXTENDED 0x80000000u
#define CPUID_EXTENDED_MAX 0x80000008u

// Feature words. `host`: kept when the host has it; `always`: the engine does it.
struct cpuid_word {
    u32 leaf, subleaf;
    u8 reg;
    u32 host, always;
};

#define B(n) (1u << (n))

static const struct cpuid_word cpuid_words[] = {
    // SSE3, PCLMUL, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C, RDRAND;
    // always: PCID, x2APIC, TSC deadline, hypervisor
    {1, 0, CPUID_ECX, B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) |
     B(29) | B(30), B(17) | B(21) | B(24) | B(31)},
    // always: FPU, DE, PSE, TSC, MSR, PAE, MCE, CX8, APIC, SEP, MTRR, PGE, MCA, CMOV, PAT, PSE36, CLFSH, MMX, FXSR,
    // SSE, SSE2, SS
    {1, 0, CPUID_EDX, 0,
     B(0) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(12) | B(13) | B(14) | B(15) | B(16) |
     B(17) | B(19) | B(23) | B(24) | B(25) | B(26) | B(27)},
    {6, 0, CPUID_EAX, 0, B(2)}, // ARAT
    // BMI1, AVX2, FDP_EXCPTN_ONLY, BMI2, ERMS, no FCS/FDS, AVX512F, DQ, RDSEED, ADX, IFMA, CLFLUSHOPT, CLWB, CD, SHA,
    // BW, VL; always: FSGSBASE, TSC_ADJUST, SMEP, INVPCID, SMAP
    {7, 0, CPUID_EBX, B(3) | B(5) | B(6) | B(8) | B(9) | B(13) | B(16) | B(17) | B(18) | B(19) | B(21) | B(23) |
     B(24) | B(28) | B(29) | B(30) | B(31), B(0) | B(1) | B(7) | B(10) | B(20)},
    // AVX512_VBMI, VBMI2, GFNI, VAES, VPCLMUL, VNNI, BITALG, VPOPCNTDQ, MOVDIR64B; always: UMIP, RDPID
    {7, 0, CPUID_ECX, B(1) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14) | B(28), B(2) | B(22)},
    // FSRM, SERIALIZE, AVX512_FP16; always: IBRS and IBPB, STIBP, ARCH_CAPABILITIES
    {7, 0, CPUID_EDX, B(4) | B(14) | B(23), B(26) | B(27) | B(29)},
    {7, 1, CPUID_EAX, B(4) | B(5) | B(10) | B(11) | B(12), 0}, // AVX_VNNI, AVX512_BF16, fast short string operations
    {7, 2, CPUID_EDX, 0, B(4)},                                // BHI_CTRL: else Linux clears branch history by hand
    {0xd, 1, CPUID_EAX, B(0) | B(1) | B(2) | B(3), 0},         // XSAVEOPT, XSAVEC, XGETBV(1), XSAVES
    {0x80000001, 0, CPUID_ECX, B(0) | B(5) | B(8), 0},         // LAHF, LZCNT, PREFETCHW
    {0x80000001, 0, CPUID_EDX, 0, B(11) | B(20) | B(26) | B(27) | B(29)}, // SYSCALL, NX, 1 GiB pages, RDTSCP, long mode
    {0x80000007, 0, CPUID_EDX, B(8), 0},                       // invariant TSC
};

struct cpuid_table {
    struct kvm_cpuid_entry2 *entry;
    unsigned room, count;
};

static void cpuid_host(u32 leaf, u32 subleaf, u32 out[4])
{
    u32 most = __get_cpuid_max(leaf & CPUID_EXTENDED, NULL);
    out[0] = out[1] = out[2] = out[3] = 0;
    if (most && leaf <= most)
        __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

static bool cpuid_host_intel(void)
{
    u32 out[4];
    cpuid_host(0, 0, out);
    return out[CPUID_EBX] == signature_INTEL_ebx;
}

static void cpuid_add(struct cpuid_table *table, u32 leaf, u32 subleaf, bool indexed, const u32 out[4])
{
    if (table->count < table->room)
        table->entry[table->count] = (struct kvm_cpuid_entry2){
            .function = leaf, .index = subleaf, .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = out[0], .ebx = out[1], .ecx = out[2], .edx = out[3],
        };
    table->count++;
}

// Adds a leaf of feature words: `out` holds the registers that are not masks.
static void cpuid_add_features(struct cpuid_table *table, u32 leaf, u32 subleaf, bool indexed, u32 out[4])
{
    u32 host[4];
    cpuid_host(leaf, subleaf, host);
    for (unsigned i = 0; i < ARRAY_SIZE(cpuid_words); i++) {
        const struct cpuid_word *word = &cpuid_words[i];
        if (word->leaf == leaf && word->subleaf == subleaf)
            out[word->reg] = (host[word->reg] & word->host) | word->always;
    }
    cpuid_add(table, leaf, subleaf, indexed, out);
}

// Sandy Bridge's caches, for hosts that do not describe theirs in leaf 4.
static void cpuid_add_caches(struct cpuid_table *table)
{
    static const u32 plain[][4] = {
        {0x00000121, 0x01c0003f, 63, 0}, {0x00000122, 0x01c0003f, 63, 0}, {0x00000143, 0x01c0003f, 511, 0},
        {0x00000163, 0x03c0003f, 8191, 6},
    };
    u32 out[4];
    cpuid_host(4, 0, out);
    bool own = out[0] & 0x1f;
    for (u32 i = 0; i < 8; i++) {
        if (own)
            cpuid_host(4, i, out);
        else
            for (unsigned j = 0; j < 4; j++)
                out[j] = i < ARRAY_SIZE(plain) ? plain[i][j] : 0;
        cpuid_add(table, 4, i, true, out);
        if (!(out[0] & 0x1f))
            break;
    }
}

static void cpuid_add_xsave(struct cpuid_table *table)
{
    u64 supported = fpu_supported_xcr0();
    u32 sizes[4] = {(u32)supported, fpu_xsave_bytes(), fpu_xsave_bytes(), supported >> 32}, features[4] = {0};
    cpuid_add(table, 0xd, 0, true, sizes);
    cpuid_add_features(table, 0xd, 1, true, features);
    for (u32 i = 2; i < 63; i++) {
        u32 out[4];
        if (!(supported >> i & 1))
            continue;
        cpuid_host(0xd, i, out);
        out[CPUID_ECX] &= 3; // supervisor state, alignment; no XFD
        cpuid_add(table, 0xd, i, true, out);
    }
}

// The TSC's frequency as a ratio to the APIC timer's, as close as a numerator allows that Linux multiplies with the
// crystal's kHz in 32 bits: the best of the continued fraction's convergents.
static void cpuid_tsc_ratio(u64 tsc_khz, u32 *numerator, u32 *denominator)
{
    u64 a = tsc_khz, b = CPUID_CRYSTAL_KHZ, n0 = 0, n1 = 1, d0 = 1, d1 = 0;
    while (b) {
        u64 quotient = a / b, rest = a % b, n = quotient * n1 + n0, d = quotient * d1 + d0;
        if (n > 0xffffffffull / CPUID_CRYSTAL_KHZ)
            break;
        n0 = n1, n1 = n, d0 = d1, d1 = d;
        a = b, b = rest;
    }
    *numerator = n1;
    *denominator = d1;
}

static void cpuid_add_clocks(struct cpuid_table *table, u64 tsc_khz)
{
    u32 ratio[4] = {0, 0, CPUID_CRYSTAL_KHZ * 1000u, 0}, mhz = (tsc_khz + 500) / 1000;
    cpuid_tsc_ratio(tsc_khz, &ratio[CPUID_EBX], &ratio[CPUID_EAX]);
    cpuid_add(table, 0x15, 0, false, ratio);
    cpuid_add(table, 0x16, 0, false, (u32[4]){mhz, mhz, 100, 0});
}

static void cpuid_add_basic(struct cpuid_table *table, const struct engine_vm *vm)
{
    bool own = cpuid_host_intel();
    u32 out[4];
    cpuid_add(table, 0, 0, false,
              (u32[4]){CPUID_BASIC_MAX, signature_INTEL_ebx, signature_INTEL_ecx, signature_INTEL_edx});
    cpuid_host(1, 0, out);
    if (!own)
        out[CPUID_EAX] = 0x50654; // family 6, model 85
    out[CPUID_EAX] &= 0x0fff0fff;
    out[CPUID_EBX] = 1 << 16 | 8 << 8; // one logical processor, CLFLUSH of 64 bytes; the board knows better
    cpuid_add_features(table, 1, 0, false, out);
    if (vm->config.nested && table->count <= table->room)
        table->entry[table->count - 1].ecx |= B(5);
    cpuid_add(table, 2, 0, false, (u32[4]){0x00feff01, 0xf0, 0, 0}); // caches and TLBs: see leaf 4
    cpuid_add_caches(table);
    cpuid_add_features(table, 6, 0, false, (u32[4]){0});
    cpuid_add_features(table, 7, 0, true, (u32[4]){2});
    cpuid_add_features(table, 7, 1, true, (u32[4]){0});
    cpuid_add_features(table, 7, 2, true, (u32[4]){0});
    cpuid_add(table, 0xa, 0, false, (u32[4]){0}); // no performance counters
    cpuid_add(table, 0xb, 0, true, (u32[4]){0, 1, 1 << 8, 0});
    cpuid_add(table, 0xb, 1, true, (u32[4]){0, 1, 2 << 8 | 1, 0});
    cpuid_add_xsave(table);
    cpuid_add_clocks(table, vm->tsc_khz);
}

static void cpuid_add_extended(struct cpuid_table *table)
{
    static const char brand[48] = "nidus virtual processor";
    bool own = cpuid_host_intel();
    u32 out[4];
    cpuid_add(table, CPUID_EXTENDED, 0, false, (u32[4]){CPUID_EXTENDED_MAX});
    cpuid_add_features(table, 0x80000001, 0, false, (u32[4]){0});
    for (unsigned i = 0; i < 3; i++) {
        cpuid_host(0x80000002 + i, 0, out);
        if (!own)
            for (unsigned j = 0; j < 16; j++)
                ((char *)out)[j] = brand[i * 16 + j];
        cpuid_add(table, 0x80000002 + i, 0, false, out);
    }
    cpuid_host(0x80000006, 0, out);
    cpuid_add(table, 0x80000006, 0, false, (u32[4]){0, 0, out[CPUID_ECX], 0});
    cpuid_add_features(table, 0x80000007, 0, false, (u32[4]){0});
    cpuid_host(0x80000008, 0, out);
    u32 physical = out[CPUID_EAX] & 0xff;
    if (physical < 36 || physical > 46)
        physical = physical < 36 ? 36 : 46;
    cpuid_add(table, 0x80000008, 0, false, (u32[4]){physical | CPUID_LINEAR_BITS << 8});
}

int cpuid_supported(const struct engine_vm *vm, struct kvm_cpuid_entry2 *entry, unsigned room)
{
    struct cpuid_table table = {.entry = entry, .room = room};
    cpuid_add_basic(&table, vm);
    // The signature says "nidusnidus".
    cpuid_add(&table, CPUID_HYPERVISOR, 0, false, (u32[4]){CPUID_HYPERVISOR, 0x7564696e, 0x64696e73, 0x00007375});
    cpuid_add_extended(&table);
    return table.count > room ? -E2BIG : (int)table.count;
}

static const struct kvm_cpuid_entry2 *cpuid_find(const struct cpu *cpu, u32 leaf, u32 subleaf)
{
    for (u32 i = 0; i < cpu->cpuid_count; i++) {
        const struct kvm_cpuid_entry2 *entry = &cpu->cpuid[i];
        bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (entry->function == leaf && (!indexed || entry->index == subleaf))
            return entry;
    }
    return NULL;
}

static u32 cpuid_word(const struct kvm_cpuid_entry2 *entry, unsigned reg)
{
    switch (reg) {
    case CPUID_EAX: return entry->eax;
    case CPUID_EBX: return entry->ebx;
    case CPUID_ECX: return entry->ecx;
    default: return entry->edx;
    }
}

bool cpu_has(const struct cpu *cpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    const struct kvm_cpuid_entry2 *entry = cpuid_find(cpu, leaf, subleaf);
    return entry && cpuid_word(entry, reg) >> bit & 1;
}

static void cpuid_derive(struct cpu *cpu)
{
    static const struct { u32 leaf, subleaf; u8 reg, bit; u32 feature; u64 cr4; } bits[] = {
        {1, 0, CPUID_EDX, 1, 0, CR4_VME | CR4_PVI}, {1, 0, CPUID_EDX, 2, 0, CR4_DE}, {1, 0, CPUID_EDX, 3, 0, CR4_PSE},
        {1, 0, CPUID_EDX, 4, 0, CR4_TSD}, {1, 0, CPUID_EDX, 6, 0, CR4_PAE}, {1, 0, CPUID_EDX, 7, 0, CR4_MCE},
        {1, 0, CPUID_EDX, 13, 0, CR4_PGE}, {1, 0, CPUID_EDX, 24, 0, CR4_OSFXSR},
        {1, 0, CPUID_EDX, 25, 0, CR4_OSXMMEXCPT},
        {1, 0, CPUID_ECX, 5, FEATURE_VMX, CR4_VMXE}, {1, 0, CPUID_ECX, 17, 0, CR4_PCIDE},
        {1, 0, CPUID_ECX, 21, FEATURE_X2APIC, 0}, {1, 0, CPUID_ECX, 24, FEATURE_DEADLINE, 0},
        {1, 0, CPUID_ECX, 26, 0, CR4_OSXSAVE}, {7, 0, CPUID_EBX, 0, 0, CR4_FSGSBASE},
        {7, 0, CPUID_EBX, 1, FEATURE_TSC_ADJUST, 0}, {7, 0, CPUID_EBX, 7, 0, CR4_SMEP},
        {7, 0, CPUID_EBX, 10, FEATURE_INVPCID, 0}, {7, 0, CPUID_EBX, 20, FEATURE_SMAP, CR4_SMAP},
        {1, 0, CPUID_ECX, 30, FEATURE_RDRAND, 0}, {7, 0, CPUID_EBX, 18, FEATURE_RDSEED, 0},
        {7, 0, CPUID_ECX, 2, 0, CR4_UMIP}, {7, 0, CPUID_ECX, 22, FEATURE_RDPID, 0},
        {7, 0, CPUID_EDX, 14, FEATURE_SERIALIZE, 0}, {7, 0, CPUID_EDX, 26, FEATURE_SPEC_CTRL, 0},
        {7, 0, CPUID_EDX, 27, FEATURE_STIBP, 0},
        {7, 0, CPUID_EDX, 28, FEATURE_FLUSH_L1D, 0}, {7, 0, CPUID_EDX, 29, FEATURE_ARCH_CAPABILITIES, 0},
        {7, 0, CPUID_EDX, 31, FEATURE_SSBD, 0}, {7, 2, CPUID_EDX, 4, FEATURE_BHI_CTRL, 0},
        {0xd, 1, CPUID_EAX, 2, FEATURE_XGETBV1, 0},
        {0xd, 1, CPUID_EAX, 3, FEATURE_XSAVES, 0}, {0x80000001, 0, CPUID_EDX, 11, FEATURE_SYSCALL, 0},
        {0x80000001, 0, CPUID_EDX, 20, FEATURE_NX, 0}, {0x80000001, 0, CPUID_EDX, 27, FEATURE_RDTSCP, 0},
        {0x80000001, 0, CPUID_EDX, 29, FEATURE_LONG_MODE, 0},
    };
    cpu->features = 0;
    cpu->cr4_allowed = CR4_PCE; // belongs to RDPMC, which every processor has
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
        if (!cpu_has(cpu, bits[i].leaf, bits[i].subleaf, bits[i].reg, bits[i].bit))
            continue;
        cpu->features |= bits[i].feature;
        cpu->cr4_allowed |= bits[i].cr4;
    }
    const struct kvm_cpuid_entry2 *sizes = cpuid_find(cpu, 0x80000008, 0);
    unsigned physical = sizes ? sizes->eax & 0xff : 36;
    cpu->physical_mask = (1ull << (physical < 32 ? 32 : physical > 52 ? 52 : physical)) - 1;
}

int cpuid_install(struct cpu *cpu, const struct kvm_cpuid_entry2 *entry, unsigned count)
{
    if (count > CPU_CPUID_ENTRIES)
        return -E2BIG;
    for (unsigned i = 0; i < count; i++)
        cpu->cpuid[i] = entry[i];
    cpu->cpuid_count = count;
    cpuid_derive(cpu);
    return 0;
}

// Bytes of an XSAVE area for these states, in the standard or the compacted format (SDM 1 13.4).
static u32 cpuid_xsave_bytes(const struct cpu *cpu, u64 states, bool compacted)
{
    u32 end = sizeof(struct fpu_area);
    for (unsigned i = 2; i < CPU_XSTATE_COMPONENTS; i++) {
        const struct xstate_component *component = &cpu->xstate[i];
        if (!(states >> i & 1))
            continue;
        if (!compacted) {
            end = component->offset + component->bytes > (int)end ? component->offset + component->bytes : end;
        } else {
            end = component->aligned ? align_up(end, 64) : end;
            end += component->bytes;
        }
    }
    return end;
}

// What depends on the processor's state now.
static void cpuid_dynamic(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    if (leaf == 1) {
        out[CPUID_ECX] = (out[CPUID_ECX] & ~B(27)) | (cpu->cr4 & CR4_OSXSAVE ? B(27) : 0);
        if (!(cpu->msr.apic_base & APIC_BASE_ENABLE))
            out[CPUID_EDX] &= ~B(9);
    } else if (leaf == 0xd && subleaf == 0) {
        out[CPUID_EBX] = cpuid_xsave_bytes(cpu, cpu->xcr0, false);
    } else if (leaf == 0xd && subleaf == 1 && out[CPUID_EAX] & (B(1) | B(3))) {
        out[CPUID_EBX] = cpuid_xsave_bytes(cpu, cpu->xcr0 | cpu->msr.xss, true);
    }
}

// A leaf beyond the highest shows the highest basic one (SDM 2A, CPUID, "INPUT EAX").
static const struct kvm_cpuid_entry2 *cpuid_beyond(const struct cpu *cpu, u32 leaf, u32 subleaf)
{
    if (leaf >= CPUID_HYPERVISOR && leaf < CPUID_EXTENDED)
        return NULL;
    const struct kvm_cpuid_entry2 *basic = cpuid_find(cpu, 0, 0), *range = cpuid_find(cpu, leaf & CPUID_EXTENDED, 0);
    if (!basic || (range && leaf <= range->eax))
        return NULL;
    return cpuid_find(cpu, basic->eax, subleaf);
}

void cpuid_read(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct kvm_cpuid_entry2 *entry = cpuid_find(cpu, leaf, subleaf);
    if (!entry)
        entry = cpuid_beyond(cpu, leaf, subleaf);
    for (unsigned i = 0; i < 4; i++)
        out[i] = entry ? cpuid_word(entry, i) : 0;
    if (entry) {
        cpuid_dynamic(cpu, leaf, subleaf, out);
    } else if (leaf == 0xb || leaf == 0x1f) { // no such level; the x2APIC id is in all of them
        entry = cpuid_find(cpu, leaf, 0);
        out[CPUID_ECX] = entry ? subleaf & 0xff : 0;
        out[CPUID_EDX] = entry ? entry->edx : 0;
    }
}

void insn_cpuid(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    u32 out[4];
    cpuid_read(cpu, cpu->gpr[RAX], cpu->gpr[RCX], out);
    cpu->gpr[RAX] = out[CPUID_EAX];
    cpu->gpr[RBX] = out[CPUID_EBX];
    cpu->gpr[RCX] = out[CPUID_ECX];
    cpu->gpr[RDX] = out[CPUID_EDX];
}
