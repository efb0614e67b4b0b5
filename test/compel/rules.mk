# Tests of compel that need ptrace: programs in build/test/compel, run by `make compel-test`. Included by compel/blob.mk.
CT := $(B)/test/compel
compel-test-src   := test/compel/tasks.c test/compel/inject.c $(B)/gen/blob-test.c
compel-test-progs := $(addprefix $(CT)/,victim victim-static bare kill try)

$(call obj,$(wildcard test/compel/*.c)): | $(B)/gen/blob-test.h

$(CT)/victim: $(call obj,test/compel/victim.c)
$(CT)/victim $(CT)/victim-static:
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(if $(filter %-static,$@),-static) -o $@ $(filter %.o,$^) -lpthread
$(CT)/victim-static: $(call obj,test/compel/victim.c)

$(CT)/bare: test/compel/bare.c
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WARN) -Wno-missing-prototypes -O2 $(CPPFLAGS) -ffreestanding -fno-stack-protector -static -nostdlib \
		-fno-pic -fcf-protection=none -o $@ $<

$(CT)/kill $(CT)/try: $(CT)/%: $(call obj,test/compel/%.c $(compel-test-src)) $(B)/lib/libcompel.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread

.PHONY: compel-test
compel-test: $(compel-test-progs)
	$(Q)test/compel/run $(CT)
