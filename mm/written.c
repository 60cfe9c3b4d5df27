/* SPDX-License-Identifier: MIT */
/*
 * written.c: hands what the hypervisor writes to guests' frames, and what it does to the tables that
 * watched domains run on, to the module that watches (WATCH_PART, written.h). Nothing here is called
 * while no domain is watched.
 */
#include <ringlet/mm.h>
#include <ringlet/written.h>

uint32_t watched_domains;

/* Any CPU, any lock held. */
void note_written(mfn_t mfn)
{
    const struct watch_part *part;

    for_each_record(watch_part, part)
    {
        part->written(mfn);
    }
}

void note_frame_written(struct frame *f)
{
    note_written(frame_mfn(f));
}

void note_mapped_written(const void *va)
{
    note_written(mapped_mfn(va));
}

void note_pfn_written(struct domain *d, uint32_t pfn)
{
    const struct watch_part *part;

    for_each_record(watch_part, part)
    {
        part->pfn_written(d, pfn);
    }
}

void watch_switch_to(const struct domain *d)
{
    const struct watch_part *part;

    for_each_record(watch_part, part)
    {
        part->switch_to(d);
    }
}

void watch_flush(void)
{
    const struct watch_part *part;

    for_each_record(watch_part, part)
    {
        part->flush();
    }
}

void watch_flush_one(uint32_t va)
{
    const struct watch_part *part;

    for_each_record(watch_part, part)
    {
        part->flush_one(va);
    }
}

bool watch_page_fault(uint32_t va, struct cpu_user_regs *regs)
{
    const struct watch_part *part;

    for_each_record(watch_part, part)
    {
        if (part->page_fault(va, regs))
            return true;
    }
    return false;
}
