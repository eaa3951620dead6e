// SPDX-License-Identifier: GPL-2.0-or-later
#include "v1-random.h"

u64 v1_random(u64 *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state ^ *state >> 29) * 0x9e3779b97f4a7c15u >> 20;
}

u32 v1_below(u64 *state, u32 n)
{
	return v1_random(state) % n;
}

static void fill(u64 state, u8 *to, size_t len)
{
	for (size_t at = 0; at < len; at += sizeof(u32)) {
		u32 word = v1_random(&state);

		memcpy(to + at, &word,
		       len - at < sizeof(word) ? len - at : sizeof(word));
	}
}

void v1_ghost_decode(const struct v1_writer *w, u32 chunk, const u8 *prefix,
		     size_t prefix_len, u8 *to)
{
	u64 hash = chunk + 1;

	for (size_t i = 0; i < prefix_len; i++)
		hash = (hash ^ prefix[i]) * 0x100000001b3u;
	fill(hash, to, (size_t)w->chunks[chunk].blocks << w->super.block_bits);
}

static u64 blocks_of(const struct v1_pair *p, u64 size)
{
	u32 bits = p->w.super.block_bits;

	return (size + (1 << bits) - 1) >> bits;
}

/* ---- what changes -------------------------------------------------------- */

static u32 random_ranges(struct v1_pair *p, struct v1_range *ranges, u32 most)
{
	u32 n = v1_below(&p->state, most + 1);

	for (u32 i = 0; i < n; i++) {
		u64 from = v1_below(&p->state, p->old_size);
		u64 left = p->old_size - from;
		u32 block = 1 << p->w.super.block_bits;
		u32 len = 1 + v1_below(&p->state, 2 * block);

		ranges[i] = (struct v1_range){ from, len < left ? len : left };
	}
	return n;
}

/* Old bytes and noise by turns. */
static void make_data(struct v1_pair *p, const struct v1_range *ranges, u32 n,
		      u8 *data, size_t len)
{
	fill(v1_random(&p->state), data, len);
	for (size_t at = 0; n && at < len; at += 900) {
		const struct v1_range *r = &ranges[v1_below(&p->state, n)];
		size_t most = len - at < 700 ? len - at : 700;

		memcpy(data + at, p->old + r->offset,
		       r->len < most ? r->len : most);
	}
}

static u32 random_chunk(struct v1_pair *p, const struct v1_shape *shape)
{
	u32 blocks = 1 + v1_below(&p->state, shape->chunk_blocks);
	size_t len = (size_t)blocks << shape->block_bits;
	struct v1_range ranges[4];
	u32 n = random_ranges(p, ranges, 4), chunk;
	u8 *data;

	if (!shape->real)
		return v1_add_ghost(&p->w, 100, blocks, ranges, n);
	data = malloc(len);
	make_data(p, ranges, n, data, len);
	chunk = v1_add_chunk(&p->w, p->old, data, blocks, ranges, n);
	free(data);
	return chunk;
}

static void add_data(struct v1_pair *p, const struct v1_shape *shape,
		     struct v1_extent e)
{
	struct v1_writer *w = &p->w;
	u32 room;

	e.kind = UPDATE1_DATA;
	if (w->n_chunks && v1_below(&p->state, 3))
		e.chunk = v1_below(&p->state, w->n_chunks);
	else
		e.chunk = random_chunk(p, shape);
	e.block = v1_below(&p->state, w->chunks[e.chunk].blocks);
	room = w->chunks[e.chunk].blocks - e.block;
	if (e.blocks > room)
		e.blocks = room;
	v1_add_extent(w, e);
}

/* Bytes of @e that the new image has. */
static u64 extent_len(const struct v1_pair *p, const struct v1_extent *e)
{
	u64 len = (u64)e->blocks << p->w.super.block_bits;
	u64 left = p->new_size - (e->dest << p->w.super.block_bits);

	return len < left ? len : left;
}

/* @shift: bytes by which copies of this pair like to be moved. */
static bool add_copy(struct v1_pair *p, struct v1_extent e, s64 shift)
{
	u64 len = extent_len(p, &e);
	s64 from = (s64)(e.dest << p->w.super.block_bits) + shift;

	if (len > p->old_size)
		return false;
	if (from < 0 || from + len > p->old_size || !v1_below(&p->state, 4))
		from = v1_below(&p->state, p->old_size - len + 1);
	e.kind = UPDATE1_COPY;
	e.src = from;
	v1_add_extent(&p->w, e);
	return true;
}

static void add_random(struct v1_pair *p, const struct v1_shape *shape,
		       struct v1_extent e, s64 shift)
{
	u32 dice = v1_below(&p->state, 10);

