/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver behind the file system: GPUs, buffer objects and their memory (memory.c), open files
 * and processes (process.c), queues that run (queue.c), the ioctls of kfd (kfd.c, events.c, svm.c,
 * criu.c) and of render nodes (drm.c, cs.c), what is in the log (log.c), faults (faults.c), and the
 * topology tree (topology.c). Nothing here knows FUSE but server.c. All that is below struct emu is
 * looked at with its lock held.
 */
#ifndef KFD_EMU_EMU_H
#define KFD_EMU_EMU_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kfd.h"

enum { EMU_PAGE = 4096, EMU_CPUS_MAX = 8, EMU_RENDER_MINOR = 128 };

/* All nodes are that large, always: what is mapped beyond the end of a file could not be used. */
#define EMU_NODE_SIZE (1ULL << 50)
/* There is no page beyond that, though it can be mapped. */
#define EMU_MEMORY_SIZE (EMU_NODE_SIZE - (1ULL << 40))
/* The offsets of /dev/kfd are larger; those with bit 63 cannot be had here. */
#define EMU_KFD_SIZE (INT64_MAX & ~0xfffLL)
/* kfd_flat_memory.c, SVM_USER_BASE and AMDGPU_VA_RESERVED_BOTTOM: below are the trap handler's. */
#define EMU_GPUVM_BASE  0x20000ULL
#define EMU_GPUVM_LIMIT 0x7fffffffffffULL
/* kfd_doorbell_process_slice() */
#define EMU_DOORBELL_SLICE 8192
/* What the hardware's descriptor of a queue takes. */
#define EMU_MQD_SIZE 512

/* What buffers of a render node are in, the numbers of amdgpu_drm.h. */
enum emu_domain { EMU_CPU = 1, EMU_GTT = 2, EMU_VRAM = 4 };

struct gpu {
	unsigned int index, minor; /* of the render node */
	uint32_t id;               /* the real one */
	uint64_t vram_size, vram_used, hive;
	int memory; /* all that the render node maps, at the offsets at which it is mapped */
	int32_t backing;
	uint64_t next_offset;
};

/* A buffer object, and the dma-buf that stands for it: dmabuf/NUMBER. */
struct object {
	uint32_t number;
	unsigned int refs;
	struct gpu *gpu;
	uint32_t domain;       /* 0: neither memory nor contents, as doorbells */
	uint64_t size, offset; /* offset: for mmap(2) of the render node */
	uint64_t flags, alignment;
	uint64_t user_address; /* in the memory of user_pid; 0: not a userptr */
	pid_t user_pid;
	struct process *owner; /* of kfd, that made it and is there; its queues may write to it */
	bool is_exported;
};

struct mapping {
	uint64_t va, size, offset, flags;
	struct object *object; /* a reference */
	bool is_compute;       /* mapped by way of kfd */
};

/* What a GPU can address for one open render node. */
struct vm {
	struct mapping *mappings;
	size_t n, room;
};

struct gem {
	struct object *object; /* NULL: free */
	bool is_import;
};

/* Buffers that work needs, by their numbers. */
struct list {
	uint32_t *numbers;
	uint32_t n;
};

enum file_kind { FILE_KFD, FILE_RENDER, FILE_DMABUF };

/* An open file description. */
struct file {
	struct file *next;
	enum file_kind kind;
	uint32_t id;
	unsigned int refs; /* of the file system, and of each process that took it as its VM */
	pid_t opener;
	/* FILE_KFD */
	struct process *process;
	/* FILE_RENDER */
	struct gpu *gpu;
	struct gem *gems; /* by handle */
	uint32_t n_gems;
	struct vm vm;
	bool is_compute_vm;
	uint32_t n_contexts, n_lists;
	struct list *lists;             /* by number less one */
	uint64_t n_fences, stuck_fence; /* 0: none */
	/* FILE_DMABUF */
	struct object *object;
};

/* A buffer of a process, as kgd_mem. */
struct buffer {
	struct object *object;
	uint64_t va;
	uint32_t flags;  /* enum kfd_alloc_flags */
	uint64_t mapped; /* a bit for each device of the process */
	bool is_import;
};

/* What a process has with one GPU. */
struct device {
	struct gpu *gpu;
	uint32_t user_id;
	struct file *vm;         /* the render node; NULL: not bound */
	struct buffer **buffers; /* by handle */
	uint32_t n_buffers;
	unsigned int evicted;
};

/* A place in memory that a queue's program names. */
struct place {
	struct object *object;
	uint64_t offset;
};

