images-src += $(wildcard images/lib/*.c)
images-src += $(firstword $(wildcard images/lib/arch/$(ARCH)/crc32c-hw.c images/lib/arch/none/crc32c-hw.c))

# Messages: C by protoc-c (include as "images/core.pb-c.h"). google/protobuf/descriptor.proto is there because the
# display hints of images/opts.proto extend it.
PROTO_INCLUDE ?= /usr/include
protos     := $(wildcard images/*.proto)
protos-gen := $(patsubst %.proto,$(B)/gen/%.pb-c.c,$(protos))
images-src += $(protos-gen)
generated  += $(B)/gen/images/stamp

# A stamp, since all come from one call.
$(protos-gen): $(B)/gen/images/stamp ;
$(B)/gen/images/stamp: $(protos) images/files.mk
	$(call say,PROTOC,images)
	@mkdir -p $(@D)
	$(Q)$(PROTOC_C) -I. -I$(PROTO_INCLUDE) --c_out=$(B)/gen $(protos) google/protobuf/descriptor.proto
	@for p in $(basename $(notdir $(protos))); do echo "#include \"images/$$p.pb-c.h\""; done >$(@D)/all.pb-c.h
	@touch $@

$(B)/obj/$(B)/gen/%.o $(B)/san/$(B)/gen/%.o: WARN := -w
