compel-src += $(wildcard compel/lib/*.c compel/arch/$(ARCH)/*.c)
programs   += $(B)/bin/compel $(B)/lib/libcompel-pie.a $(B)/blob/example.elf

blobs += example
blob-example-src := compel/example/blob.c

blobs += test
blob-test-src := test/compel/blob.c
