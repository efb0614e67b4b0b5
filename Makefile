# SPDX-License-Identifier: GPL-2.0-only
#
# One make for the whole tree: every folder's files.mk adds its sources to the variables below, none has rules of its
# own beyond what is special to it. `make` leaves what users run in build/bin, libraries in build/lib, plugins in
# build/lib/criu. `make help` lists the targets and variables.

B       ?= build
VERSION := 4.2
ARCH    := $(shell uname -m)
Q       := $(if $(V),,@)
SILENT  := $(findstring s,$(firstword -$(MAKEFLAGS)))
say      = $(if $(V)$(SILENT),@:,@printf '  %-7s %s\n' $(1) $(2))

CC       ?= gcc
HOSTCC   := $(CC)
PROTOC_C ?= protoc-c
WARN     := -Wall -Wextra -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	    $(if $(filter 0,$(W)),,-Werror)
CFLAGS   ?= -O2 -g
PKGS     := libprotobuf-c libcap libbsd libnl-3.0
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -Icriu -Icompel/include -Iplugins/include -I$(B)/gen $(PKG_CFLAGS)
ALL_CFLAGS = -std=gnu11 $(WARN) -fno-strict-aliasing -fPIC $(CPPFLAGS) $(CFLAGS)
LDLIBS   := $(shell pkg-config --libs $(PKGS)) -lpthread -ldl

SAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g

PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
COMPDIR    ?= $(PREFIX)/share/bash-completion/completions

.PHONY: bench all unit unit-build clean help format install check-style check-layers check-state check-clang lint
.SECONDARY:
.DELETE_ON_ERROR:
all:

# Filled by files.mk: sources by product, all paths from the top.
compel-src :=
images-src :=
criu-src :=
criu-main :=
blobs :=
generated :=
programs :=
libraries :=
docs :=
unit-tests :=

include compel/files.mk images/files.mk criu/files.mk
-include plugins/files.mk soccr/files.mk test/files.mk

# An object a source; generated headers first.
obj = $(patsubst %.c,$(B)/obj/%.o,$(patsubst %.S,$(B)/obj/%.o,$(1)))
san = $(patsubst %.c,$(B)/san/%.o,$(patsubst %.S,$(B)/san/%.o,$(1)))

# Code that is copied into other processes.
include compel/blob.mk

$(B)/obj/%.o: %.c | $(generated)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.S | $(generated)
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: $(B)/%.c | $(generated)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP -c -o $@ $<

$(B)/san/%.o: %.c | $(generated)
	$(call say,CC-SAN,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN_FLAGS) -MMD -MP -c -o $@ $<

$(B)/san/%.o: %.S | $(generated)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/san/%.o: $(B)/%.c | $(generated)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN_FLAGS) -Wno-missing-prototypes -MMD -MP -c -o $@ $<

# Everything of the tool but main() is one archive, plain and with sanitizers; unit tests link the latter.
host-src = $(compel-src) $(images-src) $(criu-src)

$(B)/lib/libcompel.a: $(call obj,$(compel-src))
$(B)/obj/libhost.a: $(call obj,$(images-src) $(criu-src))
$(B)/san/libhost.a: $(call san,$(host-src))
%.a:
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcs $@ $^

ifneq ($(criu-main),)
programs += $(B)/bin/criu
$(B)/bin/criu: $(call obj,$(criu-main)) $(B)/obj/libhost.a $(B)/lib/libcompel.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -rdynamic -Wl,-u,criu_error -Wl,-u,add_inventory_plugin -o $@ -Wl,--start-group $^ -Wl,--end-group $(LDLIBS)
endif

# test/unit/<folder>/test-x.c becomes build/unit/<folder>/test-x.
unit-tests := $(wildcard test/unit/*/test-*.c)
unit-bins  := $(patsubst test/unit/%.c,$(B)/unit/%,$(unit-tests))
$(B)/unit/%: $(B)/san/test/unit/%.o $(B)/san/libhost.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN_FLAGS) -rdynamic -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -lcmocka $(LDLIBS)

unit-build: $(unit-bins)

unit: $(unit-bins)
	$(Q)failed=; for t in $(sort $(unit-bins)); do echo "== $$t"; $$t || failed="$$failed $$t"; done; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# What lists the options is made from the table of options.
$(B)/list-options: scripts/list-options.c criu/cli/options.def criu/cli/commands.def criu/kernel/features.def
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -std=gnu11 $(WARN) -O1 -Icriu -o $@ $<

$(B)/doc/criu.8: Documentation/criu.8.in $(B)/list-options
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(B)/list-options man | sed -e '/^@OPTIONS@$$/{r /dev/stdin' -e 'd}' -e 's/@VERSION@/$(VERSION)/' $< >$@

$(B)/doc/criu.bash: $(B)/list-options
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(B)/list-options completion >$@

docs += $(B)/doc/criu.8 $(B)/doc/criu.bash

all: $(programs) $(libraries) $(docs) $(B)/obj/libhost.a $(B)/lib/libcompel.a

install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(COMPDIR)
	install -m 755 $(filter %/criu,$(programs)) $(DESTDIR)$(SBINDIR)
	for p in $(filter-out %/criu,$(programs)); do install -m 755 $$p $(DESTDIR)$(BINDIR) || exit 1; done
	for l in $(B)/lib/libcompel.a $(libraries); do cp -P $$l $(DESTDIR)$(LIBDIR) || exit 1; done
	cd compel/include && find . -name '*.h' -exec install -D -m 644 {} $(DESTDIR)$(abspath $(INCLUDEDIR))/{} \;
	install -m 644 $(B)/doc/criu.8 $(DESTDIR)$(MANDIR)/man8
	install -m 644 $(B)/doc/criu.bash $(DESTDIR)$(COMPDIR)/criu

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

check-layers check-style check-state: check-%:
	$(Q)scripts/check-$*

check-state: all

# What the other compiler warns of, without making anything.
check-clang: $(generated)
	$(Q)printf '%s\n' $(filter-out $(B)/%,$(wildcard $(host-src) $(criu-main))) | \
		xargs -P$$(nproc) -n16 clang $(ALL_CFLAGS) -fsyntax-only

lint: all
	$(Q)scripts/lint

bench: all
	test/bench/bench

clean:
	rm -rf $(B)

help:
	@echo 'all (default)  programs in build/bin, libraries in build/lib, manual and completion in build/doc'
	@echo 'bench          time and memory of dump and restore, beside the floor of the machine'
	@echo 'unit           build and run the unit tests under ASan and UBSan'
	@echo 'compel-test    test the library that injects code (COMPEL_TEST=all: longer)'
	@echo 'fuzz           build the fuzzers (clang) in build/fuzz'
	@echo 'test-programs  build the programs of test/cr, which pytest dumps and restores (scripts/check runs all tests)'
	@echo 'test-plugins   build the kit of test/plugins: the fake device, its programs, plugins for it'
	@echo 'check-layers   includes point down only        check-style  sizes, licences, layout'
	@echo 'check-state    no mutable file-scope variables lint         clang-tidy and cppcheck'
	@echo 'check-clang    what clang warns of, without building'
	@echo 'format         lay the sources out with clang-format'
	@echo 'install        to DESTDIR, below PREFIX (/usr/local)'
	@echo 'clean          remove build/'
	@echo 'Variables: CC=clang, CFLAGS, B=<build folder>, W=0 (warnings are not errors), V=1 (show the commands)'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
