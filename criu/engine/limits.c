// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tool's own limit of open descriptors: raised for a run, which needs two for each process and
 * more while it looks at one; given back at its end, and to action scripts, for there are programs
 * that go through all numbers up to the limit, or use select(2). Tasks get the limit that they had.
 */
#include <errno.h>
#include <sys/resource.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "engine/plan.h"
#include "engine/run-priv.h"
#include "run.h"

/* As many as the kernel has for anyone unless fs.nr_open was raised. */
#define MANY_DESCRIPTORS (1u << 20)

void plan_raise_limits(struct cr *cr)
{
	struct run *run = cr->run;
	struct rlimit own, more;

	if (!run || run->has_own_limit || getrlimit(RLIMIT_NOFILE, &own) < 0)
		return;
	run->own_limit = own;
	run->has_own_limit = true;
	/* Past the hard limit may go who has CAP_SYS_RESOURCE. */
	more = (struct rlimit){MAX(own.rlim_cur, MANY_DESCRIPTORS),
			       MAX(own.rlim_max, MANY_DESCRIPTORS)};
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	more = (struct rlimit){own.rlim_max, own.rlim_max};
	(void)setrlimit(RLIMIT_NOFILE, &more);
}

int plan_own_limit(const struct cr *cr, int resource, struct rlimit *ret)
{
	if (resource != RLIMIT_NOFILE || !cr->run || !cr->run->has_own_limit)
		return getrlimit(resource, ret) < 0 ? -errno : 0;
	*ret = cr->run->own_limit;
	return 0;
}

int plan_give_back_limits(void *arg)
{
	const struct cr *cr = arg;
	const struct run *run = cr->run;

	if (!run || !run->has_own_limit)
		return 0;
	return setrlimit(RLIMIT_NOFILE, &run->own_limit) < 0 ? -errno : 0;
}
