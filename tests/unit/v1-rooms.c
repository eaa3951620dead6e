// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * v1-rooms OLD NEW DIFF: a pair whose merge has a row in epoch 1 that leans on
 * rooms 0 and 2 of the save area when it begins, and at its end on room 1,
 * which is filled only while epoch 0 is being written. For the tests in a real
 * kernel.
 */
#include <stdio.h>

#include "v1-files.h"

#define BITS	    12
#define BLOCK	    (1 << BITS)
#define CHUNK	    16 /* blocks */
#define IMAGE	    512
#define ROW	    16	/* where it begins: a chunk, blocks that are copied, */
#define COPIED	    128 /* and another chunk */
#define COPIED_FROM 256

static u8 *at(u8 *image, u64 block)
{
	return image + block * BLOCK;
}

static void begin(struct v1_pair *p)
{
	*p = (struct v1_pair){ .state = 1 };
	p->old_size = p->new_size = IMAGE * BLOCK;
	p->old = malloc(p->old_size);
	p->new = malloc(p->new_size);
	for (u64 i = 0; i < p->old_size; i++)
		p->old[i] = v1_random(&p->state);
	memcpy(p->new, p->old, p->new_size);
	v1_begin(&p->w, BITS, CHUNK * BLOCK, CHUNK * BLOCK, p->old_size,
		 p->new_size);
}

static void add_zeros(struct v1_pair *p, u64 dest, u32 blocks, u32 epoch)
{
	memset(at(p->new, dest), 0, blocks * BLOCK);
	v1_add_extent(&p->w, (struct v1_extent){ dest, blocks, epoch,
						 UPDATE1_ZERO, 0, 0, 0 });
}

static void add_copy(struct v1_pair *p, u64 dest, u64 from, u32 blocks,
		     u32 epoch)
{
	memcpy(at(p->new, dest), at(p->old, from), blocks * BLOCK);
	v1_add_extent(&p->w,
		      (struct v1_extent){ dest, blocks, epoch, UPDATE1_COPY,
					  from * BLOCK, 0, 0 });
}

/* A chunk of old blocks, @first and @second in turn. */
static void add_data(struct v1_pair *p, u64 dest, u64 first, u64 second,
		     u32 epoch)
{
	const struct v1_range ranges[] = { { first * BLOCK, BLOCK },
					   { second * BLOCK, BLOCK } };
	u32 i, chunk;

	for (i = 0; i < CHUNK; i++)
		memcpy(at(p->new, dest + i), at(p->old, i % 2 ? second : first),
		       BLOCK);
	chunk = v1_add_chunk(&p->w, p->old, at(p->new, dest), CHUNK, ranges, 2);
	v1_add_extent(&p->w, (struct v1_extent){ dest, CHUNK, epoch,
						 UPDATE1_DATA, 0, chunk, 0 });
}

int main(int argc, char **argv)
{
	u64 last = ROW + CHUNK + COPIED;
	struct v1_pair p;

	if (argc != 4) {
		fprintf(stderr, "usage: v1-rooms OLD NEW DIFF\n");
		return 2;
	}
	begin(&p);
	add_zeros(&p, 0, 3, 0);
	add_data(&p, ROW, 0, 2, 1);
	add_copy(&p, ROW + CHUNK, COPIED_FROM, COPIED, 1);
	/* Of itself, and of what stays. */
	add_data(&p, last, last, IMAGE - 1, 1);
	v1_add_save(&p.w, (struct v1_save){ 0, 1, 0, 1, 0 });
	v1_add_save(&p.w, (struct v1_save){ 2, 1, 0, 1, 2 });
	v1_add_save(&p.w, (struct v1_save){ last, 1, 1, 1, 1 });
	v1_pair_write(&p, argv + 1);
	v1_pair_free(&p);
	return 0;
}
