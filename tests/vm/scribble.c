// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * scribble DEV SEED OPS JOBS [MIB...]: random direct writes and discards all
 * over a device by JOBS processes at once, each on stripes of its own, with
 * every write read back sooner or later and compared with what it must be.
 * What the MiB with these numbers hold is unknown at the start, and after a
 * discard until the next write: with NO_DISCARD there is none. A write
 * that fails with ENOSPC or EIO must have changed nothing. Prints one line with
 * counts; exit status 1 if anything was not as it must be.
 *
 * scribble DEV SECTOR [SECTORS]: one direct write of random bytes there, of one
 * sector or so many.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRIPE 65536

static int fd;
static uint64_t size;
static int sector;
static unsigned char *shadow; /* what the device must hold */
static unsigned char *known;  /* a byte a sector: 0 after a discard */
static unsigned char *buf;
static int jobs, me;

static struct counts {
	int writes, failed, discards, wrong;
} * counts;

static uint64_t my_offset(void)
{
	uint64_t stripes = size / STRIPE / jobs;
	uint64_t stripe = (rand() % stripes) * jobs + me;

	return stripe * STRIPE +
	       (uint64_t)(rand() % (STRIPE / sector)) * sector;
}

static size_t my_length(uint64_t offset)
{
	size_t most = STRIPE - offset % STRIPE;
	size_t len = (1 + rand() % 16) * sector;

	if (rand() % 16 == 0)
		len = most;
	return len < most ? len : most;
}

static void compare(uint64_t offset, size_t len)
{
	if (pread(fd, buf, len, offset) != (ssize_t)len) {
		printf("cannot read %zu bytes at %llu: %s\n", len,
		       (unsigned long long)offset, strerror(errno));
		counts->wrong++;
		return;
	}
	for (size_t i = 0; i < len; i += sector) {
		if (!known[(offset + i) / sector] ||
		    !memcmp(buf + i, shadow + offset + i, sector))
			continue;
		printf("wrong data in sector %llu\n",
		       (unsigned long long)(offset + i) / 512);
		counts->wrong++;
	}
}

static void do_write(uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i += 4) {
		uint32_t r = rand();

		memcpy(buf + i, &r, 4);
	}
	__atomic_add_fetch(&counts->writes, 1, __ATOMIC_RELAXED);
	if (pwrite(fd, buf, len, offset) != (ssize_t)len) {
		__atomic_add_fetch(&counts->failed, 1, __ATOMIC_RELAXED);
		if (errno != ENOSPC && errno != EIO) {
			printf("write: %s\n", strerror(errno));
			counts->wrong++;
		}
		/* The kernel splits there; one part may have gone through. */
		if (offset < 4096)
			memset(known + offset / sector, 0, len / sector);
		compare(offset, len);
		return;
	}
	memcpy(shadow + offset, buf, len);
	memset(known + offset / sector, 1, len / sector);
}

static void do_discard(uint64_t offset, size_t len)
{
	uint64_t range[2] = { offset, len };

	if (ioctl(fd, BLKDISCARD, range)) {
		printf("discard: %s\n", strerror(errno));
		counts->wrong++;
	}
	memset(known + offset / sector, 0, len / sector);
	__atomic_add_fetch(&counts->discards, 1, __ATOMIC_RELAXED);
}

static void scribble(int ops)
{
	while (ops--) {
		uint64_t offset = my_offset();
		size_t len = my_length(offset);
		int dice = rand() % 20;

		if (dice == 0 && !getenv("NO_DISCARD"))
			do_discard(offset, len);
		else if (dice < 4)
			compare(offset, len);
		else if (dice == 4)
			fdatasync(fd);
		else
			do_write(offset, len);
	}
	for (uint64_t at = (uint64_t)me * STRIPE; at + STRIPE <= size;
	     at += (uint64_t)jobs * STRIPE)
		compare(at, STRIPE);
}

static void *shared(size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
}

static void start(const char *path)
{
	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) ||
	    ioctl(fd, BLKSSZGET, &sector)) {
		perror(path);
		exit(1);
	}
	shadow = shared(size);
	known = shared(size / sector);
	counts = shared(sizeof(*counts));
	if (posix_memalign((void **)&buf, 4096, STRIPE))
		exit(1);
	for (uint64_t at = 0; at + STRIPE <= size; at += STRIPE) {
		if (pread(fd, buf, STRIPE, at) != STRIPE)
			exit(1);
		memcpy(shadow + at, buf, STRIPE);
	}
	memset(known, 1, size / sector);
}

static int poke(const char *path, uint64_t at, size_t sectors)
{
	size_t len = sectors * 512;

	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0 || posix_memalign((void **)&buf, 4096, len))
		return 1;
	srand(at);
	for (size_t i = 0; i < len; i++)
		buf[i] = rand() >> 8;
	if (pwrite(fd, buf, len, at * 512) == (ssize_t)len)
		return 0;
	perror("poke");
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 || argc == 4)
		return poke(argv[1], strtoull(argv[2], NULL, 10),
			    argc == 4 ? strtoull(argv[3], NULL, 10) : 1);
	if (argc < 5)
		return 2;
	jobs = atoi(argv[4]);
	start(argv[1]);
	for (int i = 5; i < argc; i++)
		memset(known + ((uint64_t)atoi(argv[i]) << 20) / sector, 0,
		       (1 << 20) / sector);
	for (me = 0; me < jobs; me++) {
		if (fork())
			continue;
		srand(atoi(argv[2]) * 100 + me);
		scribble(atoi(argv[3]));
		fflush(stdout);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	printf("scribble=%d writes, %d failed, %d discards, %d wrong\n",
	       counts->writes, counts->failed, counts->discards, counts->wrong);
	return counts->wrong ? 1 : 0;
}
