# The smallest guest there is for tests of the service: says "idle" on COM1, halts, and powers off when its power button
# is pressed. It boots in no time and hundreds of it cost the host nothing.
#
# Multiboot leaves it in 32-bit protected mode with flat segments, which is all it needs: one interrupt, the SCI (ACPI
# 6.4, section 4.8.3), by way of the PIC and the local APIC's LINT0.
.set COM1, 0x3f8
.set PM1_STATUS, 0x600
.set PM1_ENABLE, 0x602
.set PM1_CONTROL, 0x604
.set POWER_BUTTON, 1 << 8
.set SLEEP_S5, 1 << 13 | 5 << 10
.set SVR, 0xfee000f0
.set LINT0, 0xfee00350
.set EXTINT, 7 << 8
.set SCI_VECTOR, 0x28 + 1    # IRQ 9, the second PIC's second

.section .multiboot, "a"
.align 4
.long 0x1badb002, 0, -0x1badb002

.text
.code32
.globl start32
start32:
    cli
    lgdt gdt_pointer
    ljmp $8, $1f
1:  movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $stack_top, %esp
    movl $sci, %eax
    movw %ax, idt + SCI_VECTOR * 8
    shrl $16, %eax
    movw %ax, idt + SCI_VECTOR * 8 + 6
    movw $0x8e00, idt + SCI_VECTOR * 8 + 4   # an interrupt gate
    movw $8, idt + SCI_VECTOR * 8 + 2
    lidt idt_pointer

    # The PICs: vectors from 0x20 and 0x28 on, all masked but the cascade and IRQ 9.
    movl $pic_words, %esi
2:  movzbl (%esi), %edx
    movb 1(%esi), %al
    outb %al, %dx
    addl $2, %esi
    cmpl $pic_words_end, %esi
    jb 2b
    movb $0x30, %al                    # the PIT's channel 0 waits for a count, and does not tick
    outb %al, $0x43
    movl $0x1ff, SVR
    movl $EXTINT, LINT0

    movw $PM1_STATUS, %dx
    movw $POWER_BUTTON, %ax
    outw %ax, %dx
    movw $PM1_ENABLE, %dx
    outw %ax, %dx

    movl $words, %esi
    movw $COM1, %dx
    movl $words_end - words, %ecx
    rep outsb
    sti
3:  hlt
    jmp 3b

sci:
    movw $PM1_CONTROL, %dx
    movw $SLEEP_S5, %ax
    outw %ax, %dx
4:  hlt
    jmp 4b

.section .rodata
words: .ascii "idle\r\n"
words_end:
pic_words: .byte 0x20, 0x11, 0xa0, 0x11, 0x21, 0x20, 0xa1, 0x28, 0x21, 4
    .byte 0xa1, 2, 0x21, 1, 0xa1, 1, 0x21, 0xfb, 0xa1, 0xfd
pic_words_end:
.align 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_pointer: .word gdt_pointer - gdt - 1
    .long gdt
idt_pointer: .word 256 * 8 - 1
    .long idt

.bss
.align 16
idt: .skip 256 * 8
.skip 4096
stack_top:
