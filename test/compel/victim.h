/* SPDX-License-Identifier: GPL-2.0-only */
/* What a victim tells those who test it, in a file that both map. */
#ifndef TEST_COMPEL_VICTIM_H
#define TEST_COMPEL_VICTIM_H

#include <stdint.h>

enum { VICTIM_THREADS_MAX = 1024 };

struct victim_report {
	uint32_t ready;   /* threads that have begun */
	uint32_t failed;  /* text says why */
	uint32_t signals; /* queued signals received, in order */
	char text[256];
	uint64_t rounds[VICTIM_THREADS_MAX]; /* of each thread's work */
};

#endif
