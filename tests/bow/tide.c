// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tide DEV MIB JOBS: JOBS processes, each with an area of its own, 64 slots of
 * 4096 bytes from MiB MIB on, write without end: write n is full of the number
 * n and goes to slot 37 * n mod 64, n = 1, 2, 3... After each, JOB's last n is
 * in the file /run/tide.JOB. So what a device holds tells which of the writes
 * are there, and if any is missing before the last.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOT  4096
#define SLOTS 64

static void note(int file, uint64_t n)
{
	char text[16];
	int len =
		snprintf(text, sizeof(text), "%08llu\n", (unsigned long long)n);

	if (pwrite(file, text, len, 0) != len)
		_exit(1);
}

static void write_on(const char *path, off_t area, int job)
{
	int fd = open(path, O_RDWR | O_DIRECT);
	uint64_t *slot;
	char name[32];
	int file;

	snprintf(name, sizeof(name), "/run/tide.%d", job);
	file = open(name, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || file < 0 || posix_memalign((void **)&slot, SLOT, SLOT))
		_exit(1);
	for (uint64_t n = 1;; n++) {
		for (int i = 0; i < SLOT / 8; i++)
			slot[i] = n;
		if (pwrite(fd, slot, SLOT, area + 37 * n % SLOTS * SLOT) !=
		    SLOT) {
			perror("tide");
			_exit(1);
		}
		note(file, n);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	for (int job = 0; job < atoi(argv[3]); job++)
		if (!fork())
			write_on(argv[1],
				 ((off_t)atoi(argv[2]) << 20) +
					 (off_t)job * SLOTS * SLOT,
				 job);
	return 0;
}
