// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore, first part: mm-N.img and page maps are read and checked in the coordinator, while no
 * process exists. Nothing in an image is believed: mappings are in order, apart, page aligned and
 * below the end of user addresses; each has one backing that this release can bring back, what it
 * refers to exists; pages lie in private mappings. What was refused at dump cannot come from us,
 * but from images of others: refused here, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/files.h"
#include "images/lib/image.h"
#include "mem/mem-priv.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "mem/objects.h"
#include "pie/mem-args.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/mm.pb-c.h"
#include "images/vma.pb-c.h"

#define KNOWN_STATUS                                                                               \
	(VMA_AREA_REGULAR | VMA_AREA_STACK | VMA_AREA_VSYSCALL | VMA_AREA_VDSO | VMA_AREA_HEAP |   \
	 VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED | VMA_ANON_PRIVATE | VMA_AREA_VVAR | \
	 VMA_AREA_AIORING | VMA_AREA_MEMFD | VMA_AREA_GUARD | VMA_EXT_PLUGIN)
#define BACKINGS (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED | VMA_ANON_PRIVATE)
#define KNOWN_FLAGS                                                                            \
	(MAP_TYPE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_HUGETLB | \
	 (63u << MAP_HUGE_SHIFT) | MAP_STACK | MAP_DENYWRITE | MAP_EXECUTABLE)

static const struct {
	uint32_t status;
	const char *why;
} refused_status[] = {
	{VMA_AREA_SYSVIPC, "System V shared memory cannot be restored yet"},
	{VMA_AREA_SOCKET, "rings of packet sockets cannot be restored yet"},
	{VMA_AREA_SHSTK, "shadow stacks cannot be restored"},
	{~(uint32_t)KNOWN_STATUS, "its status has bits that must not be in an image"},
};

uint64_t vma_page_size(const struct vma *vma)
{
	uint32_t code = vma->flags >> MAP_HUGE_SHIFT & 63;

	if (!(vma->flags & MAP_HUGETLB))
		return MEM_PAGE;
	/* Without a code it is the default size; 2 MiB here. */
	return code >= 12 && code < 47 ? 1ull << code : 1ull << 21;
}

