# Exceptions come with the right vector, error code and return address, and leave no half-done work behind.
#include "tap.inc"

.globl main
main:
    EXPECT
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $1, %eax
    divl %ecx
    FAULTED "div by zero", 0, 0
    EXPECT
    movl $1, %edx
    movl $1, %ecx
    divl %ecx
    FAULTED "quotient too large", 0, 0
    EXPECT
    movl $0x80000000, %eax
    cltd
    movl $-1, %ecx
    idivl %ecx
    FAULTED "idiv of the least by minus one", 0, 0
    EXPECT
    int3
    FAULTED "int3", 3, 0
    EXPECT
    ud2
    FAULTED "ud2", 6, 0
    EXPECT
    .byte 0xf0, 0x01, 0xc8
    FAULTED "lock on a register form", 6, 0
    EXPECT
    movq $0x8000000000000000, %rax
    movq (%rax), %rax
    FAULTED "non-canonical read", 13, 0
    EXPECT
    movq $0x8000000000001000, %rbp
    movq (%rbp), %rax
    FAULTED "non-canonical read by rbp", 12, 0
    EXPECT
    movl $3, %eax
    movw %ax, %ss
    FAULTED "null selector of another ring into ss", 13, 0
    movl $DATA, %eax
    movw %ax, %ss
    EXPECT
    movl $0x1230, %eax
    movw %ax, %ds
    FAULTED "selector beyond the GDT", 13, 0x1230
    EXPECT
    int $0x80
    FAULTED "int to a missing gate", 13, 0x402
    EXPECT
    movl $0x12345, %ecx
    rdmsr
    FAULTED "unknown msr", 13, 0
    EXPECT
    movq $0x40000000, %rdx
    movl (%rdx), %eax
    FAULTED "read of a page that is not there", 14, 0
    IS "its address", seen_cr2(%rip), $0x40000000
    EXPECT
    movq $0x40000008, %rdx
    addl $1, (%rdx)
    FAULTED "write of a page that is not there", 14, 2
    EXPECT
    movq $0x40000123, %rdx
    jmp *%rdx
    FAULTED "fetch of a page that is not there", 14, 0x10
    movl $0x40000123, %eax
    IS "cr2 of the fetch", seen_cr2(%rip), %rax
    IS "rip of the fetch", seen_rip(%rip), %rax

    # A faulting instruction has not moved its registers: push keeps rsp, movs keeps the part that is done.
    movq $0x40000010, %rdi
    leaq pattern(%rip), %rsi
    movl $4, %ecx
    EXPECT
    rep movsq
    FAULTED "rep movs into nothing", 14, 2
    subq $0x10, %rdi
    movl $0x40000000, %edx
    IS "rdi did not move", %rdi, %rdx

    # Page crossing: the first page is there, the second is not; cr2 names the first byte that is missing.
    EXPECT
    movq $0x3ffffffc, %rdx
    movq %rax, (%rdx)
    FAULTED "write across the end", 14, 2
    movl $0x40000000, %edx
    IS "cr2 of the crossing", seen_cr2(%rip), %rdx

    # Single step: the trap comes after the instruction.
    movq $9f, resume_at(%rip)
    movq $-1, seen_vector(%rip)
    xorl %ebx, %ebx
    pushfq
    orq $0x100, (%rsp)
    popfq
    incl %ebx
    incl %ebx
9:  IS "single step traps", seen_vector(%rip), $1
    IS "after one instruction", %rbx, $1
    movq %dr6, %rax
    andl $0x4000, %eax
    movl $0x4000, %ecx
    IS_RAX_RCX "dr6 says single step"

    # x87 and SIMD exceptions, unmasked.
    EXPECT
    fninit
    pushq $0x37b
    fldcw (%rsp)
    fld1
    fldz
    fdivrp
    fwait
    FAULTED "x87 division by zero", 16, 0
    fninit
    addq $8, %rsp
    EXPECT
    pushq $0x1d80
    ldmxcsr (%rsp)
    xorps %xmm1, %xmm1
    movss one(%rip), %xmm0
    divss %xmm1, %xmm0
    FAULTED "SIMD division by zero", 19, 0
    movl $0x1f80, (%rsp)
    ldmxcsr (%rsp)
    addq $8, %rsp
    EXPECT
    leaq pattern + 1(%rip), %rax
    movaps (%rax), %xmm0
    FAULTED "unaligned movaps", 13, 0
    EXPECT
    movq %cr0, %rax
    orl $8, %eax
    movq %rax, %cr0
    fld1
    FAULTED "device not available", 7, 0
    clts
    EXPECT
    movq %cr4, %rax
    btsq $63, %rax
    movq %rax, %cr4
    FAULTED "reserved bit of cr4", 13, 0
    ret

.data
.balign 16
pattern: .quad 1, 2, 3, 4
one: .float 1.0
