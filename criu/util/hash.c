// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open addressing with linear probing; a taken entry leaves a grave, which is swept when the table
 * grows or is rebuilt. At most three quarters of the slots are used, so that a search always ends
 * at a free one.
 */
#include "util/hash.h"

#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"

struct hash_slot {
	uint64_t key;
	void *value; /* NULL: free; &grave: taken */
};

static const char grave;
#define GRAVE ((void *)&grave)

/* Spreads neighbouring keys over the table (splitmix64). */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static struct hash_slot *find(const struct hash *h, uint64_t key)
{
	size_t mask = h->n_slots - 1;

	if (!h->n_slots)
		return NULL;
	for (size_t i = mix(key) & mask;; i = (i + 1) & mask) {
		struct hash_slot *slot = &h->slots[i];

		if (!slot->value)
			return NULL;
		if (slot->value != GRAVE && slot->key == key)
			return slot;
	}
}

static void insert(struct hash *h, uint64_t key, void *value)
{
	size_t mask = h->n_slots - 1, i = mix(key) & mask;

	while (h->slots[i].value)
		i = (i + 1) & mask;
	h->slots[i] = (struct hash_slot){.key = key, .value = value};
	h->n++;
	h->n_used++;
}

static void rebuild(struct hash *h)
{
	struct hash old = *h;

	h->n_slots = 16;
	while (h->n_slots < old.n * 4)
		h->n_slots *= 2;
	h->slots = xcalloc(h->n_slots, sizeof(*h->slots));
	h->n = h->n_used = 0;
	for (size_t i = 0; i < old.n_slots; i++) {
		if (old.slots[i].value && old.slots[i].value != GRAVE)
			insert(h, old.slots[i].key, old.slots[i].value);
	}
	free(old.slots);
}

void *hash_get(const struct hash *h, uint64_t key)
{
	const struct hash_slot *slot = find(h, key);

	return slot ? slot->value : NULL;
}

void *hash_put(struct hash *h, uint64_t key, void *value)
{
	struct hash_slot *slot = find(h, key);
	void *before;

	if (slot) {
		before = slot->value;
		slot->value = value;
		return before;
	}
	if ((h->n_used + 1) * 4 > h->n_slots * 3)
		rebuild(h);
	insert(h, key, value);
	return NULL;
}

void *hash_take(struct hash *h, uint64_t key)
{
	struct hash_slot *slot = find(h, key);
	void *value;

	if (!slot)
		return NULL;
	value = slot->value;
	slot->value = GRAVE;
	h->n--;
	return value;
}

void *hash_next(const struct hash *h, size_t *pos, uint64_t *ret_key)
{
	while (*pos < h->n_slots) {
		const struct hash_slot *slot = &h->slots[(*pos)++];

		if (!slot->value || slot->value == GRAVE)
			continue;
		if (ret_key)
			*ret_key = slot->key;
		return slot->value;
	}
	return NULL;
}

void hash_release(struct hash *h)
{
	free(h->slots);
	*h = (struct hash){};
}

/* FNV-1a, then mixed. */
uint64_t hash_bytes(const void *p, size_t size)
{
	const unsigned char *bytes = p;
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return mix(hash);
}

uint64_t hash_str(const char *s)
{
	return hash_bytes(s, strlen(s));
}

uint64_t hash_pair(uint64_t a, uint64_t b)
{
	return mix(mix(a) + b);
}
