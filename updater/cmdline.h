/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the boot script tells the system it starts, in words "bowline.NAME=" on
 * the kernel's command line.
 */
#ifndef BOWLINE_CMDLINE_H
#define BOWLINE_CMDLINE_H

#include <stdbool.h>

struct cmdline {
	char slot;	      /* 'A', 'B', or 0: not started by the script */
	unsigned int attempt; /* of a trial, from 1; 0: not counted */
	char failed;	      /* the slot whose kernel did not load, or 0 */
	bool rescue;	      /* nothing else was left to boot */
};

/* text: as in /proc/cmdline. Words that are not ours are passed over. */
void cmdline_parse(struct cmdline *cmd, const char *text);
/* /proc/cmdline of the running kernel. */
void cmdline_running(struct cmdline *cmd);

#endif
