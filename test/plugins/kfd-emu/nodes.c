// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names and attributes: nodes are regular files, as FUSE has no devices, that are large and never
 * change their size; a dma-buf is a file of the size of its buffer, there as long as the buffer is,
 * with a number that is never given twice.
 */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FOREVER 86400.0

static const char *const texts[] = {"control", "log", "state"};

struct gpu *gpu_of_ino(struct emu *emu, fuse_ino_t ino)
{
	return ino >= INO_RENDER && ino < INO_RENDER + emu->n_gpus ? &emu->gpus[ino - INO_RENDER]
								   : NULL;
}

bool is_text(fuse_ino_t ino)
{
	return ino >= INO_CONTROL && ino <= INO_STATE;
}

static bool attributes_of(struct emu *emu, fuse_ino_t ino, struct stat *st)
{
	struct object *object;

	*st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_blksize = EMU_PAGE};
	st->st_mtim.tv_sec = st->st_ctim.tv_sec = st->st_atim.tv_sec = 1700000000;
	st->st_mode = S_IFREG | 0666;
	if (ino == FUSE_ROOT_ID || ino == INO_DRI || ino == INO_DMABUF) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
	} else if (is_text(ino)) {
		st->st_mode = S_IFREG | 0600;
	} else if (ino == INO_KFD) {
		st->st_size = EMU_KFD_SIZE;
	} else if (gpu_of_ino(emu, ino)) {
		st->st_size = (off_t)EMU_NODE_SIZE;
	} else if (ino >= INO_BUFFERS) {
		pthread_mutex_lock(&emu->lock);
		object = object_by_number(emu, (uint32_t)(ino - INO_BUFFERS));
		if (object)
			st->st_size = (off_t)object->size;
		pthread_mutex_unlock(&emu->lock);
		return object && object->is_exported;
	} else {
		return false;
	}
	return true;
}

static fuse_ino_t ino_of_name(struct emu *emu, fuse_ino_t parent, const char *name)
{
	unsigned int number;

	for (unsigned int i = 0; parent == FUSE_ROOT_ID && i < 3; i++)
		if (strcmp(name, texts[i]) == 0)
			return INO_CONTROL + i;
	if (parent == FUSE_ROOT_ID && strcmp(name, "kfd") == 0)
		return INO_KFD;
	if (parent == FUSE_ROOT_ID && strcmp(name, "dri") == 0)
		return INO_DRI;
	if (parent == FUSE_ROOT_ID && strcmp(name, "dmabuf") == 0)
		return INO_DMABUF;
	if (parent == INO_DRI && sscanf(name, "renderD%u", &number) == 1)
		for (unsigned int i = 0; i < emu->n_gpus; i++)
			if (emu->gpus[i].minor == number)
				return INO_RENDER + i;
	if (parent == INO_DMABUF && sscanf(name, "%u", &number) == 1)
		return INO_BUFFERS + number;
	return 0;
}

void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct emu *emu = &server_of(req)->emu;
	struct fuse_entry_param entry = {.generation = 1, .attr_timeout = FOREVER};

	entry.ino = ino_of_name(emu, parent, name);
	entry.entry_timeout = entry.ino < INO_BUFFERS ? FOREVER : 0;
	if (!entry.ino || !attributes_of(emu, entry.ino, &entry.attr))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct stat st;

	if (attributes_of(&server_of(req)->emu, ino, &st))
		fuse_reply_attr(req, &st, FOREVER);
	else
		fuse_reply_err(req, ENOENT);
}

/* Nothing can be changed, and nobody needs to know: O_TRUNC comes here as well. */
void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *wanted, int to_set,
		   struct fuse_file_info *info)
{
	serve_getattr(req, ino, info);
}

void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		   struct fuse_file_info *info)
{
	static const char *const top[] = {"control", "log", "state", "kfd", "dri", "dmabuf"};
	struct emu *emu = &server_of(req)->emu;
	size_t n = ino == FUSE_ROOT_ID ? 6 : ino == INO_DRI ? emu->n_gpus : 0, used = 0;
	char buffer[8192], name[24];

	if (size > sizeof(buffer))
		size = sizeof(buffer);
	for (size_t i = (size_t)offset; i < n; i++) {
		struct stat st = {.st_mode = ino == FUSE_ROOT_ID && i > 3 ? S_IFDIR : S_IFREG};
		size_t entry;

		if (ino == FUSE_ROOT_ID)
			snprintf(name, sizeof(name), "%s", top[i]);
		else
			snprintf(name, sizeof(name), "renderD%u", emu->gpus[i].minor);
		st.st_ino = ino_of_name(emu, ino, name);
		entry = fuse_add_direntry(req, buffer + used, size - used, name, &st, (off_t)i + 1);
		if (entry > size - used)
			break;
		used += entry;
	}
	fuse_reply_buf(req, buffer, used);
}
