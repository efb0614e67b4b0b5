criu-src += $(filter-out criu/cli/main.c,$(wildcard $(addprefix criu/,util/*.c kernel/*.c plugin/*.c task/*.c mem/*.c \
	state/*.c files/*.c files/*/*.c sockets/*.c ns/*.c ns/*/*.c engine/*.c service/*.c cli/*.c arch/$(ARCH)/*.c)))
criu-main += $(wildcard criu/cli/main.c)

blobs += restorer
blob-restorer-src     := criu/pie/restorer.c criu/pie/restorer-mem.c criu/pie/restorer-pkey.c criu/pie/restorer-thread.c \
                         criu/pie/restorer-task.c
blob-restorer-into    := criu-src
blob-restorer-runtime := no

blobs += parasite
blob-parasite-src  := criu/pie/parasite.c
blob-parasite-into := criu-src
