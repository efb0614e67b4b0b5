// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of a device that is not there, for tests in a virtual machine: /dev/testgpu0 and 1.
 * What it is asked for is in testgpu.h. It keeps those rules of real drivers that an emulator
 * outside the kernel cannot: character devices with numbers, mappings that are VM_IO | VM_PFNMAP
 * and that the kernel does not merge, offsets with bit 63, and dma-bufs that it installs in its
 * caller. /sys/module/testgpu/parameters has how many files are paused, and how many calls were
 * refused because of who made them.
 */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#include "testgpu.h"

#define DEVICES     2
#define BUFFER_MAX  (4UL << 20)
#define OFFSET_HIGH (1ULL << 63)

static atomic_t paused_files, wrong_callers;
static atomic64_t last_offset;
static int major;
static struct class *class;

/* Lives as long as the file, or a dma-buf of it. */
struct buffer {
	struct kref kref;
	void *pages;
	size_t size;
	u64 offset;
	struct dma_buf *dmabuf; /* not counted: it has a reference to the buffer */
};

struct testgpu_file {
	struct mutex lock;
	struct pid *owner;
	struct buffer *buffer;
	u64 registers[TESTGPU_REGISTERS];
	bool is_paused;
	struct delayed_work engine;
};

static void buffer_free(struct kref *kref)
{
	struct buffer *buffer = container_of(kref, struct buffer, kref);

	free_pages_exact(buffer->pages, buffer->size);
	kfree(buffer);
}

static int buffer_new(struct testgpu_file *gpu, u64 size)
{
	struct buffer *buffer;

	if (gpu->buffer)
		return -EEXIST;
	if (!size || size % PAGE_SIZE || size > BUFFER_MAX)
		return -EINVAL;
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	buffer->pages = alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO);
	if (!buffer->pages) {
		kfree(buffer);
		return -ENOMEM;
	}
	kref_init(&buffer->kref);
	buffer->size = size;
	/* Never the same twice, nor next to another. */
	buffer->offset = OFFSET_HIGH | atomic64_add_return(2 * BUFFER_MAX, &last_offset);
	gpu->buffer = buffer;
	return 0;
}

static u64 *counter_of(const struct buffer *buffer)
{
	return buffer->pages + buffer->size - sizeof(u64);
}

static void engine_run(struct work_struct *work)
{
	struct testgpu_file *gpu = container_of(to_delayed_work(work), struct testgpu_file, engine);

	mutex_lock(&gpu->lock);
	if (!gpu->is_paused) {
		gpu->registers[TESTGPU_REGISTERS - 1]++;
		if (gpu->buffer)
			*counter_of(gpu->buffer) = gpu->registers[TESTGPU_REGISTERS - 1];
		schedule_delayed_work(&gpu->engine, 1);
	}
	mutex_unlock(&gpu->lock);
}

static void set_paused(struct testgpu_file *gpu, bool is_paused)
{
	if (gpu->is_paused == is_paused)
		return;
	gpu->is_paused = is_paused;
	atomic_add(is_paused ? 1 : -1, &paused_files);
	if (!is_paused)
		schedule_delayed_work(&gpu->engine, 1);
}

/* As kfd_ioctl() asks: of the owner, or in the thread that traces the owner's leader. */
static bool is_caller_right(const struct testgpu_file *gpu)
{
	struct task_struct *owner;
	bool is_right;

	rcu_read_lock();
	owner = pid_task(gpu->owner, PIDTYPE_TGID);
	is_right = owner && (owner == current->group_leader || ptrace_parent(owner) == current);
	rcu_read_unlock();
	if (!is_right)
		atomic_inc(&wrong_callers);
	return is_right;
}

/* ---- dma-bufs ---- */

static struct sg_table *dmabuf_map(struct dma_buf_attachment *attachment,
				   enum dma_data_direction direction)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void dmabuf_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
			 enum dma_data_direction direction)
{
}

