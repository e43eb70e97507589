// See opcode.h. What is not named here and belongs to one of the instruction sets in `computational` is of the copy
// class: the host's silicon defines it.
#include "engine/soft/opcode.h"

#include <Zydis/Zydis.h>

#include "engine/soft/insn_branch.h"
#include "engine/soft/insn_control.h"
#include "engine/soft/insn_descriptor.h"
#include "engine/soft/insn_far.h"
#include "engine/soft/insn_fpu.h"
#include "engine/soft/insn_gather.h"
#include "engine/soft/insn_io.h"
#include "engine/soft/insn_legacy.h"
#include "engine/soft/insn_msr.h"
#include "engine/soft/insn_random.h"
#include "engine/soft/insn_string.h"
#include "engine/soft/insn_syscall.h"
#include "engine/soft/opcode_variant.h"
#include "engine/soft/vmx/insn_vmx.h"

#define SYSTEM(m, f, x, i) [ZYDIS_MNEMONIC_##m] = { OPCODE_SYSTEM, x, INTERCEPT_##i, f }
#define FLOW(m, f) [ZYDIS_MNEMONIC_##m] = { OPCODE_FLOW, 0, INTERCEPT_NONE, f }
#define STACK(m, f) [ZYDIS_MNEMONIC_##m] = { OPCODE_STACK, 0, INTERCEPT_NONE, f }
#define NOT_OFFERED(m) [ZYDIS_MNEMONIC_##m] = { OPCODE_INVALID, OPCODE_LISTED, INTERCEPT_NONE, NULL }

enum { OPCODE_LISTED = 1 };

