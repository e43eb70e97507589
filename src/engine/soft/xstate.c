// KVM_GET/SET_FPU, XSAVE and XCRS.
#include <errno.h>

#include "engine/soft/bytes.h"
#include "engine/soft/fpu.h"
#include "engine/soft/xstate.h"

int xstate_get_fpu(struct cpu *cpu, struct kvm_fpu *fpu)
{
    fpu_save(cpu);
    const struct fpu_area *area = fpu_area(cpu);
    bytes_set(fpu, 0, sizeof *fpu);
    bytes_copy(fpu->fpr, area->st, sizeof fpu->fpr);
    bytes_copy(fpu->xmm, area->xmm, sizeof fpu->xmm);
    fpu->fcw = area->fcw;
    fpu->fsw = area->fsw;
    fpu->ftwx = area->ftw;
    fpu->last_opcode = area->fop;
    fpu->last_ip = area->fip;
    fpu->last_dp = area->fdp;
    fpu->mxcsr = area->mxcsr;
    return 0;
}

int xstate_set_fpu(struct cpu *cpu, const struct kvm_fpu *fpu)
{
    fpu_save(cpu);
    struct fpu_area *area = fpu_area(cpu);
    if (fpu->mxcsr & ~area->mxcsr_mask)
        return -EINVAL;
    bytes_copy(area->st, fpu->fpr, sizeof fpu->fpr);
    bytes_copy(area->xmm, fpu->xmm, sizeof fpu->xmm);
    area->fcw = fpu->fcw;
    area->fsw = fpu->fsw;
    area->ftw = fpu->ftwx;
    area->fop = fpu->last_opcode;
    area->fip = fpu->last_ip;
    area->fdp = fpu->last_dp;
    area->mxcsr = fpu->mxcsr;
    area->xstate_bv |= 1 << XSTATE_X87 | 1 << XSTATE_SSE;
    return 0;
}

int xstate_get_xsave(struct cpu *cpu, struct kvm_xsave *xsave)
{
    static_assert(sizeof cpu->xsave == sizeof xsave->region, "KVM's size");
    fpu_save(cpu);
    bytes_copy(xsave->region, cpu->xsave, sizeof cpu->xsave);
    return 0;
}

// The standard format, whose header may say that a component is in its initial configuration: cpu->xsave's data are
// always valid.
int xstate_set_xsave(struct cpu *cpu, const struct kvm_xsave *xsave)
{
    struct fpu_area from;
    fpu_save(cpu);
    struct fpu_area *area = fpu_area(cpu);
    u32 mask = area->mxcsr_mask;
    bytes_copy(&from, xsave->region, sizeof from);
    if (from.mxcsr & ~mask || from.xstate_bv & ~fpu_supported_xcr0() || from.xcomp_bv)
        return -EINVAL;
    bytes_copy(cpu->xsave, xsave->region, sizeof cpu->xsave);
    bytes_set(area->header, 0, sizeof area->header);
    area->mxcsr_mask = mask;
    if (!(from.xstate_bv & 1 << XSTATE_X87)) {
        fpu_init_x87(cpu);
        bytes_set(area->st, 0, sizeof area->st);
    }
    if (!(from.xstate_bv & 1 << XSTATE_SSE))
        bytes_set(area->xmm, 0, sizeof area->xmm);
    for (unsigned i = XSTATE_AVX; i < CPU_XSTATE_COMPONENTS; i++)
        if (!(from.xstate_bv >> i & 1))
            bytes_set(cpu->xsave + cpu->xstate[i].offset, 0, cpu->xstate[i].bytes);
    area->xstate_bv = from.xstate_bv;
    return 0;
}

int xstate_get_xcrs(struct cpu *cpu, struct kvm_xcrs *xcrs)
{
    bytes_set(xcrs, 0, sizeof *xcrs);
    xcrs->nr_xcrs = 1;
    xcrs->xcrs[0].value = cpu->xcr0;
    return 0;
}

int xstate_set_xcrs(struct cpu *cpu, const struct kvm_xcrs *xcrs)
{
    const u64 avx = 1 << XSTATE_SSE | 1 << XSTATE_AVX;
    const u64 avx512 = 1 << XSTATE_OPMASK | 1 << XSTATE_ZMM_HI256 | 1 << XSTATE_HI16_ZMM;
    if (xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
        return -EINVAL;
    for (unsigned i = 0; i < xcrs->nr_xcrs; i++) {
        u64 value = xcrs->xcrs[i].value;
        if (xcrs->xcrs[i].xcr != 0)
            continue;
        if (!(value & 1) || value & ~fpu_supported_xcr0() || (value & avx) == 1 << XSTATE_AVX ||
            (value & avx512 && ((value & avx512) != avx512 || (value & avx) != avx)))
            return -EINVAL;
        cpu->xcr0 = value;
        cpu_mode_update(cpu);
    }
    return 0;
}
