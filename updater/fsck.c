// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "fsck.h"
#include "io.h"

#define LIMIT	   600 /* seconds */
#define POLL_US	   100000
#define NOT_MENDED 4 /* and more: what fsck(8) says of errors that stay */
#define NO_PROGRAM 127

/*
 * Where a file system has its magic number, and how its program is told to
 * look closely, mending what is safe to mend, and then to mend all.
 */
static const struct magic {
	const char *type;
	const char *magic;
	unsigned int at, len;
	const char *safe, *all;
} magics[] = {
	{ "ext4", "\x53\xef", 1080, 2, "-fp", "-fy" },
	{ "xfs", "XFSB", 0, 4, "-fp", "-fy" },
	{ "f2fs", "\x10\x20\xf5\xf2", 1024, 4, "-f", "-fy" },
	{ "vfat", "FAT32   ", 82, 8, "-a", "-y" },
	{ "vfat", "FAT16   ", 54, 8, "-a", "-y" },
	{ "vfat", "FAT12   ", 54, 8, "-a", "-y" },
	{ "btrfs", "_BHRfS_M", 65600, 8, "-a", "-y" },
};

static const struct magic *find(struct dev *dev)
{
	char sector[512];

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		unsigned int at = magics[i].at / sizeof(sector);

		if (dev_size(dev) < (at + 1) * sizeof(sector))
			continue;
		if (dev_read(dev, at * sizeof(sector), sector, sizeof(sector)))
			return NULL;
		if (!memcmp(sector + magics[i].at % sizeof(sector),
			    magics[i].magic, magics[i].len))
			return &magics[i];
	}
	return NULL;
}

/* ---- inside the other root ----------------------------------------------- */

static const char *const shared[] = { "dev", "proc" };

#define N_SHARED (sizeof(shared) / sizeof(shared[0]))

static void share(const char *root, bool on)
{
	char from[16], to[PATH_MAX];

	for (size_t i = 0; i < N_SHARED; i++) {
		snprintf(from, sizeof(from), "/%s", shared[i]);
		snprintf(to, sizeof(to), "%s/%s", root, shared[i]);
		if (on ? mount(from, to, NULL, MS_BIND, NULL) : umount(to))
			error_errno("cannot %s '%s'",
				    on ? "show the system" : "unmount", to);
	}
}

static void enter(const char *root, const char *type, const char *how,
		  const char *dev)
{
	static const char *const folders[] = { "/sbin", "/usr/sbin" };
	char *const environment[] = { "PATH=/usr/sbin:/sbin:/usr/bin:/bin",
				      NULL };
	char path[64];

	setpgid(0, 0);
	if (chroot(root) || chdir("/") || !freopen("/dev/null", "r", stdin))
		_exit(NO_PROGRAM);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/fsck.%s", folders[i], type);
		execle(path, path, how, dev, NULL, environment);
	}
	_exit(NO_PROGRAM);
}

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* The exit status, or -1 when it took too long. */
static int wait_for(pid_t pid, time_t end)
{
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (now() > end) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		usleep(POLL_US);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int check(const char *root, const char *type, const char *how,
		 const char *dev, time_t end)
{
	pid_t pid = fork();

	if (!pid)
		enter(root, type, how, dev);
	return pid < 0 ? -1 : wait_for(pid, end);
}

static int say_result(const char *dev, const char *type, int status)
{
	if (status == NO_PROGRAM)
		say("the system has no fsck.%s: '%s' is left to its journal",
		    type, dev);
	else if (status < 0)
		say("fsck.%s of '%s' was stopped after %d seconds", type, dev,
		    LIMIT);
	else if (status >= NOT_MENDED)
		say("fsck.%s could not mend '%s': status %d", type, dev,
		    status);
	else
		say("fsck.%s: '%s' is %s", type, dev,
		    status ? "mended" : "sound");
	return status < 0 || status >= NOT_MENDED ? -1 : 0;
}

const char *fsck_type(const char *path)
{
	struct dev *dev = dev_open(path, DEV_READ);
	const struct magic *m = dev ? find(dev) : NULL;

	dev_close(dev);
	return m ? m->type : NULL;
}

int fsck_run(const char *path, const char *root)
{
	struct dev *dev = dev_open(path, DEV_READ);
	const struct magic *m = dev ? find(dev) : NULL;
	time_t end = now() + LIMIT;
	int status;

	dev_close(dev);
	if (!m) {
		say("'%s' has no file system that could be checked", path);
		return -1;
	}
	say("checking the %s of '%s'", m->type, path);
	share(root, true);
	status = check(root, m->type, m->safe, path, end);
	if (status >= NOT_MENDED && status != NO_PROGRAM)
		status = check(root, m->type, m->all, path, end);
	share(root, false);
	return say_result(path, m->type, status);
}
