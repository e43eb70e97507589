// Checks on the control fields, SDM 3C 27.2.1.
#include "engine/soft/access.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/control.h"

bool vmx_in_physical(const struct cpu *cpu, u64 address)
{
    return !(address & ~cpu->physical_mask);
}

bool vmx_physical_valid(const struct cpu *cpu, u64 address, u64 alignment)
{
    return !(address & (alignment - 1)) && vmx_in_physical(cpu, address);
}

static const char *check_tpr_shadow(struct cpu *cpu, const struct vmcs *vmcs, u32 cpu2)
{
    if (!(vmcs->cpu_controls & CPU_TPR_SHADOW)) {
        REQUIRE(!(cpu2 & (CPU2_X2APIC | CPU2_APIC_REGISTER | CPU2_INTERRUPT_DELIVERY)),
                "27.2.1.1: without TPR shadow no x2APIC mode, APIC-register or interrupt virtualization");
        return NULL;
    }
    REQUIRE(vmx_physical_valid(cpu, vmcs->virtual_apic, PAGE_BYTES), "27.2.1.1: virtual-APIC address");
    if (cpu2 & CPU2_INTERRUPT_DELIVERY)
        return NULL;
    REQUIRE(!(vmcs->tpr_threshold & ~0xfu), "27.2.1.1: TPR threshold bits 31:4");
    if (cpu2 & CPU2_APIC_ACCESS)
        return NULL;
    u64 tpr = physical_read(cpu, vmcs->virtual_apic + VMX_VIRTUAL_APIC_TPR, 1);
    REQUIRE(vmcs->tpr_threshold <= tpr >> 4, "27.2.1.1: TPR threshold above the virtual TPR");
    return NULL;
}

const char *vmx_check_eptp(const struct cpu *cpu, u64 eptp)
{
    unsigned type = eptp & 7;
    REQUIRE(type == 0 || type == 6, "27.2.1.1: EPTP memory type");
    REQUIRE((eptp >> 3 & 7) == 3, "27.2.1.1: EPTP page-walk length");
    REQUIRE(!(eptp & 0xf80) && vmx_in_physical(cpu, eptp & ~0xfffull), "27.2.1.1: EPTP reserved bits");
    return NULL;
}

static const char *check_secondary(struct cpu *cpu, const struct vmcs *vmcs, u32 cpu2)
{
    u32 pin = vmcs->pin_controls;
    if (cpu2 & CPU2_APIC_ACCESS)
        REQUIRE(vmx_physical_valid(cpu, vmcs->apic_access, PAGE_BYTES), "27.2.1.1: APIC-access address");
    REQUIRE(!(cpu2 & CPU2_X2APIC) || !(cpu2 & CPU2_APIC_ACCESS),
            "27.2.1.1: x2APIC mode and APIC accesses both virtualized");
    REQUIRE(!(cpu2 & CPU2_INTERRUPT_DELIVERY) || pin & PIN_EXTERNAL_INTERRUPT,
            "27.2.1.1: virtual-interrupt delivery without external-interrupt exiting");
    if (pin & PIN_POSTED_INTERRUPTS) {
        REQUIRE(cpu2 & CPU2_INTERRUPT_DELIVERY, "27.2.1.1: posted interrupts without virtual-interrupt delivery");
        REQUIRE(vmcs->exit_controls & EXIT_ACK_INTERRUPT, "27.2.1.1: posted interrupts without acknowledge on exit");
        REQUIRE(vmcs->posted_vector < 256, "27.2.1.1: posted-interrupt notification vector");
        REQUIRE(vmx_physical_valid(cpu, vmcs->posted_descriptor, 64), "27.2.1.1: posted-interrupt descriptor address");
    }
    REQUIRE(!(cpu2 & CPU2_VPID) || vmcs->vpid, "27.2.1.1: VPID is 0");
    const char *failed = cpu2 & CPU2_EPT ? vmx_check_eptp(cpu, vmcs->eptp) : NULL;
    if (failed)
        return failed;
    if (cpu2 & CPU2_PML) {
        REQUIRE(cpu2 & CPU2_EPT, "27.2.1.1: page-modification logging without EPT");
        REQUIRE(vmx_physical_valid(cpu, vmcs->pml, PAGE_BYTES), "27.2.1.1: PML address");
    }
    REQUIRE(!(cpu2 & CPU2_UNRESTRICTED) || cpu2 & CPU2_EPT, "27.2.1.1: unrestricted guest without EPT");
    if (cpu2 & CPU2_SHADOW_VMCS) {
        REQUIRE(vmx_physical_valid(cpu, vmcs->vmread_bitmap, PAGE_BYTES), "27.2.1.1: VMREAD-bitmap address");
        REQUIRE(vmx_physical_valid(cpu, vmcs->vmwrite_bitmap, PAGE_BYTES), "27.2.1.1: VMWRITE-bitmap address");
    }
    REQUIRE(!(cpu2 & CPU2_TSC_SCALING) || vmcs->tsc_multiplier, "27.2.1.1: TSC multiplier is 0");
    return NULL;
}