static int map_pages(const struct buffer *buffer, struct vm_area_struct *vma, u64 at)
{
	size_t size = vma->vm_end - vma->vm_start;

	if (at > buffer->size || size > buffer->size - at || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start, (virt_to_phys(buffer->pages) + at) >> PAGE_SHIFT,
			       size, vma->vm_page_prot);
}

static int dmabuf_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	return map_pages(dmabuf->priv, vma, (u64)vma->vm_pgoff << PAGE_SHIFT);
}

static void dmabuf_release(struct dma_buf *dmabuf)
{
	struct buffer *buffer = dmabuf->priv;

	buffer->dmabuf = NULL;
	kref_put(&buffer->kref, buffer_free);
}

static const struct dma_buf_ops dmabuf_ops = {
	.map_dma_buf = dmabuf_map,
	.unmap_dma_buf = dmabuf_unmap,
	.mmap = dmabuf_mmap,
	.release = dmabuf_release,
};

static long ioctl_export(struct testgpu_file *gpu, s32 __user *arg)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;
	int fd;

	if (!gpu->buffer)
		return -ENXIO;
	if (gpu->buffer->dmabuf)
		return -EEXIST;
	info.ops = &dmabuf_ops;
	info.size = gpu->buffer->size;
	info.flags = O_RDWR;
	info.priv = gpu->buffer;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	kref_get(&gpu->buffer->kref);
	gpu->buffer->dmabuf = dmabuf;
	fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (fd < 0) {
		dma_buf_put(dmabuf);
		return fd;
	}
	return put_user(fd, arg);
}

/* ---- calls ---- */

static long ioctl_alloc(struct testgpu_file *gpu, void __user *arg)
{
	struct testgpu_alloc alloc;
	int err;

	if (copy_from_user(&alloc, arg, sizeof(alloc)))
		return -EFAULT;
	err = buffer_new(gpu, alloc.size);
	if (err)
		return err;
	alloc.offset = gpu->buffer->offset;
	return copy_to_user(arg, &alloc, sizeof(alloc)) ? -EFAULT : 0;
}

static long ioctl_read(struct testgpu_file *gpu, void __user *arg)
{
	struct testgpu_state state;

	if (!gpu->is_paused)
		return -EINVAL;
	if (copy_from_user(&state, arg, sizeof(state)))
		return -EFAULT;
	memcpy(state.registers, gpu->registers, sizeof(state.registers));
	if (state.contents && gpu->buffer &&
	    (state.size < gpu->buffer->size ||
	     copy_to_user(u64_to_user_ptr(state.contents), gpu->buffer->pages, gpu->buffer->size)))
		return -EFAULT;
	state.size = gpu->buffer ? gpu->buffer->size : 0;
	state.offset = gpu->buffer ? gpu->buffer->offset : 0;
	state.inode = gpu->buffer && gpu->buffer->dmabuf
			      ? file_inode(gpu->buffer->dmabuf->file)->i_ino
			      : 0;
	return copy_to_user(arg, &state, sizeof(state)) ? -EFAULT : 0;
}

static long ioctl_write(struct testgpu_file *gpu, void __user *arg)
{
	struct testgpu_state state;
	int err;

	if (copy_from_user(&state, arg, sizeof(state)))
		return -EFAULT;
	set_paused(gpu, true);
	err = state.size ? buffer_new(gpu, state.size) : 0;
	if (err)
		return err;
	if (state.size &&
	    copy_from_user(gpu->buffer->pages, u64_to_user_ptr(state.contents), gpu->buffer->size))
		return -EFAULT;
	memcpy(gpu->registers, state.registers, sizeof(gpu->registers));
	state.offset = gpu->buffer ? gpu->buffer->offset : 0;
	return copy_to_user(arg, &state, sizeof(state)) ? -EFAULT : 0;
}

static long ioctl_pause(struct testgpu_file *gpu, bool is_paused)
{
	if (gpu->is_paused == is_paused)
		return -EALREADY;
	set_paused(gpu, is_paused);
	return 0;
}

