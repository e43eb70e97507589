# Interrupts: the PIT through the PIC, the local APIC's timer and IPIs to itself, priorities, the shadow of STI, HLT.
#include "tap.inc"

.set APIC, 0xfee00000
.set APIC_ID, 0x20
.set APIC_TPR, 0x80
.set APIC_EOI, 0xb0
.set APIC_SPURIOUS, 0xf0
.set APIC_ICR, 0x300
.set APIC_ICR_HIGH, 0x310
.set APIC_TIMER, 0x320
.set APIC_LINT0, 0x350
.set APIC_INITIAL, 0x380
.set APIC_DIVIDE, 0x3e0
.set SELF, 0x40000

.macro OUT port, value
    movb $\value, %al
    outb %al, $\port
.endm

.globl main
main:
    movl $APIC, %r15d
    movl $0x40, %edi
    leaq on_pic(%rip), %rax
    call idt_set
    movl $0x50, %edi
    leaq on_apic(%rip), %rax
    call idt_set
    movl $0x60, %edi
    leaq on_high(%rip), %rax
    call idt_set
    movl $2, %edi
    leaq on_nmi(%rip), %rax
    call idt_set

    # PIC: vectors from 0x40, only IRQ 0 unmasked; PIT: channel 0, mode 2, about 1 kHz. LINT0 as ExtINT lets it through.
    movl $0x1ff, APIC_SPURIOUS(%r15)
    movl $0x700, APIC_LINT0(%r15)
    OUT 0x20, 0x11
    OUT 0x21, 0x40
    OUT 0x21, 0x04
    OUT 0x21, 0x01
    OUT 0xa0, 0x11
    OUT 0xa1, 0x48
    OUT 0xa1, 0x02
    OUT 0xa1, 0x01
    OUT 0x21, 0xfe
    OUT 0xa1, 0xff
    OUT 0x43, 0x34
    OUT 0x40, 0xa9
    OUT 0x40, 0x04
    sti
1:  hlt
    cmpq $5, pic_count(%rip)
    jb 1b
    cli
    OUT 0x21, 0xff
    IS "the PIT interrupts through the PIC", $1, $1

    # The local APIC's timer, periodic, then stopped.
    movl $0x3, APIC_DIVIDE(%r15)
    movl $0x20050, APIC_TIMER(%r15)
    movl $100000, APIC_INITIAL(%r15)
    sti
2:  hlt
    cmpq $5, apic_count(%rip)
    jb 2b
    cli
    movl $0x10050, APIC_TIMER(%r15)
    movl $0, APIC_INITIAL(%r15)
    sti
    nop
    nop
    cli
    movq $0, apic_count(%rip)
    IS "the local timer interrupts", $1, $1

    # IPI to itself: pending while IF is clear, taken after STI's shadow.
    movl $0, APIC_ICR_HIGH(%r15)
    movl $SELF + 0x50, APIC_ICR(%r15)
    IS "an IPI waits for sti", apic_count(%rip), $0
    xorl %ebx, %ebx
    sti
    incl %ebx                 # in the shadow: the interrupt comes behind it
    nop
    cli
    IS "and comes", apic_count(%rip), $1
    IS "behind the shadow of sti", apic_saw(%rip), $1

    # Two pending: the higher class first. The TPR holds both back.
    movq $0, order(%rip)
    movl $0xf0, APIC_TPR(%r15)
    movl $SELF + 0x50, APIC_ICR(%r15)
    movl $SELF + 0x60, APIC_ICR(%r15)
    sti
    nop
    nop
    cli
    IS "the task priority holds them back", order(%rip), $0
    movl $0, APIC_TPR(%r15)
    sti
    nop
    nop
    nop
    cli
    IS "the higher vector first", order(%rip), $0x6050

    # CR8 is the same register.
    movl $0x30, APIC_TPR(%r15)
    movq %cr8, %rax
    IS "cr8 reads the task priority", %rax, $3
    xorl %eax, %eax
    movq %rax, %cr8
    movl APIC_TPR(%r15), %eax
    IS "and writes it", %rax, $0

    # NMI by IPI (to the own number: there is no shorthand for it) comes with IF clear, and once.
    movl APIC_ID(%r15), %eax
    movl %eax, APIC_ICR_HIGH(%r15)
    movl $0x400, APIC_ICR(%r15)
    movl $100000, %ecx
3:  pause
    cmpq $0, nmi_count(%rip)
    loope 3b
    IS "an NMI needs no sti", nmi_count(%rip), $1
    ret

on_pic:
    pushq %rax
    incq pic_count(%rip)
    movb $0x20, %al
    outb %al, $0x20
    popq %rax
    iretq

on_apic:
    incq apic_count(%rip)
    movq %rbx, apic_saw(%rip)
    shlq $8, order(%rip)
    orq $0x50, order(%rip)
    movl $0, APIC_EOI(%r15)
    iretq

on_high:
    shlq $8, order(%rip)
    orq $0x60, order(%rip)
    movl $0, APIC_EOI(%r15)
    iretq

on_nmi:
    incq nmi_count(%rip)
    iretq

.data
pic_count: .quad 0
apic_count: .quad 0
apic_saw: .quad 0
order: .quad 0
nmi_count: .quad 0