static const char *check_execution(struct cpu *cpu, const struct vmcs *vmcs)
{
    u32 pin = vmcs->pin_controls, primary = vmcs->cpu_controls;
    u32 cpu2 = primary & CPU_SECONDARY ? vmcs->cpu_controls2 : 0;
    REQUIRE(vmx_control_valid(cpu, CONTROL_PIN, pin), "27.2.1.1: pin-based controls, reserved bits");
    REQUIRE(vmx_control_valid(cpu, CONTROL_CPU, primary), "27.2.1.1: primary processor-based controls, reserved bits");
    REQUIRE(vmx_control_valid(cpu, CONTROL_CPU2, cpu2), "27.2.1.1: secondary processor-based controls, reserved bits");
    REQUIRE(vmcs->cr3_target_count <= VMX_CR3_TARGETS, "27.2.1.1: CR3-target count");
    if (primary & CPU_IO_BITMAPS)
        REQUIRE(vmx_physical_valid(cpu, vmcs->io_bitmap_a, PAGE_BYTES) &&
                vmx_physical_valid(cpu, vmcs->io_bitmap_b, PAGE_BYTES), "27.2.1.1: I/O-bitmap addresses");
    if (primary & CPU_MSR_BITMAPS)
        REQUIRE(vmx_physical_valid(cpu, vmcs->msr_bitmap, PAGE_BYTES), "27.2.1.1: MSR-bitmap address");
    const char *failed = check_tpr_shadow(cpu, vmcs, cpu2);
    if (failed)
        return failed;
    REQUIRE(pin & PIN_NMI || !(pin & PIN_VIRTUAL_NMI), "27.2.1.1: virtual NMIs without NMI exiting");
    REQUIRE(pin & PIN_VIRTUAL_NMI || !(primary & CPU_NMI_WINDOW), "27.2.1.1: NMI-window exiting without virtual NMIs");
    return check_secondary(cpu, vmcs, cpu2);
}

// The bounds of an MSR list (SDM 3C 27.2.1.2 and 27.2.1.3): 16 bytes an entry, nothing beyond the address width.
static bool check_msr_list(const struct cpu *cpu, u32 count, u64 address)
{
    if (!count)
        return true;
    u64 last = address + (u64)count * 16 - 1;
    return vmx_physical_valid(cpu, address, 16) && last >= address && vmx_in_physical(cpu, last);
}

static const char *check_exit(struct cpu *cpu, const struct vmcs *vmcs)
{
    u32 exit = vmcs->exit_controls;
    REQUIRE(vmx_control_valid(cpu, CONTROL_EXIT, exit), "27.2.1.2: VM-exit controls, reserved bits");
    REQUIRE(vmcs->pin_controls & PIN_PREEMPTION_TIMER || !(exit & EXIT_SAVE_TIMER),
            "27.2.1.2: the preemption timer is saved but not active");
    REQUIRE(check_msr_list(cpu, vmcs->exit_store_count, vmcs->exit_store), "27.2.1.2: VM-exit MSR-store address");
    REQUIRE(check_msr_list(cpu, vmcs->exit_load_count, vmcs->exit_load), "27.2.1.2: VM-exit MSR-load address");
    return NULL;
}

// Vectors of hardware exceptions that push an error code.
static bool check_vector_has_error(unsigned vector)
{
    return vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) || vector == VECTOR_AC;
}

static const char *check_injection(const struct vmcs *vmcs)
{
    u32 info = vmcs->entry_interruption;
    if (!(info & INTERRUPTION_VALID))
        return NULL;
    unsigned vector = info & 0xff, type = info >> INTERRUPTION_TYPE_SHIFT & 7;
    REQUIRE(type != 1, "27.2.1.3: interruption type is reserved");
    REQUIRE(type != EVENT_NMI || vector == VECTOR_NMI, "27.2.1.3: NMI with another vector than 2");
    REQUIRE(type != EVENT_EXCEPTION || vector < 32, "27.2.1.3: hardware exception with a vector above 31");
    REQUIRE(type != VMX_EVENT_OTHER || vector == 0, "27.2.1.3: other event with a vector that is not 0");
    bool unrestricted = vmcs->cpu_controls & CPU_SECONDARY && vmcs->cpu_controls2 & CPU2_UNRESTRICTED;
    bool has_error = type == EVENT_EXCEPTION && check_vector_has_error(vector) &&
                     (!unrestricted || vmcs->guest_cr0 & CR0_PE);
    REQUIRE(!(info & INTERRUPTION_ERROR) == !has_error, "27.2.1.3: deliver-error-code does not fit the event");
    REQUIRE(!(info & 0x7ffff000), "27.2.1.3: interruption information, reserved bits");
    REQUIRE(!has_error || !(vmcs->entry_error >> 16), "27.2.1.3: error code bits 31:16");
    bool soft = type == EVENT_SOFT_INTERRUPT || type == EVENT_PRIVILEGED_EXCEPTION || type == EVENT_SOFT_EXCEPTION;
    REQUIRE(!soft || vmcs->entry_length <= 15, "27.2.1.3: instruction length above 15");
    return NULL;
}

static const char *check_entry(struct cpu *cpu, const struct vmcs *vmcs)
{
    REQUIRE(vmx_control_valid(cpu, CONTROL_ENTRY, vmcs->entry_controls), "27.2.1.3: VM-entry controls, reserved bits");
    const char *failed = check_injection(vmcs);
    if (failed)
        return failed;
    REQUIRE(check_msr_list(cpu, vmcs->entry_load_count, vmcs->entry_load), "27.2.1.3: VM-entry MSR-load address");
    return NULL;
}

const char *vmx_check_controls(struct cpu *cpu, const struct vmcs *vmcs)
{
    const char *failed = check_execution(cpu, vmcs);
    if (!failed)
        failed = check_exit(cpu, vmcs);
    return failed ? failed : check_entry(cpu, vmcs);
}
