/* SPDX-License-Identifier: MIT */
/*
 * version.c: the hypercall xen_version (xen/version.h): what a guest may know of its hypervisor.
 *
 * Guests decide by these answers which parts of the ABI they use, so they name the Xen release
 * whose behaviour is followed, and whose public headers this is built with: 4.17. The name behind
 * it says what really answers. The first sub-operation has a second use: it does nothing, so guests
 * call it to have pending events delivered on the way out.
 *
 * Read next: hypercall/table.c.
 */
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <xen/features.h>
#include <xen/version.h>

#define EXTRA_VERSION ".ringlet"
#define CAPABILITIES "xen-3.0-x86_32p "

_Static_assert(sizeof(EXTRA_VERSION) <= sizeof(xen_extraversion_t),
               "the ABI's string has 16 bytes");
_Static_assert(sizeof(options.cmdline) == sizeof(xen_commandline_t), "XENVER_commandline");

/* Copy a string into a field of the ABI, which is longer and filled up with zeros. */
static long put_string(void *guest, size_t field, const char *s)
{
    size_t n = strlen(s) + 1;

    return copy_to_guest(guest, s, n) || clear_guest((char *)guest + n, field - n) ? -EFAULT : 0;
}

static long compile_info(void *guest)
{
    static const struct xen_compile_info info = {
        .compiler = "gcc " __VERSION__,
        .compile_by = "",
        .compile_domain = "",
        .compile_date = "", /* builds are reproducible: no clock goes into the image */
    };

    return copy_to_guest(guest, &info, sizeof(info)) ? -EFAULT : 0;
}

/* The bits of xen/features.h that hold for the calling domain. */
static uint32_t features(const struct domain *d)
{
    uint32_t bits = 1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_highmem_assist |
                    1u << XENFEAT_gnttab_map_avail_bits | 1u << XENFEAT_memory_op_vnode_supported |
                    1u << XENFEAT_direct_mapped;

    if (d->l3_above_4g)
        bits |= 1u << XENFEAT_pae_pgdir_above_4gb;
    if (d->initial)
        bits |= 1u << XENFEAT_dom0;
    return bits;
}

static long get_features(void *guest)
{
    struct xen_feature_info info;

    if (copy_from_guest(&info, guest, sizeof(info)))
        return -EFAULT;
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
        return -EINVAL;
    info.submap = features(current->domain);
    return copy_to_guest(guest, &info, sizeof(info)) ? -EFAULT : 0;
}

static long platform_parameters(void *guest)
{
    struct xen_platform_parameters p = {.virt_start = HYPERVISOR_START};

    return copy_to_guest(guest, &p, sizeof(p)) ? -EFAULT : 0;
}

static long guest_handle(void *guest)
{
    const struct domain *d = current->domain;

    return copy_to_guest(guest, d->handle, sizeof(d->handle)) ? -EFAULT : 0;
}

/*
 * The image is linked without a build id. Caller and length are checked first, as if there were
 * one.
 */
static long build_id(const void *guest)
{
    struct xen_build_id id;

    if (!current->domain->privileged)
        return -EPERM;
    if (guest && copy_from_guest(&id, guest, sizeof(id)))
        return -EFAULT;
    if (guest && id.len == 0)
        return -EINVAL;
    return -ENODATA;
}

asmlinkage long do_xen_version(int cmd, void *guest_arg)
{
    switch (cmd) {
    case XENVER_version:
        return ABI_VERSION;
    case XENVER_extraversion:
        return put_string(guest_arg, sizeof(xen_extraversion_t), EXTRA_VERSION);
    case XENVER_compile_info:
        return compile_info(guest_arg);
    case XENVER_capabilities:
        return put_string(guest_arg, sizeof(xen_capabilities_info_t), CAPABILITIES);
    case XENVER_changeset:
        return put_string(guest_arg, sizeof(xen_changeset_info_t), "unavailable");
    case XENVER_platform_parameters:
        return platform_parameters(guest_arg);
    case XENVER_get_features:
        return get_features(guest_arg);
    case XENVER_pagesize:
        return guest_arg ? -EINVAL : PAGE_SIZE;
    case XENVER_guest_handle:
        return guest_handle(guest_arg);
    case XENVER_commandline: /* the machine's owner's affair: others get an empty one */
        return put_string(guest_arg, sizeof(xen_commandline_t),
                          current->domain->privileged ? options.cmdline : "");
    case XENVER_build_id:
        return build_id(guest_arg);
    default:
        return -ENOSYS;
    }
}
HYPERCALL(xen_version);
