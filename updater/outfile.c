// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "outfile.h"

/* With the permissions that a file made by creat() would have. */
static int create(struct outfile *file)
{
	mode_t mask = umask(0);

	umask(mask);
	file->fd = mkostemp(file->growing, O_CLOEXEC);
	if (file->fd < 0)
		return error_errno("cannot create '%s'", file->path);
	fchmod(file->fd, 0666 & ~mask);
	return 0;
}

int outfile_begin(struct outfile *file, const char *path)
{
	struct stat st;

	file->path = path;
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return error("'%s' exists and is not a file", path);
	if (asprintf(&file->growing, "%s.XXXXXX", path) < 0)
		return error("out of memory");
	if (!create(file))
		return 0;
	free(file->growing);
	return -1;
}

int outfile_write(struct outfile *file, uint64_t at, const void *bytes,
		  size_t len)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t n = pwrite(file->fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno("cannot write '%s'", file->path);
		p += n;
		at += n;
		len -= n;
	}
	return 0;
}

/* The rename is durable only when the folder is. */
static int flush_folder_of(const char *path)
{
	char copy[strlen(path) + 1];
	int fd, r;

	strcpy(copy, path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -1 : fsync(fd);
	if (r)
		error_errno("cannot flush the folder of '%s'", path);
	if (fd >= 0)
		close(fd);
	return r;
}

int outfile_end(struct outfile *file, int r)
{
	if (!r && (fsync(file->fd) || rename(file->growing, file->path)))
		r = error_errno("cannot write '%s'", file->path);
	close(file->fd);
	if (r)
		unlink(file->growing);
	else
		r = flush_folder_of(file->path);
	free(file->growing);
	return r;
}
