// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu check: what this kernel, with our privileges, lacks. Features of category 1 are needed for
 * any dump; --extra and --experimental ask for the other categories too, --feature for a single
 * one. The verdict goes to stdout in words that scripts know, what is missing goes to the log.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cr.h"
#include "kernel/features.h"
#include "options.h"
#include "util/log.h"

/* 1 if the feature is there; else says what is amiss and returns 0. */
static int check_one(struct cr *cr, enum feature feature)
{
	int ret = feature_probe(cr->features, feature);

	if (ret > 0)
		return 1;
	if (ret == 0)
		log_refuse(cr, -ENOTSUP, "%s: %s; needs %s", feature_name(feature),
			   feature_missing_text(feature), feature_remedy(feature));
	else
		log_refuse(cr, ret, "%s: cannot be tried here (%s); without it %s",
			   feature_name(feature), strerror(-ret), feature_missing_text(feature));
	return 0;
}

static int check_named(struct cr *cr, const char *name)
{
	enum feature feature;

	if (feature_find(name, &feature) < 0) {
		log_refuse(cr, -EINVAL, "--feature %s: no such feature", name);
		log_remedy(cr, "criu(8) lists them, below KERNEL FEATURES");
		return 1;
	}
	if (!check_one(cr, feature))
		return 1;
	printf("%s is supported\n", name);
	return 0;
}

/* How many features of the category are missing. */
static int check_category(struct cr *cr, enum feature_category category)
{
	int n = 0;

	for (size_t i = 0; i < features_count(); i++)
		if (feature_category(i) == category)
			n += !check_one(cr, i);
	return n;
}

static int check_all(struct cr *cr)
{
	int n_optional = 0;

	if (check_category(cr, FEATURE_MUST) > 0) {
		log_warn(cr, "Does not look good.");
		return 1;
	}
	if (cr->opts->extra)
		n_optional += check_category(cr, FEATURE_EXTRA);
	if (cr->opts->experimental)
		n_optional += check_category(cr, FEATURE_EXPERIMENTAL);
	if (n_optional == 0) {
		printf("Looks good.\n");
		return 0;
	}
	printf("Looks good but some kernel features are missing (%d).\n"
	       "They are named on stderr, or in the log; process trees that use them\n"
	       "cannot be dumped or restored here, or not as well.\n",
	       n_optional);
	return 1;
}

int cmd_check(struct cr *cr)
{
	int status = session_open_log(cr);

	if (status < 0)
		return status;
	if (geteuid() != 0 && !cr->opts->unprivileged)
		log_warn(cr, "check: not run by root, so that features may seem to be missing for "
			     "want of privileges");
	if (cr->opts->feature && (cr->opts->extra || cr->opts->experimental))
		log_warn(cr, "--extra, --experimental, --all: have no effect together with "
			     "--feature");
	cr->features = features_new();
	status = cr->opts->feature ? check_named(cr, cr->opts->feature) : check_all(cr);
	features_free(cr->features);
	cr->features = NULL;
	session_close_log(cr);
	return status;
}
