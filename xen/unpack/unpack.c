/* SPDX-License-Identifier: MIT */
/*
 * unpack.c - find the ELF kernel in a Linux bzImage, and unpack it.
 *
 * A bzImage is a boot sector, real-mode setup code, and protected-mode code that carries the
 * compressed kernel and unpacks it on a bare PC. A PV guest starts without all that: its builder
 * needs the ELF file inside. From boot protocol 2.08 on the header says where it is ("The Linux/x86
 * Boot Protocol", Documentation/x86/boot.rst of the kernel):
 *
 *      offset  bytes  field
 *      0x1f1   1      setup_sects: sectors of setup code behind the boot sector; 0 stands for 4
 *      0x202   4      "HdrS"
 *      0x206   2      protocol version
 *      0x248   4      payload_offset, from the start of the protected-mode code
 *      0x24c   4      payload_length
 *
 * The payload begins with the magic number of its packer. Its last four bytes are the length of the
 * result: gzip writes them there itself, the kernel's makefiles append them for the others.
 *
 * The decoders are zlib's and liblzma's (xen/unpack/decoders.mk says why and how). They run in ring
 * 0 on a file from anywhere: each gets an input, an output and a work area of fixed ends, and stops
 * at them.
 *
 * Shared with the control domain, so no hypervisor headers. Read next: the callers, xen/builder.c
 * and pv-guest/dom0/build.c.
 */
#include <lzma.h>
#include <ringlet/unpack.h>
#include <string.h>
#include <zlib.h>

enum {
    SECTOR = 512,
    SETUP_SECTORS = 0x1f1,
    DEFAULT_SETUP_SECTORS = 4,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    VERSION_WITH_PAYLOAD = 0x208,
    PAYLOAD_OFFSET = 0x248,
    PAYLOAD_LENGTH = 0x24c,
    HEADER_END = 0x250,
    SMALLEST_PAYLOAD = 18, /* gzip's header and trailer; the others have more */
};

static const char too_little_memory[] = "too little memory to unpack it";
static const char damaged[] = "packed kernel damaged";
static const char wrong_length[] = "packed kernel not as long as its last four bytes say";

/* ---- Memory for the decoders ---------------------------------------------------------------- */

/* The work area, handed out from its start. Decoders run once, so nothing is taken back. */
struct arena {
    uint8_t *next;
    size_t left;
};

static void *arena_alloc(void *opaque, size_t n, size_t size)
{
    struct arena *a = opaque;
    uint64_t bytes = ((uint64_t)n * size + 15) & ~15ull;
    void *p = a->next;

    if (bytes > a->left)
        return NULL;
    a->next += bytes;
    a->left -= bytes;
    return p;
}

static void *zlib_alloc(void *opaque, unsigned n, unsigned size)
{
    return arena_alloc(opaque, n, size);
}

static void arena_free(void *opaque, void *p)
{
    (void)opaque;
    (void)p;
}

/* ---- Decoders: p to the output; NULL or the reason ------------------------------------------ */

/* Where a decoder writes. It is given UNPACK_STEP bytes of room at a time. */
struct output {
    uint8_t *start, *end;
    void (*between)(void); /* or NULL */
};

/* The room for the next step, which begins at `next`. */
static size_t step_room(const struct output *out, const uint8_t *next)
{
    size_t left = out->end - next;

    return left < UNPACK_STEP ? left : UNPACK_STEP;
}

static void after_step(const struct output *out)
{
    if (out->between)
        out->between();
}

static const char *unpack_gzip(const struct packed_kernel *p, const struct output *out,
                               struct arena *work)
{
    int ret;
    z_stream z = {
        .next_in = (uint8_t *)p->data,
        .avail_in = p->size,
        .next_out = out->start,
        .zalloc = zlib_alloc,
        .zfree = arena_free,
        .opaque = work,
    };

    /* 16: with gzip's header and check sum, not zlib's. */
    if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
        return too_little_memory;
    for (;;) {
        z.avail_out = step_room(out, z.next_out);
        ret = inflate(&z, Z_NO_FLUSH);
        if (ret != Z_OK)
            break;
        after_step(out);
    }
    switch (ret) {
    case Z_STREAM_END:
        return z.next_out < out->end ? wrong_length : NULL;
    case Z_MEM_ERROR:
        return too_little_memory;
    case Z_BUF_ERROR: /* the input or the output has ended first */
        return z.next_out < out->end ? damaged : wrong_length;
    default:
        return damaged;
    }
}

/* ret: what starting the decoder has returned. */
static const char *lzma_run(lzma_stream *s, lzma_ret ret, const struct output *out)
{
    while (ret == LZMA_OK) {
        s->avail_out = step_room(out, s->next_out);
        ret = lzma_code(s, LZMA_FINISH);
        after_step(out);
    }
    switch (ret) {
    case LZMA_STREAM_END:
        return s->next_out < out->end ? wrong_length : NULL;
    case LZMA_MEM_ERROR:
        return too_little_memory;
    case LZMA_OPTIONS_ERROR:
        return "packed with a filter other than LZMA and x86";
    case LZMA_BUF_ERROR:
        return s->next_out < out->end ? damaged : wrong_length;
    default:
        return damaged;
    }
}

