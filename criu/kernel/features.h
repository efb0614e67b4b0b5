/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel and our privileges can do. features.def lists each feature once: name (of check
 * --feature), category, probe, what does not work without it, what would supply it. A probe runs
 * when somebody asks first, at most once a run.
 */
#ifndef CRIU_KERNEL_FEATURES_H
#define CRIU_KERNEL_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

enum feature {
#define FEATURE(id, name, category, probe, without, remedy) FEATURE_##id,
#include "kernel/features.def"
#undef FEATURE
	FEATURE_COUNT
};

/* Must: nothing works without it. Extra: some applications need it. Experimental: used where it is
 * there. */
enum feature_category { FEATURE_MUST = 1, FEATURE_EXTRA = 2, FEATURE_EXPERIMENTAL = 3 };

struct features;

struct features *features_new(void);
void features_free(struct features *features);

/* 1 it is there, 0 it is not, -errno if that could not be found out (-EPERM, -EACCES: not allowed
 * to try). May be asked by several threads. */
int feature_probe(struct features *features, enum feature feature);
/* feature_probe() == 1. */
bool feature_has(struct features *features, enum feature feature);

size_t features_count(void);
const char *feature_name(enum feature feature);
enum feature_category feature_category(enum feature feature);
/* One sentence: what cannot be done without it. */
const char *feature_missing_text(enum feature feature);
/* What would supply it: "kernel 5.5 or later", "CONFIG_…". */
const char *feature_remedy(enum feature feature);
/* The feature of this name; -ENOENT. */
int feature_find(const char *name, enum feature *ret);

#endif
