// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * isolate discard|write DEV FIRST STRIDE COUNT JOBS: discards, or overwrites
 * directly, COUNT blocks of 4096 bytes that lie STRIDE bytes apart, the first
 * at FIRST; JOBS processes share them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK 4096

static int touch(int fd, const char *verb, void *buf, uint64_t at)
{
	uint64_t range[2] = { at, BLOCK };

	if (!strcmp(verb, "discard"))
		return ioctl(fd, BLKDISCARD, range);
	memcpy(buf, &at, sizeof(at));
	return pwrite(fd, buf, BLOCK, at) == BLOCK ? 0 : -1;
}

int main(int argc, char **argv)
{
	uint64_t first, stride, count;
	int jobs, status, bad = 0;
	void *buf;
	int fd;

	if (argc != 7 || (fd = open(argv[2], O_RDWR | O_DIRECT)) < 0 ||
	    posix_memalign(&buf, BLOCK, BLOCK))
		return 2;
	first = strtoull(argv[3], NULL, 0);
	stride = strtoull(argv[4], NULL, 0);
	count = strtoull(argv[5], NULL, 0);
	jobs = atoi(argv[6]);
	for (int me = 0; me < jobs; me++) {
		if (fork())
			continue;
		memset(buf, 0x5a, BLOCK);
		for (uint64_t i = me; i < count; i += jobs) {
			if (!touch(fd, argv[1], buf, first + i * stride))
				continue;
			perror(argv[1]);
			_exit(1);
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad ? 1 : 0;
}