	if (dice < 6 && add_copy(p, e, shift))
		return;
	if (dice == 9) {
		e.kind = UPDATE1_ZERO;
		v1_add_extent(&p->w, e);
	} else {
		add_data(p, shape, e);
	}
}

/* All that an unnamed block needs is in the old image. */
static bool may_stay(const struct v1_pair *p, u64 block)
{
	u64 end = (block + 1) << p->w.super.block_bits;

	return (end < p->new_size ? end : p->new_size) <= p->old_size;
}

static s64 random_shift(struct v1_pair *p)
{
	u32 block = 1 << p->w.super.block_bits;

	switch (v1_below(&p->state, 4)) {
	case 0:
		return (s64)v1_below(&p->state, 6 * block) - 3 * block;
	case 1:
		return -(s64)block * (1 + v1_below(&p->state, 3));
	case 2:
		return (s64)block * (1 + v1_below(&p->state, 3));
	}
	return (s64)v1_below(&p->state, block) - block / 2;
}

static void random_extents(struct v1_pair *p, const struct v1_shape *shape)
{
	u64 blocks = blocks_of(p, p->new_size), at = 0;
	u32 stays = v1_below(&p->state, 4);
	s64 shift = random_shift(p);

	while (at < blocks) {
		struct v1_extent e = { .dest = at };
		u32 most = blocks - at < 5 ? blocks - at : 5;

		e.blocks = 1 + v1_below(&p->state, most);
		if (may_stay(p, at) && v1_below(&p->state, 4) < stays) {
			at++;
			continue;
		}
		add_random(p, shape, e, shift);
		at += p->w.extents[p->w.n_extents - 1].blocks;
	}
}

/* ---- the new image ------------------------------------------------------- */

static void decode(const struct v1_pair *p, u32 chunk, u8 *to)
{
	const struct v1_chunk *c = &p->w.chunks[chunk];
	size_t len = 0;
	u8 *prefix;

	for (u32 i = 0; i < c->n_ranges; i++)
		len += c->ranges[i].len;
	prefix = malloc(len + 1);
	len = 0;
	for (u32 i = 0; i < c->n_ranges; i++) {
		memcpy(prefix + len, p->old + c->ranges[i].offset,
		       c->ranges[i].len);
		len += c->ranges[i].len;
	}
	if (c->data)
		memcpy(to, c->data, (size_t)c->blocks << p->w.super.block_bits);
	else
		v1_ghost_decode(&p->w, chunk, prefix, len, to);
	free(prefix);
}

static void show_extent(struct v1_pair *p, const struct v1_extent *e)
{
	u32 bits = p->w.super.block_bits;
	u64 len = extent_len(p, e);
	u8 *to = p->new + (e->dest << bits), *chunk;

	if (e->kind == UPDATE1_ZERO) {
		memset(to, 0, len);
	} else if (e->kind == UPDATE1_COPY) {
		memcpy(to, p->old + e->src, len);
	} else {
		chunk = malloc((size_t)p->w.chunks[e->chunk].blocks << bits);
		decode(p, e->chunk, chunk);
		memcpy(to, chunk + ((size_t)e->block << bits), len);
		free(chunk);
	}
}

/* ---- the order ----------------------------------------------------------- */

/* Every epoch has an extent: numbers that nobody has are passed over. */
static void close_gaps(struct v1_writer *w, u32 epochs)
{
	u32 *number = calloc(epochs, sizeof(*number)), next = 0;

	for (u32 i = 0; i < w->n_extents; i++)
		number[w->extents[i].epoch] = 1;
	for (u32 i = 0; i < epochs; i++)
		number[i] = number[i] ? next++ : 0;
	for (u32 i = 0; i < w->n_extents; i++)
		w->extents[i].epoch = number[w->extents[i].epoch];
	free(number);
}

static void random_epochs(struct v1_pair *p)
{
	struct v1_writer *w = &p->w;
	u32 n = w->n_extents, way = v1_below(&p->state, 3);
	u32 epochs = 1 + (n ? v1_below(&p->state, n) : 0);

	for (u32 i = 0; i < n; i++) {
		u32 ascending = i * epochs / n;

		w->extents[i].epoch = way == 0	 ? ascending
				      : way == 1 ? epochs - 1 - ascending
						 : v1_below(&p->state, epochs);
	}
	close_gaps(w, epochs);
}

/* Of each old block, the last epoch + 1 that reads it; 0: none does. */
static void note_reads(const struct v1_pair *p, u64 from, u64 len, u32 epoch,
		       u32 *last)
{
	u32 bits = p->w.super.block_bits;

	for (u64 b = from >> bits; len && b <= (from + len - 1) >> bits; b++)
		if (last[b] < epoch + 1)
			last[b] = epoch + 1;
}