static long testgpu_call(struct testgpu_file *gpu, unsigned int cmd, void __user *arg)
{
	if (cmd == TESTGPU_ALLOC)
		return ioctl_alloc(gpu, arg);
	if (cmd == TESTGPU_EXPORT)
		return ioctl_export(gpu, arg);
	if (!is_caller_right(gpu))
		return -EBADF;
	switch (cmd) {
	case TESTGPU_READ:
		return ioctl_read(gpu, arg);
	case TESTGPU_WRITE:
		return ioctl_write(gpu, arg);
	case TESTGPU_PAUSE:
		return ioctl_pause(gpu, true);
	case TESTGPU_UNPAUSE:
		return ioctl_pause(gpu, false);
	}
	return -ENOTTY;
}

static long testgpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct testgpu_file *gpu = file->private_data;
	long ret;

	mutex_lock(&gpu->lock);
	ret = testgpu_call(gpu, cmd, (void __user *)arg);
	mutex_unlock(&gpu->lock);
	return ret;
}

static int testgpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct testgpu_file *gpu = file->private_data;
	u64 at = (u64)vma->vm_pgoff << PAGE_SHIFT;
	const struct buffer *buffer = gpu->buffer;

	if (!buffer || at < buffer->offset || at - buffer->offset >= buffer->size)
		return -EINVAL;
	return map_pages(buffer, vma, at - buffer->offset);
}

static int testgpu_open(struct inode *inode, struct file *file)
{
	struct testgpu_file *gpu = kzalloc(sizeof(*gpu), GFP_KERNEL);

	if (!gpu)
		return -ENOMEM;
	mutex_init(&gpu->lock);
	gpu->owner = get_pid(task_tgid(current));
	INIT_DELAYED_WORK(&gpu->engine, engine_run);
	schedule_delayed_work(&gpu->engine, 1);
	file->private_data = gpu;
	return 0;
}

static int testgpu_release(struct inode *inode, struct file *file)
{
	struct testgpu_file *gpu = file->private_data;

	mutex_lock(&gpu->lock);
	atomic_sub(gpu->is_paused, &paused_files);
	/* So that the engine ends. */
	gpu->is_paused = true;
	mutex_unlock(&gpu->lock);
	cancel_delayed_work_sync(&gpu->engine);
	if (gpu->buffer)
		kref_put(&gpu->buffer->kref, buffer_free);
	put_pid(gpu->owner);
	kfree(gpu);
	return 0;
}

static const struct file_operations testgpu_fops = {
	.owner = THIS_MODULE,
	.open = testgpu_open,
	.release = testgpu_release,
	.unlocked_ioctl = testgpu_ioctl,
	.mmap = testgpu_mmap,
};

/* ---- life ---- */

static int show_atomic(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", atomic_read((atomic_t *)param->arg));
}

static const struct kernel_param_ops atomic_ops = {.get = show_atomic};
module_param_cb(paused, &atomic_ops, &paused_files, 0444);
module_param_cb(wrong, &atomic_ops, &wrong_callers, 0444);

static int __init testgpu_init(void)
{
	major = register_chrdev(0, "testgpu", &testgpu_fops);
	if (major < 0)
		return major;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	class = class_create("testgpu");
#else
	class = class_create(THIS_MODULE, "testgpu");
#endif
	if (IS_ERR(class)) {
		unregister_chrdev(major, "testgpu");
		return PTR_ERR(class);
	}
	for (int i = 0; i < DEVICES; i++)
		device_create(class, NULL, MKDEV(major, i), NULL, "testgpu%d", i);
	return 0;
}

static void __exit testgpu_exit(void)
{
	for (int i = 0; i < DEVICES; i++)
		device_destroy(class, MKDEV(major, i));
	class_destroy(class);
	unregister_chrdev(major, "testgpu");
}

module_init(testgpu_init);
module_exit(testgpu_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("device for tests of checkpoint and restore");
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS("DMA_BUF");
#else
MODULE_IMPORT_NS(DMA_BUF);
#endif
