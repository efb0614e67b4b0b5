# SPDX-License-Identifier: LGPL-2.1-only
#
# Blobs: position-independent code that is copied into another process. In a folder's files.mk:
#
#	blobs += parasite
#	blob-parasite-src  := criu/pie/parasite.c criu/pie/parasite-net.c
#	blob-parasite-into := criu-src          # which list of host sources gets the embedded image (may be empty)
#	blob-parasite-runtime := no             # only if it has no command loop of compel/pie/runtime.h (a restorer)
#
# Host code then says #include "blob-parasite.h" and has `blob_parasite` and constants BLOB_PARASITE_<entry> (see
# compel/include/compel/blob.h). The sources are compiled with PIE_CFLAGS: no libc, no FPU registers, position-independent;
# they may use compel/base and compel/pie (syscall.h, string.h, print.h). The link fails when a relocation is left:
# then some datum holds an address (a table of pointers to strings or functions); compute it at run time instead.
# This file is included after all files.mk.

PIE_ARCH_CFLAGS := $(if $(filter x86_64,$(ARCH)),-mgeneral-regs-only -mno-red-zone)
PIE_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fPIC -fvisibility=hidden -fno-stack-protector \
	-fno-strict-aliasing -fno-asynchronous-unwind-tables -fno-jump-tables -fno-common -fcf-protection=none \
	-fno-sanitize=all -U_FORTIFY_SOURCE $(PIE_ARCH_CFLAGS)
PIE_LDFLAGS := -pie --no-dynamic-linker -z noexecstack --no-warn-rwx-segments
PIE_SCRIPT  := compel/arch/$(ARCH)/pie/blob.lds

# The command makes C of blobs, and tells outsiders the same flags.
$(B)/bin/compel: $(call obj,$(wildcard compel/cli/*.c)) $(B)/lib/libcompel.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^
$(B)/obj/compel/cli/main.o: CPPFLAGS += -DCOMPEL_PIE_CFLAGS='"$(PIE_CFLAGS)"' \
	-DCOMPEL_PIE_LDFLAGS='"$(PIE_LDFLAGS)"' -DCOMPEL_ARCH_PIE='"$(patsubst %/,%,$(dir $(PIE_SCRIPT)))"'

pie = $(patsubst %.c,$(B)/pie/%.o,$(1))

$(B)/pie/%.o: %.c
	$(call say,CC-PIE,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WARN) -Wno-missing-prototypes $(PIE_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(B)/lib/libcompel-pie.a: $(call pie,$(wildcard compel/pie/*.c))

define blob-rules
$(B)/blob/$(1).elf: $$(call pie,$$(blob-$(1)-src)) $(B)/lib/libcompel-pie.a $(PIE_SCRIPT)
	$$(call say,BLOB,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(LD) $$(PIE_LDFLAGS) -T $$(PIE_SCRIPT) $$(if $$(filter no,$$(blob-$(1)-runtime)),,-u compel_serve) -o $$@ $$(filter %.o %.a,$$^)

$(B)/gen/blob-$(1).c $(B)/gen/blob-$(1).h &: $(B)/blob/$(1).elf $(B)/bin/compel
	@mkdir -p $$(@D)
	$$(Q)$(B)/bin/compel blob -n $(1) -o $(B)/gen/blob-$(1).c $(B)/blob/$(1).elf

blob-headers += $(B)/gen/blob-$(1).h
$(if $(blob-$(1)-into),$(blob-$(1)-into) += $(B)/gen/blob-$(1).c)
endef
$(foreach b,$(blobs),$(eval $(call blob-rules,$(b))))

# All but compel's own objects (which make the tool that makes the headers) may include them.
blob-users = $(criu-src) $(criu-main) $(images-src) $(blob-users-more)
$(call obj,$(blob-users)) $(call san,$(blob-users)): | $(blob-headers)

include test/compel/rules.mk
