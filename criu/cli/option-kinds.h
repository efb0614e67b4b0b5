/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How arguments of options are read: one row for each word of the KIND column of options.def.
 */
#ifndef CRIU_CLI_OPTION_KINDS_H
#define CRIU_CLI_OPTION_KINDS_H

#include "cli/option-table.h"

struct option_input {
	struct options *opts;
	const struct option_spec *spec;
	const char *text; /* NULL if there is no argument */
	bool on;          /* false for the --no- form */
};

struct option_kind {
	enum option_argument argument;
	/* What is accepted, for the error; NULL: the values column of the option says it. */
	const char *accepts;
	/*
	 * Reads the text into the member. Nothing is logged: -EINVAL where the text is not what
	 * accepts says, another -errno where it is, but names what does not exist.
	 */
	int (*read)(const struct option_input *in, void *member);
};

#define KINDS(KIND)       \
	KIND(FLAG)        \
	KIND(VERBOSITY)   \
	KIND(STRING)      \
	KIND(PATH)        \
	KIND(STRINGS)     \
	KIND(SCAN_PATHS)  \
	KIND(COMMA_LIST)  \
	KIND(PID)         \
	KIND(SECONDS)     \
	KIND(PORT)        \
	KIND(FD)          \
	KIND(CLOSE_FD)    \
	KIND(SIZE)        \
	KIND(CHOICE)      \
	KIND(CGROUP_MODE) \
	KIND(CGROUP_ROOT) \
	KIND(CPU_CAP)     \
	KIND(EXTERNAL)    \
	KIND(INHERIT_FD)  \
	KIND(UNIX_SK)     \
	KIND(VETH_PAIR)   \
	KIND(EXT_MOUNT)   \
	KIND(EMPTY_NS)    \
	KIND(JOIN_NS)     \
	KIND(LSM_PROFILE) \
	KIND(PLUGIN_OPT)  \
	KIND(CHECK_ALL)

#define KIND_INDEX(word) KIND_##word,
enum option_kind_index { KINDS(KIND_INDEX) N_OPTION_KINDS };
#undef KIND_INDEX

extern const struct option_kind option_kinds[N_OPTION_KINDS];

#endif
