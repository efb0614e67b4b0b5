# The conformance kit of plugins, in build/test/plugins: the fake device, programs that use it, and plugins for it. All are
# built by `make test-plugins`, and with `make test-programs`.
plugin-kit := $(B)/test/plugins
kit-headers := $(wildcard test/plugins/*.h test/plugins/*/*.h) test/lib/crtest.h plugins/include/criu/criu-plugin.h
kit-cc = $(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O1 -g -Itest/plugins -Itest/plugins/fakedev -Itest/lib

fuse-flags := $(shell pkg-config --cflags --libs fuse3 2>/dev/null)
fakedev-src := $(wildcard test/plugins/fakedev/*.c)
fakedev-src := $(filter-out %/client.c,$(fakedev-src))

$(plugin-kit)/fakedev: $(fakedev-src) $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -o $@ $(fakedev-src) -lpthread $(fuse-flags)

# The emulated driver of AMD GPUs.
kfd-emu-src := $(wildcard test/plugins/kfd-emu/*.c)
$(plugin-kit)/kfd-emu: $(kfd-emu-src) $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -o $@ $(kfd-emu-src) -lpthread $(fuse-flags)

kfd-client-src := $(wildcard test/plugins/kfd-client/*.c)
kfd-programs := $(patsubst test/plugins/kfd-programs/%.c,$(plugin-kit)/%,$(wildcard test/plugins/kfd-programs/*.c))
$(kfd-programs): $(plugin-kit)/%: test/plugins/kfd-programs/%.c $(kfd-client-src) $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -Itest/plugins/kfd-emu -Itest/plugins/kfd-client -o $@ $< $(kfd-client-src)

kit-programs := $(patsubst test/plugins/programs/%.c,$(plugin-kit)/%,$(wildcard test/plugins/programs/*.c))
$(kit-programs): $(plugin-kit)/%: test/plugins/programs/%.c test/plugins/fakedev/client.c $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -o $@ $< test/plugins/fakedev/client.c

# A plugin is one source with switches: plugin-flags-NAME, plugin-src-NAME.
kit-plugins := recorder recorder-swapped recorder-noorder recorder-cycle recorder-required recorder-task recorder-late \
	       recorder-parallel recorder-free recorder-newer recorder-need recorder-absent recorder-here \
	       recorder-noted other other-parallel other-free \
	       other-serial other-ruled rival rival-overrides
recorder-src := $(wildcard test/plugins/recorder/*.c)
plugin-flags-recorder-swapped  := -DRECORDER_RULES=RULES_SWAPPED
plugin-flags-recorder-noorder  := -DRECORDER_RULES=RULES_NONE
plugin-flags-recorder-cycle    := -DRECORDER_RULES=RULES_CYCLE
plugin-flags-recorder-required := -DRECORDER_RULES=RULES_REQUIRED
plugin-flags-recorder-task     := -DRECORDER_RULES=RULES_TASK
plugin-flags-recorder-late     := -DRECORDER_RULES=RULES_LATE
plugin-flags-recorder-parallel := -DRECORDER_FLAGS=CRIU_PARALLEL -DRECORDER_RULES=RULES_NONE
plugin-flags-recorder-free     := '-DRECORDER_FLAGS=(CRIU_PARALLEL|CRIU_PARALLEL_IN_TASK)' -DRECORDER_RULES=RULES_NONE
plugin-flags-recorder-newer    := -DRECORDER_VERSION='"2.0"'
plugin-flags-recorder-need     := -DRECORDER_NEEDS
plugin-flags-recorder-absent   := -DRECORDER_ABSENT_WITHOUT='"/proc/no/device"'
plugin-flags-recorder-here     := -DRECORDER_ABSENT_WITHOUT='"/proc/self"'
plugin-flags-recorder-noted    := -DRECORDER_ABSENT_WITHOUT='"no/path"'
plugin-flags-other             := -DRECORDER_OTHER
plugin-flags-other-parallel    := -DRECORDER_OTHER -DRECORDER_FLAGS=CRIU_PARALLEL -DRECORDER_ALONE
plugin-flags-other-free        := -DRECORDER_OTHER '-DRECORDER_FLAGS=(CRIU_PARALLEL|CRIU_PARALLEL_IN_TASK)' -DRECORDER_ALONE
plugin-flags-other-serial      := -DRECORDER_OTHER -DRECORDER_ALONE
plugin-flags-other-ruled       := -DRECORDER_OTHER -DRECORDER_FLAGS=CRIU_PARALLEL
plugin-flags-rival             := -DRECORDER_RIVAL
plugin-flags-rival-overrides   := -DRECORDER_RIVAL -DRECORDER_OVERRIDES

kit-plugins := $(kit-plugins:%=$(plugin-kit)/%.so)
$(kit-plugins): $(plugin-kit)/%.so: $(recorder-src) $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -fPIC -shared -fvisibility=hidden -Iplugins/include $(plugin-flags-$*) -o $@ $(recorder-src)

v02-plugins := $(addprefix $(plugin-kit)/,v02.so v02-second.so v02-old.so host.so legacy.so)
v02-src-v02-second := test/plugins/v02/v02.c
v02-src-v02-old    := test/plugins/v02/v02.c
v02-flags-v02-old  := -DV02_OLD '-DV02_NAME="v02-old"'
v02-flags-v02-second := -DV02_NAME='"v02-second"'
$(v02-plugins): $(plugin-kit)/%.so: $(wildcard test/plugins/v02/*.c) $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -fPIC -shared -Wno-missing-prototypes -Iplugins/include $(v02-flags-$*) -o $@ \
		$(or $(v02-src-$*),test/plugins/v02/$*.c)

# The plugin of Documentation/PLUGINS.md.
$(plugin-kit)/tutorial.so: test/plugins/tutorial/tutorial.c $(kit-headers)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(kit-cc) -fPIC -shared -Iplugins/include -o $@ $<

.PHONY: test-plugins
test-plugins: $(plugin-kit)/fakedev $(plugin-kit)/kfd-emu $(kfd-programs) $(kit-programs) $(kit-plugins) $(v02-plugins) $(plugin-kit)/tutorial.so
test-programs: test-plugins
