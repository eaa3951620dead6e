// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff-files.h"
#include "diff-tool.h"

/* ---- lists that grow ----------------------------------------------------- */

/* Room for one more of @size bytes. */
static int grow(void *list, uint32_t n, uint32_t *room, size_t size)
{
	void **items = list, *more;

	if (n < *room)
		return 0;
	if (n >= UINT32_MAX / 4)
		return -ENOMEM;
	more = reallocarray(*items, 2 * (size_t)n + 64, size);
	if (!more)
		return -ENOMEM;
	*items = more;
	*room = 2 * n + 64;
	return 0;
}

int files_name(struct files *files, const char *path)
{
	char *copy;

	if (grow(&files->names, files->n_names, &files->names_room,
		 sizeof(*files->names)))
		return -ENOMEM;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	files->names[files->n_names++] = copy;
	return 0;
}

int files_place(struct files *files, uint64_t from, uint64_t to)
{
	if (from >= to)
		return 0;
	if (grow(&files->places, files->n_places, &files->places_room,
		 sizeof(*files->places)))
		return -ENOMEM;
	files->places[files->n_places++] =
		(struct file_place){ from, to, files->n_names - 1 };
	return 0;
}

/* ---- the tree ------------------------------------------------------------ */

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = (uintptr_t)a, y = (uintptr_t)b;

	return x < y ? -1 : x > y;
}

/*
 * An id that was there before is another link to the same file, or, in an image
 * that is damaged, a folder inside of itself.
 */
int files_node(struct file_tree *tree, const char *folder, const char *name,
	       uint64_t id, bool is_folder)
{
	struct file_node *node;

	if (tfind((void *)(uintptr_t)id, &tree->seen, compare_ids))
		return 0;
	if (!tsearch((void *)(uintptr_t)id, &tree->seen, compare_ids) ||
	    grow(&tree->nodes, tree->n, &tree->room, sizeof(*tree->nodes)))
		return -ENOMEM;
	node = &tree->nodes[tree->n];
	*node = (struct file_node){ .id = id, .folder = is_folder };
	if (asprintf(&node->path, "%s%s%s", folder, *name ? "/" : "", name) < 0)
		return -ENOMEM;
	tree->n++;
	return 0;
}

static void keep(void *id)
{
}

static void free_tree(struct file_tree *tree)
{
	for (uint32_t i = 0; i < tree->n; i++)
		free(tree->nodes[i].path);
	free(tree->nodes);
	tdestroy(tree->seen, keep);
}

/* Level by level, from the root. */
static int walk(const struct file_system *fs, struct file_tree *tree)
{
	int r = files_node(tree, "", "", fs->root(tree->image), true);
	uint32_t to;

	for (uint32_t from = 0; !r && from < tree->n; from = to) {
		to = tree->n;
		r = fs->list(tree, from, to);
	}
	return r;
}

/* ---- the places ---------------------------------------------------------- */

static int compare_places(const void *a, const void *b)
{
	const struct file_place *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->file < y->file ? -1 : x->file > y->file;
}

/* What two files share, as equal ones do in squashfs, is the first one's. */
static void set_apart(struct files *files)
{
	uint64_t end = 0;
	uint32_t n = 0;

	if (files->n_places)
		qsort(files->places, files->n_places, sizeof(*files->places),
		      compare_places);
	for (uint32_t i = 0; i < files->n_places; i++) {
		struct file_place place = files->places[i];

		if (place.from < end)
			place.from = end;
		if (place.from >= place.to)
			continue;
		end = place.to;
		files->places[n++] = place;
	}
	files->n_places = n;
}

/* ---- file systems -------------------------------------------------------- */

static const struct file_system *recognize(const struct image *image)
{
	static const struct {
		uint32_t at;
		const char *magic;
		const struct file_system *fs;
	} kinds[] = {
		{ 0, "hsqs", &files_squashfs },
		{ 1024, "\xe2\xe1\xf5\xe0", &files_erofs },
		{ 1024 + 56, "\x53\xef", &files_ext4 },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].magic);

		if (kinds[i].at + len <= image->size &&
		    !memcmp(image->bytes + kinds[i].at, kinds[i].magic, len))
			return kinds[i].fs;
	}
	return NULL;
}

int files_find(struct files *files, const struct image *image, char *why)
{
	const struct file_system *fs = recognize(image);
	struct file_tree tree = { .image = image };
	int r;

	memset(files, 0, sizeof(*files));
	if (!fs) {
		snprintf(why, FILES_WHY, "it is not ext4, squashfs or erofs");
		return -1;
	}
	r = walk(fs, &tree);
	if (!r)
		r = fs->locate(&tree, files);
	free_tree(&tree);
	set_apart(files);
	if (!r)
		return 0;
	snprintf(why, FILES_WHY, "%s %s", fs->tool,
		 r == -ENOENT ? "is not installed" : "fails");
	files_free(files);
	return -1;
}

void files_free(struct files *files)
{
	for (uint32_t i = 0; i < files->n_names; i++)
		free(files->names[i]);
	free(files->names);
	free(files->places);
	memset(files, 0, sizeof(*files));
}
