// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "v1-files.h"
#include "verify.h"

static void spill(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	if (f && fwrite(bytes, 1, len, f) == len && !fclose(f))
		return;
	perror(path);
	exit(1);
}

void v1_pair_write(struct v1_pair *p, char *const paths[3])
{
	sha256(p->old, p->old_size, p->w.super.old_sha256);
	sha256(p->new, p->new_size, p->w.super.new_sha256);
	v1_end(&p->w);
	spill(paths[0], p->old, p->old_size);
	spill(paths[1], p->new, p->new_size);
	spill(paths[2], p->w.file, p->w.size);
}
