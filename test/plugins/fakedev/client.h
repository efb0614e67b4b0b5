/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client of the fake device: opens nodes, gives each open file state that follows from a seed,
 * and says later whether it is still so. Functions that return int answer -1 with errno.
 */
#ifndef FAKEDEV_CLIENT_H
#define FAKEDEV_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "fakedev.h"

struct client_file {
	int fd;
	char node[16];
	uint64_t seed;
	uint64_t size, offset; /* of the buffer */
	unsigned char *map;    /* the buffer, mapped; or NULL */
	bool is_running;
	uint64_t counter; /* at the last look */
};

enum client_flags {
	CLIENT_BUFFER = 1 << 0, /* has a buffer */
	CLIENT_MAP = 1 << 1,    /* maps it */
	CLIENT_RUN = 1 << 2,    /* runs */
	CLIENT_ALL = CLIENT_BUFFER | CLIENT_MAP | CLIENT_RUN,
};

/* Opens folder/node and fills registers and buffer (pages pages). */
int client_open(struct client_file *file, const char *folder, const char *node, uint64_t seed,
		unsigned int pages, unsigned int flags);
void client_close(struct client_file *file);

int client_get(const struct client_file *file, uint32_t index, uint64_t *ret_value);
int client_set(const struct client_file *file, uint32_t index, uint64_t value);
/* Has the importer share the buffer of the exporter. */
int client_share(const struct client_file *exporter, const struct client_file *importer);

/* NULL if all is as client_open() left it, and what runs goes on; else what is not. Good until the
 * next call. */
const char *client_check(struct client_file *file);
/* The same, by one who only has the mapping. */
const char *client_check_map(const struct client_file *file);
/* NULL if both see the same words of the exporter's buffer. */
const char *client_check_share(const struct client_file *exporter,
			       const struct client_file *importer);
/* The same, by one who does not have the exporter open, and writes nothing. */
const char *client_check_imported(const struct client_file *exporter,
				  const struct client_file *importer);

#endif
