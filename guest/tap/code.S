# Code that changes: in its own block, in another page, through another mapping, by string instructions, and code that
# crosses pages. A translating CPU must notice each.
#include "tap.inc"

.set AREA, 0x01000000
.set WINDOW, 0x30000000

.globl main
main:
    movq $table + PAGE_FLAGS, directory + (WINDOW >> 21) * 8
    movq $AREA + PAGE_FLAGS, table
    movq $AREA + 4096 + PAGE_FLAGS, table + 8
    movq %cr3, %rax
    movq %rax, %cr3

    # mov $1, %eax; ret - then its immediate is changed between two calls, many times.
    movl $AREA, %ebx
    leaq return_one(%rip), %rsi
    movl $AREA, %edi
    movl $6, %ecx
    rep movsb
    call *%rbx
    IS "fresh code", %rax, $1
    xorl %r12d, %r12d
    movl $1000, %r13d
1:  movl %r13d, 1(%rbx)
    call *%rbx
    addq %rax, %r12
    decl %r13d
    jnz 1b
    IS "a thousand changes are a thousand results", %r12, $500500

    # The same through another address of the page.
    movl $WINDOW, %edx
    movl $42, 1(%rdx)
    call *%rbx
    IS "written through an alias", %rax, $42
    movl $43, 1(%rbx)
    call *%rdx
    IS "and run through it", %rax, $43

    # A string instruction writes it.
    leaq return_one(%rip), %rsi
    movl $AREA, %edi
    movl $6, %ecx
    rep movsb
    call *%rbx
    IS "written by rep movsb", %rax, $1

    # Code changes an instruction just ahead of itself.
    movl $5, patched_ahead + 1(%rip)
patched_ahead:
    movl $4, %eax
    IS "an instruction ahead in the same block", %rax, $5
    # And once more, so that the block was translated before.
    xorl %r12d, %r12d
    movl $2, %r13d
2:  movl %r13d, patched_again + 1(%rip)
patched_again:
    movl $9, %eax
    addl %eax, %r12d
    decl %r13d
    jnz 2b
    IS "again, in a block that ran before", %r12, $3

    # An instruction whose bytes lie in two pages, of which the second changes.
    leaq return_one(%rip), %rsi
    movl $AREA + 4096 - 3, %edi
    movl $6, %ecx
    rep movsb
    movl $AREA + 4096 - 3, %ebx
    call *%rbx
    IS "code across two pages", %rax, $1
    movb $1, AREA + 4096
    call *%rbx
    IS "its second page changes", %rax, $0x10001

    # The second page is another one behind the same address.
    movl $WINDOW + 4096 - 3, %ebx
    movq $AREA + 8192 + PAGE_FLAGS, table + 8
    invlpg WINDOW + 4096
    movb $2, AREA + 8192
    movb $0, AREA + 8192 + 1
    movb $0xc3, AREA + 8192 + 2
    call *%rbx
    IS "its second page is remapped", %rax, $0x20001

    # A loop whose body alternates: no translation may be kept for the wrong bytes.
    movl $AREA, %ebx
    leaq return_one(%rip), %rsi
    movl $AREA, %edi
    movl $6, %ecx
    rep movsb
    xorl %r12d, %r12d
    movl $200, %r13d
3:  xorb $0x02, 1(%rbx)
    call *%rbx
    addq %rax, %r12
    decl %r13d
    jnz 3b
    IS "alternating code", %r12, $400
    ret

return_one:
    movl $1, %eax
    ret

.bss
.balign 4096
table: .space 4096
