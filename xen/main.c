/* SPDX-License-Identifier: MIT */
/*
 * main.c: the boot path, one step a line. arch/i386/head.S calls start_hypervisor() on the first
 * CPU with paging on and interrupts off; it ends as that CPU's idle vcpu, with the initial domain
 * ready to run.
 */
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/module.h>
#include <ringlet/multiboot.h>
#include <ringlet/sched.h>
#include <ringlet/traps.h>

asmlinkage noreturn void start_hypervisor(uint32_t magic, const struct multiboot_info *mbi);

static struct boot_module *module(unsigned i)
{
    return i < nr_boot_modules ? &boot_modules[i] : NULL;
}

/* What modules and other files have registered for this point of the boot. */
static void boot_steps(enum boot_level level)
{
    const struct boot_step *step;

    for_each_record(boot_step, step)
    {
        if (step->level == level)
            step->fn();
    }
}

asmlinkage noreturn void start_hypervisor(uint32_t magic, const struct multiboot_info *mbi)
{
    percpu_init(&cpus[0], get_cpu_info(), &idle_vcpu); /* this_cpu and current work from here on */
    domains_init();                                    /* the idle and I/O domains */
    hypercalls_init();                                 /* each hypercall finds its function */
    extable_sort();                                    /* expected faults find their fixups */
    /* shown once there are devices, as is what the command line's reader has to say */
    printk("Ringlet " RINGLET_VERSION ", a Xen-compatible hypervisor for IA-32\n");
    multiboot_read(magic, mbi); /* command line, memory map, modules */
    console_init_early();       /* printk works: polled serial port, VGA text */
    printk("command line: %s\n", options.cmdline);
    cpu_detect();                 /* CPUID */
    cpu_init();                   /* control registers of this CPU */
    paging_init();                /* the hypervisor's page-table entries */
    desc_init_cpu(0);             /* GDT, IDT, TSS: exceptions are caught */
    boot_steps(BOOT_KERNEL_FILE); /* a bzImage becomes the ELF file in it */
    memory_init();                /* frame table, M2P, free frames */
    /* calibrate the TSC: system time runs; wall clock from the CMOS */
    time_init();
    timerdev_init();             /* interrupt controllers, this CPU's one-shot timer */
    timers_init_cpu(this_cpu);   /* timers can be set */
    sched_init_cpu(this_cpu);    /* vcpus can be queued */
    time_init_cpu();             /* the running guest's clock is kept current */
    console_init();              /* input by interrupt, output buffered */
    softirq_init();              /* all CPUs can be gathered */
    boot_steps(BOOT_SERVICES);   /* what modules prepare */
    ring_compression_selftest(); /* are guests contained here? */
    cpus[0].online = true;
    boot_steps(BOOT_PROCESSORS); /* the other CPUs: each runs the same steps, and is idle */
    build_initial_domain(module(0), module(1));
    boot_steps(BOOT_INITIAL_DOMAIN);
    memory_release_boot();                        /* the modules' memory is free */
    paging_drop_identity_map();                   /* stray pointers fault */
    domain_unpause_by_controller(initial_domain); /* it may run */
    reset_stack_and_call(idle_loop);
}
