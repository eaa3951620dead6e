// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One debugfs for each level of the tree, which lists all folders of that
 * level, and one for the blocks of all files.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "diff-files.h"
#include "diff-tool.h"

#define TOOL	    "debugfs"
#define ROOT	    2
#define SUPER	    1024
#define BLOCK_SHIFT (SUPER + 24) /* s_log_block_size, of 1024 bytes */
#define MAX_SHIFT   6

typedef unsigned long long ull;

/* What debugfs is asked for and answers, node after node. */
struct dialogue {
	struct file_tree *tree;
	struct files *files; /* or NULL */
	const char *command;
	bool folders; /* it is asked for those */
	bool asked, answered;
	uint32_t current; /* node that it answers for */
	uint32_t next;	  /* the one after that */
	uint32_t to;
	uint64_t block_size;
};

/* The next node that is asked for, or d->to. */
static uint32_t skip_others(const struct dialogue *d, uint32_t i)
{
	while (i < d->to && d->tree->nodes[i].folder != d->folders)
		i++;
	return i;
}

/* Is this the echo of the next command? */
static bool is_echo(const struct dialogue *d, const char *line)
{
	char echo[64];

	if (d->next == d->to)
		return false;
	snprintf(echo, sizeof(echo), "debugfs: %s <%llu>", d->command,
		 (ull)d->tree->nodes[d->next].id);
	return !strcmp(line, echo);
}

static int ask(struct dialogue *d, uint32_t from,
	       int (*answer)(char *line, void *dialogue))
{
	const char *const argv[] = {
		TOOL, "-f", "-", "--", d->tree->image->path, NULL
	};
	FILE *commands = tmpfile();
	int r = -EIO;

	if (!commands)
		return -errno;
	d->next = skip_others(d, from);
	d->asked = d->next < d->to;
	for (uint32_t i = d->next; i < d->to; i = skip_others(d, i + 1))
		fprintf(commands, "%s <%llu>\n", d->command,
			(ull)d->tree->nodes[i].id);
	if (!fflush(commands) && !ferror(commands)) {
		rewind(commands);
		r = tool_lines(argv, commands, answer, d);
	}
	fclose(commands);
	/* What it cannot open it says on standard error, and ends well. */
	return !r && d->asked && !d->answered ? -EIO : r;
}

/* ---- the tree ------------------------------------------------------------ */

/* "/INODE/MODE/UID/GID/NAME/SIZE/" in a folder. */
static int take_entry(struct dialogue *d, uint32_t folder, char *line)
{
	unsigned int mode;
	int at = 0;
	ull inode;

	d->answered |= *line == '/';
	sscanf(line, "/%llu/%o/%*[^/]/%*[^/]/%n", &inode, &mode, &at);
	if (!at || !inode || !(S_ISDIR(mode) || S_ISREG(mode)))
		return 0;
	line += at;
	line[strcspn(line, "/")] = 0;
	if (!strcmp(line, ".") || !strcmp(line, ".."))
		return 0;
	return files_node(d->tree, d->tree->nodes[folder].path, line, inode,
			  S_ISDIR(mode));
}

static int take_list(char *line, void *dialogue)
{
	struct dialogue *d = dialogue;

	if (!is_echo(d, line))
		return take_entry(d, d->current, line);
	d->current = d->next;
	d->next = skip_others(d, d->next + 1);
	return 0;
}

static int list(struct file_tree *tree, uint32_t from, uint32_t to)
{
	struct dialogue d = {
		.tree = tree, .command = "ls -p", .folders = true, .to = to
	};

	return ask(&d, from, take_list);
}

/* ---- the blocks ---------------------------------------------------------- */

/* "(0-13):1332-1345, (IND):1346, ...", which may be one or many lines. */
static int take_blocks(struct dialogue *d, const char *line)
{
	int r = 0;

	while (!r && (line = strstr(line, "):"))) {
		char *end;
		ull first = strtoull(line + 2, &end, 10), last = first;

		if (*end == '-')
			last = strtoull(end + 1, &end, 10);
		if (first && last < UINT64_MAX / d->block_size)
			r = files_place(d->files, first * d->block_size,
					(last + 1) * d->block_size);
		line = end;
	}
	return r;
}

static int take_status(char *line, void *dialogue)
{
	struct dialogue *d = dialogue;

	if (is_echo(d, line)) {
		int r = files_name(d->files, d->tree->nodes[d->next].path);

		d->next = skip_others(d, d->next + 1);
		return r;
	}
	d->answered |= !strncmp(line, "Inode:", 6);
	return line[0] == '(' && d->files->n_names ? take_blocks(d, line) : 0;
}

static int locate(struct file_tree *tree, struct files *files)
{
	struct dialogue d = {
		.tree = tree, .files = files, .command = "stat", .to = tree->n
	};
	uint8_t shift = tree->image->bytes[BLOCK_SHIFT];

	if (shift > MAX_SHIFT)
		return -EIO;
	d.block_size = 1024ull << shift;
	return ask(&d, 0, take_status);
}

static uint64_t root(const struct image *image)
{
	return ROOT;
}

const struct file_system files_ext4 = { TOOL, root, list, locate };
