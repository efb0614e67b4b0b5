/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Atomics for words in memory that processes share. The futex calls themselves need a syscall
 * function, which host and blob have each of their own: compel/pie/syscall.h for blobs,
 * criu/util/futex.h for the host.
 */
#ifndef COMPEL_BASE_FUTEX_H
#define COMPEL_BASE_FUTEX_H

#include <stdint.h>

struct futex {
	uint32_t word;
};

static inline uint32_t futex_get(const struct futex *f)
{
	return __atomic_load_n(&f->word, __ATOMIC_ACQUIRE);
}

static inline void futex_store(struct futex *f, uint32_t value)
{
	__atomic_store_n(&f->word, value, __ATOMIC_RELEASE);
}

/* Returns the new value. */
static inline uint32_t futex_add(struct futex *f, int32_t delta)
{
	return __atomic_add_fetch(&f->word, (uint32_t)delta, __ATOMIC_ACQ_REL);
}

#endif
