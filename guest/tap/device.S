# Memory that is a device: instructions of every shape work on it as on RAM. The device is the test device's 64 KiB of
# memory at 0xff000000 that every access reaches as a bus cycle (--debug-exit).
#include "tap.inc"

.set DEVICE, 0xff000000
.set SLOT, 504               # of the 2 MiB page in the last GiB

.globl main
main:
    movl $DEVICE + PAGE_FLAGS + LARGE + 0x18, %eax
    movq %rax, pdpt_high + SLOT * 8
    movq %cr3, %rax
    movq %rax, %cr3
    movl $DEVICE, %r14d

    # Moves of every width.
    movq $0x1122334455667788, %rbx
    movq %rbx, (%r14)
    movq (%r14), %rax
    IS "eight bytes", %rax, %rbx
    movb $0x99, 3(%r14)
    movq (%r14), %rax
    movq $0x1122334499667788, %rcx
    IS_RAX_RCX "one byte inside"
    movl %ebx, 6(%r14)
    movl 6(%r14), %eax
    movl %ebx, %ecx
    IS_RAX_RCX "four bytes across eight"
    movzwl 1(%r14), %eax
    movl $0x6677, %ecx
    IS_RAX_RCX "two bytes, extended"

    # Read, modify, write; exchanges; conditional.
    movq $5, (%r14)
    addq $7, (%r14)
    lock incq (%r14)
    IS "add and locked inc", (%r14), $13
    movl $100, %eax
    xchgq %rax, (%r14)
    IS "xchg's old value", %rax, $13
    movl $100, %eax
    movl $101, %ecx
    lock cmpxchgq %rcx, (%r14)
    IS "cmpxchg", (%r14), $101
    btsq $1, (%r14)
    IS "bts", (%r14), $103

    # Vectors. Moves only: KVM emulates no arithmetic of theirs on device memory.
    movups pattern(%rip), %xmm0
    movups %xmm0, 16(%r14)
    movups 16(%r14), %xmm1
    movq %xmm1, %rax
    IS "a vector's low half", %rax, pattern(%rip)
    psrldq $8, %xmm1
    movq %xmm1, %rax
    IS "a vector's high half", %rax, pattern+8(%rip)

    # Strings, into it and out of it.
    leaq pattern(%rip), %rsi
    leaq 64(%r14), %rdi
    movl $16, %ecx
    rep movsb
    leaq 64(%r14), %rsi
    leaq copy(%rip), %rdi
    movl $2, %ecx
    rep movsq
    IS "strings", copy+8(%rip), pattern+8(%rip)

    # A stack in it.
    movq %rsp, %rbp
    movl $DEVICE + 0x100, %esp
    pushq $-7
    pushq %rbx
    pushq pattern(%rip)
    movq %rsp, %r12
    movq 16(%rsp), %r8
    movq 8(%rsp), %r9
    movq (%rsp), %r10
    movq %rbp, %rsp
    movl $DEVICE + 0x100 - 24, %eax
    IS "push moves the stack", %r12, %rax
    IS "push of an immediate", %r8, $-7
    IS "push of a register", %r9, %rbx
    IS "push of memory", %r10, pattern(%rip)
    movl $DEVICE + 0x100 - 24, %esp
    popq copy(%rip)
    popq %r9
    popq %r8
    movq %rsp, %r12
    movq %rbp, %rsp
    movl $DEVICE + 0x100, %eax
    IS "pop moves the stack", %r12, %rax
    IS "pop into memory", copy(%rip), pattern(%rip)
    IS "pop into a register", %r9, %rbx
    IS "pop into another", %r8, $-7
    movl $DEVICE + 0x200, %esp
    call 1f
1:  popq %rax
    movl $DEVICE + 0x200, %esp
    leaq 2f(%rip), %rbx
    pushq %rbx
    movl $1, %r12d
    ret
    movl $2, %r12d
2:  movq %rbp, %rsp
    leaq 1b(%rip), %rcx
    IS_RAX_RCX "call pushes where it comes from"
    IS "ret goes where the stack says", %r12, $1
    ret

.data
.balign 16
pattern: .quad 0x0123456789abcdef, 0x7edcba9876543210
copy: .quad 0, 0
