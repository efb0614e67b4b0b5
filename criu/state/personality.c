// SPDX-License-Identifier: GPL-2.0-only
/*
 * personality(2): the execution domain and its flags (no address randomization, READ_IMPLIES_EXEC,
 * …), one word for a process. It changes how later mappings and programs are laid out. Zombies are
 * written as 0: they map nothing any more.
 */
#include "state/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

/* Domain (PER_MASK) and the flags UNAME26 to ADDR_LIMIT_3GB of linux/personality.h. */
#define PERSONALITY_BITS 0x0ffe00ffu

static int personality_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_personality(task->dump->proc, &task->dump->personality);

	if (err < 0)
		return log_err(cr, err, "pid %d: read its personality", task->pid);
	return 0;
}

static int personality_dump(struct cr *cr, struct task *task)
{
	task->threads[0].core->tc->personality = task->dump->personality;
	return 0;
}

/*
 * CRIU reads the hexadecimal digits of /proc as decimal ones and writes that: 0x40000 comes as
 * 40000. Most such numbers have bits that no personality has, which gives them away.
 */
static uint32_t personality_decode(uint32_t value)
{
	char digits[16];

	if (!(value & ~PERSONALITY_BITS))
		return value;
	snprintf(digits, sizeof(digits), "%u", value);
	return (uint32_t)strtoul(digits, NULL, 16);
}

static int personality_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	uint32_t value = personality_decode(task->threads[0].core->tc->personality);

	if (value & ~PERSONALITY_BITS)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field personality: %#x is none",
				  task->pid, task->threads[0].core->tc->personality);
	args_task(args)->personality = value;
	return 0;
}

const struct task_part task_part_personality = {
	.name = "personality",
	.collect = personality_collect,
	.dump = personality_dump,
	.load = personality_load,
};
