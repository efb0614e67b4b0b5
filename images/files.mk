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

# crit, and pycriu in build/lib/python: our modules, the messages by protoc, and the table of kinds. PYTHON is one that
# has the protobuf module, if there is one.
PROTOC ?= protoc
PYTHON ?= $(shell for p in python3 /usr/bin/python3; do $$p -c 'import google.protobuf' 2>/dev/null && command -v $$p && exit; done; echo /usr/bin/python3)
pycriu-src := $(wildcard images/py/pycriu/*.py images/py/pycriu/images/*.py)
programs   += $(B)/bin/crit

$(B)/bin/crit: images/py/crit $(B)/lib/python/stamp
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)sed 's|@PYTHON@|$(PYTHON)|' $< >$@ && chmod 755 $@

$(B)/lib/python/stamp: $(protos) $(pycriu-src) images/images.def images/py/make-kinds images/files.mk
	$(call say,PROTOC,pycriu)
	$(Q)rm -rf $(@D) && mkdir -p $(@D) && cp -r images/py/pycriu $(@D)/
	$(Q)$(PROTOC) -I. -I$(PROTO_INCLUDE) --python_out=$(@D)/pycriu $(protos)
	$(Q)sed -i 's/^from images import/from pycriu.images import/' $(@D)/pycriu/images/*_pb2.py
	$(Q)$(PYTHON) images/py/make-kinds images/images.def >$(@D)/pycriu/images/kinds.py
	@touch $@

PYTHONDIR ?= $(PREFIX)/lib/python3/dist-packages
.PHONY: install-pycriu
install: install-pycriu
install-pycriu: $(B)/lib/python/stamp
	install -d $(DESTDIR)$(PYTHONDIR)/pycriu/images
	install -m 644 $(B)/lib/python/pycriu/*.py $(DESTDIR)$(PYTHONDIR)/pycriu
	install -m 644 $(B)/lib/python/pycriu/images/*.py $(DESTDIR)$(PYTHONDIR)/pycriu/images
