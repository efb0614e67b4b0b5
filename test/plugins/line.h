/* SPDX-License-Identifier: GPL-2.0-only */
/* A line of the log that plugins of the kit share: one write for each, so that those of several
 * processes and threads stay whole. */
#ifndef KIT_LINE_H
#define KIT_LINE_H

#include <fcntl.h>
#include <unistd.h>

/* size: of the text, as snprintf(3) says it; of what does not fit the end is lost. */
static inline void line_append(const char *log, char *line, size_t room, int size)
{
	int fd;

	if (size > (int)room - 2)
		size = (int)room - 2;
	line[size++] = '\n';
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (write(fd, line, (size_t)size) != size)
		(void)!write(fd, "torn=1\n", 7);
	close(fd);
}

#endif
