// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry of kernel features: the table of features.def, and what a run has found out so far.
 * Nothing is probed before somebody asks, because a dump needs few of them. Answers are kept in one
 * word each, so that threads need no lock: two that ask at the same time both probe, and find the
 * same.
 */
#include "kernel/features.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/probes.h"
#include "util/alloc.h"

static const struct {
	const char *name;
	enum feature_category category;
	int (*probe)(void);
	const char *without, *remedy;
} table[FEATURE_COUNT] = {
#define FEATURE(id, name, category, probe, without, remedy) \
	[FEATURE_##id] = {name, category, probe, without, remedy},
#include "kernel/features.def"
#undef FEATURE
};

struct features {
	/* The answer, or NOT_ASKED. */
	int answers[FEATURE_COUNT];
};

#define NOT_ASKED 2

struct features *features_new(void)
{
	struct features *features = xmalloc(sizeof(*features));

	for (size_t i = 0; i < FEATURE_COUNT; i++)
		features->answers[i] = NOT_ASKED;
	return features;
}

void features_free(struct features *features)
{
	free(features);
}

int feature_probe(struct features *features, enum feature feature)
{
	int *kept = &features->answers[feature];
	int answer = __atomic_load_n(kept, __ATOMIC_ACQUIRE);

	assert(feature < FEATURE_COUNT);
	if (answer == NOT_ASKED) {
		answer = table[feature].probe();
		__atomic_store_n(kept, answer, __ATOMIC_RELEASE);
	}
	return answer;
}

bool feature_has(struct features *features, enum feature feature)
{
	return feature_probe(features, feature) == 1;
}

size_t features_count(void)
{
	return FEATURE_COUNT;
}

const char *feature_name(enum feature feature)
{
	return table[feature].name;
}

enum feature_category feature_category(enum feature feature)
{
	return table[feature].category;
}

const char *feature_missing_text(enum feature feature)
{
	return table[feature].without;
}

const char *feature_remedy(enum feature feature)
{
	return table[feature].remedy;
}

int feature_find(const char *name, enum feature *ret)
{
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		if (strcmp(table[i].name, name) == 0) {
			*ret = (enum feature)i;
			return 0;
		}
	}
	return -ENOENT;
}
