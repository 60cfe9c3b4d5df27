# SPDX-License-Identifier: MIT
#
# decoders.mk - what undoes gzip, xz and lzma: the decoders of zlib and liblzma.
#
# Kernels come packed, and these two are the libraries that pack them: kept, fuzzed and patched by
# others, and small enough to carry (32 KiB). They are not vendored: Debian's source packages are
# fetched once (tools/deb-source) and what is needed of them is compiled four times, with the flags
# of those who link it: the hypervisor (ring 0, no C library), guests (newlib), host tests and
# fuzzers (sanitizers). Included by the top Makefile; xen/unpack/unpack.c calls the result.

ifndef UNPACK
UNPACK := build/unpack
UNPACK_SOURCE := $(UNPACK)/source

UNPACK_C := $(addprefix zlib/,adler32 crc32 inffast inflate inftrees) \
	$(addprefix xz-utils/src/liblzma/, check/check check/crc32_small \
	$(addprefix common/,alone_decoder block_decoder block_header_decoder block_util common \
	filter_common filter_decoder filter_flags_decoder index_hash stream_decoder \
	stream_flags_common stream_flags_decoder vli_decoder vli_size) \
	lz/lz_decoder lzma/lzma_decoder lzma/lzma2_decoder \
	simple/simple_coder simple/simple_decoder simple/x86)

# Their headers, for callers. Z_SOLO is zlib without a C library.
UNPACK_CPPFLAGS := -DZ_SOLO -isystem $(UNPACK_SOURCE)/zlib \
	-isystem $(UNPACK_SOURCE)/xz-utils/src/liblzma/api
# liblzma asks its configure script for these; here they are given. The kernel packs itself with
# LZMA1 or LZMA2, the filter for x86 jumps, and CRC32. NDEBUG leaves asserts out, as in Debian's own.
UNPACK_COMPILE := $(UNPACK_CPPFLAGS) -std=gnu11 -Os -g -w -ffunction-sections -fdata-sections \
	-DHAVE_MEMCPY -DDYNAMIC_CRC_TABLE -DNDEBUG -DTUKLIB_SYMBOL_PREFIX=lzma_ \
	-DHAVE_DECODERS -DHAVE_DECODER_LZMA1 -DHAVE_DECODER_LZMA2 -DHAVE_DECODER_X86 \
	-DHAVE_CHECK_CRC32 -DHAVE_SMALL -DHAVE__BOOL -DHAVE_STDBOOL_H -DHAVE_STDINT_H \
	-DHAVE_INTTYPES_H -DHAVE_STRING_H -DHAVE_LIMITS_H -DASSUME_RAM=128 -include string.h \
	-I$(UNPACK_SOURCE)/xz-utils/src/common $(addprefix -I$(UNPACK_SOURCE)/xz-utils/src/liblzma/, \
	common check delta lz lzma rangecoder simple)

$(UNPACK_SOURCE)/key: tools/deb-source
	@echo '  GET  $(UNPACK_SOURCE)'
	$Qtools/deb-source $(UNPACK_SOURCE) zlib xz-utils
	@touch $@

$(UNPACK_C:%=$(UNPACK_SOURCE)/%.c): $(UNPACK_SOURCE)/key ;

# With this, liblzma's own words for it, fuzzers get behind the check sums of its headers.
UNPACK_FUZZ := -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION

# $(1): for whom; $(2): the compiler and its flags; $(3): what must be there first.
define UNPACK_RULES
$(UNPACK)/$(1)/%.o: $(UNPACK_SOURCE)/%.c xen/unpack/decoders.mk | $(3)
	@mkdir -p $$(@D)
	@echo '  CC   $$< ($(1))'
	$Q$(2) $$(UNPACK_COMPILE) -c -o $$@ $$<

$(UNPACK)/$(1).a: $(UNPACK_C:%=$(UNPACK)/$(1)/%.o)
	@rm -f $$@
	$Qar rcs $$@ $$^
endef

$(eval $(call UNPACK_RULES,hypervisor,$$(HV_CC) $$(HV_ARCH) -fno-asynchronous-unwind-tables,))
$(eval $(call UNPACK_RULES,guest,$$(GUEST_CROSS)gcc -isystem build/newlib/include,build/newlib/key))
$(eval $(call UNPACK_RULES,host,$$(HOST_CC) $$(HOST_CFLAGS),))
$(eval $(call UNPACK_RULES,fuzz,$$(FUZZ_CC) $$(HOST_CFLAGS) -fsanitize=fuzzer-no-link $(UNPACK_FUZZ),))

# For the hypervisor, only the functions that can be reached. They would call the C library's malloc
# if they were not given an allocator; they always are, so nothing stands behind that name.
$(UNPACK)/decoders.o: $(UNPACK)/hypervisor.a
	@echo '  LD   $@'
	$Qld -m elf_i386 -r --gc-sections -e 0 -o $@ --defsym=malloc=0 --defsym=calloc=0 \
	  --defsym=free=0 -u inflate -u inflateInit2_ -u lzma_code -u lzma_stream_decoder \
	  -u lzma_alone_decoder $<
endif
