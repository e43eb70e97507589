// Checks on the host-state area, SDM 3C 27.2.2 to 27.2.4.
#include "engine/soft/msr.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/control.h"

static const char *check_registers(struct cpu *cpu, const struct vmcs *vmcs)
{
    const u64 fixed = CR0_PE | CR0_NE | CR0_PG;
    REQUIRE((vmcs->host_cr0 & fixed) == fixed && !(vmcs->host_cr0 >> 32), "27.2.2: host CR0");
    REQUIRE(vmcs->host_cr4 & CR4_VMXE && !(vmcs->host_cr4 & ~(cpu->cr4_allowed | CR4_VMXE)),
            "27.2.2: host CR4");
    REQUIRE(vmx_in_physical(cpu, vmcs->host_cr3), "27.2.2: host CR3 beyond the physical address width");
    REQUIRE(cpu_canonical(vmcs->host_sysenter_esp), "27.2.2: host IA32_SYSENTER_ESP not canonical");
    REQUIRE(cpu_canonical(vmcs->host_sysenter_eip), "27.2.2: host IA32_SYSENTER_EIP not canonical");
    if (vmcs->exit_controls & EXIT_LOAD_PAT)
        REQUIRE(msr_pat_valid(vmcs->host_pat), "27.2.2: host IA32_PAT");
    if (vmcs->exit_controls & EXIT_LOAD_EFER) {
        u64 want = vmcs->exit_controls & EXIT_HOST_64 ? EFER_LME | EFER_LMA : 0;
        REQUIRE(!(vmcs->host_efer & ~vmx_efer_allowed(cpu)), "27.2.2: host IA32_EFER, reserved bits");
        REQUIRE((vmcs->host_efer & (EFER_LME | EFER_LMA)) == want,
                "27.2.2: host IA32_EFER.LMA and LME against host address-space size");
    }
    return NULL;
}

static const char *check_segments(const struct vmcs *vmcs)
{
    for (unsigned i = VMCS_ES; i <= VMCS_TR; i++)
        REQUIRE(i == VMCS_LDTR || !(vmcs->host_selector[i] & 7), "27.2.3: host selector with RPL or TI");
    REQUIRE(vmcs->host_selector[VMCS_CS], "27.2.3: host CS is null");
    REQUIRE(vmcs->host_selector[VMCS_TR], "27.2.3: host TR is null");
    REQUIRE(vmcs->exit_controls & EXIT_HOST_64 || vmcs->host_selector[VMCS_SS], "27.2.3: host SS is null");
    REQUIRE(cpu_canonical(vmcs->host_fs_base), "27.2.3: host FS base not canonical");
    REQUIRE(cpu_canonical(vmcs->host_gs_base), "27.2.3: host GS base not canonical");
    REQUIRE(cpu_canonical(vmcs->host_gdtr_base), "27.2.3: host GDTR base not canonical");
    REQUIRE(cpu_canonical(vmcs->host_idtr_base), "27.2.3: host IDTR base not canonical");
    REQUIRE(cpu_canonical(vmcs->host_tr_base), "27.2.3: host TR base not canonical");
    return NULL;
}

static const char *check_address_space(struct cpu *cpu, const struct vmcs *vmcs)
{
    bool host64 = vmcs->exit_controls & EXIT_HOST_64, guest64 = vmcs->entry_controls & ENTRY_IA32E;
    REQUIRE(cpu_long(cpu) == host64, "27.2.4: host address-space size against IA32_EFER.LMA");
    if (!host64) {
        REQUIRE(!guest64, "27.2.4: IA-32e mode guest of a 32-bit host");
        REQUIRE(!(vmcs->host_cr4 & CR4_PCIDE), "27.2.4: PCIDs in a 32-bit host");
        REQUIRE(!(vmcs->host_rip >> 32), "27.2.4: host RIP bits 63:32 in a 32-bit host");
        return NULL;
    }
    REQUIRE(vmcs->host_cr4 & CR4_PAE, "27.2.4: no PAE in a 64-bit host");
    REQUIRE(cpu_canonical(vmcs->host_rip), "27.2.4: host RIP not canonical");
    return NULL;
}

const char *vmx_check_host(struct cpu *cpu, const struct vmcs *vmcs)
{
    const char *failed = check_registers(cpu, vmcs);
    if (!failed)
        failed = check_segments(vmcs);
    return failed ? failed : check_address_space(cpu, vmcs);
}
