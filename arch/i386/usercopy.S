/* SPDX-License-Identifier: MIT */
/*
 * usercopy.S: the instructions that may fault on a guest's memory, each with its entry in the
 * exception table.
 *
 * When REP MOVS faults, ecx still holds what has not been copied (SDM vol. 2, REP): the fixup only
 * has to return it. Addresses were checked by the callers in usercopy.c.
 */
        .text

/*
 * uint32_t raw_copy_words_*(void *dst, const void *src, uint32_t n): n a multiple of 4; returns the
 * bytes not copied.
 */
        .globl raw_copy_words_from_guest, raw_copy_words_to_guest
raw_copy_words_from_guest:
raw_copy_words_to_guest:
        pushl %esi
        pushl %edi
        movl 12(%esp), %edi
        movl 16(%esp), %esi
        movl 20(%esp), %ecx
        shrl $2, %ecx
1:      rep movsl
2:      leal (, %ecx, 4), %eax
        popl %edi
        popl %esi
        ret
        .pushsection .extable, "a"
        .long 1b, 2b
        .popsection

/* uint32_t raw_copy_bytes(void *dst, const void *src, uint32_t n) */
        .globl raw_copy_bytes
raw_copy_bytes:
        pushl %esi
        pushl %edi
        movl 12(%esp), %edi
        movl 16(%esp), %esi
        movl 20(%esp), %ecx
1:      rep movsb
2:      movl %ecx, %eax
        popl %edi
        popl %esi
        ret
        .pushsection .extable, "a"
        .long 1b, 2b
        .popsection

/* uint32_t raw_clear_bytes(void *dst, uint32_t n) */
        .globl raw_clear_bytes
raw_clear_bytes:
        pushl %edi
        movl 8(%esp), %edi
        movl 12(%esp), %ecx
        xorl %eax, %eax
1:      rep stosb
2:      movl %ecx, %eax
        popl %edi
        ret
        .pushsection .extable, "a"
        .long 1b, 2b
        .popsection

/* bool rdmsr_safe(uint32_t msr, uint64_t *value): false when the MSR does not exist (#GP). */
        .globl rdmsr_safe
rdmsr_safe:
        pushl %ebx
        movl 8(%esp), %ecx
        movl 12(%esp), %ebx
1:      rdmsr
        movl %eax, (%ebx)
        movl %edx, 4(%ebx)
        movl $1, %eax
        popl %ebx
        ret
2:      xorl %eax, %eax
        popl %ebx
        ret
        .pushsection .extable, "a"
        .long 1b, 2b
        .popsection