/* What is wrong with a mapping by itself, or NULL. */
static const char *vma_fault(const struct vma *vma)
{
	uint32_t backing = vma->status & BACKINGS;
	uint32_t type = vma->flags & MAP_TYPE;

	for (size_t i = 0; i < ARRAY_SIZE(refused_status); i++)
		if (vma->status & refused_status[i].status)
			return refused_status[i].why;
	if (!vma->start || vma->start >= vma->end || vma->start % MEM_PAGE || vma->end % MEM_PAGE)
		return "its addresses are not those of pages";
	if (vma->status & VMA_AREA_VSYSCALL)
		return NULL;
	if (vma->end > MEM_TASK_SIZE)
		return "it lies beyond the end of user memory";
	if (!(vma->status & VMA_AREA_REGULAR))
		return vma->status == VMA_AREA_GUARD || vma->status == VMA_AREA_AIORING
			       ? NULL
			       : "its status says nothing";
	if (!backing || backing & (backing - 1))
		return "it has not exactly one backing";
	if (vma->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return "its protection is none";
	if (vma->flags & ~(uint32_t)KNOWN_FLAGS)
		return "it has unknown flags";
	if (backing & (VMA_FILE_SHARED | VMA_ANON_SHARED)
		    ? type != MAP_SHARED && type != MAP_SHARED_VALIDATE
		    : type != MAP_PRIVATE && type != MAP_DROPPABLE)
		return "its flags do not fit its backing";
	/* Drivers say what a buffer is by the highest bits. */
	if (vma->pgoff % MEM_PAGE ||
	    vma->pgoff > (vma->status & VMA_EXT_PLUGIN ? UINT64_MAX : INT64_MAX) -
				 (vma->end - vma->start))
		return "its offset in the file is none";
	if (vma->start % vma_page_size(vma) || vma->end % vma_page_size(vma))
		return "it does not consist of huge pages of its size";
	return pkey_fault(vma);
}

static int check_file(struct cr *cr, const struct task *task, const struct vma *vma)
{
	if (vma->shmid <= UINT32_MAX && file_find(cr, vma->shmid))
		return 0;
	return log_refuse(cr, -EBADMSG,
			  "mm-%d.img: mapping %" PRIx64 "-%" PRIx64 ": file %#" PRIx64
			  " is in no image",
			  task->pid, vma->start, vma->end, vma->shmid);
}

/* Images of CRIU 4.2 do not say whose it is. */
static bool is_adopted(struct cr *cr, const struct task *task, const struct vma *vma)
{
	const struct device_mapping_facts facts = {
		.pid = task->pid,
		.start = vma->start,
		.length = vma->end - vma->start,
		.offset = vma->pgoff,
		.prot = (int)vma->prot,
		.is_shared = vma->status & VMA_FILE_SHARED,
		.path = files_path_of(cr, (uint32_t)vma->shmid),
	};
	int err;

	return facts.path && plugins_adopt_mapping(cr, &facts, &err);
}

static int check_device(struct cr *cr, const struct task *task, const struct vma *vma)
{
	if (!vma_has_file(vma))
		return log_refuse(cr, -EBADMSG,
				  "mm-%d.img: mapping %" PRIx64 "-%" PRIx64
				  ": is a plugin's and has no file",
				  task->pid, vma->start, vma->end);
	if (plugins_find_mapping(cr, task->pid, vma->start) || is_adopted(cr, task, vma) ||
	    legacy_updates_vmas(cr))
		return 0;
	log_refuse(cr, -ENOENT,
		   "mm-%d.img: mapping %" PRIx64 "-%" PRIx64
		   ": no loaded plugin handles the device it maps",
		   task->pid, vma->start, vma->end);
	log_remedy(cr, "name the directory of the plugins of the dump with --libdir");
	return -ENOENT;
}

static void fill_vma(const VmaEntry *e, struct vma *vma)
{
	uint32_t guessed =
		e->prot & PROT_WRITE && e->status & VMA_FILE_SHARED ? 2 : 0; /* O_RDWR, O_RDONLY */

	*vma = (struct vma){
		.start = e->start,
		.end = e->end,
		.pgoff = e->pgoff,
		.shmid = e->shmid,
		.prot = e->prot,
		.flags = e->flags,
		.status = e->status,
		.madv = e->has_madv ? e->madv : 0,
		.fdflags = (e->has_fdflags ? e->fdflags : guessed) & 3,
		.pkey = e->pkey <= UINT8_MAX ? e->pkey : UINT8_MAX,
		.has_pkey = e->has_pkey,
	};
}

static const char *guard_fault(const struct spans *guards, const struct vma *vma)
{
	if (guards->n && vma->start < guards->items[guards->n - 1].end)
		return "it is not behind the guard region before it";
	return NULL;
}

/* Takes one entry: to mm->vmas, or to the guards. */
static int load_vma(struct cr *cr, struct task *task, const VmaEntry *e)
{
	struct mm *mm = task->mm;
	struct vma vma;
	const char *fault;

	fill_vma(e, &vma);
	fault = vma_fault(&vma);
	if (!fault && vma.status == VMA_AREA_GUARD)
		fault = guard_fault(&mm->restore->guards, &vma);
	else if (!fault && mm->n_vmas && vma.start < mm->vmas[mm->n_vmas - 1].end)
		fault = "it is not behind the mapping before it";
	if (fault)
		return log_refuse(cr, -EBADMSG, "mm-%d.img: mapping %" PRIx64 "-%" PRIx64 ": %s",
				  task->pid, vma.start, vma.end, fault);
	if (vma.status == VMA_AREA_GUARD) {
		spans_add(&mm->restore->guards, vma.start, vma.end);
		return 0;
	}
	mm->vmas[mm->n_vmas++] = vma;
	if (vma.status & VMA_ANON_SHARED)
		mem_object_note(cr, vma.shmid, vma.pgoff + (vma.end - vma.start));
	if (vma_has_file(&vma) && check_file(cr, task, &vma) < 0)
		return -EBADMSG;
	return vma.status & VMA_EXT_PLUGIN ? check_device(cr, task, &vma) : 0;
}

static int load_vmas(struct cr *cr, struct task *task)
{
	struct mm *mm = task->mm;

	mm->vmas = xcalloc(mm->entry->n_vmas, sizeof(*mm->vmas));
	for (size_t i = 0; i < mm->entry->n_vmas; i++) {
		int err = load_vma(cr, task, mm->entry->vmas[i]);

		if (err)
			return err;
	}
	return 0;
}

/* Images before 2013 have mappings in a file of their own. */
static int load_old_vmas(struct cr *cr, struct task *task)
{
	_cleanup_image_ struct image *img = NULL;
	struct mm *mm = task->mm;
	size_t capacity = 0;
	VmaEntry *e;
	int err;

	err = image_open(cr->images, IMAGE_VMAS, task->pid, &img);
	while (!err && (err = image_read(img, &e)) > 0) {
		mm->vmas = array_grow(mm->vmas, &capacity, mm->n_vmas + 1, sizeof(*mm->vmas));
		err = load_vma(cr, task, e);
		image_message_free(e);
		if (err)
			return err;
	}
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	return 0;
}

static int find_special(struct cr *cr, struct task *task)
{
	struct mm_restore *restore = task->mm->restore;

	for (unsigned int i = 0; i < task->mm->n_vmas; i++) {
		struct vma *vma = &task->mm->vmas[i];
		struct vma **slot = vma->status & VMA_AREA_VDSO   ? &restore->vdso
				    : vma->status & VMA_AREA_VVAR ? &restore->vvar
								  : NULL;

		if (slot && *slot)
			return log_refuse(cr, -EBADMSG,
					  "mm-%d.img: the vDSO or its data is there twice",
					  task->pid);
		if (slot)
			*slot = vma;
	}
	return 0;
}

/* Pages must lie in mappings that are private to the task. */
static int check_pages(struct cr *cr, struct task *task)
{
	const struct content *content = &task->mm->restore->content;
	const struct mm *mm = task->mm;
	unsigned int at = 0;

	for (size_t i = 0; i < content->n; i++) {
		uint64_t start = content->extents[i].start;
		uint64_t end = start + content->extents[i].size;

		while (start < end) {
			while (at < mm->n_vmas && mm->vmas[at].end <= start)
				at++;
			if (at == mm->n_vmas || mm->vmas[at].start > start ||
			    !vma_has_private_pages(&mm->vmas[at]))
				return log_refuse(cr, -EBADMSG,
						  "pagemap-%d.img: the page at %#" PRIx64
						  " is in no private mapping",
						  task->pid, start);
			start = MIN(end, mm->vmas[at].end);
		}
	}
	return 0;
}

static const struct vma *find_vma(const struct mm *mm, uint64_t start)
{
	for (unsigned int i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i].start == start)
			return &mm->vmas[i];
	return NULL;
}

