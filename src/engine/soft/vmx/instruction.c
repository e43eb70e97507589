// The instructions of VMX root operation, and their exits from non-root operation (SDM 3C chapter 31).
#include "engine/soft/access.h"
#include "engine/soft/intercept.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/control.h"
#include "engine/soft/vmx/insn_vmx.h"

// The common beginning: #UD outside VMX operation and where the instructions do not exist, then the VM exit, then
// privilege. False: the instruction has to exit; the caller knows its qualification and information.
static bool vmx_begin(struct cpu *cpu)
{
    bool mode = cpu_protected(cpu) && !cpu_v8086(cpu) && (!cpu_long(cpu) || cpu_code64(cpu));
    if (!cpu->vmx || !cpu->vmx->on || !mode)
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->guest_mode)
        return false;
    if (cpu->cpl)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    return true;
}

// With a memory operand to be described by the exit.
static void vmx_begin_memory(struct cpu *cpu, const struct insn *insn, u32 reason, unsigned memory, int reg)
{
    if (vmx_begin(cpu))
        return;
    cpu->vmx->vmcs->exit_information = vmx_information_memory(insn, memory, reg);
    vmx_exit_insn(cpu, insn, reason, vmx_displacement(cpu, insn, memory));
}

static void vmx_begin_plain(struct cpu *cpu, const struct insn *insn, u32 reason)
{
    if (!vmx_begin(cpu))
        vmx_exit_insn(cpu, insn, reason, 0);
}

static bool vmxon_allowed(const struct cpu *cpu)
{
    const u64 fixed = CR0_PE | CR0_NE | CR0_PG;
    return !cpu->cpl && (cpu->cr0 & fixed) == fixed && (cpu->msr.feature_control & 5) == 5;
}

void insn_vmxon(struct cpu *cpu, const struct insn *insn)
{
    struct vmx *vmx = cpu->vmx;
    bool mode = cpu_protected(cpu) && !cpu_v8086(cpu) && (!cpu_long(cpu) || cpu_code64(cpu));
    if (!vmx || !mode || !(cpu->cr4 & CR4_VMXE))
        cpu_raise(cpu, VECTOR_UD);
    if (vmx->on) {
        vmx_begin_memory(cpu, insn, REASON_VMXON, 0, -1);
        vmx_fail(cpu, VMX_ERROR_VMXON_ROOT);
        return;
    }
    if (!vmxon_allowed(cpu))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    u64 region = operand_read(cpu, insn, 0);
    if (!vmx_physical_valid(cpu, region, PAGE_BYTES) || physical_read(cpu, region, 4) != VMCS_REVISION) {
        vmx_fail_invalid(cpu);
        return;
    }
    __atomic_store_n(&vmx->on, true, __ATOMIC_RELAXED); // nested_status looks from other threads
    vmx->vmxon = region;
    vmx->current = VMX_NO_ADDRESS;
    vmx->vmcs = NULL;
    vmx_succeed(cpu);
}

void insn_vmxoff(struct cpu *cpu, const struct insn *insn)
{
    vmx_begin_plain(cpu, insn, REASON_VMXOFF);
    u64 entries = cpu->vmx->entries;
    vmx_reset(cpu);
    cpu->vmx->entries = entries;
    vmx_succeed(cpu);
    cpu_request(cpu, REQUEST_EVENT); // INIT was blocked
}

void insn_vmclear(struct cpu *cpu, const struct insn *insn)
{
    vmx_begin_memory(cpu, insn, REASON_VMCLEAR, 0, -1);
    struct vmx *vmx = cpu->vmx;
    u64 region = operand_read(cpu, insn, 0);
    if (!vmx_physical_valid(cpu, region, PAGE_BYTES)) {
        vmx_fail(cpu, VMX_ERROR_VMCLEAR_ADDRESS);
        return;
    }
    if (region == vmx->vmxon) {
        vmx_fail(cpu, VMX_ERROR_VMCLEAR_VMXON);
        return;
    }
    physical_write(cpu, region + offsetof(struct vmcs, launched), 4, 0);
    if (region == vmx->current) {
        vmx->current = VMX_NO_ADDRESS;
        vmx->vmcs = NULL;
    }
    vmx_succeed(cpu);
}

