/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Scope-bound ownership: a variable marked _cleanup_x_ releases what it holds when its scope ends,
 *whichever way. TAKE_FD and TAKE_PTR hand the thing over and leave "nothing" behind, so that it is
 *released by the new owner alone.
 *
 *	_cleanup_close_ int fd = open(...);
 *	...
 *	*ret_fd = TAKE_FD(fd);
 *
 * Shared by host code and blobs; blobs use only the parts that need no libc.
 */
#ifndef COMPEL_BASE_CLEANUP_H
#define COMPEL_BASE_CLEANUP_H

#define _cleanup_(function) __attribute__((cleanup(function)))

/* Defines the function that _cleanup_(free_x_at) needs, for a pointer type whose destructor is
 * free_x(type). */
#define DEFINE_CLEANUP(type, function)                                         \
	static inline __attribute__((unused)) void function##_at(type *object) \
	{                                                                      \
		if (*object)                                                   \
			function(*object);                                     \
	}

#define TAKE_PTR(ptr)                           \
	({                                      \
		__typeof__(ptr) taken_ = (ptr); \
		(ptr) = NULL;                   \
		taken_;                         \
	})

#define TAKE_FD(fd)                \
	({                         \
		int taken_ = (fd); \
		(fd) = -1;         \
		taken_;            \
	})

#if __STDC_HOSTED__
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *fd unless it is negative; errno stays as it was, so that the error being returned is not
 * lost. */
static inline void close_at(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

static inline void free_at(void *pointer)
{
	free(*(void **)pointer);
}

DEFINE_CLEANUP(FILE *, fclose)
DEFINE_CLEANUP(DIR *, closedir)

#define _cleanup_close_    _cleanup_(close_at)
#define _cleanup_free_     _cleanup_(free_at)
#define _cleanup_fclose_   _cleanup_(fclose_at)
#define _cleanup_closedir_ _cleanup_(closedir_at)
#endif

#endif