static int check_mm(struct cr *cr, struct task *task)
{
	const MmEntry *e = task->mm->entry;

	if (!file_find(cr, e->exe_file_id))
		return log_refuse(cr, -EBADMSG,
				  "mm-%d.img: file %#x, the executable, is in no image", task->pid,
				  e->exe_file_id);
	if (e->n_mm_saved_auxv > MEM_AUXV_WORDS)
		return log_refuse(cr, -EBADMSG,
				  "mm-%d.img: the auxiliary vector has %zu words, %d are possible",
				  task->pid, e->n_mm_saved_auxv, MEM_AUXV_WORDS);
	for (size_t i = 0; i < e->n_aios; i++) {
		const struct vma *vma = find_vma(task->mm, e->aios[i]->id);

		if (!vma || !(vma->status & VMA_AREA_AIORING) ||
		    vma->end - vma->start != e->aios[i]->ring_len)
			return log_refuse(cr, -EBADMSG,
					  "mm-%d.img: the ring of asynchronous I/O at %#" PRIx64
					  " is no mapping of it",
					  task->pid, e->aios[i]->id);
	}
	return 0;
}

int mem_load(struct cr *cr, struct task *task)
{
	struct mm *mm;
	int err;

	if (!task_is_alive(task))
		return 0;
	mm = task->mm = xcalloc(1, sizeof(*mm));
	mm->restore = xcalloc(1, sizeof(*mm->restore));
	err = image_read_one(cr->images, IMAGE_MM, task->pid, &mm->entry);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	err = mm->entry->n_vmas ? load_vmas(cr, task) : load_old_vmas(cr, task);
	if (!err)
		err = find_special(cr, task);
	if (!err)
		err = check_mm(cr, task);
	if (!err)
		err = pkeys_check(cr, task);
	if (!err)
		err = content_load(cr, IMAGE_PAGEMAP, task->pid, MEM_TASK_SIZE, false,
				   &mm->restore->content);
	return err ? err : check_pages(cr, task);
}
