// SPDX-License-Identifier: GPL-2.0-only
/*
 * Can two matches ever meet in one file? Where those of all classes cannot, no file has two owners,
 * and none need be looked at to know it (G2). "No" is an answer only where it is certain: device
 * numbers that differ, patterns and prefixes that no path fits both of. Anything else may meet.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "cr.h"
#include "plugin/priv.h"

/* ---- patterns ---- */

/* What one place of a pattern takes: one character of a set, or any number of any. */
struct place {
	bool is_star;
	uint64_t set[4];
};

#define MAX_PLACES 256

struct pattern {
	struct place places[MAX_PLACES];
	size_t n;
	bool is_too_long;
};

static void set_add(struct place *place, unsigned char c)
{
	place->set[c / 64] |= 1ull << c % 64;
}

static void set_invert(struct place *place)
{
	for (size_t i = 0; i < 4; i++)
		place->set[i] = ~place->set[i];
}

static struct place *add_place(struct pattern *pattern)
{
	if (pattern->n == MAX_PLACES) {
		pattern->is_too_long = true;
		return NULL;
	}
	pattern->places[pattern->n] = (struct place){};
	return &pattern->places[pattern->n++];
}

static void add_literal(struct pattern *pattern, char c)
{
	struct place *place = add_place(pattern);

	if (place)
		set_add(place, (unsigned char)c);
}

static void add_any(struct pattern *pattern, bool is_star)
{
	struct place *place = add_place(pattern);

	if (!place)
		return;
	place->is_star = is_star;
	set_invert(place);
}

/*
 * A bracket expression at text; what is behind it, or NULL if it is none. One with anything in it
 * that depends on a language takes any character.
 */
static const char *add_bracket(struct pattern *pattern, const char *text)
{
	const bool is_inverted = text[1] == '!' || text[1] == '^';
	const char *first = text + 1 + is_inverted, *end = strchr(*first ? first + 1 : first, ']');
	struct place *place;

	if (!end)
		return NULL;
	if (memchr(first, '[', (size_t)(end - first)) ||
	    memchr(first, '\\', (size_t)(end - first))) {
		/* Longer than it seems, perhaps: it and all that follows take anything. */
		add_any(pattern, true);
		return text + strlen(text);
	}
	place = add_place(pattern);
	for (const char *c = first; place && c < end; c++) {
		unsigned char from = (unsigned char)*c, to = from;

		if (c + 2 < end && c[1] == '-') {
			to = (unsigned char)c[2];
			c += 2;
		}
		for (unsigned int i = from; i <= to; i++)
			set_add(place, (unsigned char)i);
	}
	if (place && is_inverted)
		set_invert(place);
	return end + 1;
}

/* fnmatch(3) without flags. */
static void read_pattern(struct pattern *ret, const char *text)
{
	while (*text) {
		const char *behind = *text == '[' ? add_bracket(ret, text) : NULL;

		if (behind) {
			text = behind;
			continue;
		}
		if (*text == '*' || *text == '?')
			add_any(ret, *text == '*');
		else if (*text == '\\' && text[1])
			add_literal(ret, *++text);
		else
			add_literal(ret, *text);
		text++;
	}
}

static void read_prefix(struct pattern *ret, const char *text)
{
	for (; *text; text++)
		add_literal(ret, *text);
	add_any(ret, true);
}

static bool have_common(const struct place *one, const struct place *two)
{
	for (size_t i = 0; i < 4; i++)
		if (one->set[i] & two->set[i])
			return true;
	return false;
}

/* From the ends: below[j] says whether what follows place i + 1 of one and place j of two meet. */
static bool patterns_meet(const struct pattern *one, const struct pattern *two)
{
	bool rows[2][MAX_PLACES + 1] = {};

	if (one->is_too_long || two->is_too_long)
		return true;
	for (size_t i = one->n + 1; i-- > 0;) {
		bool *row = rows[i % 2];
		const bool *below = rows[(i + 1) % 2];
		const struct place *a = i < one->n ? &one->places[i] : NULL;

		for (size_t j = two->n + 1; j-- > 0;) {
			const struct place *b = j < two->n ? &two->places[j] : NULL;

			if (!a && !b)
				row[j] = true;
			else if (a && a->is_star)
				row[j] = below[j] || (b && row[j + 1]);
			else if (b && b->is_star)
				row[j] = row[j + 1] || (a && below[j]);
			else
				row[j] = a && b && have_common(a, b) && below[j + 1];
		}
	}
	return rows[0][0];
}

/* ---- matches ---- */

static bool is_text(const struct criu_match *match)
{
	return match->kind == CRIU_MATCH_PATH || match->kind == CRIU_MATCH_LINK;
}

static bool texts_meet(const struct criu_match *one, const struct criu_match *two)
{
	const struct criu_match *matches[2] = {one, two};
	struct pattern *patterns = calloc(2, sizeof(*patterns));
	bool do_meet;

	if (!patterns)
		return true;
	for (size_t i = 0; i < 2; i++) {
		if (matches[i]->kind == CRIU_MATCH_PATH)
			read_pattern(&patterns[i], matches[i]->text);
		else
			read_prefix(&patterns[i], matches[i]->text);
	}
	do_meet = patterns_meet(&patterns[0], &patterns[1]);
	free(patterns);
	return do_meet;
}

static bool is_all_minors(const struct criu_match *match)
{
	return !match->first && !match->last;
}

static bool devices_meet(struct cr *cr, const struct criu_match *one, const struct criu_match *two)
{
	const struct criu_match *matches[2] = {one, two};
	int64_t majors[2];

	for (size_t i = 0; i < 2; i++) {
		bool is_driver = matches[i]->kind == CRIU_MATCH_DRIVER;

		majors[i] = is_driver ? driver_major(cr, matches[i]->text)
				      : (int64_t)matches[i]->major;
		if (is_driver && majors[i] < 0)
			return false;
	}
	if (majors[0] != majors[1])
		return false;
	return is_all_minors(one) || is_all_minors(two) ||
	       (one->first <= two->last && two->first <= one->last);
}

bool matches_may_meet(struct cr *cr, const struct criu_match *one, const struct criu_match *two)
{
	if (one->kind == CRIU_MATCH_FDINFO || two->kind == CRIU_MATCH_FDINFO)
		return true;
	if (is_text(one) && is_text(two))
		return texts_meet(one, two);
	if (!is_text(one) && !is_text(two))
		return devices_meet(cr, one, two);
	/* A device has a path. */
	if (is_text(two))
		one = two;
	return one->kind == CRIU_MATCH_PATH || !*one->text || *one->text == '/';
}
