/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another program, for what it prints. Its errors are not shown: the caller
 * says what it could not find out.
 */
#ifndef BOWLINE_DIFF_TOOL_H
#define BOWLINE_DIFF_TOOL_H

#include <stdio.h>
#include <sys/types.h>

struct tool {
	pid_t pid;
	FILE *out; /* what it prints, to be read up to the end */
};

/*
 * argv[0] is looked for in PATH and where administrators' programs are. It
 * reads from @in, or nothing if that is NULL. 0 and one tool_end() to follow,
 * or -errno; -ENOENT: it is not installed.
 */
int tool_begin(struct tool *tool, const char *const argv[], FILE *in);
/* 0, or -EIO unless it ended with status 0. */
int tool_end(struct tool *tool);
/* Both, with each() for every line, without its end, until that is not 0. */
int tool_lines(const char *const argv[], FILE *in,
	       int (*each)(char *line, void *arg), void *arg);

#endif
