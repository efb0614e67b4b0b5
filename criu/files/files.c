// SPDX-License-Identifier: GPL-2.0-only
/*
 * The set of open file descriptions of a run, by id, and the descriptor tables that refer to them.
 * Filled by collect.c on dump and by load.c on restore.
 */
#include <stdlib.h>
#include <string.h>

#include "cr.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "kernel/fds.h"
#include "kernel/kcmp.h"
#include "kernel/unix-diag.h"
#include "util/alloc.h"
#include "util/arena.h"

#include "images/fown.pb-c.h"

struct files *files_new(void)
{
	struct files *files = xcalloc(1, sizeof(*files));

	list_init(&files->all);
	return files;
}

struct file *file_new(struct files *files, const struct file_kind *kind, uint32_t id)
{
	struct file *file = xcalloc(1, kind->size);

	file->kind = kind;
	file->id = id;
	list_init(&file->holders);
	list_init(&file->needs);
	list_add_tail(&files->all, &file->all);
	files->n++;
	hash_put(&files->by_id, id, file);
	return file;
}

void file_add_holder(struct file *file, struct file_holder *holder)
{
	holder->file = file;
	list_add_tail(&file->holders, &holder->node);
}

struct file *file_find(struct cr *cr, uint32_t id)
{
	return hash_get(&cr->files->by_id, id);
}

struct fd_table *files_table(struct files *files, uint32_t files_id, struct task *task)
{
	struct fd_table *table = hash_get(&files->tables_by_id, files_id);

	if (table)
		return table;

	table = xcalloc(1, sizeof(*table));
	table->id = files_id;
	table->task = task;
	files->tables = array_grow(files->tables, &files->tables_capacity, files->n_tables + 1,
				   sizeof(*files->tables));
	files->tables[files->n_tables++] = table;
	hash_put(&files->tables_by_id, files_id, table);
	return table;
}

const struct file_kind *file_kind_of_type(int type)
{
	for (const struct file_kind *const *kind = file_kinds; *kind; kind++)
		if ((*kind)->type == type && (*kind)->load)
			return *kind;
	return NULL;
}

const struct file_kind *file_kind_match(const struct fd_facts *facts)
{
	for (const struct file_kind *const *kind = file_kinds; *kind; kind++)
		if ((*kind)->match && (*kind)->match(facts))
			return *kind;
	return NULL;
}

void fd_table_free(struct fd_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; table->facts && i < table->n_fds; i++) {
		if (!table->facts[i].info)
			continue;
		fdinfo_release(table->facts[i].info);
		free(table->facts[i].info);
	}
	if (table->list) {
		fd_list_release(table->list);
		free(table->list);
	}
	free(table->facts);
	free(table->fds);
	free(table);
}

static void free_messages(struct hash *messages)
{
	void *message;

	for (size_t pos = 0; (message = hash_next(messages, &pos, NULL));)
		image_message_free(message);
	hash_release(messages);
}

static void file_free(struct file *file)
{
	struct file_need *need, *after;

	if (file->kind->free)
		file->kind->free(file);
	list_for_each_entry_safe (need, after, &file->needs, node)
		free(need);
	free(file->fown);
	image_message_free(file->entry);
	free(file);
}

void files_free(struct cr *cr)
{
	struct files *files = cr->files;
	struct file *file, *after;

	if (!files)
		return;
	list_for_each_entry_safe (file, after, &files->all, all)
		file_free(file);
	for (size_t i = 0; i < files->n_tables; i++)
		fd_table_free(files->tables[i]);
	hash_release(&files->by_id);
	hash_release(&files->tables_by_id);
	hash_release(&files->links);
	hash_release(&files->mapped_memfds);
	hash_release(&files->inherited);
	hash_release(&files->unix_by_ino);
	hash_release(&files->pipe_masters);
	unix_free_fresh(files);
	free_messages(&files->fs);
	free_messages(&files->queues);
	kcmp_ids_free(files->kcmp);
	ghosts_free(files->ghosts);
	ttys_free(files->ttys);
	if (files->unix_sockets)
		unix_list_release(files->unix_sockets);
	free(files->unix_sockets);
	arena_free(files->arena);
	free(files->tables);
	free(files->order);
	free(files->given);
	free(files->has_external);
	free(files->helpers);
	for (size_t i = 0; i < files->n_locks; i++)
		image_message_free(files->locks[i]);
	free(files->locks);
	free(files);
	cr->files = NULL;
}
