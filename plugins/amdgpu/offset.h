/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where in its buffer a mapping of a dma-buf begins. The kernel's list of mappings has what the
 * driver has made of the offset that was asked for: DRM adds the one at which the buffer is mapped
 * through a render node (drm_gem_prime_mmap()), and some drivers take it off again. Who maps the
 * dma-buf once more must ask for what is left.
 */
#ifndef AMDGPU_OFFSET_H
#define AMDGPU_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

/* node: the offset through a render node, 0: none. false: it is not of this buffer. */
static inline bool offset_in_dmabuf(uint64_t offset, uint64_t length, uint64_t node, uint64_t size,
				    uint64_t *ret)
{
	if (node && offset >= node && offset - node < size)
		*ret = offset - node;
	else
		*ret = offset;
	return *ret < size && length <= size - *ret;
}

#endif
