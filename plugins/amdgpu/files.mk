# The plugin for AMD GPUs: no more than its own sources, the messages of its images, and protobuf-c. It calls the tool by
# what criu-plugin.h declares, and no other library: what libdrm wraps is called directly.
amdgpu-src := $(wildcard plugins/amdgpu/*.c)
amdgpu-obj := $(patsubst plugins/amdgpu/%.c,$(B)/obj/plugins/amdgpu/%.o,$(amdgpu-src)) $(B)/obj/plugins/amdgpu/criu-amdgpu.pb-c.o
$(amdgpu-obj): ALL_CFLAGS += -fvisibility=hidden

$(B)/obj/plugins/amdgpu/criu-amdgpu.pb-c.o: $(B)/gen/images/stamp
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -w -c -o $@ $(B)/gen/images/criu-amdgpu.pb-c.c

plugins += $(B)/lib/criu/amdgpu_plugin.so
$(B)/lib/criu/amdgpu_plugin.so: $(amdgpu-obj)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -Wl,-z,nodelete -o $@ $^ -lprotobuf-c -lcap -lpthread

# What can be tested without a device.
amdgpu-pure := $(patsubst %,$(B)/san/plugins/amdgpu/%.o,topology topology-match)
$(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/amdgpu/*.c)): $(B)/san/plugins/amdgpu/pure.a
$(B)/san/plugins/amdgpu/pure.a: $(amdgpu-pure)

$(B)/doc/criu-amdgpu-plugin.1: Documentation/criu-amdgpu-plugin.1.in
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)sed 's/@VERSION@/$(VERSION)/' $< >$@
docs += $(B)/doc/criu-amdgpu-plugin.1

.PHONY: install-amdgpu
install: install-amdgpu
install-amdgpu: $(B)/doc/criu-amdgpu-plugin.1
	install -d $(DESTDIR)$(MANDIR)/man1
	install -m 644 $< $(DESTDIR)$(MANDIR)/man1
