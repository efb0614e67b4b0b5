// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/mountinfo. Fields are separated by single blanks (an empty source leaves two in a row)
 * and lie where the kernel wrote them, in a copy of the text: separators become zero bytes. Any
 * number of optional fields ends at "-"; those that we do not know are passed over.
 */
#include "kernel/mountinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/proc-priv.h"
#include "util/alloc.h"
#include "util/path.h"
#include "util/str.h"

/* The field at *at, which moves behind the blank that ends it (NULL after the last field). */
static char *next_field(char **at)
{
	return *at ? strsep(at, " ") : NULL;
}

static bool parse_id(const char *field, int32_t *ret)
{
	struct scan s = scan_of(field, strlen(field));

	*ret = scan_i32(&s, 10);
	scan_end(&s);
	return scan_ok(&s);
}

static bool parse_device(const char *field, struct mount_facts *mount)
{
	struct scan s = scan_of(field, strlen(field));

	mount->dev_major = scan_u32(&s, 10);
	scan_char(&s, ':');
	mount->dev_minor = scan_u32(&s, 10);
	scan_end(&s);
	return scan_ok(&s);
}

static bool parse_optional(const char *field, struct mount_facts *mount)
{
	const char *group;

	if (str_equal(field, "unbindable"))
		mount->unbindable = true;
	else if ((group = str_after(field, "shared:")))
		return parse_id(group, &mount->shared);
	else if ((group = str_after(field, "master:")))
		return parse_id(group, &mount->master);
	else if ((group = str_after(field, "propagate_from:")))
		return parse_id(group, &mount->propagate_from);
	return true;
}

static bool parse_optionals(char **at, struct mount_facts *mount)
{
	char *field;

	while ((field = next_field(at))) {
		if (str_equal(field, "-"))
			return true;
		if (!parse_optional(field, mount))
			return false;
	}
	return false;
}

static void split_type(char *type, struct mount_facts *mount)
{
	char *dot = strchr(type, '.');

	mount->fstype = type;
	if (dot) {
		*dot = '\0';
		mount->subtype = dot + 1;
	}
}

/* Where the directory was removed that a bind mount shows, its path ends with "//deleted". */
static bool strip_deleted_root(char *root)
{
	static const char mark[] = "//deleted";
	size_t len = strlen(root);

	if (!str_ends_with(root, mark))
		return false;
	root[len - strlen(mark)] = '\0';
	return true;
}

static bool parse_line(char *line, struct mount_facts *mount)
{
	char *at = line, *id = next_field(&at), *parent = next_field(&at),
	     *device = next_field(&at);
	char *root = next_field(&at), *mountpoint = next_field(&at), *options = next_field(&at);
	char *type, *source;

	*mount = (struct mount_facts){};
	if (!options || !parse_id(id, &mount->mnt_id) || !parse_id(parent, &mount->parent_mnt_id) ||
	    !parse_device(device, mount) || !parse_optionals(&at, mount))
		return false;
	type = next_field(&at);
	source = next_field(&at);
	/* The rest of the line, should the options of the superblock have blanks. */
	if (!source || !at || !*type || !*root || *mountpoint != '/')
		return false;
	path_unescape(root);
	path_unescape(mountpoint);
	path_unescape(type);
	path_unescape(source);
	mount->is_root_deleted = strip_deleted_root(root);
	mount->root = root;
	mount->mountpoint = mountpoint;
	mount->options = options;
	split_type(type, mount);
	mount->source = source;
	mount->sb_options = at;
	return true;
}

int mountinfo_parse(const char *text, size_t size, struct mount_list *ret)
{
	struct mount_list list = {.text = xstrndup(text, size)};
	size_t capacity = 0;
	char *at = list.text;

	while (at && *at) {
		char *line = strsep(&at, "\n");

		list.items = array_grow(list.items, &capacity, list.n + 1, sizeof(*list.items));
		if (!parse_line(line, &list.items[list.n++])) {
			mount_list_release(&list);
			return -EBADMSG;
		}
	}
	*ret = list;
	return 0;
}

int mountinfo_read(int dir, struct mount_list *ret)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "mountinfo", &text);

	return err < 0 ? err : mountinfo_parse(text.data, text.size, ret);
}

void mount_list_release(struct mount_list *list)
{
	free(list->items);
	free(list->text);
	*list = (struct mount_list){};
}

const struct mount_facts *mount_list_find(const struct mount_list *list, int32_t mnt_id)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i].mnt_id == mnt_id)
			return &list->items[i];
	}
	return NULL;
}
