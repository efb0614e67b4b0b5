/* SPDX-License-Identifier: GPL-2.0-only */
/* Files that plugins handle, as the files engine needs to know them. */
#ifndef CRIU_FILES_EXT_H
#define CRIU_FILES_EXT_H

#include "files/file-kind.h"
#include "plugin/plugin.h"

struct ext_file {
	struct file file;
	struct device_file *device; /* NULL: of a plugin of the v0.2 interface */
	struct plugin_wait wait;    /* restore: what it waited for last */
};

extern const struct file_kind file_kind_ext;

/* The class that claims what has these facts, or NULL. */
int ext_claim(struct cr *cr, const struct fd_facts *facts, struct plugin_class **ret);
/* Makes the class the owner of a file of this kind. */
void ext_own(struct cr *cr, struct file *file, struct plugin_class *class);
/* The class that owns the file, NULL if none does; its place among all files of plugins, else 0. */
struct plugin_class *ext_class(const struct file *file);
unsigned int ext_position(const struct file *file);
/* When all tables are collected. */
void ext_tell_holders(struct cr *cr);
/* A duplicate of the open file with that id, for its plugin. */
int ext_borrow(struct cr *cr, uint32_t id);
/* Restore: need the plugin not be asked before something changes? And what it is that it waits for.
 */
bool ext_wait_is_over(struct cr *cr, const struct file *file);
void ext_describe_wait(const struct file *file, char *ret, size_t size);

#endif
