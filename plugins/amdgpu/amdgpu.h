/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the plugin share. The plugin's state is one struct amdgpu, the context of its
 * calls; struct kfd, struct render and struct dmabuf are the contexts of files.
 *
 * A buffer that several files know (by a handle, as a dma-buf) is one struct object, found by the
 * inode of the dma-buf that the kernel exports for it: handles are numbers of one open file each
 * and say nothing. One of the files is the object's creator, which makes it on restore; all others
 * get it from there.
 */
#ifndef AMDGPU_H
#define AMDGPU_H

#include <criu/criu-plugin.h>

#include "compel/base/cleanup.h"
#include "topology.h"
#include "uapi.h"

#include "images/criu-amdgpu.pb-c.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum { CLASS_KFD, CLASS_RENDER, CLASS_DMABUF, N_CLASSES };

/* A render node that the plugin has open for itself: for handles, and to copy contents. */
struct node {
	uint32_t minor;
	int fd;
};

struct object {
	uint64_t dev, ino;
	uint32_t number;  /* in the images, from 1 */
	uint32_t creator; /* id of the file; 0 is a valid id, so: */
	bool has_creator;
	uint32_t index; /* of the buffer in the creator's */
	uint32_t n_users;
};

/* How a file's buffer relates to the tree: in the images under the key "objects-ID". */
struct use {
	uint32_t index;  /* of the file's buffers */
	uint32_t object; /* its number; 0: nobody else has it */
	uint32_t creator, creator_index;
	uint32_t is_creator;
};

/* The render node's open file that a process gave to kfd for a GPU; under "vms-ID". */
struct vm {
	uint32_t gpu_id; /* the user's */
	uint32_t minor;  /* at dump */
	uint32_t file;   /* id, if has_file */
	uint32_t has_file;
};

/* An open /dev/kfd that is being dumped. */
struct kfd {
	struct criu_file *file;
	int fd;
	bool is_paused, is_read;
	uint32_t pid; /* what the kernel says of the owner */
	struct kfd_criu info;
	struct kfd_device *devices;
	struct kfd_bo *bos;
	void *private_data;
	uint32_t *handles;       /* of our own open render node of that GPU */
	struct object **objects; /* NULL: no contents */
};

/* An open render node that is being dumped. */
struct render {
	struct criu_file *file;
	uint32_t minor;
	uint32_t n;
	struct drm_handle *handles;
	struct drm_mapping **mappings;
	uint32_t *n_mappings;
	uint64_t *offsets;
	uint32_t *own_handles;
	struct object **objects;
};

struct dmabuf {
	struct criu_file *file;
	struct object *object;
};

/* ---- restore ---- */

/* Where a buffer was, and is. */
struct place {
	uint64_t old, size, new;
};

/* Of a render node: all handles below the highest are made as well. */
enum { HANDLES_MAX = 1 << 20 };

struct saved_kfd {
	struct criu_file *file;
	CriuKfd *image;
	const struct use *uses; /* n_uses; in the images */
	size_t n_uses;
	const struct vm *vms;
	size_t n_vms;
	bool is_second; /* one more open file of the process: there is no image */
	bool is_wanted; /* other tasks map its buffers */
	/* In the process that restored it: */
	struct place *places; /* for each buffer */
	int *vm_fds;          /* for each of vms */
};

struct saved_render {
	struct criu_file *file;
	CriuRenderNode *image;
	const struct use *uses;
	size_t n_uses;
	bool is_wanted; /* other tasks map its buffers */
	/* In the process that restored it: */
	struct place *places;
	int fd;             /* for mappings */
	bool is_made;       /* its own buffers are */
	size_t at;          /* imports that are done */
	int64_t waited_for; /* file, -1: none */
	uint32_t *fillers;  /* handles in the place of imports, and of those that were free */
	size_t n_fillers;
};

struct saved_dmabuf {
	struct criu_file *file;
	struct use use;
};

