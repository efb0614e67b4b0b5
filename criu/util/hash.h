/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hash table from 64-bit keys to pointers (not NULL). Zeroed is empty and ready; it owns neither
 * keys nor what the pointers lead to. For keys that are not numbers, hash_bytes() makes one, and
 * the caller compares what it finds.
 */
#ifndef CRIU_UTIL_HASH_H
#define CRIU_UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_slot;

struct hash {
	struct hash_slot *slots;
	size_t n;      /* entries */
	size_t n_used; /* slots not free: entries and graves */
	size_t n_slots;
};

/* What key leads to, or NULL. */
void *hash_get(const struct hash *h, uint64_t key);
/* Sets key to value; returns what it led to before, or NULL. */
void *hash_put(struct hash *h, uint64_t key, void *value);
/* Takes key away; returns what it led to, or NULL. */
void *hash_take(struct hash *h, uint64_t key);
/*
 * All entries in no order: *pos starts at 0; NULL at the end. ret_key may be NULL. The entry just
 *returned may be taken, others not. for (size_t pos = 0; (x = hash_next(h, &pos, NULL));)
 */
void *hash_next(const struct hash *h, size_t *pos, uint64_t *ret_key);
/* Forgets all entries and releases the table's own memory. */
void hash_release(struct hash *h);

uint64_t hash_bytes(const void *p, size_t size);
uint64_t hash_str(const char *s);
/* One key of two. */
uint64_t hash_pair(uint64_t a, uint64_t b);

#endif
