# test/fuzz/fuzz-x.c becomes build/fuzz/x, with libFuzzer: run it as `build/fuzz/x -max_total_time=60 CORPUS...`. What it
# links is fuzz-src-x: sources, from the top.
FUZZ_CC    ?= clang
FUZZ_FLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -O1 -g
fuzz-bins  := $(patsubst test/fuzz/fuzz-%.c,$(B)/fuzz/%,$(wildcard test/fuzz/fuzz-*.c))

fuzz-src-image := $(images-src)
fuzz-src-vdso := criu/mem/vdso.c
fuzz-src-proc := criu/kernel/proc-text.c $(addprefix criu/util/,alloc.c fd.c path.c scan.c str.c)
fuzz-src-proc-task := $(fuzz-src-proc) $(addprefix criu/kernel/,proc.c proc-stat.c proc-status.c proc-lists.c)
fuzz-src-proc-maps := $(fuzz-src-proc) $(addprefix criu/kernel/,btf.c maps.c proc.c proc-stat.c smaps.c vma-flags.c vma-words.c) criu/util/hash.c
fuzz-src-proc-btf := $(fuzz-src-proc) criu/kernel/btf.c
fuzz-src-proc-files := $(fuzz-src-proc) $(addprefix criu/kernel/,fdinfo.c locks.c mountinfo.c)
fuzz-src-plugin-notes := criu/plugin/elf.c criu/util/alloc.c

.PHONY: fuzz
fuzz: $(fuzz-bins)

$(B)/fuzz/obj/%.o: %.c | $(generated)
	$(call say,CC-FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(ALL_CFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

.SECONDEXPANSION:
$(fuzz-bins): $(B)/fuzz/%: $(B)/fuzz/obj/test/fuzz/fuzz-%.o $$(addprefix $(B)/fuzz/obj/,$$(fuzz-src-$$*:.c=.o))
	$(call say,LINK,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

$(B)/fuzz/obj/$(B)/gen/%.o: WARN := -w
