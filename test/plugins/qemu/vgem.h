/* SPDX-License-Identifier: GPL-2.0-only */
/* A buffer of vgem.ko, the driver of a GPU without hardware: a dma-buf of another driver's. */
#ifndef TESTGPU_VGEM_H
#define TESTGPU_VGEM_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define VGEM_CARD "/dev/dri/card0"

struct vgem_dumb {
	uint32_t height, width, bpp, flags, handle, pitch;
	uint64_t size;
};

struct vgem_prime {
	uint32_t handle, flags;
	int32_t fd;
};

/* Its dma-buf, or -errno. */
static inline int vgem_buffer(size_t size)
{
	struct vgem_dumb dumb = {.width = 1024, .height = (uint32_t)(size / 4096), .bpp = 32};
	struct vgem_prime prime = {.flags = O_RDWR | O_CLOEXEC};
	int card = open(VGEM_CARD, O_RDWR | O_CLOEXEC), ret;

	if (card < 0)
		return -errno;
	ret = ioctl(card, _IOWR('d', 0xb2, struct vgem_dumb), &dumb);
	prime.handle = dumb.handle;
	if (ret == 0)
		ret = ioctl(card, _IOWR('d', 0x2d, struct vgem_prime), &prime);
	ret = ret < 0 ? -errno : prime.fd;
	close(card);
	return ret;
}

#endif
