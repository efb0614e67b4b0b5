// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of shared memory objects, and cr->mem, which it hangs off. A tree has few of them
 * (tens), so looking through all is cheap; what is looked up often goes through ids of files, which
 * are cached.
 */
#include "mem/objects.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "mem/mem-priv.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/str.h"

#include "images/mm.pb-c.h"

void mem_new(struct cr *cr)
{
	cr->mem = xcalloc(1, sizeof(*cr->mem));
	cr->mem->objects = xcalloc(1, sizeof(*cr->mem->objects));
	cr->mem->flags = vma_flags_new();
	pthread_mutex_init(&cr->mem->lock, NULL);
}

void mem_objects_free(struct mem_objects *objects)
{
	if (!objects)
		return;
	for (size_t i = 0; i < objects->n; i++) {
		struct mem_object *object = objects->items[i];

		if (object->fd >= 0)
			close(object->fd);
		pages_release(&object->pages);
		content_release(&object->content);
		free(object->name);
		free(object);
	}
	free(objects->items);
	free(objects);
}

struct mem_object *mem_object_find(const struct cr *cr, uint32_t inode_id)
{
	const struct mem_objects *objects = cr->mem->objects;

	for (size_t i = 0; inode_id && i < objects->n; i++)
		if (objects->items[i]->inode_id == inode_id)
			return objects->items[i];
	return NULL;
}

struct mem_object *mem_object_find_shmid(const struct cr *cr, uint64_t shmid)
{
	const struct mem_objects *objects = cr->mem->objects;

	for (size_t i = 0; i < objects->n; i++)
		if (objects->items[i]->shmid == shmid)
			return objects->items[i];
	return NULL;
}

struct mem_object *mem_object_new(struct cr *cr)
{
	struct mem_objects *objects = cr->mem->objects;
	struct mem_object *object = xcalloc(1, sizeof(*object));

	object->fd = -1;
	objects->items = array_grow(objects->items, &objects->capacity, objects->n + 1,
				    sizeof(struct mem_object *));
	objects->items[objects->n++] = object;
	return object;
}

bool mem_memfd_match(const char *link, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_nlink > 0)
		return false;
	return str_starts_with(link, "/memfd:") || str_starts_with(link, "/dev/zero (deleted)") ||
	       str_starts_with(link, "/anon_hugepage (deleted)") ||
	       str_starts_with(link, "[anon_shmem:");
}

static void free_mm(struct mm *mm)
{
	if (mm->dump) {
		vma_list_release(&mm->dump->list);
		pages_release(&mm->dump->pages);
		spans_release(&mm->dump->guards);
		free(mm->dump);
	}
	if (mm->restore) {
		content_release(&mm->restore->content);
		spans_release(&mm->restore->guards);
		free(mm->restore);
	}
	if (mm->entry)
		mm_entry__free_unpacked(mm->entry, NULL);
	free(mm->vmas);
	free(mm);
}

void mem_free(struct cr *cr)
{
	struct task *task;

	if (cr->tree) {
		tree_for_each_task (task, cr->tree) {
			if (task->mm)
				free_mm(TAKE_PTR(task->mm));
		}
	}
	if (!cr->mem)
		return;
	mem_objects_free(cr->mem->objects);
	hash_release(&cr->mem->file_ids);
	vma_flags_free(cr->mem->flags);
	place_free(cr->mem->place);
	/* [0] is cr->images. */
	for (uint32_t i = 1; i < cr->mem->n_dirs; i++)
		image_dir_free(cr->mem->dirs[i]);
	free(cr->mem->dirs);
	free(cr->mem->vdso);
	pthread_mutex_destroy(&cr->mem->lock);
	free(TAKE_PTR(cr->mem));
}
