/* SPDX-License-Identifier: MIT */
/*
 * What a program in ring 3 can see of the rings below it, natively and as a guest: run it on both.
 *
 * SGDT, SIDT, SLDT, STR and SMSW read what the kernel loaded and never trap (on processors without
 * UMIP): a hypervisor cannot hide behind them. Natively the tables are the kernel's; as a guest they
 * are the hypervisor's, at addresses neither this program nor the kernel above it can reach.
 * Read next: docs/walk.md in Ringlet's tree, which tells why.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

struct table {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

static sigjmp_buf out;

static void on_fault(int number)
{
    siglongjmp(out, number);
}

static const char *try_read(uint32_t address)
{
    if (sigsetjmp(out, 1))
        return "not for us";
    (void)*(volatile char *)address;
    return "readable";
}

static void show_selector(const char *name, uint32_t selector)
{
    printf("  %s %04x: entry %u of the %s, ring %u\n", name, selector, selector >> 3,
           selector & 4 ? "LDT" : "GDT", selector & 3);
}

int main(void)
{
    struct table gdt, idt;
    uint32_t cs, ss, gs, task = 0, cr0;

    signal(SIGSEGV, on_fault);
    __asm__ volatile("movl %%cs, %0; movl %%ss, %1; movl %%gs, %2" : "=r"(cs), "=r"(ss), "=r"(gs));
    __asm__ volatile("sgdt %0; sidt %1; str %2; smsw %3"
                     : "=m"(gdt), "=m"(idt), "+m"(task), "=r"(cr0));
    printf("selectors\n");
    show_selector("cs", cs & 0xffff);
    show_selector("ss", ss & 0xffff);
    show_selector("gs", gs & 0xffff);
    printf("tables\n");
    printf("  GDT at %08x, %u entries: %s\n", gdt.base, (gdt.limit + 1) / 8, try_read(gdt.base));
    printf("  IDT at %08x, %u entries: %s\n", idt.base, (idt.limit + 1) / 8, try_read(idt.base));
    printf("  TSS is entry %u of the GDT\n", (task & 0xffff) >> 3);
    printf("control\n");
    printf("  CR0 ends in %04x\n", cr0 & 0xffff);
    return 0;
}
