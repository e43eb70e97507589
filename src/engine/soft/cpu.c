// A processor after power-on, RESET and INIT (SDM 3A table 10-1).
#include "engine/soft/cpuid.h"
#include "engine/soft/debug.h"
#include "engine/soft/fpu.h"
#include "engine/soft/lapic.h"
#include "engine/soft/msr.h"
#include "engine/soft/segment.h"
#include "engine/soft/vm.h"
#include "engine/soft/vmx/vmx.h"

// IA32_ARCH_CAPABILITIES: what need not be mitigated (cpuid.c says why): RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY,
// SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO,
// ITS_NO.
#define CPU_ARCH_CAPABILITIES \
    (1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 13 | 1ull << 14 | \
     1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27 | 1ull << 62)
#define CPU_PAT_RESET 0x0007040600070406ull
#define CPU_MISC_ENABLE_RESET 0x1801ull // fast strings; no branch trace, no PEBS
#define CPU_MICROCODE (1ull << 32)

static void cpu_reset_segments(struct cpu *cpu)
{
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        segment_set(cpu, i, (struct segment){.limit = 0xffff, .access = AR_P | AR_S | AR_RW | AR_ACCESSED});
    segment_set(cpu, SEG_CS, (struct segment){
        .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .access = AR_P | AR_S | AR_CODE | AR_RW | AR_ACCESSED,
    });
    segment_set(cpu, SEG_LDTR, (struct segment){.limit = 0xffff, .access = AR_P | DESCRIPTOR_LDT});
    segment_set(cpu, SEG_TR, (struct segment){.limit = 0xffff, .access = AR_P | DESCRIPTOR_TSS32_BUSY});
    cpu->gdt = cpu->idt = (struct descriptor_table){.limit = 0xffff};
    cpu->cpl = 0;
}

static void cpu_reset_msrs(struct cpu *cpu)
{
    u64 apic_base = cpu->msr.apic_base; // lapic_reset's
    cpu->msr = (__typeof__(cpu->msr)){
        .pat = CPU_PAT_RESET, .misc_enable = CPU_MISC_ENABLE_RESET, .microcode = CPU_MICROCODE,
        .arch_capabilities = CPU_ARCH_CAPABILITIES, .mcg_ctl = ~0ull, .apic_base = apic_base,
    };
    if (cpu->vm)
        cpu->msr.platform_info = (cpu->vm->tsc_khz / 100000 & 0xff) << 8; // base frequency in 100 MHz
    for (unsigned i = 0; i < ARRAY_SIZE(cpu->msr.mc); i += 4)
        cpu->msr.mc[i] = ~0ull;
}

static void cpu_reset_events(struct cpu *cpu)
{
    cpu->event.valid = cpu->delivering.valid = false;
    cpu->nmi_pending = cpu->extint_pending = cpu->init_pending = false;
    cpu->interruptibility = 0;
    cpu->pending_debug = 0;
    cpu->mmio_reads = cpu->mmio_reads_used = cpu->mmio_writes = cpu->mmio_writes_sent = 0;
    cpu->io.active = false;
}

void cpu_reset(struct cpu *cpu, bool init)
{
    u32 version[4];
    cpuid_read(cpu, 1, 0, version);
    for (unsigned i = 0; i < ARRAY_SIZE(cpu->gpr); i++)
        cpu->gpr[i] = 0;
    cpu->gpr[RDX] = cpu->cpuid_count ? version[CPUID_EAX] : 0x600;
    cpu->rip = cpu->next_rip = 0xfff0;
    cpu->rflags = FLAG_FIXED;
    cpu_reset_segments(cpu);
    cpu->cr0 = CR0_ET | (init ? cpu->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW);
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    for (unsigned i = 0; i < 4; i++)
        cpu->dr[i] = cpu->pdpte[i] = 0;
    cpu->dr[6] = DR6_FIXED;
    cpu->dr[7] = DR7_FIXED;
    cpu_reset_events(cpu);
    cpu->guest_mode = false;
    cpu->eptp = 0;
    cpu->vpid = 0;
    if (cpu->vmx)
        vmx_reset(cpu);
    if (cpu->lapic)
        lapic_reset(cpu, init);
    fpu_reset(cpu, init);
    if (init) {
        cpu->msr.efer = 0;
    } else {
        cpu->xcr0 = 1;
        cpu->sipi_pending = false;
        cpu_reset_msrs(cpu);
        cpu->mp_state = cpu->id ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
    }
    if (cpu->contexts)
        tlb_flush_all(cpu);
    cpu_mode_update(cpu);
}
