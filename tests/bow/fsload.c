// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Work for a file system, from a seed, without a word of shell:
 *
 * fsload fill DIR SEED KIB        files and folders, so many KiB in all
 * fsload churn DIR SEED OPS       overwrites, appends, cuts, deletes, renames,
 *                                 creates; now and then an fsync, counted in
 *                                 DIR/progress; OPS 0: for ever
 * fsload db DIR SEED TRANSACTIONS a small data base with a rollback journal
 * fsload sum DIR                  a hash of all names and contents
 *
 * What is full stays full: ENOSPC ends a file, not the work.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDERS 8
#define FILES	32 /* in each folder */
#define MOST	262144

static unsigned char buf[MOST];
static uint64_t dice = 88172645463325252ull;
static int failed;

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice;
}

static void fill_buf(size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t r = roll();

		memcpy(buf + i, &r, 8);
	}
}

static void bad(const char *what, const char *path)
{
	if (errno == ENOSPC)
		return;
	printf("fsload: %s %s: %s\n", what, path, strerror(errno));
	failed = 1;
}

/* ---- one file ------------------------------------------------------------ */

static const char *pick(const char *dir)
{
	static char path[2][256];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/d%d/f%d", dir,
		 (int)(roll() % FOLDERS), (int)(roll() % FILES));
	return path[turn];
}

/* Mostly small, some large, few huge. */
static size_t length(void)
{
	static const size_t most[] = { 4096,  4096,  32768,  32768,
				       65536, 65536, 131072, MOST };

	return roll() % most[roll() % 8];
}

static size_t put(const char *path, int flags, off_t at, size_t len)
{
	int fd = open(path, O_WRONLY | flags, 0644);
	ssize_t n;

	if (fd < 0) {
		if (errno != ENOENT)
			bad("open", path);
		return 0;
	}
	fill_buf(len);
	n = pwrite(fd, buf, len, at);
	if (n < 0)
		bad("write", path);
	if (roll() % 8 == 0 && fsync(fd))
		bad("fsync", path);
	close(fd);
	return n < 0 ? 0 : n;
}

static size_t create(const char *path)
{
	return put(path, O_CREAT | O_TRUNC, 0, length());
}

static void overwrite(const char *path)
{
	struct stat st;

	if (!stat(path, &st) && st.st_size)
		put(path, 0, roll() % st.st_size, length() / 4 + 1);
}

static size_t append(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return 0;
	return put(path, 0, st.st_size, length() / 8 + 1);
}

/* ---- fill and churn ------------------------------------------------------ */

static void progress(const char *dir, int n)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/progress", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	if (fd < 0 || pwrite(fd, &n, sizeof(n), 0) != sizeof(n) || fsync(fd)) {
		bad("count in", path);
	} else {
		printf("%s: %d synced\n", dir, n);
		fflush(stdout);
	}
	close(fd);
}

static void fill(const char *dir, long kib)
{
	char path[256];
	long left = kib * 1024;

	for (int i = 0; i < FOLDERS; i++) {
		snprintf(path, sizeof(path), "%s/d%d", dir, i);
		mkdir(path, 0755);
	}
	progress(dir, 0);
	for (int tries = 0; left > 0 && tries < 100000; tries++) {
		const char *name = pick(dir);

		if (access(name, F_OK))
			left -= create(name);
		else
			left -= append(name);
	}
	sync();
}

static void change(const char *dir)
{
	const char *path = pick(dir);
	const char *other;

	switch (roll() % 16) {
	case 0 ... 4:
		overwrite(path);
		break;
	case 5 ... 8:
		create(path);
		break;
	case 9 ... 10:
		append(path);
		break;
	case 11 ... 13:
		unlink(path);
		break;
	case 14:
		other = pick(dir);
		rename(path, other);
		break;
	case 15:
		if (truncate(path, length()) && errno != ENOENT)
			bad("truncate", path);
		break;
	}
}

static void churn(const char *dir, long ops)
{
	for (long i = 1; !ops || i <= ops; i++) {
		change(dir);
		if (i % 64 == 0)
			progress(dir, i);
	}
}

/* ---- a data base --------------------------------------------------------- */

#define PAGE  4096
#define PAGES 256

static int must_open(const char *dir, const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | flags, 0644);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static void must(ssize_t got, ssize_t want)
{
	if (got == want)
		return;
	perror("fsload: data base");
	exit(1);
}

/* Old pages into the journal, fsync; new pages, fsync; no journal, fsync. */
static void transaction(const char *dir, int folder, int db, uint32_t number)
{
	int journal = must_open(dir, "journal", O_CREAT | O_TRUNC);
	int n = 1 + roll() % 6;
	off_t at[8];

	for (int i = 0; i < n; i++) {
		at[i] = roll() % PAGES * PAGE;
		must(pread(db, buf, PAGE, at[i]), PAGE);
		must(write(journal, buf, PAGE), PAGE);
	}
	must(fsync(journal), 0);
	for (int i = 0; i < n; i++) {
		fill_buf(PAGE);
		memcpy(buf, &number, sizeof(number));
		must(pwrite(db, buf, PAGE, at[i]), PAGE);
	}
	must(fdatasync(db), 0);
	close(journal);
	must(unlinkat(folder, "journal", 0), 0);
	must(fsync(folder), 0);
}

static void data_base(const char *dir, long n)
{
	int folder = open(dir, O_RDONLY | O_DIRECTORY);
	int db = must_open(dir, "db", O_CREAT);

	fill_buf(MOST);
	for (int i = 0; i < PAGES; i += MOST / PAGE)
		must(pwrite(db, buf, MOST, (off_t)i * PAGE), MOST);
	must(fsync(db), 0);
	for (long i = 0; i < n; i++)
		transaction(dir, folder, db, i);
	close(db);
	close(folder);
}

/* ---- sum ----------------------------------------------------------------- */

static uint64_t hash;
static long files, bytes;

static void mix(const void *data, size_t len)
{
	const unsigned char *p = data;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	while (len--)
		hash = (hash ^ *p++) * 0x100000001b3ull;
}

static void sum_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, MOST)) > 0) {
		mix(buf, n);
		bytes += n;
	}
	if (fd < 0 || n < 0)
		bad("read", path);
	close(fd);
	files++;
}

static void sum(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		struct stat st;
		char path[512];

		if (!strcmp(name, ".") || !strcmp(name, "..") ||
		    !strcmp(name, "lost+found"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		mix(name, strlen(name) + 1);
		if (lstat(path, &st))
			bad("stat", path);
		else if (S_ISDIR(st.st_mode))
			sum(path);
		else
			sum_file(path);
	}
	if (n < 0)
		bad("list", dir);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	long n = argc > 4 ? atol(argv[4]) : 0;

	if (argc > 3)
		for (dice += atol(argv[3]) * 7919; roll() % 31;)
			;
	if (!strcmp(verb, "fill") && argc == 5)
		fill(argv[2], n);
	else if (!strcmp(verb, "churn") && argc == 5)
		churn(argv[2], n);
	else if (!strcmp(verb, "db") && argc == 5)
		data_base(argv[2], n);
	else if (!strcmp(verb, "sum") && argc == 3)
		sum(argv[2]);
	else
		return 2;
	if (!strcmp(verb, "sum"))
		printf("%016llx in %ld files, %ld bytes\n",
		       (unsigned long long)hash, files, bytes);
	return failed;
}
