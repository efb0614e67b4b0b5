/* SPDX-License-Identifier: GPL-2.0-only */
/* What a plugin has left in the journal is undone by the plugin itself (G12). */
#ifndef CRIU_PLUGIN_RECOVER_H
#define CRIU_PLUGIN_RECOVER_H

/*
 * Loads the plugin at path in a child process and calls its recover() with the record, given in
 * hexadecimal digits. 0; -ENOENT: the plugin is gone; -EFAULT: it crashed; -ETIMEDOUT; or what
 * recover() returned. Needs nothing of a run: the guardian and `criu recover` call it.
 */
int plugin_recover(const char *path, const char *name, const char *hex);

#endif