/* What a mapping is of: the context of mappings on restore. */
struct origin {
	struct criu_file *file; /* whose buffer; NULL: nothing changes */
	uint32_t index;
	uint32_t gpu_id; /* of a mapping of /dev/kfd */
};

struct amdgpu {
	struct topology here;
	/* Dump. */
	size_t n_files, n_dumped;
	struct kfd **kfds;
	size_t n_kfds;
	struct render **renders;
	size_t n_renders;
	struct dmabuf **dmabufs;
	size_t n_dmabufs;
	struct object **objects;
	size_t n_objects;
	struct node *nodes;
	size_t n_nodes;
	/* Restore. */
	struct topology then;
	struct topology_pair *pairs;
	size_t n_pairs;
	struct saved_kfd *first_kfd; /* whose image has the topology, if no key has it */
	bool is_adopted;             /* images of CRIU's own plugin */
};

/* What recover() gets. */
struct record {
	uint32_t pid, fd;
	uint64_t start_time;
};

/* ---- driver.c: calls of the driver. 0 or -errno unless said otherwise; nothing is logged. ---- */

/* The one place where the driver is reached. */
struct driver {
	int (*open)(const char *path);
	int (*ioctl)(struct criu_call *call, int fd, unsigned long request, void *arg);
	void *(*map)(int fd, uint64_t offset, size_t size, bool is_for_write);
};
extern const struct driver driver;

int kfd_check_version(struct criu_call *call, int fd);
int kfd_criu_op(struct criu_call *call, int fd, enum kfd_criu_op op, struct kfd_criu *arg);
/* A descriptor for what the kernel answered: itself, or where buffers are files, that file. */
int dmabuf_open(struct criu_call *call, uint32_t answered);
/* Gives back what the kernel answered and nobody wants to open. */
void dmabuf_drop(struct criu_call *call, uint32_t answered);
int drm_export(struct criu_call *call, int fd, uint32_t handle);
int drm_import(struct criu_call *call, int fd, int dmabuf, uint32_t *ret_handle);
int drm_close_handle(struct criu_call *call, int fd, uint32_t handle);
int drm_offset(struct criu_call *call, int fd, uint32_t handle, uint64_t *ret_offset);
/* The path of a render node below the folder of that option. */
void render_path(struct criu_call *call, uint32_t minor, char *path, size_t size);
/* minor of ".../renderD128", or -1. */
int minor_of_path(const char *path);
uint64_t process_start_time(pid_t pid);

/* ---- image.c: files of the plugin. Errors are said, with the file's name. ---- */

int image_write_message(struct criu_call *call, const char *name, const ProtobufCMessage *message);
/* NULL and *err; the caller frees. */
void *image_read_message(struct criu_call *call, const char *name,
			 const ProtobufCMessageDescriptor *descriptor, int *err);
/* For contents of that size behind the head; a descriptor or -errno. */
int image_create_pages(struct criu_call *call, const char *name, uint64_t size);
/* Checks the size; is_strict: also that of the head. A descriptor or -errno. */
int image_open_pages(struct criu_call *call, const char *name, uint64_t size, bool is_strict);
#define IMAGE_HEAD 8

/* ---- copy.c ---- */

struct copy_item {
	uint32_t handle; /* of the lane's node */
	uint64_t offset; /* for mmap of the node */
	uint64_t size;
	int file;
	uint64_t pos;
};

/* What is copied by one thread: buffers of one open render node. */
struct copy_lane {
	int node;
	uint32_t minor;
	struct copy_item *items;
	size_t n_items;
};

/* All lanes, at the same time; is_restore: from files to buffers. Errors are said. */
int copy_run(struct criu_call *call, struct copy_lane *lanes, size_t n, bool is_restore);
void copy_release(struct copy_lane *lanes, size_t n);
/* The item, zero, or NULL. */
struct copy_item *copy_add(struct copy_lane **lanes, size_t *n, int node, uint32_t minor,
			   bool is_new);