void insn_vmptrld(struct cpu *cpu, const struct insn *insn)
{
    vmx_begin_memory(cpu, insn, REASON_VMPTRLD, 0, -1);
    struct vmx *vmx = cpu->vmx;
    u64 region = operand_read(cpu, insn, 0);
    if (!vmx_physical_valid(cpu, region, PAGE_BYTES)) {
        vmx_fail(cpu, VMX_ERROR_VMPTRLD_ADDRESS);
        return;
    }
    if (region == vmx->vmxon) {
        vmx_fail(cpu, VMX_ERROR_VMPTRLD_VMXON);
        return;
    }
    struct vmcs *vmcs = (struct vmcs *)vmx_page(cpu, region);
    if ((vmcs->revision & ~(u32)VMCS_SHADOW) != VMCS_REVISION) { // also what is not RAM
        vmx_fail(cpu, VMX_ERROR_VMPTRLD_REVISION);
        return;
    }
    vmx->current = region;
    vmx->vmcs = vmcs;
    vmx_succeed(cpu);
}

void insn_vmptrst(struct cpu *cpu, const struct insn *insn)
{
    vmx_begin_memory(cpu, insn, REASON_VMPTRST, 0, -1);
    operand_write(cpu, insn, 0, cpu->vmx->current);
    vmx_succeed(cpu);
}

static u64 vmx_register(const struct cpu *cpu, const struct insn *insn, unsigned index)
{
    return gpr_read(cpu, insn->operand[index].reg, insn->code64 ? 8 : 4);
}

// Whether VMREAD and VMWRITE of this field in guest mode leave for the hypervisor (SDM 3C 26.1.3).
static bool shadow_exits(const struct cpu *cpu, const u8 *bitmap, u64 encoding)
{
    if (!(cpu->vmx->cpu2 & CPU2_SHADOW_VMCS) || encoding >> 15)
        return true;
    return bitmap[encoding >> 3] >> (encoding & 7) & 1;
}

// The VMCS that VMREAD and VMWRITE work on, or NULL after VMfailInvalid.
static struct vmcs *vmcs_accessible(struct cpu *cpu)
{
    struct vmcs *vmcs = cpu->guest_mode ? cpu->vmx->shadow : cpu->vmx->vmcs;
    if (!vmcs)
        vmx_fail_invalid(cpu);
    return vmcs;
}

void insn_vmread(struct cpu *cpu, const struct insn *insn)
{
    bool root = vmx_begin(cpu);
    u64 encoding = vmx_register(cpu, insn, 1);
    if (!root && shadow_exits(cpu, cpu->vmx->vmread_bitmap, encoding)) {
        cpu->vmx->vmcs->exit_information = vmx_information_memory(insn, 0, insn->operand[1].reg);
        vmx_exit_insn(cpu, insn, REASON_VMREAD, vmx_displacement(cpu, insn, 0));
    }
    if (cpu->cpl)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    struct vmcs *vmcs = vmcs_accessible(cpu);
    if (!vmcs)
        return;
    if (!vmcs_field_exists(encoding)) {
        vmx_fail(cpu, VMX_ERROR_FIELD);
        return;
    }
    u64 value = vmcs_field_read(vmcs, encoding);
    if (insn->operand[0].kind == OPERAND_GPR)
        gpr_write(cpu, insn->operand[0].reg, insn->code64 ? 8 : 4, value);
    else
        operand_write(cpu, insn, 0, value);
    vmx_succeed(cpu);
}

void insn_vmwrite(struct cpu *cpu, const struct insn *insn)
{
    bool root = vmx_begin(cpu);
    u64 encoding = vmx_register(cpu, insn, 0);
    if (!root && shadow_exits(cpu, cpu->vmx->vmwrite_bitmap, encoding)) {
        cpu->vmx->vmcs->exit_information = vmx_information_memory(insn, 1, insn->operand[0].reg);
        vmx_exit_insn(cpu, insn, REASON_VMWRITE, vmx_displacement(cpu, insn, 1));
    }
    if (cpu->cpl)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    struct vmcs *vmcs = vmcs_accessible(cpu);
    if (!vmcs)
        return;
    u64 value = operand_read(cpu, insn, 1);
    if (!vmcs_field_exists(encoding)) {
        vmx_fail(cpu, VMX_ERROR_FIELD);
        return;
    }
    vmcs_field_write(vmcs, encoding, value);
    ram_mark_dirty(cpu->vm, root ? cpu->vmx->current : cpu->vmx->vmcs->link & ~0xfffull);
    vmx_succeed(cpu);
}

