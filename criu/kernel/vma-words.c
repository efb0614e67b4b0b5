// SPDX-License-Identifier: GPL-2.0-only
/*
 * A BPF program that the kernel calls for each mapping of a task ("iter/task_vma", 5.12; one chosen
 * task, 6.1), and that writes start, end and flags of it into the file we read. 20 000 mappings
 * take a few milliseconds, against 60 for smaps. Where the members lie differs from kernel to
 * kernel and is looked up in its BTF; the verifier checks that they are what we took them for.
 */
#include "kernel/vma-words.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "kernel/btf.h"
#include "util/alloc.h"

struct vma_words {
	int program;
};

/* struct bpf_iter__task_vma, what the program gets: pointers to meta, task and mapping. */
#define CONTEXT_META 0
#define CONTEXT_VMA  16
/* struct bpf_iter_meta begins with the file. */
#define META_SEQ 0

#define LOAD(to, from, offset)                                 \
	((struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_DW, \
			   .dst_reg = (to),                    \
			   .src_reg = (from),                  \
			   .off = (offset)})
#define STORE(to, offset, from)                                \
	((struct bpf_insn){.code = BPF_STX | BPF_MEM | BPF_DW, \
			   .dst_reg = (to),                    \
			   .src_reg = (from),                  \
			   .off = (offset)})
#define MOVE(to, from) \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)})
#define SET(to, value) \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value)})
#define ADD(to, value) \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (to), .imm = (value)})
#define SKIP_IF_ZERO(reg, n) \
	((struct bpf_insn){.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (reg), .off = (n)})
#define CALL(helper) ((struct bpf_insn){.code = BPF_JMP | BPF_CALL, .imm = (helper)})
#define EXIT         ((struct bpf_insn){.code = BPF_JMP | BPF_EXIT})

static int bpf(int command, union bpf_attr *attr)
{
	long result = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return result < 0 ? -errno : (int)result;
}

struct layout {
	uint32_t iterator;          /* type of the function that stands for the iterator */
	uint32_t start, end, flags; /* offsets in struct vm_area_struct */
};

static int find_layout(struct layout *ret)
{
	struct btf_types *types;
	int err = btf_read(&types);

	if (err < 0)
		return err;
	err = btf_find_function(types, "bpf_iter_task_vma", &ret->iterator);
	if (err == 0)
		err = btf_member_offset(types, "vm_area_struct", "vm_start", &ret->start);
	if (err == 0)
		err = btf_member_offset(types, "vm_area_struct", "vm_end", &ret->end);
	if (err == 0)
		err = btf_member_offset(types, "vm_area_struct", "vm_flags", &ret->flags);
	btf_free(types);
	if (err == 0 && (ret->start > INT16_MAX || ret->end > INT16_MAX || ret->flags > INT16_MAX))
		err = -ERANGE;
	return err;
}

static int load_program(const struct layout *layout)
{
	/* Register 6: meta, 7: mapping; a struct vma_word is built at the top of the stack. */
	const struct bpf_insn program[] = {
		LOAD(BPF_REG_6, BPF_REG_1, CONTEXT_META),
		LOAD(BPF_REG_7, BPF_REG_1, CONTEXT_VMA),
		SKIP_IF_ZERO(BPF_REG_7, 11),
		LOAD(BPF_REG_8, BPF_REG_7, (int16_t)layout->start),
		STORE(BPF_REG_10, -24, BPF_REG_8),
		LOAD(BPF_REG_8, BPF_REG_7, (int16_t)layout->end),
		STORE(BPF_REG_10, -16, BPF_REG_8),
		LOAD(BPF_REG_8, BPF_REG_7, (int16_t)layout->flags),
		STORE(BPF_REG_10, -8, BPF_REG_8),
		LOAD(BPF_REG_1, BPF_REG_6, META_SEQ),
		MOVE(BPF_REG_2, BPF_REG_10),
		ADD(BPF_REG_2, -24),
		SET(BPF_REG_3, sizeof(struct vma_word)),
		CALL(BPF_FUNC_seq_write),
		SET(BPF_REG_0, 0),
		EXIT,
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = BPF_TRACE_ITER,
		.attach_btf_id = layout->iterator,
		.insns = (uintptr_t)program,
		.insn_cnt = ARRAY_SIZE(program),
		.license = (uintptr_t) "GPL",
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

int vma_words_open(struct vma_words **ret)
{
	struct layout layout;
	int fd, err = find_layout(&layout);

	if (err < 0)
		return err;
	fd = load_program(&layout);
	if (fd < 0)
		return fd;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->program = fd;
	return 0;
}

void vma_words_free(struct vma_words *words)
{
	if (!words)
		return;
	close_at(&words->program);
	free(words);
}

/* A file that, when read, runs the program over the mappings of the task. */
static int open_iterator(const struct vma_words *words, pid_t host_pid)
{
	union bpf_iter_link_info info = {.task.tid = (uint32_t)host_pid};
	union bpf_attr link = {
		.link_create.prog_fd = (uint32_t)words->program,
		.link_create.attach_type = BPF_TRACE_ITER,
		.link_create.iter_info = (uintptr_t)&info,
		.link_create.iter_info_len = sizeof(info),
	};
	_cleanup_close_ int link_fd = bpf(BPF_LINK_CREATE, &link);
	union bpf_attr iterator = {.iter_create.link_fd = (uint32_t)link_fd};

	return link_fd < 0 ? link_fd : bpf(BPF_ITER_CREATE, &iterator);
}

/* Does what was read last, n bytes behind len, begin before the end of what we have? */
static bool is_repeated(const char *bytes, size_t len, size_t n)
{
	struct vma_word last, next;

	if (len < sizeof(last) || n < sizeof(next))
		return false;
	memcpy(&last, bytes + len - sizeof(last), sizeof(last));
	memcpy(&next, bytes + len, sizeof(next));
	return next.start < last.end;
}

int vma_words_read(const struct vma_words *words, pid_t host_pid, struct vma_word **ret,
		   size_t *ret_n)
{
	_cleanup_close_ int fd = open_iterator(words, host_pid);
	_cleanup_free_ char *bytes = NULL;
	size_t len = 0, capacity = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	for (;;) {
		bytes = array_grow(bytes, &capacity, len + 65536, 1);
		n = read(fd, bytes + len, capacity - len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		/* For one task there is no end: after the last mapping it gives the last part
		 * again. */
		if (n == 0 || is_repeated(bytes, len, (size_t)n))
			break;
		len += (size_t)n;
	}
	if (len % sizeof(struct vma_word))
		return -EBADMSG;
	*ret = (struct vma_word *)TAKE_PTR(bytes);
	*ret_n = len / sizeof(struct vma_word);
	return 0;
}