static const struct opcode table[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
    // Near branches and the stack
    FLOW(JMP, insn_jmp), FLOW(CALL, insn_call), FLOW(RET, insn_ret),
    FLOW(JO, insn_jcc), FLOW(JNO, insn_jcc), FLOW(JB, insn_jcc), FLOW(JNB, insn_jcc), FLOW(JZ, insn_jcc),
    FLOW(JNZ, insn_jcc), FLOW(JBE, insn_jcc), FLOW(JNBE, insn_jcc), FLOW(JS, insn_jcc), FLOW(JNS, insn_jcc),
    FLOW(JP, insn_jcc), FLOW(JNP, insn_jcc), FLOW(JL, insn_jcc), FLOW(JNL, insn_jcc), FLOW(JLE, insn_jcc),
    FLOW(JNLE, insn_jcc), FLOW(LOOP, insn_loop), FLOW(JRCXZ, insn_jcxz), FLOW(JECXZ, insn_jcxz),
    SYSTEM(JCXZ, insn_jcxz, 0, NONE), SYSTEM(LOOPE, insn_loop, 0, NONE), SYSTEM(LOOPNE, insn_loop, 0, NONE),
    STACK(PUSH, insn_push), STACK(POP, insn_pop), STACK(LEAVE, insn_leave),

    // Strings and ports
    SYSTEM(MOVSB, insn_movs, OPCODE_STAYS, NONE), SYSTEM(MOVSW, insn_movs, OPCODE_STAYS, NONE),
    SYSTEM(MOVSD, insn_movs, OPCODE_STAYS, NONE),
    SYSTEM(MOVSQ, insn_movs, OPCODE_STAYS, NONE), SYSTEM(CMPSB, insn_cmps, OPCODE_STAYS, NONE),
    SYSTEM(CMPSW, insn_cmps, OPCODE_STAYS, NONE),
    SYSTEM(CMPSD, insn_cmps, OPCODE_STAYS, NONE), SYSTEM(CMPSQ, insn_cmps, OPCODE_STAYS, NONE),
    SYSTEM(STOSB, insn_stos, OPCODE_STAYS, NONE),
    SYSTEM(STOSW, insn_stos, OPCODE_STAYS, NONE), SYSTEM(STOSD, insn_stos, OPCODE_STAYS, NONE),
    SYSTEM(STOSQ, insn_stos, OPCODE_STAYS, NONE),
    SYSTEM(LODSB, insn_lods, OPCODE_STAYS, NONE), SYSTEM(LODSW, insn_lods, OPCODE_STAYS, NONE),
    SYSTEM(LODSD, insn_lods, OPCODE_STAYS, NONE),
    SYSTEM(LODSQ, insn_lods, OPCODE_STAYS, NONE), SYSTEM(SCASB, insn_scas, OPCODE_STAYS, NONE),
    SYSTEM(SCASW, insn_scas, OPCODE_STAYS, NONE),
    SYSTEM(SCASD, insn_scas, OPCODE_STAYS, NONE), SYSTEM(SCASQ, insn_scas, OPCODE_STAYS, NONE),
    SYSTEM(IN, insn_in, 0, NONE), SYSTEM(OUT, insn_out, 0, NONE),
    SYSTEM(INSB, insn_ins, 0, NONE), SYSTEM(INSW, insn_ins, 0, NONE), SYSTEM(INSD, insn_ins, 0, NONE),
    SYSTEM(OUTSB, insn_outs, 0, NONE), SYSTEM(OUTSW, insn_outs, 0, NONE), SYSTEM(OUTSD, insn_outs, 0, NONE),

    // Control
    SYSTEM(LMSW, insn_lmsw, OPCODE_CPL0, NONE), SYSTEM(SMSW, insn_smsw, OPCODE_STAYS, NONE),
    SYSTEM(CLTS, insn_clts, OPCODE_CPL0, NONE),
    SYSTEM(XGETBV, insn_xgetbv, OPCODE_STAYS, NONE), SYSTEM(XSETBV, insn_xsetbv, OPCODE_CPL0, XSETBV),
    SYSTEM(WBINVD, insn_wbinvd, OPCODE_CPL0, WBINVD),
    SYSTEM(INVD, insn_invd, OPCODE_CPL0, INVD), SYSTEM(HLT, insn_hlt, OPCODE_CPL0, HLT),
    SYSTEM(PAUSE, insn_pause, OPCODE_STAYS, PAUSE), SYSTEM(SERIALIZE, insn_serialize, OPCODE_STAYS, NONE),
    SYSTEM(CLI, insn_cli, OPCODE_STAYS, NONE), SYSTEM(STI, insn_sti, OPCODE_STAYS, NONE),
    SYSTEM(CLD, insn_cld, OPCODE_STAYS, NONE), SYSTEM(STD, insn_std, OPCODE_STAYS, NONE),
    SYSTEM(CLAC, insn_clac, OPCODE_STAYS, NONE), SYSTEM(STAC, insn_stac, OPCODE_STAYS, NONE),
    SYSTEM(PUSHF, insn_pushf, OPCODE_STAYS, NONE), SYSTEM(PUSHFD, insn_pushf, OPCODE_STAYS, NONE),
    SYSTEM(PUSHFQ, insn_pushf, OPCODE_STAYS, NONE),
    SYSTEM(POPF, insn_popf, OPCODE_STAYS, NONE), SYSTEM(POPFD, insn_popf, OPCODE_STAYS, NONE),
    SYSTEM(POPFQ, insn_popf, OPCODE_STAYS, NONE),
    SYSTEM(INVLPG, insn_invlpg, OPCODE_CPL0, INVLPG), SYSTEM(INVPCID, insn_invpcid, OPCODE_CPL0, INVPCID),
    SYSTEM(RDTSC, insn_rdtsc, OPCODE_STAYS, NONE), SYSTEM(RDTSCP, insn_rdtscp, OPCODE_STAYS, NONE),
    SYSTEM(RDPMC, insn_rdpmc, 0, NONE),
    SYSTEM(RDPID, insn_rdpid, OPCODE_STAYS, RDPID), SYSTEM(RDRAND, insn_rdrand, OPCODE_STAYS, RDRAND),
    SYSTEM(RDSEED, insn_rdseed, OPCODE_STAYS, RDSEED),
    SYSTEM(RDMSR, insn_rdmsr, OPCODE_CPL0 | OPCODE_STAYS, NONE), SYSTEM(WRMSR, insn_wrmsr, OPCODE_CPL0, NONE),
    SYSTEM(CPUID, insn_cpuid, OPCODE_STAYS, CPUID),

    // Far transfers and system calls
    SYSTEM(IRET, insn_iret, 0, NONE), SYSTEM(IRETD, insn_iret, 0, NONE), SYSTEM(IRETQ, insn_iret, 0, NONE),
    SYSTEM(INT, insn_int, 0, NONE), SYSTEM(INT3, insn_int3, 0, NONE), SYSTEM(INT1, insn_int1, 0, NONE),
    SYSTEM(INTO, insn_into, OPCODE_NOT64, NONE),
    SYSTEM(SYSCALL, insn_syscall, 0, NONE), SYSTEM(SYSRET, insn_sysret, 0, NONE),
    SYSTEM(SYSENTER, insn_sysenter, 0, NONE), SYSTEM(SYSEXIT, insn_sysexit, 0, NONE),
    SYSTEM(SWAPGS, insn_swapgs, OPCODE_CODE64 | OPCODE_CPL0 | OPCODE_STAYS, NONE),
    SYSTEM(RDFSBASE, insn_rdfsbase, OPCODE_CODE64 | OPCODE_STAYS, NONE),
    SYSTEM(RDGSBASE, insn_rdgsbase, OPCODE_CODE64 | OPCODE_STAYS, NONE),
    SYSTEM(WRFSBASE, insn_wrfsbase, OPCODE_CODE64 | OPCODE_STAYS, NONE),
    SYSTEM(WRGSBASE, insn_wrgsbase, OPCODE_CODE64 | OPCODE_STAYS, NONE),

    // Descriptors
    SYSTEM(LGDT, insn_lgdt, OPCODE_CPL0, GDTR_IDTR), SYSTEM(LIDT, insn_lidt, OPCODE_CPL0, GDTR_IDTR),
    SYSTEM(SGDT, insn_sgdt, OPCODE_STAYS, NONE), SYSTEM(SIDT, insn_sidt, OPCODE_STAYS, NONE),
    SYSTEM(LLDT, insn_lldt, OPCODE_PROTECTED | OPCODE_CPL0, LDTR_TR),
    SYSTEM(LTR, insn_ltr, OPCODE_PROTECTED | OPCODE_CPL0, LDTR_TR),
    SYSTEM(SLDT, insn_sldt, OPCODE_PROTECTED | OPCODE_STAYS, NONE),
    SYSTEM(STR, insn_str, OPCODE_PROTECTED | OPCODE_STAYS, NONE),
    SYSTEM(VERR, insn_verr, OPCODE_PROTECTED | OPCODE_STAYS, NONE),
    SYSTEM(VERW, insn_verw, OPCODE_PROTECTED | OPCODE_STAYS, NONE),
    SYSTEM(LAR, insn_lar, OPCODE_PROTECTED | OPCODE_STAYS, NONE),
    SYSTEM(LSL, insn_lsl, OPCODE_PROTECTED | OPCODE_STAYS, NONE),
    SYSTEM(ARPL, insn_arpl, OPCODE_PROTECTED, NONE),
    SYSTEM(LDS, insn_lds, 0, NONE), SYSTEM(LES, insn_les, 0, NONE), SYSTEM(LFS, insn_lfs, 0, NONE),
    SYSTEM(LGS, insn_lgs, 0, NONE), SYSTEM(LSS, insn_lss, 0, NONE),

    // x87 and vector state as data
    SYSTEM(FXSAVE, insn_fxsave, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(FXSAVE64, insn_fxsave, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(FXRSTOR, insn_fxrstor, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(FXRSTOR64, insn_fxrstor, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(XSAVE, insn_xsave, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XSAVE64, insn_xsave, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XSAVEOPT, insn_xsaveopt, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XSAVEOPT64, insn_xsaveopt, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XSAVEC, insn_xsavec, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XSAVEC64, insn_xsavec, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XSAVES, insn_xsaves, OPCODE_XSAVE | OPCODE_CPL0 | OPCODE_STAYS, XSAVES),
    SYSTEM(XSAVES64, insn_xsaves, OPCODE_XSAVE | OPCODE_CPL0 | OPCODE_STAYS, XSAVES),
    SYSTEM(XRSTOR, insn_xrstor, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XRSTOR64, insn_xrstor, OPCODE_XSAVE | OPCODE_STAYS, NONE),
    SYSTEM(XRSTORS, insn_xrstors, OPCODE_XSAVE | OPCODE_CPL0 | OPCODE_STAYS, XRSTORS),
    SYSTEM(XRSTORS64, insn_xrstors, OPCODE_XSAVE | OPCODE_CPL0 | OPCODE_STAYS, XRSTORS),
    SYSTEM(LDMXCSR, insn_ldmxcsr, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VLDMXCSR, insn_ldmxcsr, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(FNSAVE, insn_fnsave, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(FRSTOR, insn_frstor, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(FNSTENV, insn_fnstenv, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(FLDENV, insn_fldenv, OPCODE_X87 | OPCODE_STAYS, NONE),
    SYSTEM(MASKMOVQ, insn_maskmovq, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(MASKMOVDQU, insn_maskmovdqu, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VMASKMOVDQU, insn_maskmovdqu, OPCODE_SSE | OPCODE_STAYS, NONE),

    // Odd memory forms
    SYSTEM(VGATHERDPS, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VGATHERDPD, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VGATHERQPS, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VGATHERQPD, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPGATHERDD, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPGATHERDQ, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPGATHERQD, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPGATHERQQ, insn_vgather, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VSCATTERDPS, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VSCATTERDPD, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VSCATTERQPS, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VSCATTERQPD, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPSCATTERDD, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPSCATTERDQ, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPSCATTERQD, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPSCATTERQQ, insn_vscatter, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPCOMPRESSB, insn_vcompress, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPCOMPRESSW, insn_vcompress, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPCOMPRESSD, insn_vcompress, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPCOMPRESSQ, insn_vcompress, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VCOMPRESSPS, insn_vcompress, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VCOMPRESSPD, insn_vcompress, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPEXPANDB, insn_vexpand, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPEXPANDW, insn_vexpand, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPEXPANDD, insn_vexpand, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPEXPANDQ, insn_vexpand, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VEXPANDPS, insn_vexpand, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VEXPANDPD, insn_vexpand, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VMASKMOVPS, insn_vmaskmov, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VMASKMOVPD, insn_vmaskmov, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPMASKMOVD, insn_vmaskmov, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(VPMASKMOVQ, insn_vmaskmov, OPCODE_SSE | OPCODE_STAYS, NONE),
    SYSTEM(MOVDIR64B, insn_movdir64b, 0, NONE),
    SYSTEM(CLFLUSH, insn_clflush, OPCODE_STAYS, NONE), SYSTEM(CLFLUSHOPT, insn_clflush, OPCODE_STAYS, NONE),
    SYSTEM(CLWB, insn_clflush, OPCODE_STAYS, NONE),

    // No 64-bit encoding
    SYSTEM(AAA, insn_aaa, OPCODE_NOT64 | OPCODE_STAYS, NONE), SYSTEM(AAD, insn_aad, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(AAM, insn_aam, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(AAS, insn_aas, OPCODE_NOT64 | OPCODE_STAYS, NONE), SYSTEM(DAA, insn_daa, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(DAS, insn_das, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(SALC, insn_salc, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(BOUND, insn_bound, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(PUSHA, insn_pusha, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(PUSHAD, insn_pusha, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(POPA, insn_popa, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(POPAD, insn_popa, OPCODE_NOT64 | OPCODE_STAYS, NONE),
    SYSTEM(ENTER, insn_enter, OPCODE_STAYS, NONE), SYSTEM(XLAT, insn_xlat, OPCODE_STAYS, NONE),

    // VT-x
    SYSTEM(VMXON, insn_vmxon, 0, NONE), SYSTEM(VMXOFF, insn_vmxoff, 0, NONE), SYSTEM(VMCLEAR, insn_vmclear, 0, NONE),
    SYSTEM(VMPTRLD, insn_vmptrld, 0, NONE), SYSTEM(VMPTRST, insn_vmptrst, 0, NONE),
    SYSTEM(VMREAD, insn_vmread, OPCODE_STAYS, NONE),
    SYSTEM(VMWRITE, insn_vmwrite, OPCODE_STAYS, NONE), SYSTEM(VMLAUNCH, insn_vmlaunch, 0, NONE),
    SYSTEM(VMRESUME, insn_vmresume, 0, NONE),
    SYSTEM(VMCALL, insn_vmcall, 0, NONE), SYSTEM(VMFUNC, insn_vmfunc, 0, NONE), SYSTEM(INVEPT, insn_invept, 0, NONE),
    SYSTEM(INVVPID, insn_invvpid, 0, NONE),

    // Instructions of offered sets that are not offered themselves
    NOT_OFFERED(RSM), NOT_OFFERED(MONITOR), NOT_OFFERED(MWAIT), NOT_OFFERED(UD0), NOT_OFFERED(UD1), NOT_OFFERED(UD2),
    NOT_OFFERED(MOVDIRI), NOT_OFFERED(INCSSPD), NOT_OFFERED(INCSSPQ), NOT_OFFERED(SAVEPREVSSP), NOT_OFFERED(RSTORSSP),
    NOT_OFFERED(WRSSD), NOT_OFFERED(WRSSQ), NOT_OFFERED(WRUSSD), NOT_OFFERED(WRUSSQ), NOT_OFFERED(SETSSBSY),
    NOT_OFFERED(CLRSSBSY),
};

static const struct opcode copy = { .class = OPCODE_COPY }, invalid = { .class = OPCODE_INVALID };

static const struct opcode variants[] = {
    [OPCODE_MOV_CR] = { OPCODE_SYSTEM, OPCODE_CPL0 | OPCODE_STAYS, INTERCEPT_NONE, insn_mov_cr },
    [OPCODE_MOV_DR] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_mov_dr },
    [OPCODE_MOV_SREG] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_mov_sreg },
    [OPCODE_PUSH_SREG] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_push_sreg },
    [OPCODE_POP_SREG] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_pop_sreg },
    [OPCODE_JMP_FAR] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_jmp_far },
    [OPCODE_CALL_FAR] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_call_far },
    [OPCODE_RET_FAR] = { OPCODE_SYSTEM, 0, INTERCEPT_NONE, insn_ret_far },
};

const struct opcode *opcode_find(unsigned mnemonic)
{
    if (mnemonic >= ARRAY_SIZE(table))
        return &invalid;
    const struct opcode *opcode = &table[mnemonic];
    return opcode->class == OPCODE_INVALID && opcode->flags != OPCODE_LISTED ? &copy : opcode;
}

// Instruction sets whose instructions compute on registers and memory only.
static bool computational(ZydisISAExt set)
{
    switch (set) {
    case ZYDIS_ISA_EXT_ADOX_ADCX: case ZYDIS_ISA_EXT_AES: case ZYDIS_ISA_EXT_AVX: case ZYDIS_ISA_EXT_AVX2:
    case ZYDIS_ISA_EXT_AVX2GATHER: case ZYDIS_ISA_EXT_AVX512EVEX: case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_AVXAES: case ZYDIS_ISA_EXT_AVX_VNNI: case ZYDIS_ISA_EXT_BASE: case ZYDIS_ISA_EXT_BMI1:
    case ZYDIS_ISA_EXT_BMI2: case ZYDIS_ISA_EXT_CET: case ZYDIS_ISA_EXT_CLDEMOTE: case ZYDIS_ISA_EXT_CLFLUSHOPT:
    case ZYDIS_ISA_EXT_CLFSH: case ZYDIS_ISA_EXT_CLWB: case ZYDIS_ISA_EXT_F16C: case ZYDIS_ISA_EXT_FMA:
    case ZYDIS_ISA_EXT_GFNI: case ZYDIS_ISA_EXT_LONGMODE: case ZYDIS_ISA_EXT_LZCNT: case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_MOVBE: case ZYDIS_ISA_EXT_MOVDIR: case ZYDIS_ISA_EXT_PAUSE: case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_PREFETCHWT1: case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH: case ZYDIS_ISA_EXT_RDPID:
    case ZYDIS_ISA_EXT_RDRAND: case ZYDIS_ISA_EXT_RDSEED: case ZYDIS_ISA_EXT_RDTSCP: case ZYDIS_ISA_EXT_RDWRFSGS:
    case ZYDIS_ISA_EXT_SERIALIZE: case ZYDIS_ISA_EXT_SHA: case ZYDIS_ISA_EXT_SMAP: case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2: case ZYDIS_ISA_EXT_SSE3: case ZYDIS_ISA_EXT_SSE4: case ZYDIS_ISA_EXT_SSSE3:
    case ZYDIS_ISA_EXT_VAES: case ZYDIS_ISA_EXT_VMFUNC: case ZYDIS_ISA_EXT_VPCLMULQDQ: case ZYDIS_ISA_EXT_VTX:
    case ZYDIS_ISA_EXT_INVPCID: case ZYDIS_ISA_EXT_X87: case ZYDIS_ISA_EXT_XSAVE: case ZYDIS_ISA_EXT_XSAVEC:
    case ZYDIS_ISA_EXT_XSAVEOPT: case ZYDIS_ISA_EXT_XSAVES:
        return true;
    default:
        return false;
    }
}

// Sets within an extension that no server processor has: the host would say so too, but only behind the memory
// operand's faults.
static bool never_offered(ZydisISASet set)
{
    switch (set) {
    case ZYDIS_ISA_SET_AVX512ER_512: case ZYDIS_ISA_SET_AVX512ER_SCALAR: case ZYDIS_ISA_SET_AVX512PF_512:
    case ZYDIS_ISA_SET_AVX512_4FMAPS_512: case ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR: case ZYDIS_ISA_SET_AVX512_4VNNIW_512:
    case ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128: case ZYDIS_ISA_SET_AVX512_VP2INTERSECT_256:
    case ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512:
        return true;
    default:
        return false;
    }
}

static const struct opcode *mov_variant(const ZydisDecodedOperand *operand)
{
    for (unsigned i = 0; i < 2; i++) {
        if (operand[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        switch (ZydisRegisterGetClass(operand[i].reg.value)) {
        case ZYDIS_REGCLASS_CONTROL: return &variants[OPCODE_MOV_CR];
        case ZYDIS_REGCLASS_DEBUG: return &variants[OPCODE_MOV_DR];
        case ZYDIS_REGCLASS_SEGMENT: return &variants[OPCODE_MOV_SREG];
        case ZYDIS_REGCLASS_TEST: return &invalid;
        default: break;
        }
    }
    return &copy;
}

const struct opcode *opcode_of(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
    bool far = insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    bool sreg = operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                ZydisRegisterGetClass(operand[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_MOV: return mov_variant(operand);
    case ZYDIS_MNEMONIC_PUSH: return sreg ? &variants[OPCODE_PUSH_SREG] : &table[ZYDIS_MNEMONIC_PUSH];
    case ZYDIS_MNEMONIC_POP: return sreg ? &variants[OPCODE_POP_SREG] : &table[ZYDIS_MNEMONIC_POP];
    case ZYDIS_MNEMONIC_JMP: return far ? &variants[OPCODE_JMP_FAR] : &table[ZYDIS_MNEMONIC_JMP];
    case ZYDIS_MNEMONIC_CALL: return far ? &variants[OPCODE_CALL_FAR] : &table[ZYDIS_MNEMONIC_CALL];
    case ZYDIS_MNEMONIC_RET: return far ? &variants[OPCODE_RET_FAR] : &table[ZYDIS_MNEMONIC_RET];
    // SSE2's MOVSD and CMPSD share their names with the string instructions.
    case ZYDIS_MNEMONIC_MOVSD: case ZYDIS_MNEMONIC_CMPSD:
        if (insn->meta.isa_ext != ZYDIS_ISA_EXT_BASE)
            return &copy;
        break;
    default:
        break;
    }
    if (!computational(insn->meta.isa_ext) || never_offered(insn->meta.isa_set))
        return &invalid;
    return opcode_find(insn->mnemonic);
}