static void note_extent(const struct v1_pair *p, const struct v1_extent *e,
			u32 *last)
{
	const struct v1_chunk *chunk;

	if (e->kind == UPDATE1_COPY)
		note_reads(p, e->src, extent_len(p, e), e->epoch, last);
	if (e->kind != UPDATE1_DATA)
		return;
	chunk = &p->w.chunks[e->chunk];
	for (u32 i = 0; i < chunk->n_ranges; i++)
		note_reads(p, chunk->ranges[i].offset, chunk->ranges[i].len,
			   e->epoch, last);
}

static bool rooms_meet(const struct v1_save *a, const struct v1_save *b)
{
	return a->room < b->room + b->blocks && b->room < a->room + a->blocks;
}

/* Both hold something, or are being filled, at the same time. */
static bool lives_meet(const struct v1_save *a, const struct v1_save *b)
{
	return (s64)a->epoch - 1 <= b->last && (s64)b->epoch - 1 <= a->last;
}

static void find_room(struct v1_writer *w, struct v1_save *save)
{
	struct v1_save *other = w->saves;

	save->room = 0;
	while (other < save) {
		if (rooms_meet(save, other) && lives_meet(save, other)) {
			save->room = other->room + other->blocks;
			other = w->saves;
		} else {
			other++;
		}
	}
}

/* One more block aside: longer the last save, or a new one. */
static void save_block(struct v1_pair *p, u64 block, u32 epoch, u32 last)
{
	struct v1_writer *w = &p->w;
	struct v1_save *s = w->n_saves ? &w->saves[w->n_saves - 1] : NULL;

	if (s && s->old + s->blocks == block && s->epoch == epoch &&
	    s->last == last && v1_below(&p->state, 5))
		s->blocks++;
	else
		s = v1_add_save(w,
				(struct v1_save){ block, 1, epoch, last, 0 });
	find_room(w, s);
}

static void needed_saves(struct v1_pair *p)
{
	u64 blocks = blocks_of(p, p->old_size);
	u32 *last = calloc(blocks, sizeof(*last));
	struct v1_writer *w = &p->w;

	for (u32 i = 0; i < w->n_extents; i++)
		note_extent(p, &w->extents[i], last);
	for (u32 i = 0; i < w->n_extents; i++) {
		const struct v1_extent *e = &w->extents[i];

		for (u64 b = e->dest; b < e->dest + e->blocks && b < blocks;
		     b++)
			if (last[b] > e->epoch)
				save_block(p, b, e->epoch, last[b] - 1);
	}
	free(last);
}

/* ---- the pair ------------------------------------------------------------ */

static void random_images(struct v1_pair *p, const struct v1_shape *shape)
{
	u32 most = shape->most_blocks << shape->block_bits, sector = 512;
	u32 least = 1 << shape->block_bits;

	if (v1_below(&p->state, 4) == 0)
		sector = 1; /* an image that ends inside a sector */
	p->old_size =
		least + v1_below(&p->state, (most - least) / sector) * sector;
	p->new_size = p->old_size;
	if (v1_below(&p->state, 2))
		p->new_size =
			least +
			v1_below(&p->state, (most - least) / sector) * sector;
	p->old = calloc(1, most + least);
	p->new = calloc(1, most + least);
	if (shape->fill)
		shape->fill(p);
	else
		fill(v1_random(&p->state), p->old, p->old_size);
}

void v1_random_pair(struct v1_pair *p, u64 seed, const struct v1_shape *shape)
{
	u32 chunk = shape->chunk_blocks << shape->block_bits;
	u32 piece = 1 << shape->block_bits;

	*p = (struct v1_pair){ .state = seed };
	random_images(p, shape);
	if (shape->chunk_blocks > 1)
		piece *= 1 + v1_below(&p->state, 2);
	v1_begin(&p->w, shape->block_bits, chunk, piece, p->old_size,
		 p->new_size);
	if (seed % 2)
		p->w.super.incompat = 0; /* pieces lean on those before */
	p->w.page = 1 + v1_below(&p->state, 50);
	random_extents(p, shape);
	random_epochs(p);
	needed_saves(p);
	memcpy(p->new, p->old, p->new_size);
	for (u32 i = 0; i < p->w.n_extents; i++)
		show_extent(p, &p->w.extents[i]);
}

void v1_pair_free(struct v1_pair *p)
{
	v1_free(&p->w);
	free(p->old);
	free(p->new);
}