struct queue {
	struct queue *next;
	uint32_t id, type, format, percentage, priority, doorbell_id;
	struct device *device;
	uint64_t ring, ring_size, read_pointer, write_pointer;
	uint64_t eop, ctx;
	uint32_t eop_size, ctx_size, ctl_stack_size;
	unsigned char mqd[EMU_MQD_SIZE];
	/* Where its program leads; good for that generation of mappings. */
	uint64_t generation;
	struct place *places;
	uint32_t n_places;
	uint64_t steps;
	bool is_stuck;
};

struct event {
	struct event *next;
	uint32_t id, type, auto_reset;
	bool is_signaled;
	unsigned char data[32];
};

struct svm_range {
	struct svm_range *next;
	uint64_t start, size; /* in pages */
	uint32_t n;
	struct kfd_svm_attribute attributes[4 + KFD_MAX_GPUS];
	bool is_waiting; /* from a checkpoint, for RESUME */
};

struct process {
	struct process *next;
	pid_t pid;
	int mem; /* its memory, /proc/PID/mem: of one address space, and empty when that is gone */
	unsigned int refs;
	bool is_cleared; /* the address space is gone, files are still open */
	uint32_t n_devices;
	struct device *devices;
	struct queue *queues;
	struct event *events;
	struct svm_range *ranges;
	uint64_t event_page; /* handle of the buffer */
	bool is_xnack, is_paused, is_blocking_mmu;
	bool is_resuming; /* queues run again from the next tick on */
};

/* Who asks. */
struct caller {
	pid_t tid, pid;
};

struct fault {
	struct fault *next;
	char op[24], node[24], kind[16];
	unsigned int after, times; /* how many to let pass, how many to strike; times 0: all */
	long long value;
	unsigned int struck;
	bool is_used_up;
};

/* What the topology says about a GPU instead of what it usually says. */
struct setting {
	unsigned int gpu;
	char name[40];
	unsigned long long value;
};

enum { EMU_SETTINGS_MAX = 64 };

struct call;

struct emu {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct gpu *gpus;
	unsigned int n_gpus, n_cpus;
	struct setting settings[EMU_SETTINGS_MAX];
	unsigned int n_settings;
	const char *cuts[EMU_SETTINGS_MAX]; /* links that are not there: "FROM-TO" */
	unsigned int n_cuts;
	struct object **objects; /* by number */
	uint32_t n_objects;
	struct file *files;
	struct process *processes;
	struct fault *faults;
	uint32_t last_file, last_object;
	uint64_t generation; /* of all that buffers are mapped to */
	/* Settings, by commands. */
	unsigned int tick_us;
	bool may_change_handle, is_evicting_each;
	uint32_t minor; /* of the version of kfd */
	/* Events. */
	char *log;
	size_t log_size, log_room;
	unsigned long n_lines, n_wrong;
	/* A dma-buf's or a render node's file by the number of a descriptor of the caller; 0 or
	 * -EBADF. Lets go of the lock meanwhile. Set by the server. */
	int (*find_file)(struct emu *emu, const struct caller *caller, int fd,
			 struct file **ret_file);
	/* Whether a signal waits for the caller. Set by the server. */
	bool (*is_interrupted)(const struct call *call);
};

/* One ioctl. */
struct call {
	struct emu *emu;
	struct file *file;
	struct process *process; /* of a kfd file */
	const struct caller *caller;
	void *request; /* the server's */
	unsigned int cmd;
	/* The structure, in and out. */
	unsigned char data[512] __attribute__((aligned(8)));
	size_t size;
	char note[192]; /* for the log: " key=value key=value" */
	const char *name;
	const char *wrong; /* what rule was broken, NULL if none */
	bool is_quiet;     /* not for the log */
};

