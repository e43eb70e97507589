# What page tables promise: accessed and dirty bits, write protection, no-execute, the reserved bits, the sharing of one
# page under two addresses, and that INVLPG and CR3 make a changed entry visible.
#include "tap.inc"

.set WINDOW, 0x30000000      # a 2 MiB area that `table` maps in 4 KiB pages
.set PAGE, 0x01000000        # the physical page that is looked at
.set PRESENT, 1
.set WRITABLE, 2
.set ACCESSED, 0x20
.set DIRTY, 0x40

# The window's first page gets the entry in rax.
.macro MAP
    movq %rax, table
    invlpg WINDOW
.endm

.globl main
main:
    movq $table + PAGE_FLAGS, directory + (WINDOW >> 21) * 8
    movq %cr3, %rax
    movq %rax, %cr3

    movl $PAGE + PRESENT + WRITABLE, %eax
    MAP
    IS "a new entry is clean", table(%rip), $(PAGE + PRESENT + WRITABLE)
    movl WINDOW, %eax
    IS "a read sets accessed", table(%rip), $(PAGE + PRESENT + WRITABLE + ACCESSED)
    movl $77, WINDOW
    IS "a write sets dirty", table(%rip), $(PAGE + PRESENT + WRITABLE + ACCESSED + DIRTY)
    movl PAGE, %eax
    IS "the write is seen at the page's other address", %rax, $77

    movl $PAGE + PRESENT + ACCESSED, %eax
    MAP
    EXPECT
    movl $1, WINDOW
    FAULTED "write of a read-only page, CR0.WP set", 14, 3
    movq %cr0, %rax
    andl $~0x10000, %eax
    movq %rax, %cr0
    movl $78, WINDOW
    movq %cr0, %rax
    orl $0x10000, %eax
    movq %rax, %cr0
    movl PAGE, %eax
    IS "and with CR0.WP clear it is written", %rax, $78

    movl $PAGE + PRESENT + WRITABLE, %eax
    movb $0xc3, PAGE          # ret
    MAP
    movl $WINDOW, %edx
    call *%rdx
    IS "code runs from the window", $1, $1
    movl $PAGE + PRESENT + WRITABLE, %eax
    btsq $63, %rax
    MAP
    movq %rsp, %rbp
    EXPECT
    call *%rdx
    FAULTED "no-execute", 14, 0x11
    movq %rbp, %rsp

    movq directory + (WINDOW >> 21) * 8, %rbx
    movq $PAGE + PRESENT + WRITABLE + LARGE + 0x2000, directory + (WINDOW >> 21) * 8
    invlpg WINDOW
    EXPECT
    movl WINDOW, %eax
    FAULTED "reserved bit of a large entry", 14, 9
    movq %rbx, directory + (WINDOW >> 21) * 8

    movl $PAGE + PRESENT + WRITABLE, %eax
    MAP
    movl $1, WINDOW
    movl $PAGE + 4096 + PRESENT + WRITABLE, %eax
    MAP
    movl $2, WINDOW
    movl PAGE, %eax
    IS "invlpg: the old page keeps its value", %rax, $1
    movl PAGE + 4096, %eax
    IS "invlpg: the new page gets the new one", %rax, $2
    movq $PAGE + PRESENT + WRITABLE, table
    movq %cr3, %rax
    movq %rax, %cr3
    movl WINDOW, %eax
    IS "a write of cr3 does the same", %rax, $1
    movq $0, table
    invlpg WINDOW
    EXPECT
    lock incl WINDOW
    FAULTED "an entry that went away", 14, 2

    # An access that crosses from one page to another that lies elsewhere.
    movq $PAGE + PRESENT + WRITABLE, table
    movq $PAGE + 8192 + PRESENT + WRITABLE, table + 8
    movq %cr3, %rax
    movq %rax, %cr3
    movq $0x1122334455667788, %rax
    movq %rax, WINDOW + 4092
    movl PAGE + 4092, %eax
    movl $0x55667788, %ecx
    IS_RAX_RCX "a crossing write: the first page's part"
    movl PAGE + 8192, %eax
    movl $0x11223344, %ecx
    IS_RAX_RCX "a crossing write: the second page's part"
    movq WINDOW + 4092, %rax
    movq $0x1122334455667788, %rcx
    IS_RAX_RCX "a crossing read"
    movl $1, %eax
    lock xaddq %rax, WINDOW + 4092
    movq $0x1122334455667788, %rcx
    IS_RAX_RCX "a crossing locked add returns the old value"
    movq WINDOW + 4092, %rax
    incq %rcx
    IS_RAX_RCX "and leaves the sum"
    ret

.bss
.balign 4096
table: .space 4096
