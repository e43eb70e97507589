# A second processor: INIT and SIPI start it, locked instructions and exchanges are atomic between the two, stores are
# seen in order, code written by one is run by the other, and an IPI wakes it from HLT. Needs two processors; says so
# with one.
#include "tap.inc"

.set APIC, 0xfee00000
.set ICR, 0x300
.set ICR_HIGH, 0x310
.set EOI, 0xb0
.set SPURIOUS, 0xf0
.set TRAMPOLINE, 0x8000
.set ROUNDS, 100000
.set CODE, 0x01000000

.globl main
main:
    movl $APIC, %r15d
    movl $0x1ff, SPURIOUS(%r15)
    leaq trampoline(%rip), %rsi
    movl $TRAMPOLINE, %edi
    movl $trampoline_end - trampoline, %ecx
    rep movsb
    # To all but itself: whoever is there.
    movl $0xc4500, ICR(%r15)
    movl $1000000, %ecx
1:  pause
    loop 1b
    movl $0xc4600 + (TRAMPOLINE >> 12), ICR(%r15)
    movl $200000000, %ecx
2:  pause
    cmpl $1, ap_alive(%rip)
    loopne 2b
    IS "a second processor starts (--cpus 2)", ap_alive(%rip), $1
    cmpl $1, ap_alive(%rip)
    jne 9f

    # Both count: nothing gets lost.
    movl $1, stage(%rip)
    call count_up
3:  pause
    cmpl $1, ap_stage(%rip)
    jb 3b
    IS "lock inc", counter_a(%rip), $(2 * ROUNDS)
    IS "lock xadd", counter_b(%rip), $(2 * ROUNDS)
    IS "a spin lock of xchg", counter_c(%rip), $(2 * ROUNDS)
    IS "lock cmpxchg", counter_d(%rip), $(2 * ROUNDS)

    # The other side writes data, then a flag; who sees the flag sees the data.
    movl $2, stage(%rip)
    xorl %ebx, %ebx
    movl $1, %ecx
4:  cmpl %ecx, message_flag(%rip)
    jb 4b
    cmpl %ecx, message(%rip)
    jae 5f
    incl %ebx
5:  movl %ecx, message_taken(%rip)
    incl %ecx
    cmpl $ROUNDS, %ecx
    jbe 4b
    IS "stores are seen in order", %rbx, $0

    # Code written here and announced by a flag runs there as it was written.
    movl $CODE, %edi
    movb $0xb8, (%rdi)
    movb $0xc3, 5(%rdi)
    xorl %ebx, %ebx
    movl $1, %ecx
6:  movl %ecx, 1(%rdi)
    movl %ecx, code_version(%rip)
7:  cmpl %ecx, code_done(%rip)
    jne 7b
    cmpl %ecx, code_result(%rip)
    je 8f
    incl %ebx
8:  incl %ecx
    cmpl $1000, %ecx
    jbe 6b
    IS "code written for the other processor", %rbx, $0

    # It sleeps in HLT until an IPI.
    movl $3, stage(%rip)
1:  pause
    cmpl $2, ap_stage(%rip)
    jb 1b
    movl $0xc4070, ICR(%r15)
    movl $200000000, %ecx
2:  pause
    cmpl $3, ap_stage(%rip)
    loopne 2b
    IS "an IPI wakes it from hlt", ap_stage(%rip), $3
9:  ret

# What both do ROUNDS times.
count_up:
    movl $ROUNDS, %ecx
1:  lock incq counter_a(%rip)
    movl $1, %eax
    lock xaddq %rax, counter_b(%rip)
2:  movl $1, %eax
    xchgl %eax, spin(%rip)
    testl %eax, %eax
    jz 3f
    pause
    jmp 2b
3:  incq counter_c(%rip)
    movl $0, spin(%rip)
    movq counter_d(%rip), %rax
4:  leaq 1(%rax), %rdx
    lock cmpxchgq %rdx, counter_d(%rip)
    jne 4b
    decl %ecx
    jnz 1b
    ret

ap_main:
    movl $APIC, %r15d
    movl $0x1ff, SPURIOUS(%r15)
    movl $0x70, %edi
    leaq on_wake(%rip), %rax
    call idt_set
    movl $1, ap_alive(%rip)
1:  pause
    cmpl $1, stage(%rip)
    jb 1b
    call count_up
    movl $1, ap_stage(%rip)
2:  pause
    cmpl $2, stage(%rip)
    jb 2b
    movl $1, %ecx
3:  movl %ecx, message(%rip)
    movl %ecx, message_flag(%rip)
4:  cmpl %ecx, message_taken(%rip)
    jne 4b
    incl %ecx
    cmpl $ROUNDS, %ecx
    jbe 3b
    movl $CODE, %ebx
    movl $1, %ecx
5:  cmpl %ecx, code_version(%rip)
    jne 5b
    pushq %rcx
    xorl %eax, %eax
    cpuid                      # serialize, as cross-modifying code must
    popq %rcx
    movl $CODE, %ebx
    call *%rbx
    movl %eax, code_result(%rip)
    movl %ecx, code_done(%rip)
    incl %ecx
    cmpl $1000, %ecx
    jbe 5b
6:  pause
    cmpl $3, stage(%rip)
    jb 6b
    movl $2, ap_stage(%rip)
    sti
    hlt
7:  cli
    hlt
    jmp 7b

on_wake:
    movl $3, ap_stage(%rip)
    movl $0, EOI(%r15)
    iretq

# Starts at TRAMPOLINE in real mode.
.code16
trampoline:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl TRAMPOLINE + trampoline_gdt - trampoline
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $CODE32, $ap_start32
trampoline_gdt:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

.code32
ap_start32:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $ap_stack_top, %esp
    call enter_long_mode
    ljmp $CODE64, $ap_start64
.code64
ap_start64:
    movl $ap_stack_top, %esp
    lidt idt_pointer
    jmp ap_main

.data
ap_alive: .quad 0
stage: .quad 0
ap_stage: .quad 0
.balign 64
counter_a: .quad 0
counter_b: .quad 0
counter_c: .quad 0
counter_d: .quad 0
spin: .quad 0
.balign 64
message: .quad 0
.balign 64
message_flag: .quad 0
message_taken: .quad 0
code_version: .quad 0
code_done: .quad 0
code_result: .quad 0

.bss
.balign 16
.space 4096
ap_stack_top:
.text
