# Programs that are dumped and restored (test/cr/<kind>-<aspect>.c become build/test/cr/<kind>-<aspect>), and what the python
# tests need besides. Libraries of one program: cr-libs-<name> := -lx.
cr-programs := $(patsubst test/cr/%.c,$(B)/test/cr/%,$(wildcard test/cr/*.c))

$(B)/test/cr/%: test/cr/%.c test/lib/crtest.h
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARN) -Wno-missing-prototypes -D_GNU_SOURCE -Itest/lib -O1 -g -o $@ $< -lpthread $(cr-libs-$*)

.PHONY: test-programs
test-programs: $(cr-programs)

include test/fuzz/files.mk test/plugins/files.mk
