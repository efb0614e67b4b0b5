/* SPDX-License-Identifier: GPL-2.0-only */
/* Two ways to the flags of mappings. Private to criu/kernel. */
#ifndef CRIU_KERNEL_MAPS_PRIV_H
#define CRIU_KERNEL_MAPS_PRIV_H

#include <stdbool.h>
#include <stddef.h>

struct vma_list;

/* Items first..end now have their flags: is that enough? */
typedef bool smaps_enough_fn(void *arg, size_t first, size_t end);

/* By smaps, from the first on; ends early, and without looking at the rest, when enough (may be
 * NULL) says so. 0 or -errno. */
int smaps_read(int dir, struct vma_list *list, smaps_enough_fn *enough, void *arg);
/* By the kernel's words and as little of smaps as explains them. 0, or -errno: then smaps must be
 * read. */
struct vma_flags;
int vma_flags_by_words(int dir, struct vma_list *list, struct vma_flags *flags);

#endif