static void vmx_launch(struct cpu *cpu, bool launch)
{
    struct vmcs *vmcs = cpu->vmx->vmcs;
    if (!vmcs || vmcs->revision & (u32)VMCS_SHADOW) {
        vmx_fail_invalid(cpu);
        return;
    }
    if (cpu->interruptibility & BLOCKING_MOV_SS)
        vmx_fail(cpu, VMX_ERROR_MOV_SS);
    else if (launch && vmcs->launched)
        vmx_fail(cpu, VMX_ERROR_LAUNCH_NOT_CLEAR);
    else if (!launch && !vmcs->launched)
        vmx_fail(cpu, VMX_ERROR_RESUME_NOT_LAUNCHED);
    else
        vmx_enter(cpu);
}

void insn_vmlaunch(struct cpu *cpu, const struct insn *insn)
{
    vmx_begin_plain(cpu, insn, REASON_VMLAUNCH);
    vmx_launch(cpu, true);
}

void insn_vmresume(struct cpu *cpu, const struct insn *insn)
{
    vmx_begin_plain(cpu, insn, REASON_VMRESUME);
    vmx_launch(cpu, false);
}

// The one that a guest may execute in any mode and at any privilege.
void insn_vmcall(struct cpu *cpu, const struct insn *insn)
{
    if (!cpu->vmx || !cpu->vmx->on)
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->guest_mode)
        vmx_exit_insn(cpu, insn, REASON_VMCALL, 0);
    vmx_begin_plain(cpu, insn, REASON_VMCALL);
    vmx_fail(cpu, VMX_ERROR_VMCALL_ROOT);
}

// "Enable VM functions" cannot be set here, so there is nothing but #UD.
void insn_vmfunc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu_raise(cpu, VECTOR_UD);
}

struct descriptor128 {
    u64 low, high;
};

static struct descriptor128 vmx_read_descriptor(struct cpu *cpu, const struct insn *insn)
{
    struct descriptor128 descriptor;
    u64 linear = operand_linear(cpu, insn, 1, sizeof(descriptor), ACCESS_READ);
    access_read_block(cpu, linear, &descriptor, sizeof(descriptor));
    return descriptor;
}

void insn_invept(struct cpu *cpu, const struct insn *insn)
{
    enum { SINGLE = 1, ALL = 2 };
    vmx_begin_memory(cpu, insn, REASON_INVEPT, 1, insn->operand[0].reg);
    u64 type = vmx_register(cpu, insn, 0);
    struct descriptor128 descriptor = vmx_read_descriptor(cpu, insn);
    bool valid = type == ALL || (type == SINGLE && !vmx_check_eptp(cpu, descriptor.low));
    if (!valid || descriptor.high) {
        vmx_fail(cpu, VMX_ERROR_INVALIDATION);
        return;
    }
    tlb_flush_eptp(cpu, type == SINGLE ? descriptor.low : 0);
    vmx_succeed(cpu);
}

void insn_invvpid(struct cpu *cpu, const struct insn *insn)
{
    enum { ADDRESS, SINGLE, ALL, SINGLE_KEEP_GLOBAL };
    vmx_begin_memory(cpu, insn, REASON_INVVPID, 1, insn->operand[0].reg);
    u64 type = vmx_register(cpu, insn, 0);
    struct descriptor128 descriptor = vmx_read_descriptor(cpu, insn);
    u16 vpid = descriptor.low;
    bool valid = type <= SINGLE_KEEP_GLOBAL && !(descriptor.low >> 16) && (vpid || type == ALL) &&
                 (type != ADDRESS || cpu_canonical(descriptor.high));
    if (!valid) {
        vmx_fail(cpu, VMX_ERROR_INVALIDATION);
        return;
    }
    if (type == ADDRESS)
        tlb_flush_page(cpu, vpid, descriptor.high, -1);
    else if (type == ALL)
        tlb_flush_all(cpu);
    else
        tlb_flush_vpid(cpu, vpid, type == SINGLE_KEEP_GLOBAL);
    vmx_succeed(cpu);
}
