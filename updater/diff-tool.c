// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff-tool.h"

#define ADMIN "/usr/sbin/" /* not in the PATH of all users */

extern char **environ;

static int spawn_with(struct tool *tool, const char *const argv[],
		      const posix_spawn_file_actions_t *actions)
{
	char path[64];
	int r = posix_spawnp(&tool->pid, argv[0], actions, NULL,
			     (char *const *)argv, environ);

	if (r != ENOENT)
		return r;
	snprintf(path, sizeof(path), ADMIN "%s", argv[0]);
	return posix_spawn(&tool->pid, path, actions, NULL, (char *const *)argv,
			   environ);
}

static int spawn(struct tool *tool, const char *const argv[], FILE *in, int out)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = in ? posix_spawn_file_actions_adddup2(&actions, fileno(in), 0)
	       : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null",
						  O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (!r)
		r = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null",
						     O_WRONLY, 0);
	if (!r)
		r = spawn_with(tool, argv, &actions);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

int tool_begin(struct tool *tool, const char *const argv[], FILE *in)
{
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	r = spawn(tool, argv, in, ends[1]);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return -r;
	}
	tool->out = fdopen(ends[0], "r");
	if (tool->out)
		return 0;
	close(ends[0]);
	waitpid(tool->pid, NULL, 0);
	return -ENOMEM;
}

int tool_end(struct tool *tool)
{
	int status;

	fclose(tool->out);
	while (waitpid(tool->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EIO : 0;
}

int tool_lines(const char *const argv[], FILE *in,
	       int (*each)(char *line, void *arg), void *arg)
{
	struct tool tool;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int r = tool_begin(&tool, argv, in), end;

	if (r)
		return r;
	while (!r && (len = getline(&line, &room, tool.out)) >= 0) {
		line[strcspn(line, "\n")] = 0;
		r = each(line, arg);
	}
	free(line);
	end = tool_end(&tool);
	return r ? r : end;
}