void call_note(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The memory of the caller: 0 or -EFAULT. */
int copy_from_caller(const struct call *call, uint64_t raddr, void *data, size_t size);
int copy_to_caller(const struct call *call, uint64_t raddr, const void *data, size_t size);

/* ---- memory.c ---- */

/* A new object, for the caller; NULL: no memory. size is rounded up to pages. */
struct object *object_new(struct emu *emu, struct gpu *gpu, uint64_t size, uint32_t domain);
struct object *object_get(struct object *object);
void object_put(struct emu *emu, struct object *object);
struct object *object_by_number(struct emu *emu, uint32_t number);
/* The object at this offset of the render node of a GPU; NULL in a gap. */
struct object *object_at(struct emu *emu, const struct gpu *gpu, uint64_t offset);
/* 0 or -EFAULT; with and without the lock, as long as the caller has a reference. */
int object_read(const struct object *object, uint64_t offset, void *data, size_t size);
int object_write(const struct object *object, uint64_t offset, const void *data, size_t size);
int remote_read(pid_t pid, uint64_t raddr, void *data, size_t size);
int remote_write(pid_t pid, uint64_t raddr, const void *data, size_t size);

int vm_map(struct emu *emu, struct vm *vm, const struct mapping *mapping);
/* -ENOENT if there is no such. */
int vm_unmap(struct emu *emu, struct vm *vm, uint64_t va, uint64_t size);
/* What was not mapped by way of kfd. */
void vm_unmap_object(struct emu *emu, struct vm *vm, const struct object *object);
const struct mapping *vm_find(const struct vm *vm, uint64_t va, uint64_t size);

/* ---- process.c ---- */

struct file *file_open(struct emu *emu, enum file_kind kind, const struct caller *caller);
struct file *file_by_id(struct emu *emu, uint32_t id);
void file_put(struct emu *emu, struct file *file);
/* Of the process that calls; made if it has none. */
struct process *process_open(struct emu *emu, const struct caller *caller);
void process_put(struct emu *emu, struct process *process);
/* Processes that have ended let go of all they have, whoever has their files open. */
void processes_reap(struct emu *emu);
bool process_is_gone(const struct process *process);
struct device *device_by_user_id(struct process *process, uint32_t id);
struct device *device_by_gpu(struct process *process, const struct gpu *gpu);
struct gpu *gpu_by_id(struct emu *emu, uint32_t id);
/* Buffers by handle; wanted -1: the lowest free. The handle or -ENOMEM. */
int buffer_insert(struct device *device, struct buffer *buffer, int wanted);
struct buffer *buffer_by_handle(struct device *device, uint64_t handle);
/* As a buffer, its own or imported. */
bool process_has(const struct process *process, const struct object *object);
void buffer_free(struct emu *emu, struct process *process, struct buffer *buffer);
/* A numeric field of /proc/TID/status, base 10 or 16; -1 if it cannot be had. */
long long status_field(pid_t tid, const char *name, int base);
/* Fields of NSpid; how many. */
unsigned int status_pids(pid_t tid, pid_t *ret_pids, unsigned int room);

/* ---- queue.c ---- */

struct queue *queue_by_id(struct process *process, uint32_t id);
void queue_free(struct emu *emu, struct process *process, struct queue *queue);
/* Whether queues of who made it run, and somebody else reads it: what he gets is torn. */
bool object_is_busy(const struct call *call, const struct object *object);
void process_evict(struct process *process);
void process_unevict(struct process *process);
/* One step of all that runs. Takes the lock. */
void emu_tick(struct emu *emu);

/* ---- the ioctls: 0 or -errno ---- */

struct operation {
	unsigned int nr;
	const char *name;
	int (*run)(struct call *call);
	unsigned int size; /* of the structure */
};

extern const struct operation kfd_operations[], drm_operations[];

int buffer_new(struct call *call, struct device *device, const struct buffer *wanted, uint64_t size,
	       uint64_t user_address, struct buffer **ret_buffer);
int buffer_map(struct call *call, struct buffer *buffer, struct device *device);
int run_criu(struct call *call);
int run_svm(struct call *call);
int run_create_event(struct call *call);
int run_destroy_event(struct call *call);
int run_set_event(struct call *call);
int run_reset_event(struct call *call);
int run_wait_events(struct call *call);
int event_new(struct process *process, const struct event *wanted, bool has_id, uint32_t *ret_id);
int check_queue(struct call *call, const struct queue *queue);
void list_free(struct list *list);
int run_context(struct call *call);
int run_bo_list(struct call *call);
int run_cs(struct call *call);
int run_wait_cs(struct call *call);

/* The name of an ioctl for log and faults; NULL if there is no such. */
const char *call_name(struct call *call);
/* Takes the lock; 0 or -errno, logged. */
int call_run(struct call *call);

/* ---- log.c ---- */

/* One line: seq, op, node, who, opener, handle, note, result. */
void log_call(struct emu *emu, const struct call *call, int result, const char *fault);
void log_text(struct emu *emu, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *node_name(const struct file *file, char name[24]);
/* Text of the file "state"; the caller's. */
char *state_text(struct emu *emu);

/* ---- faults.c ---- */

/* 0 or -EINVAL. */
int command_run(struct emu *emu, const char *text);
/* The fault of that kind that strikes this operation now, NULL if none; counts it. */
const struct fault *fault_strike(struct emu *emu, const char *op, const char *node,
				 const char *kind);
bool is_hanging(struct emu *emu);

/* ---- topology.c ---- */

/* Reads the options and makes the GPUs; -1 after telling what is wrong. */
int emu_configure(struct emu *emu, int argc, char **argv, const char **ret_root);
/* Writes the tree; 0 or -errno. */
int topology_write(const struct emu *emu, const char *folder);

#endif
