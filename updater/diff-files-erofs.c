// SPDX-License-Identifier: GPL-2.0-or-later
/* dump.erofs lists one folder, or says where one file is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff-files.h"
#include "diff-tool.h"
#include "progress.h"

#define TOOL	    "dump.erofs"
#define ROOT_NID    (1024 + 14) /* two bytes of the superblock */
#define TYPE_FILE   1
#define TYPE_FOLDER 2

typedef unsigned long long ull;

static int ask(const struct file_tree *tree, const struct file_node *node,
	       const char *about, int (*answer)(char *line, void *arg),
	       void *arg)
{
	char nid[32];
	const char *const argv[] = { TOOL, about, nid, "--", tree->image->path,
				     NULL };

	snprintf(nid, sizeof(nid), "--nid=%llu", (ull)node->id);
	return tool_lines(argv, NULL, answer, arg);
}

/* ---- the tree ------------------------------------------------------------ */

struct listing {
	struct file_tree *tree;
	const char *folder;
	bool begun;
};

/* "NID TYPE  FILENAME", below a line with these words */
static int take_entry(char *line, void *listing)
{
	struct listing *l = listing;
	unsigned int type;
	int at = 0;
	ull nid;

	if (!l->begun) {
		l->begun = strstr(line, "NID TYPE  FILENAME");
		return 0;
	}
	sscanf(line, " %llu %u%n", &nid, &type, &at);
	if (!at || strncmp(line + at, "  ", 2) ||
	    (type != TYPE_FILE && type != TYPE_FOLDER))
		return 0;
	line += at + 2;
	if (!strcmp(line, ".") || !strcmp(line, ".."))
		return 0;
	return files_node(l->tree, l->folder, line, nid, type == TYPE_FOLDER);
}

static int list(struct file_tree *tree, uint32_t from, uint32_t to)
{
	int r = 0;

	for (uint32_t i = from; !r && i < to; i++) {
		struct listing l = { .tree = tree,
				     .folder = tree->nodes[i].path };

		if (tree->nodes[i].folder)
			r = ask(tree, &tree->nodes[i], "--ls", take_entry, &l);
	}
	return r;
}

/* ---- the extents --------------------------------------------------------- */

/* "I: LOGICAL.. END | LENGTH : PHYSICAL.. END | LENGTH" */
static int take_extent(char *line, void *files)
{
	ull from, to;

	if (sscanf(line, " %*u: %*u.. %*u | %*u : %llu.. %llu", &from, &to) !=
	    2)
		return 0;
	return files_place(files, from, to);
}

static int locate(struct file_tree *tree, struct files *files)
{
	int r = 0;

	progress_start("asking where the files are", tree->n);
	for (uint32_t i = 0; !r && i < tree->n; i++) {
		const struct file_node *node = &tree->nodes[i];

		progress_update(i);
		if (node->folder)
			continue;
		r = files_name(files, node->path);
		if (!r)
			r = ask(tree, node, "-e", take_extent, files);
	}
	progress_end();
	return r;
}

static uint64_t root(const struct image *image)
{
	const uint8_t *nid = image->bytes + ROOT_NID;

	return nid[0] | nid[1] << 8;
}

const struct file_system files_erofs = { TOOL, root, list, locate };