/* ---- dump.c, dump-read.c, dump-write.c ---- */

int dump_begin(struct criu_call *call);
int dump_pause_task(struct criu_call *call, struct criu_task *task);
int dump_file(struct criu_call *call, struct criu_file *file, int fd);
int dump_unpause_task(struct criu_call *call, struct criu_task *task);
int dump_recover(struct criu_call *call, const void *record, size_t size);
void dump_release(struct amdgpu *gpu);
int dump_read_kfd(struct criu_call *call, struct kfd *kfd);
int dump_read_render(struct criu_call *call, struct render *render, int fd);
int dump_read_dmabuf(struct criu_call *call, struct dmabuf *dmabuf, int fd);
/* When all are read. */
int dump_write(struct criu_call *call);
/* Our own open render node; NULL: said. */
struct node *own_node(struct criu_call *call, uint32_t minor);
/* The id by which the process knows the GPU with this render node; its real id if it does not. */
uint32_t user_gpu_id(const struct amdgpu *gpu, const struct kfd *kfd, uint32_t minor);

/* ---- shm.c: what the runtime (ROCr) keeps in /dev/shm ---- */

int shm_read(struct criu_call *call, uint64_t *ret_size, uint32_t *ret_magic);
int shm_restore(struct criu_call *call, uint64_t size, uint32_t magic);

/* ---- saved.c, restore*.c ---- */

int topology_to_saved(const struct topology *topology, CriuKfd *image);
/* Reads and checks all images of the tree's files, and the topology of the host of the dump. */
int saved_load(struct criu_call *call);
void saved_release(struct criu_call *call);
/* Images of CRIU's own plugin: the class of that file (and its path), or of the mapping with a
 * path; -1. */
int saved_adopt(struct criu_call *call, uint32_t id, char *path, size_t size);
/* Such images do not say who shares what, and what was given to kfd. */
int saved_guess(struct criu_call *call);
/* Name of the contents of a GPU's buffers: under the id that the process uses, or one of another
 * GPU. */
int saved_pages_name(struct criu_call *call, const struct saved_kfd *saved, uint32_t gpu_id,
		     uint64_t size, char *name, size_t room);
bool file_is(const struct criu_file *file, int class);
/* The file of the tree with that id, or NULL. */
struct criu_file *file_by_id(const struct criu_call *call, uint32_t id);
/* The node here that takes the place of that one of the dump's host. NULL: none. */
const struct topology_node *new_gpu(const struct amdgpu *gpu, enum topology_property property,
				    uint32_t value);
/* Of the GPU that a process knows by that id. */
const struct topology_node *new_gpu_of_user(const struct amdgpu *gpu, const CriuKfd *image,
					    uint32_t user_id);
/* Of the same folder as the path, the node with this minor. */
void new_render_path(const char *path, uint32_t minor, char *ret, size_t size);
const struct use *use_of(const struct use *uses, size_t n, uint32_t index);

int restore_begin(struct criu_call *call);
int restore_file(struct criu_call *call, struct criu_file *file, int *fd);
int restore_kfd(struct criu_call *call, struct saved_kfd *saved, int *ret_fd);
int restore_render(struct criu_call *call, struct saved_render *saved, int *ret_fd);
/* Gives an object to those who look for it, and the other way round: a descriptor or -errno. */
int share_object(struct criu_call *call, uint32_t number, int dmabuf);
int find_object(struct criu_call *call, uint32_t number);
/* Where its buffers are now, for other processes. */
int share_places(struct criu_call *call, const struct criu_file *file, const struct place *places,
		 size_t n);
int find_origins(struct criu_call *call);
int restore_mapping(struct criu_call *call, struct criu_mapping *mapping, uint64_t *offset,
		    int *fd);
int resume_task(struct criu_call *call, struct criu_task *task);

#endif
