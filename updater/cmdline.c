// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmdline.h"

static void take_word(struct cmdline *cmd, const char *word)
{
	static const char prefix[] = "bowline.";
	const char *value = strchr(word, '=');

	if (strncmp(word, prefix, sizeof(prefix) - 1) || !value)
		return;
	word += sizeof(prefix) - 1;
	value++;
	if (!strncmp(word, "slot=", 5) && (*value == 'A' || *value == 'B'))
		cmd->slot = *value;
	else if (!strncmp(word, "failed=", 7) &&
		 (*value == 'A' || *value == 'B'))
		cmd->failed = *value;
	else if (!strncmp(word, "attempt=", 8))
		cmd->attempt = strtoul(value, NULL, 10);
	else if (!strncmp(word, "rescue=", 7))
		cmd->rescue = *value == '1';
}

void cmdline_parse(struct cmdline *cmd, const char *text)
{
	char word[128];
	int used;

	memset(cmd, 0, sizeof(*cmd));
	while (sscanf(text, "%127s%n", word, &used) == 1) {
		take_word(cmd, word);
		text += used;
	}
}

void cmdline_running(struct cmdline *cmd)
{
	char text[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = 0;
	cmdline_parse(cmd, text);
}
