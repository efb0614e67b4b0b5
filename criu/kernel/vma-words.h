/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's own word of flags of each mapping of a task, by a BPF iterator. Private to
 * criu/kernel. */
#ifndef CRIU_KERNEL_VMA_WORDS_H
#define CRIU_KERNEL_VMA_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vma_word {
	uint64_t start, end;
	uint64_t word; /* vm_flags: bits of this very kernel, with no promise what they mean */
};

struct vma_words;

/* Loads the program; -errno where the kernel has no such thing or does not let us. */
int vma_words_open(struct vma_words **ret);
void vma_words_free(struct vma_words *words);
/* All mappings of the task by address, without the gate area ("[vsyscall]"); the caller frees *ret.
 */
int vma_words_read(const struct vma_words *words, pid_t host_pid, struct vma_word **ret,
		   size_t *ret_n);

#endif
