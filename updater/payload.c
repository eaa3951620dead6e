// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "bundle.h"
#include "dm-update-dir.h"
#include "dm-update-v1.h"
#include "payload.h"

/* The format says nothing of its images but how many blocks there can be. */
static int look_v0(const void *head, uint64_t file_size,
		   const struct manifest *m, uint64_t *room, const char **why)
{
	struct update_geometry geometry;

	*room = 2 * UPDATE1_RECORD_SIZE;
	return update_super_parse(head, file_size, m->target_size, &geometry,
				  why);
}

static int look_v1(const void *head, uint64_t file_size,
		   const struct manifest *m, uint64_t *room, const char **why)
{
	struct update1_geometry g;

	if (update1_super_parse(head, file_size, &g, why))
		return -1;
	*room = bundle_padded(update1_progress_size(&g));
	*why = "It is for another old image";
	if (g.old_size != m->source.size ||
	    memcmp(g.old_sha256, m->source_hash, sizeof(g.old_sha256)))
		return -1;
	*why = "It is for another new image";
	if (g.new_size != m->target_size ||
	    memcmp(g.new_sha256, m->target_hash, sizeof(g.new_sha256)))
		return -1;
	return 0;
}

int payload_diff(const void *head, uint64_t file_size, const struct manifest *m,
		 uint64_t *room, const char **why)
{
	int r = update_version(head) == UPDATE_VERSION_1
			? look_v1(head, file_size, m, room, why)
			: look_v0(head, file_size, m, room, why);

	return r ? -1 : 0;
}
