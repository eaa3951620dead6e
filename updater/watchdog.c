// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "err.h"
#include "watchdog.h"

int watchdog_hold(const char *path)
{
	return path[0] ? open(path, O_WRONLY | O_CLOEXEC) : -1;
}

void watchdog_feed(int fd)
{
	int dummy;

	if (fd >= 0)
		ioctl(fd, WDIOC_KEEPALIVE, &dummy);
}

int watchdog_arm(const char *path, unsigned int seconds)
{
	int timeout = seconds, fd;

	if (!path[0])
		return 0;
	fd = watchdog_hold(path);
	if (fd < 0)
		return error_errno("cannot open the watchdog '%s'", path);
	if (ioctl(fd, WDIOC_SETTIMEOUT, &timeout))
		error_errno("the watchdog '%s' keeps its own time-out, not "
			    "%u seconds",
			    path, seconds);
	watchdog_feed(fd);
	close(fd); /* without the magic 'V' it stays armed */
	return 0;
}

void watchdog_disarm(const char *path, int fd)
{
	if (fd < 0)
		fd = watchdog_hold(path);
	if (fd < 0)
		return;
	if (write(fd, "V", 1) != 1)
		error_errno("cannot disarm the watchdog '%s'", path);
	close(fd);
}

int watchdog_fired(const char *path)
{
	int fd = watchdog_hold(path), flags = 0;

	if (fd < 0)
		return 0;
	if (ioctl(fd, WDIOC_GETBOOTSTATUS, &flags))
		flags = 0;
	watchdog_disarm(path, fd);
	return !!(flags & WDIOF_CARDRESET);
}
