/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in an image the contents of its files lie, as the tools of its file
 * system say: debugfs for ext4, rdsquashfs for squashfs, dump.erofs for erofs.
 */
#ifndef BOWLINE_DIFF_FILES_H
#define BOWLINE_DIFF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diff-image.h"

/* Bytes of the image. */
struct file_place {
	uint64_t from, to;
	uint32_t file; /* number in names */
};

struct files {
	char **names; /* paths from the root of the file system */
	uint32_t n_names, names_room;
	struct file_place *places; /* in order, apart from each other */
	uint32_t n_places, places_room;
};

/*
 * 0 and *files to be freed, or -1 and in why (FILES_WHY bytes) the reason: the
 * file system is unknown, or its tool is not there or fails.
 */
int files_find(struct files *files, const struct image *image, char *why);
void files_free(struct files *files);

#define FILES_WHY 160

/* ---- inside of files_find() ---------------------------------------------- */

/* What a folder holds, by an id of the file system's own. */
struct file_node {
	uint64_t id;
	char *path; /* "" is the root */
	bool folder;
};

struct file_tree {
	const struct image *image;
	struct file_node *nodes;
	uint32_t n, room;
	void *seen; /* ids, by tsearch() */
};

struct file_system {
	const char *tool;
	uint64_t (*root)(const struct image *image); /* its id */
	/* Both return 0 or -errno; -ENOENT: the tool is not installed. */
	/* Adds what the folders among the nodes from @from to @to hold. */
	int (*list)(struct file_tree *tree, uint32_t from, uint32_t to);
	/* Adds files and their places, of all nodes. */
	int (*locate)(struct file_tree *tree, struct files *files);
};

extern const struct file_system files_ext4, files_squashfs, files_erofs;

/* These return 0 or -ENOMEM. */
int files_node(struct file_tree *tree, const char *folder, const char *name,
	       uint64_t id, bool is_folder);
int files_name(struct files *files, const char *path);
/* Of the file that was named last. */
int files_place(struct files *files, uint64_t from, uint64_t to);

#endif
