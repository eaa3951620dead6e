// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rdsquashfs lists all paths at once, then says where the blocks of one file
 * are. Files smaller than a block, and the ends of files, share blocks
 * ("fragments") that it does not tell the place of: they are nobody's here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff-files.h"
#include "diff-tool.h"
#include "progress.h"

#define TOOL "rdsquashfs"

typedef unsigned long long ull;

/* ---- the tree ------------------------------------------------------------ */

/* A path, in quotes if it has spaces, without what is behind it. */
static void unquote(char *path)
{
	char *to = path, *from = path + 1;

	if (*path != '"') {
		path[strcspn(path, " ")] = 0;
		return;
	}
	for (; *from && *from != '"'; from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*to = 0;
}

/* "file PATH MODE UID GID" */
static int take_path(char *line, void *tree)
{
	static const char kind[] = "file ";
	const size_t skip = sizeof(kind) - 1;
	struct file_tree *t = tree;

	if (strncmp(line, kind, skip))
		return 0;
	unquote(line + skip);
	return files_node(t, "", line + skip, t->n + 1, false);
}

static int list(struct file_tree *tree, uint32_t from, uint32_t to)
{
	const char *const argv[] = { TOOL, "-d", "--", tree->image->path,
				     NULL };

	return from ? 0 : tool_lines(argv, NULL, take_path, tree);
}

/* ---- the blocks ---------------------------------------------------------- */

struct run {
	uint64_t from, size;
};

static int take_status(char *line, void *run)
{
	struct run *r = run;
	ull number;

	if (sscanf(line, "Blocks start: %llu", &number) == 1)
		r->from = number;
	else if (sscanf(line, " Block #%*u size: %llu", &number) == 1)
		r->size += number;
	return 0;
}

static int locate_file(const struct file_tree *tree, const char *path,
		       struct files *files)
{
	const char *const argv[] = { TOOL, "-s", path, "--", tree->image->path,
				     NULL };
	struct run run = { 0 };
	int r = tool_lines(argv, NULL, take_status, &run);

	if (!r)
		r = files_name(files, path);
	return r ? r : files_place(files, run.from, run.from + run.size);
}

static int locate(struct file_tree *tree, struct files *files)
{
	int r = 0;

	progress_start("asking where the files are", tree->n);
	for (uint32_t i = 0; !r && i < tree->n; i++) {
		progress_update(i);
		if (!tree->nodes[i].folder)
			r = locate_file(tree, tree->nodes[i].path, files);
	}
	progress_end();
	return r;
}

static uint64_t root(const struct image *image)
{
	return 1;
}

const struct file_system files_squashfs = { TOOL, root, list, locate };
