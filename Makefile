# SPDX-License-Identifier: GPL-2.0-only
#
# One make for the whole tree: every folder's files.mk adds its sources to the variables below, none has rules of its
# own beyond what is special to it. `make` leaves what users run in build/bin, libraries in build/lib, plugins in
# build/lib/criu. `make help` lists the targets. Variables: CC, CFLAGS, W=0 (warnings are not errors), V=1 (commands).

B       := build
VERSION := 4.2
ARCH    := $(shell uname -m)
Q       := $(if $(V),,@)
say      = $(if $(V),@:,@printf '  %-7s %s\n' $(1) $(2))

CC       ?= gcc
HOSTCC   := $(CC)
PROTOC_C ?= protoc-c
WARN     := -Wall -Wextra -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	    $(if $(filter 0,$(W)),,-Werror)
CFLAGS   ?= -O2 -g
PKGS     := libprotobuf-c libcap libbsd
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -Icriu -Icompel/include -Iplugins/include -I$(B)/gen
ALL_CFLAGS = -std=gnu11 $(WARN) -fno-strict-aliasing -fPIC $(CPPFLAGS) $(CFLAGS)
LDLIBS   := $(shell pkg-config --libs $(PKGS)) -lpthread -ldl

SAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g

.PHONY: all test unit clean help format install
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
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -rdynamic -o $@ -Wl,--start-group $^ -Wl,--end-group $(LDLIBS)
endif

# test/unit/<folder>/test-x.c becomes build/unit/<folder>/test-x.
unit-tests := $(wildcard test/unit/*/test-*.c)
unit-bins  := $(patsubst test/unit/%.c,$(B)/unit/%,$(unit-tests))
$(B)/unit/%: $(B)/san/test/unit/%.o $(B)/san/libhost.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN_FLAGS) -rdynamic -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -lcmocka $(LDLIBS)

unit: $(unit-bins)
	$(Q)for t in $(sort $(unit-bins)); do echo "== $$t"; $$t || exit 1; done

all: $(programs) $(B)/obj/libhost.a $(B)/lib/libcompel.a

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(B)

help:
	@echo 'all (default)  programs in build/bin, libraries in build/lib'
	@echo 'unit           build and run the unit tests under ASan and UBSan'
	@echo 'format         lay the sources out with clang-format'
	@echo 'clean          remove build/'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
