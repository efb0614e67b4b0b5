/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a queue of the emulator does: it runs the program at the start of its ring, a step at a time
 * and for ever, while *write_pointer differs from *read_pointer. All addresses are those of the
 * GPU, as the process mapped its buffers there.
 *
 * A program names places, each a word; places of even number hold a counter, those of odd number
 * its complement. A step looks whether all of them agree and writes the next counter to all. So the
 * whole state is in the buffers: who saves one place while the queue runs, and another one after
 * the next step, has places that do not agree, and the restored queue stops and says so.
 */
#ifndef KFD_EMU_PROGRAM_H
#define KFD_EMU_PROGRAM_H

#include <stdint.h>

#define PROGRAM_MAGIC      0x6d617267U
#define PROGRAM_PLACES_MAX 64

enum program_status {
	PROGRAM_RUNS,
	PROGRAM_TORN,  /* its places did not agree */
	PROGRAM_FAULT, /* a place is not mapped */
};

struct program {
	uint32_t magic, n_places;
	uint64_t status; /* enum program_status, by the queue */
	uint64_t places[PROGRAM_PLACES_MAX];
};

#endif
