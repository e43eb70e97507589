# Vector, x87 and MXCSR state belongs to the guest: nothing the monitor does in between may change it, be it a port, a
# device register, a TLB miss, CPUID, an exception, a translation or a string instruction.
#include "tap.inc"

.set APIC, 0xfee00000
.set FAR, 0x04000000

.globl main
main:
    # AVX where the CPU has it: the upper halves are what gets lost most easily.
    movl $1, %eax
    cpuid
    andl $(1 << 28 | 1 << 26), %ecx
    cmpl $(1 << 28 | 1 << 26), %ecx
    jne 1f
    movq %cr4, %rax
    orl $(1 << 18), %eax
    movq %rax, %cr4
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $7, %eax
    xsetbv
    movb $1, has_avx(%rip)
1:  .irp slow, port, device, miss, leaf, fault, fresh, string, control
    call fill
    call slow_\slow
    call compare
    IS "registers survive: \slow", %rax, $0
    .endr
    cmpb $0, has_avx(%rip)
    je 1f
    movl $7, %eax
    xorl %ecx, %ecx
    cpuid
    testl $(1 << 5), %ebx # AVX2
    jz 1f
    call step_gather
1:  fninit
    ret

# The second element's page is missing. What the first one traps comes before that, with the first element done: the
# single step's #DB at the gather itself (SDM 2, VGATHERDPS).
step_gather:
    movl $scratch, %edx
    movl $0x5a5a5a5a, (%rdx)
    movl $0x40000000, %eax
    subl %edx, %eax
    movl $0, found(%rip)
    movl %eax, found + 4(%rip)
    vmovups found(%rip), %xmm1
    vpcmpeqd %xmm3, %xmm3, %xmm3
    vpxor %xmm2, %xmm2, %xmm2
    movq $2f, resume_at(%rip)
    movq $-1, seen_vector(%rip)
    pushfq
    orq $0x100, (%rsp)
    popfq
1:  vgatherdps %xmm3, (%rdx, %xmm1, 1), %xmm2
2:  IS "a gather in the middle of its elements is single-stepped", seen_vector(%rip), $1
    IS "which traps it at its start", seen_rip(%rip), $1b
    vmovd %xmm2, %ebx
    IS "its first element is done", %rbx, $0x5a5a5a5a
    vpextrd $0, %xmm3, %ebx
    IS "and out of the mask", %rbx, $0
    ret

# Known values into everything.
fill:
    cmpb $0, has_avx(%rip)
    je 1f
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovups pattern + 32 * \n(%rip), %ymm\n
    .endr
    jmp 2f
1:  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups pattern + 32 * \n(%rip), %xmm\n
    .endr
2:  fninit
    fldpi
    fldl2e
    fld1
    movl $0x5fa0, mxcsr(%rip)
    ldmxcsr mxcsr(%rip)
    fldcw control_word(%rip)
    ret

# rax: how many things differ.
compare:
    cmpb $0, has_avx(%rip)
    je 1f
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovups %ymm\n, found + 32 * \n(%rip)
    .endr
    jmp 2f
1:  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups %xmm\n, found + 32 * \n(%rip)
    movups pattern + 32 * \n + 16(%rip), %xmm0
    movups %xmm0, found + 32 * \n + 16(%rip)
    .endr
2:  xorl %eax, %eax
    leaq found(%rip), %rsi
    leaq pattern(%rip), %rdi
    movl $64, %ecx
3:  movq (%rsi), %rdx
    cmpq (%rdi), %rdx
    je 4f
    incl %eax
4:  addq $8, %rsi
    addq $8, %rdi
    decl %ecx
    jnz 3b
    stmxcsr found(%rip)
    cmpl $0x5fa0, found(%rip)
    je 5f
    incl %eax
5:  fnstcw found(%rip)
    cmpw $0x27f, found(%rip)
    je 6f
    incl %eax
6:  fstpl found(%rip)
    fstpl found + 8(%rip)
    fstpl found + 16(%rip)
    movq $0x3ff0000000000000, %rdx
    cmpq %rdx, found(%rip)
    je 7f
    incl %eax
7:  movq $0x400921fb54442d18, %rdx
    cmpq %rdx, found + 16(%rip)
    je 8f
    incl %eax
8:  ret

slow_port:
    movw $COM1 + 5, %dx
    inb %dx, %al
    inb $0x61, %al
    ret

slow_device:
    movl $APIC, %edx
    movl 0x30(%rdx), %eax
    movl $0, 0x80(%rdx)
    movups %xmm3, scratch(%rip)
    ret

# A thousand pages in turn, each a miss, with every kind of access.
slow_miss:
    movq %cr3, %rax
    movq %rax, %cr3
    movl $FAR, %edx
    movl $1000, %ecx
1:  addq $1, (%rdx)
    movups %xmm5, 4088(%rdx)
    movups 4088(%rdx), %xmm5
    addl $4096, %edx
    loop 1b
    ret

slow_leaf:
    xorl %eax, %eax
    cpuid
    movl $0xd, %eax
    xorl %ecx, %ecx
    cpuid
    rdtsc
    ret

slow_fault:
    EXPECT
    ud2
9998:
    EXPECT
    movl $0x40000000, %edx
    movups (%rdx), %xmm1
9998:
    ret

# Code that never ran: it has to be translated.
slow_fresh:
    incl seed(%rip)
    movl $0x01000000, %edi
    movb $0xb8, (%rdi)
    movl seed(%rip), %eax
    movl %eax, 1(%rdi)
    movb $0xc3, 5(%rdi)
    call *%rdi
    ret

slow_string:
    leaq pattern(%rip), %rsi
    movl $FAR + 4000, %edi
    movl $500, %ecx
    rep movsb
    movl $FAR + 8000, %edi
    movl $300, %ecx
    rep stosb
    movl $FAR, %esi
    movl $FAR + 4096, %edi
    movl $50, %ecx
    repe cmpsb
    ret

slow_control:
    movq %cr0, %rax
    movq %rax, %cr0
    movq %cr4, %rax
    movq %rax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    wrmsr
    lidt idt_pointer
    ret

.data
has_avx: .byte 0
.balign 4
mxcsr: .long 0
seed: .long 0
control_word: .word 0x27f
.balign 32
pattern:
    .set word, 0x0123456789abcdef
    .rept 64
    .quad word
    .set word, word * 5 + 0x1111
    .endr
.bss
.balign 32
found: .space 512
scratch: .space 16
