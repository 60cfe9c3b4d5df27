# SPDX-License-Identifier: MIT
#
# host.mk - tests and fuzzers that run on the machine that builds, not in an emulator.
#
# A test tests/host/test_X.c or a fuzzer tests/fuzz/fuzz_X.c names the hypervisor's files it links in
# a comment line " * units: xen/elfload.c mm/foo.c" and, if it needs more compiler flags, in a line
# " * flags: -m32". Nothing else is to be done for a new one. Included by the top Makefile; works
# alone too: make -f tests/host/host.mk host-tests fuzz.

B ?= build
FUZZ_SECONDS ?= 60
PVGRUB ?= $(B)/pvgrub/grub-i386-xen.bin

HOST_CC = gcc
FUZZ_CC = clang
HOST_CFLAGS = -std=gnu11 -g -O1 -Wall -Wextra -Werror -Iinclude -fno-omit-frame-pointer \
              -fsanitize=address,undefined -fno-sanitize-recover=all

include xen/unpack/decoders.mk

HOST_TESTS = $(patsubst tests/host/%.c,$(B)/host/%,$(wildcard tests/host/test_*.c))
FUZZERS = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# The words behind " * $(2):" in file $(1); the files it includes from its own folder, or by way of it.
host_words = $(shell sed -n 's/^ \* $(2): *//p' $(1))
host_includes = $(addprefix $(dir $(1)),$(shell sed -n 's/^#include "\(.*\)"/\1/p' $(1)))

.PHONY: host-tests fuzz coverage

# Every test runs, even behind one that failed; the status says whether any did.
host-tests: $(HOST_TESTS)
	@bad=0; for t in $(HOST_TESTS); do \
	    PVGRUB=$(PVGRUB) CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 $$t || bad=1; \
	done; exit $$bad

fuzz: $(FUZZERS)
	@bad=0; for f in $(FUZZERS); do \
	    name=$${f##*/fuzz_}; seeds=tests/fuzz/corpus/$$name; \
	    mkdir -p $(B)/fuzz/found/$$name $$seeds; echo "fuzz $$name: $(FUZZ_SECONDS) s"; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/found/$$name $$seeds || bad=1; \
	done; exit $$bad

coverage: ## How much of mm/ the host tests reach, by gcov; docs/coverage.md explains the rest
	@tools/coverage $(B)

.SECONDEXPANSION:

# A recipe's units are read when its rule is looked at, so a changed line is seen at once.
$(B)/host/%: tests/host/%.c $$(call host_words,tests/host/$$*.c,units) \
		$$(call host_includes,tests/host/$$*.c) include/ringlet/*.h
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(call host_words,$<,flags) -o $@ $< $(call host_words,$<,units) -lcmocka

$(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/seeds.c $$(call host_words,tests/fuzz/$$*.c,units) \
		$$(call host_includes,tests/fuzz/$$*.c) include/ringlet/*.h
	@mkdir -p $(@D)
	$(FUZZ_CC) $(HOST_CFLAGS) -fsanitize=fuzzer $(call host_words,$<,flags) -o $@ \
	    $< tests/fuzz/seeds.c $(call host_words,$<,units)
