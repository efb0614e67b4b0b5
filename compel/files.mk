compel-src += $(wildcard compel/lib/*.c compel/arch/$(ARCH)/*.c)
