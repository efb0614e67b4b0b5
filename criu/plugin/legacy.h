/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plugins of the interface of CRIU 4.2 (v0.1, v0.2): what makes one out of a loaded library, and
 * the calls at the places where CRIU 4.2 makes them (PLUGIN-CONTRACT.md, section 5). The phase
 * hooks go to all plugins; hooks about an object go from one plugin to the next until one takes it.
 */
#ifndef CRIU_PLUGIN_LEGACY_H
#define CRIU_PLUGIN_LEGACY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cr;
struct stat;

/* Takes a library without CRIU_PLUGIN: as a v0.2 plugin, by its legacy symbols, or, with a warning,
 * not at all. 0 or -errno, logged. */
int legacy_add(struct cr *cr, const char *file, const char *path, void *handle);
/* init() of all, with what the image lists (restore). After a failure legacy_exit() still is to be
 * called. */
int legacy_init(struct cr *cr, const char *const *inventory, size_t n_inventory);
/* exit() of those whose init() succeeded, once; ret is 0 or -1, and is final. */
void legacy_exit(struct cr *cr, int ret);
/* Appends what the plugins have told add_inventory_plugin() to names (from malloc, ends with NULL);
 * returns it, moved. */
const char **legacy_add_needed(const struct cr *cr, const char **names, size_t *n);
/* Restore, after legacy_init(): the first name of the inventory that no plugin took, or NULL. */
const char *legacy_first_lacking(const struct cr *cr);

/* ---- phases: to all plugins; 0 or the first -errno, logged ---- */

/* PAUSE_DEVICES, for every live task that has not had it. */
int legacy_pause(struct cr *cr);
/* CHECKPOINT_DEVICES, for every live task. */
int legacy_checkpoint(struct cr *cr);
/* DUMP_DEVICES_LATE, with the root's pid. */
int legacy_dump_late(struct cr *cr);
int legacy_restore_init(struct cr *cr);
int legacy_post_forking(struct cr *cr);
/* RESUME_DEVICES_LATE, for every live task. */
int legacy_resume_late(struct cr *cr);

/* ---- objects ---- */

/* Does any plugin have the hook? */
bool legacy_dumps_files(const struct cr *cr);
bool legacy_restores_files(const struct cr *cr);
bool legacy_claims_vmas(const struct cr *cr);
bool legacy_updates_vmas(const struct cr *cr);

/* DUMP_EXT_FILE: 0, -ENOTSUP (unlogged) if none takes it, or -errno, logged. */
int legacy_dump_file(struct cr *cr, int fd, uint32_t id);
/* HANDLE_DEVICE_VMA: likewise. */
int legacy_claim_vma(struct cr *cr, int fd, const struct stat *st);
/* RESTORE_EXT_FILE, in the task's process: 0 and *ret_fd, PLUGIN_WAITS where it asks for another
 * try, or -errno, logged. */
int legacy_restore_file(struct cr *cr, uint32_t id, int *ret_fd);
/* UPDATE_VMA_MAP, in the task's process; *pgoff holds the saved one. */
int legacy_update_vma(struct cr *cr, const char *path, uint64_t address, uint64_t *pgoff,
		      int *ret_fd);

#endif