/* The allocator and the ends of input and output; the limits on memory are those of the work area. */
static void lzma_begin(lzma_stream *s, lzma_allocator *allocator, const struct packed_kernel *p,
                       const struct output *out, struct arena *work)
{
    *allocator = (lzma_allocator){arena_alloc, arena_free, work};
    *s = (lzma_stream){
        .next_in = p->data,
        .avail_in = p->size,
        .next_out = out->start,
        .allocator = allocator,
    };
}

static const char *unpack_xz(const struct packed_kernel *p, const struct output *out,
                             struct arena *work)
{
    lzma_allocator allocator;
    lzma_stream s;

    lzma_begin(&s, &allocator, p, out, work);
    return lzma_run(&s, lzma_stream_decoder(&s, UINT64_MAX, 0), out);
}

/* The format before xz, which old kernels use: without a check sum. */
static const char *unpack_lzma(const struct packed_kernel *p, const struct output *out,
                               struct arena *work)
{
    lzma_allocator allocator;
    lzma_stream s;

    lzma_begin(&s, &allocator, p, out, work);
    return lzma_run(&s, lzma_alone_decoder(&s, UINT64_MAX), out);
}

#define PACKED_BY(name) "bzImage packed by " name ": only gzip, xz and lzma are unpacked here"

/* All that Linux packs itself with. refused: why one of them is not unpacked. */
static const struct packing {
    char magic[6];
    uint8_t length;
    const char *(*unpack)(const struct packed_kernel *, const struct output *, struct arena *);
    const char *refused;
} packings[] = {
    {{0x1f, (char)0x8b, 8}, 3, unpack_gzip, NULL},
    {{(char)0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz, NULL},
    {{0x5d, 0, 0}, 3, unpack_lzma, NULL}, /* usual lc, lp and pb; a dictionary of 64 KiB or more */
    {{'B', 'Z', 'h'}, 3, NULL, PACKED_BY("bzip2")},
    {{(char)0x89, 'L', 'Z', 'O', 0, '\r'}, 6, NULL, PACKED_BY("lzo")},
    {{2, '!', 'L', 24}, 4, NULL, PACKED_BY("lz4")},
    {{'(', (char)0xb5, '/', (char)0xfd}, 4, NULL, PACKED_BY("zstd")},
};

static const struct packing *packing_of(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof packings / sizeof packings[0]; i++)
        if (size >= packings[i].length && memcmp(data, packings[i].magic, packings[i].length) == 0)
            return &packings[i];
    return NULL;
}

/* ---- The interface -------------------------------------------------------------------------- */

static uint32_t word(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof value);
    return value;
}

/* The file is a bzImage: its payload, checked to lie in the file. */
static const char *find_payload(const uint8_t *image, size_t size, struct packed_kernel *p)
{
    size_t sectors = image[SETUP_SECTORS] ? image[SETUP_SECTORS] : DEFAULT_SETUP_SECTORS;
    size_t start = (1 + sectors) * SECTOR;
    uint32_t offset = word(image + PAYLOAD_OFFSET), length = word(image + PAYLOAD_LENGTH);

    if ((image[VERSION] | image[VERSION + 1] << 8) < VERSION_WITH_PAYLOAD)
        return "bzImage from before Linux 2.6.26, which does not say where its kernel is";
    if (start > size || offset > size - start || length > size - start - offset)
        return "truncated bzImage";
    p->data = image + start + offset;
    p->size = length;
    return NULL;
}

const char *packed_kernel_find(const void *file, size_t size, struct packed_kernel *p)
{
    const uint8_t *image = file;
    const struct packing *packing;
    const char *why;

    p->data = NULL;
    if (size >= HEADER_END && memcmp(image + HEADER_MAGIC, "HdrS", 4) == 0) {
        why = find_payload(image, size, p);
        if (why)
            return why;
    } else if (size >= SMALLEST_PAYLOAD && packing_of(image, size) == packings) {
        p->data = image;
        p->size = size;
    } else {
        return NULL;
    }
    if (p->size < SMALLEST_PAYLOAD)
        return "truncated bzImage";
    packing = packing_of(p->data, p->size);
    if (!packing)
        return PACKED_BY("an unknown packer");
    if (packing->refused)
        return packing->refused;
    p->unpacked = word(p->data + p->size - 4);
    return NULL;
}

const char *packed_kernel_unpack(const struct packed_kernel *p, void *out, void *work,
                                 size_t work_size, void (*between)(void))
{
    struct output output = {out, (uint8_t *)out + p->unpacked, between};
    size_t skip = -(uintptr_t)work % 16;
    struct arena arena = {(uint8_t *)work + skip, work_size > skip ? work_size - skip : 0};

    return packing_of(p->data, p->size)->unpack(p, &output, &arena);
}
