// SPDX-License-Identifier: GPL-2.0-only
/* The plugin that Documentation/PLUGINS.md builds, for the fake device of test/plugins/fakedev. */
#include <criu/criu-plugin.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "fakedev.h"

static const struct criu_match matches_a[] = {CRIU_PATH("*/fakedev/a[0-9]")};
static const struct criu_match matches_b[] = {CRIU_PATH("*/fakedev/b[0-9]")};
static const struct criu_class classes[] = {
	{.name = "tutorial.a", .matches = matches_a, .n_matches = 1},
	{.name = "tutorial.b", .matches = matches_b, .n_matches = 1},
};
/* clang-format off */
static const struct criu_rule rules[] = {
	{.before = "tutorial.a", .after = "tutorial.b",
	 .when = CRIU_DUMP | CRIU_RESTORE, .scope = CRIU_SCOPE_TREE},
};
static const struct criu_option options[] = {
	{.name = "device", .type = CRIU_OPTION_STRING,
	 .standard = "/mnt/fakedev", .help = "folder of the fake device"},
};
/* clang-format on */

#define OWNER 7 /* what the device knows us by */

struct record {
	uint32_t pid;
	char control[256];
};

static int about_process(const char *control, unsigned long what, uint32_t pid)
{
	struct fakedev_process arg = {.pid = pid, .owner = OWNER};
	int fd = open(control, O_RDWR | O_CLOEXEC);
	int ret = ioctl(fd, what, &arg) < 0 && errno != EALREADY ? -errno : 0;

	close(fd);
	return ret;
}

static int tell(struct criu_call *call, unsigned long what, const struct criu_task *task)
{
	struct record record = {.pid = (uint32_t)task->host_pid};
	const char *folder = criu_option_string(call, "device");
	int ret = 0;

	snprintf(record.control, sizeof(record.control), "%s/control", folder);
	if (what == FAKEDEV_LOCK || what == FAKEDEV_PAUSE)
		ret = criu_journal(call, &record, sizeof(record));
	if (ret >= 0)
		ret = about_process(record.control, what, record.pid);
	return ret < 0 ? criu_error(call, ret, "%s", record.control) : 0;
}

#define TELLS(name, what)                                               \
	static int name(struct criu_call *call, struct criu_task *task) \
	{                                                               \
		return tell(call, what, task);                          \
	}
TELLS(pause_task, FAKEDEV_LOCK)
TELLS(pre_dump_task, FAKEDEV_PAUSE)
TELLS(post_dump_task, FAKEDEV_UNPAUSE)
TELLS(resume_task, FAKEDEV_UNLOCK)
TELLS(resume_late, FAKEDEV_RESUME)

static int recover(struct criu_call *call, const void *data, size_t size)
{
	const struct record *record = data;

	if (ptrace(PTRACE_SEIZE, record->pid, NULL, NULL) == 0)
		about_process(record->control, FAKEDEV_UNPAUSE, record->pid);
	return about_process(record->control, FAKEDEV_UNLOCK, record->pid);
}

struct saved {
	struct fakedev_state state;
	uint64_t registers[FAKEDEV_REGISTERS], words[FAKEDEV_WORDS];
	char buffer[16384]; /* larger ones are refused */
};

static int dump_file(struct criu_call *call, struct criu_file *file, int fd)
{
	struct saved saved = {.state = {.registers = (uintptr_t)saved.registers,
					.words = (uintptr_t)saved.words}};
	char key[32];

	if (ioctl(fd, FAKEDEV_CHECKPOINT, &saved.state) < 0)
		return criu_error(call, -errno, "read the state");
	if (saved.state.size > sizeof(saved.buffer))
		return criu_error(call, -EFBIG, "its buffer is too large");
	if (pread(fd, saved.buffer, saved.state.size, (off_t)saved.state.offset) < 0)
		return criu_error(call, -errno, "read the buffer");
	snprintf(key, sizeof(key), "%u", file->id);
	return criu_data_put(call, key, &saved, sizeof(saved));
}

static int restore_file(struct criu_call *call, struct criu_file *file, int *fd)
{
	const struct saved *old;
	struct saved saved;
	char key[32];
	size_t size;

	snprintf(key, sizeof(key), "%u", file->id);
	if (criu_data_get(call, key, (const void **)&old, &size) < 0 || size != sizeof(saved))
		return criu_error(call, -ENOENT, "its state is not in the images");
	saved = *old;
	saved.state.registers = (uintptr_t)saved.registers;
	saved.state.words = (uintptr_t)saved.words;
	saved.state.owner = OWNER;
	snprintf(key, sizeof(key), "export %u", old->state.imported);
	if (old->state.imported && criu_share_get_bytes(call, key, &saved.state.imported, 4) != 4)
		return criu_error(call, -ENOENT, "what it imports does not come");
	*fd = open(file->path, O_RDWR | O_CLOEXEC);
	if (*fd < 0 || ioctl(*fd, FAKEDEV_RESTORE, &saved.state) < 0 ||
	    pwrite(*fd, saved.buffer, saved.state.size, (off_t)saved.state.offset) < 0)
		return criu_error(call, -errno, "make it again");
	snprintf(key, sizeof(key), "export %u", old->state.exported);
	if (old->state.exported)
		criu_share_put_bytes(call, key, &saved.state.exported, 4);
	snprintf(key, sizeof(key), "offset %llx", (unsigned long long)old->state.offset);
	return old->state.size ? criu_share_put_bytes(call, key, &saved.state.offset, 8) : 0;
}

static int update_mapping(struct criu_call *call, struct criu_mapping *mapping, uint64_t *offset,
			  int *fd)
{
	char key[32];

	snprintf(key, sizeof(key), "offset %llx", (unsigned long long)mapping->offset);
	return criu_share_get_bytes(call, key, offset, 8) == 8 ? 0 : -ENOENT;
}

/* clang-format off */
CRIU_PLUGIN_EXPORT const struct criu_plugin CRIU_PLUGIN = {
	.abi = CRIU_PLUGIN_ABI, .size = sizeof(struct criu_plugin),
	.name = "tutorial", .version = "1.0", .about = "the fake device of the test suite",
	.classes = classes, .n_classes = 2, .rules = rules, .n_rules = 1,
	.options = options, .n_options = 1,
	.pause = {.task = pause_task}, .resume = {.task = resume_task}, .recover = recover,
	.pre_dump = {.task = pre_dump_task}, .post_dump = {.task = post_dump_task},
	.dump_file = dump_file, .restore_file = restore_file,
	.update_mapping = update_mapping, .resume_late = resume_late,
};
