# What plugins are built with: one header, criu-plugin.pc, criu-plugin(7). Folders of plugins add what they build to `plugins`,
# all of which is installed into PLUGINDIR, where criu looks for it.
PLUGINDIR ?= $(LIBDIR)/criu
plugins :=

-include $(wildcard plugins/*/files.mk)

# Written again only where it differs, so that another prefix is noticed.
.PHONY: plugin-dir
$(B)/gen/plugin/dir.h: plugin-dir
	@mkdir -p $(@D)
	@printf '/* SPDX-License-Identifier: GPL-2.0-only */\n#define PLUGIN_DIR "%s"\n' '$(abspath $(PLUGINDIR))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
generated += $(B)/gen/plugin/dir.h
$(B)/obj/criu/plugin/load.o $(B)/san/criu/plugin/load.o: $(B)/gen/plugin/dir.h

$(B)/doc/criu-plugin.7: Documentation/criu-plugin.7.in
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)sed 's/@VERSION@/$(VERSION)/' $< >$@
docs += $(B)/doc/criu-plugin.7

all: $(plugins)

.PHONY: install-plugins
install: install-plugins
install-plugins: all
	install -d $(addprefix $(DESTDIR),$(INCLUDEDIR)/criu $(LIBDIR)/pkgconfig $(PLUGINDIR) $(MANDIR)/man7)
	install -m 644 plugins/include/criu/criu-plugin.h $(DESTDIR)$(INCLUDEDIR)/criu
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@PLUGINDIR@|$(PLUGINDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		plugins/criu-plugin.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/criu-plugin.pc
	for p in $(plugins); do install -m 755 $$p $(DESTDIR)$(PLUGINDIR) || exit 1; done
	install -m 644 $(B)/doc/criu-plugin.7 $(DESTDIR)$(MANDIR)/man7
