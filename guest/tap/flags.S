# Arithmetic flags live across what a translating CPU does between their writer and their reader: TLB probes and misses,
# block ends, slow paths, interrupts, system instructions.
#include "tap.inc"

.set FROM, 0x01000000
.set TO, 0x02000000
.set APIC, 0xfee00000

.globl main
main:
    # The kernel's copy loop: carry from SUB reaches JAE over eight memory accesses and two LEAs. Sizes from one round
    # to many pages; the last word says whether it stopped where it should.
    xorl %r12d, %r12d
    movl $32, %r13d
1:  call copy_once
    addq %rax, %r12
    addl $32, %r13d
    cmpl $0x6000, %r13d
    jbe 1b
    IS "carry over eight accesses", %r12, $0

    # The same with a TLB miss on each access.
    xorl %r12d, %r12d
    movl $32, %r13d
2:  movq %cr3, %rax
    movq %rax, %cr3
    call copy_once
    addq %rax, %r12
    addl $4096, %r13d
    cmpl $0x20000, %r13d
    jbe 2b
    IS "carry over TLB misses", %r12, $0

    # All six flags over a load, a store, a read-modify-write without flags, a device register and a push.
    xorl %r12d, %r12d
    xorl %ebx, %ebx
    movl $FROM, %edi
    movl $APIC, %r15d
3:  movl %ebx, %eax
    movb %al, %ah
    sahf
    movl (%rdi), %ecx
    movl %ecx, 4096(%rdi)
    notl 8(%rdi)
    movl 0x30(%r15), %ecx
    pushq %rcx
    leaq 8(%rsp), %rsp
    lahf
    movzbl %ah, %ecx
    movl %ebx, %eax
    andl $0xd5, %eax
    orl $2, %eax
    cmpl %eax, %ecx
    je 4f
    incl %r12d
4:  incl %ebx
    cmpl $256, %ebx
    jb 3b
    IS "five flags over accesses of every kind", %r12, $0

    # Overflow is not in LAHF's byte.
    xorl %r12d, %r12d
    movl $0x7fffffff, %eax
    addl $1, %eax
    movl (%rdi), %ecx
    movl %ecx, 4096(%rdi)
    seto %r12b
    IS "overflow set", %r12, $1
    movl $1, %eax
    addl $1, %eax
    movl (%rdi), %ecx
    seto %r12b
    IS "overflow clear", %r12, $0

    # INC and DEC leave carry alone, shifts by zero all flags, with an access before, between and behind.
    xorl %r12d, %r12d
    movl $100000, %r13d
5:  stc
    movl (%rdi), %ecx
    incl %eax
    movl (%rdi), %ecx
    jnc 6f
    xorl %ecx, %ecx
    stc
    shll %cl, %eax
    movl (%rdi), %edx
    jnc 6f
    incl %r12d
6:  decl %r13d
    jnz 5b
    IS "carry over inc and a shift by zero", %r12, $100000

    # A long chain of additions with carry: each word in memory.
    movl $FROM, %esi
    movl $TO, %edi
    movl $512, %ecx
7:  movq $-1, -8(%rsi, %rcx, 8)
    movq $0, -8(%rdi, %rcx, 8)
    loop 7b
    movq $1, (%rdi)
    movl $512, %ecx
    xorl %edx, %edx
8:  movq (%rsi, %rdx, 8), %rax
    adcq %rax, (%rdi, %rdx, 8)
    leaq 1(%rdx), %rdx
    loop 8b
    setc %al
    movzbl %al, %eax
    movl $1, %ecx
    IS_RAX_RCX "the carry comes out at the end"
    xorl %eax, %eax
    movl $512, %ecx
9:  orq -8(%rdi, %rcx, 8), %rax
    loop 9b
    xorl %ecx, %ecx
    IS_RAX_RCX "and the sum is right"

    # Flags over a system instruction and over an interrupt flag's change.
    xorl %r12d, %r12d
    movl $0x7fffffff, %eax
    addl $1, %eax
    rdtsc
    seto %r12b
    IS "overflow over rdtsc", %r12, $1
    xorl %r12d, %r12d
    stc
    cpuid
    setc %r12b
    IS "carry over cpuid", %r12, $1
    ret

# Copies r13d bytes (a multiple of 32) as Linux does without fast strings; rax: 0 if it stopped where it should.
copy_once:
    movl $FROM, %esi
    movl $TO, %edi
    movl %r13d, %edx
    subq $0x20, %rdx
1:  subq $0x20, %rdx
    movq (%rsi), %r11
    movq 8(%rsi), %r10
    movq 16(%rsi), %r9
    movq 24(%rsi), %r8
    leaq 32(%rsi), %rsi
    movq %r11, (%rdi)
    movq %r10, 8(%rdi)
    movq %r9, 16(%rdi)
    movq %r8, 24(%rdi)
    leaq 32(%rdi), %rdi
    cmpq $TO + 0x100000, %rdi
    nop
    jae 2f
    testq %rdx, %rdx
    jns 1b
2:  movl $FROM, %esi
    movl $TO, %edi
    movl %r13d, %edx
    subq $0x20, %rdx
3:  subq $0x20, %rdx
    movq (%rsi), %r11
    movq 8(%rsi), %r10
    movq 16(%rsi), %r9
    movq 24(%rsi), %r8
    leaq 32(%rsi), %rsi
    movq %r11, (%rdi)
    movq %r10, 8(%rdi)
    movq %r9, 16(%rdi)
    movq %r8, 24(%rdi)
    leaq 32(%rdi), %rdi
    jae 3b
    leaq -TO(%rdi), %rax
    subq %r13, %rax
    ret
