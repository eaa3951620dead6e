// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * poke DEV SECTOR TEXT [N]: one direct write of N sectors full of the line.
 * poke DEV SECTOR: the first line of what is there, read directly.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int peek(int fd, char *buf, off_t at)
{
	if (pread(fd, buf, 512, at) != 512)
		return 1;
	buf[511] = '\0';
	printf("%s\n", strtok(buf, "\n"));
	return 0;
}

int main(int argc, char **argv)
{
	size_t len = argc > 4 ? atoi(argv[4]) * 512 : 512;
	int fd = open(argv[1], O_RDWR | O_DIRECT);
	char *buf;
	off_t at;

	if (argc < 3 || fd < 0 || posix_memalign((void **)&buf, 4096, len))
		return 2;
	at = strtoull(argv[2], NULL, 10) * 512;
	if (argc == 3)
		return peek(fd, buf, at);
	for (size_t i = 0; i < len; i++)
		buf[i] = i % (strlen(argv[3]) + 1) < strlen(argv[3])
				 ? argv[3][i % (strlen(argv[3]) + 1)]
				 : '\n';
	if (pwrite(fd, buf, len, at) == (ssize_t)len)
		return 0;
	perror("poke");
	return 1;
}
