images-src += $(wildcard images/lib/*.c)
