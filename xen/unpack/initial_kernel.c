/* SPDX-License-Identifier: MIT */
/*
 * initial_kernel.c: a packed kernel for the initial domain, as most Linux kernels come, is unpacked
 * before anything looks at it.
 *
 * Read next: unpack.c, xen/builder.c.
 */
#include <ringlet/config.h>
#include <ringlet/domain.h>
#include <ringlet/module.h>
#include <ringlet/multiboot.h>
#include <ringlet/unpack.h>

/*
 * Room for the unpacked kernel, rounded up to `room`, with as much behind it for the decoder as its
 * dictionary may need and memory allows.
 */
static void *find_unpack_memory(uint64_t room, uint32_t *work)
{
    void *out = NULL;

    for (uint32_t dictionary = 128u << 20; !out && dictionary; dictionary /= 2) {
        *work = dictionary + UNPACK_WORK;
        out = boot_memory_find(room + *work);
    }
    return out;
}

/*
 * Before memory_init(): where the first module is a bzImage or another packed kernel, the ELF file
 * inside, unpacked to free memory, takes its place. The packed one's memory is free from then on.
 */
static void __init unpack_initial_kernel(void)
{
    struct boot_module *kernel = nr_boot_modules ? &boot_modules[0] : NULL;
    struct packed_kernel packed;
    uint32_t work;
    const char *reason;

    if (!kernel)
        return;
    reason = packed_kernel_find(kernel->start, kernel->size, &packed);
    if (!reason && !packed.data)
        return;
    if (!reason) {
        uint64_t room = ROUND_UP((uint64_t)packed.unpacked, PAGE_SIZE);
        uint8_t *out = find_unpack_memory(room, &work);

        reason = out ? packed_kernel_unpack(&packed, out, out + room, work, NULL)
                     : "too little memory to unpack it";
        kernel->start = out;
        kernel->size = packed.unpacked;
    }
    if (reason)
        refuse_kernel(kernel, reason);
}
BOOT_STEP(BOOT_KERNEL_FILE, unpack_initial_kernel);
