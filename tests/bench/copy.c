// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * copy DEVICE LIST: copies extents within DEVICE, the way a plain program
 * would, and makes the copies durable. LIST has a line "BYTES TO FROM" for
 * each, TO and FROM in sectors.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char buffer[1 << 20];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void copy(int fd, size_t len, off_t to, off_t from)
{
	while (len) {
		size_t n = len < sizeof(buffer) ? len : sizeof(buffer);

		if (pread(fd, buffer, n, from) != (ssize_t)n)
			die("cannot read the device");
		if (pwrite(fd, buffer, n, to) != (ssize_t)n)
			die("cannot write the device");
		to += n;
		from += n;
		len -= n;
	}
}

int main(int argc, char **argv)
{
	unsigned long long to, from;
	FILE *list;
	size_t len;
	int fd;

	if (argc != 3)
		die("usage: copy DEVICE LIST");
	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		die(argv[1]);
	list = fopen(argv[2], "r");
	if (!list)
		die(argv[2]);
	while (fscanf(list, "%zu %llu %llu", &len, &to, &from) == 3)
		copy(fd, len, to * 512, from * 512);
	if (fsync(fd))
		die("cannot flush the device");
	return 0;
}
