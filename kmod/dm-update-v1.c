// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-v1.h"
#include "dm-update-v1-number.h"

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EINVAL;
}

static u64 blocks_of(u64 bytes, u32 block_bits)
{
	return (bytes + (1u << block_bits) - 1) >> block_bits;
}

static bool all_zero(const u8 *bytes, u32 len)
{
	while (len--)
		if (*bytes++)
			return false;
	return true;
}

/* ---- superblock ---------------------------------------------------------- */

int update_version(const void *start)
{
	const struct update1_super *super = start;

	if (memcmp(super->magic, UPDATE_MAGIC, sizeof(super->magic)))
		return -EINVAL;
	return super->version;
}

static int check_identity(const struct update1_super *super, const char **why)
{
	if (memcmp(super->magic, UPDATE_MAGIC, sizeof(super->magic)))
		return refuse(why, "Not an update diff");
	if (super->version != UPDATE_VERSION_1)
		return refuse(why, "Unknown version of the update diff");
	if (le32_to_cpu(super->crc) !=
	    plat_crc32c(~0u, super, offsetof(struct update1_super, crc)))
		return refuse(why, "Superblock has a wrong checksum");
	if (le64_to_cpu(super->incompat) & ~UPDATE1_FEATURES)
		return refuse(why, "Diff needs a feature that is not known");
	if (super->zero0 || !all_zero(super->zero, sizeof(super->zero)))
		return refuse(why, "Superblock padding is not zero");
	return 0;
}

static bool whole_blocks(const struct update1_geometry *g, u32 bytes, u32 most)
{
	return bytes && bytes <= most && !(bytes & ((1u << g->block_bits) - 1));
}

/* What zstd makes of a chunk that it cannot shrink, with the header. */
static u32 stored_limit(const struct update1_geometry *g)
{
	return UPDATE1_MAX_HEADER + g->chunk_bytes + (g->chunk_bytes >> 7) +
	       1024;
}

static int check_chunks(const struct update1_geometry *g, const char **why)
{
	if (g->block_bits < 9 || g->block_bits > 16)
		return refuse(why, "Block size out of range");
	if (!whole_blocks(g, g->chunk_bytes, UPDATE1_MAX_CHUNK))
		return refuse(why, "Chunk size out of range");
	if (!whole_blocks(g, g->piece_bytes, g->chunk_bytes) ||
	    g->piece_bytes * (u64)UPDATE1_MAX_PIECES < g->chunk_bytes)
		return refuse(why, "Piece size out of range");
	if (g->prefix_bytes > UPDATE1_MAX_CHUNK)
		return refuse(why, "Prefix size out of range");
	if (g->stored_bytes > stored_limit(g))
		return refuse(why, "Stored chunk size out of range");
	return 0;
}

static int check_counts(const struct update1_geometry *g, const char **why)
{
	if (!g->old_size || g->old_size > UPDATE1_MAX_IMAGE || !g->new_size ||
	    g->new_size > UPDATE1_MAX_IMAGE)
		return refuse(why, "Image size out of range");
	if (g->n_extents > UPDATE1_MAX_DIR / sizeof(struct update1_packed) ||
	    g->n_extents > blocks_of(g->new_size, g->block_bits))
		return refuse(why, "Number of extents out of range");
	if (g->n_epochs > UPDATE1_MAX_EPOCHS || g->n_epochs > g->n_extents ||
	    (g->n_extents && !g->n_epochs))
		return refuse(why, "Number of epochs out of range");
	if (g->n_saves > UPDATE1_MAX_SAVES ||
	    g->save_blocks > UPDATE1_MAX_ROOM || (g->n_saves && !g->n_epochs))
		return refuse(why, "Number of saves out of range");
	return 0;
}

static int check_file(const struct update1_geometry *g, u64 dir_size,
		      u64 file_bytes, const char **why)
{
	if (g->file_size > UPDATE1_MAX_FILE || g->file_size > file_bytes)
		return refuse(why, "Diff is cut off");
	if (dir_size > UPDATE1_MAX_DIR || g->dir_offset < UPDATE1_SUPER_SIZE ||
	    g->dir_offset > g->file_size ||
	    dir_size != g->file_size - g->dir_offset)
		return refuse(why, "Directory outside of the update diff");
	return 0;
}

int update1_super_parse(const struct update1_super *super, u64 file_bytes,
			struct update1_geometry *g, const char **why)
{
	int r = check_identity(super, why);

	if (r)
		return r;
	*g = (struct update1_geometry){
		.block_bits = super->block_bits,
		.chunk_bytes = le32_to_cpu(super->chunk_bytes),
		.prefix_bytes = le32_to_cpu(super->prefix_bytes),
		.piece_bytes = le32_to_cpu(super->piece_bytes),
		.stored_bytes = le32_to_cpu(super->stored_bytes),
		.n_extents = le32_to_cpu(super->n_extents),
		.n_saves = le32_to_cpu(super->n_saves),
		.n_epochs = le32_to_cpu(super->n_epochs),
		.save_blocks = le32_to_cpu(super->save_blocks),
		.dir_crc = le32_to_cpu(super->dir_crc),
		.dir_size = (u32)le64_to_cpu(super->dir_size),
		.dir_offset = le64_to_cpu(super->dir_offset),
		.file_size = le64_to_cpu(super->file_size),
		.old_size = le64_to_cpu(super->old_size),
		.new_size = le64_to_cpu(super->new_size),
		.changed = le64_to_cpu(super->changed),
		.alone = le64_to_cpu(super->incompat) & UPDATE1_ALONE,
	};
	memcpy(g->old_sha256, super->old_sha256, sizeof(g->old_sha256));
	memcpy(g->new_sha256, super->new_sha256, sizeof(g->new_sha256));
	memcpy(g->id, super->id, sizeof(g->id));
	r = check_chunks(g, why);
	if (!r)
		r = check_counts(g, why);
	if (!r)
		r = check_file(g, le64_to_cpu(super->dir_size), file_bytes,
			       why);
	return r;
}

/* ---- extents and saves as they are kept ---------------------------------- */

/*
 * Extent, a: dest 35 bits, kind 2, epoch 16, stored KiB 11. b: for data, byte
 * of the file 42, block in the chunk 11, blocks - 1 11; for others, byte of the
 * old image 44, blocks - 1 15.
 * Save, a: old 35, epoch 16. b: room 27, blocks - 1 15, last 16.
 */
#define DEST_BITS 35
#define KIND_AT	  35
#define EPOCH_AT  37
#define KIB_AT	  53
#define COPY_BITS 44
#define FILE_BITS 42
#define IN_AT	  42
#define LEN_AT	  53
#define ROOM_BITS 27
#define LAST_AT	  42

static u64 bits(u64 word, u32 at, u32 n)
{
	return word >> at & ((1ull << n) - 1);
}

static void pack_extent(struct update1_packed *to, u32 block_bits,
			const struct update1_extent *e)
{
	u64 kib = (e->stored + 1023) >> 10;

	to->a = e->dest | (u64)e->kind << KIND_AT | (u64)e->epoch << EPOCH_AT |
		kib << KIB_AT;
	if (e->kind == UPDATE1_IS_DATA)
		to->b = e->src | (u64)(e->offset >> block_bits) << IN_AT |
			(u64)(e->blocks - 1) << LEN_AT;
	else
		to->b = e->src | (u64)(e->blocks - 1) << COPY_BITS;
}

void update1_extent(const struct update1_dir *dir, u32 i,
		    struct update1_extent *e)
{
	const struct update1_packed *p = &dir->extents[i];
	u64 left;

	e->dest = bits(p->a, 0, DEST_BITS);
	e->kind = bits(p->a, KIND_AT, 2);
	e->epoch = bits(p->a, EPOCH_AT, 16);
	e->stored = bits(p->a, KIB_AT, 11) << 10;
	if (e->kind != UPDATE1_IS_DATA) {
		e->src = bits(p->b, 0, COPY_BITS);
		e->blocks = bits(p->b, COPY_BITS, 15) + 1;
		e->offset = 0;
		return;
	}
	e->src = bits(p->b, 0, FILE_BITS);
	e->offset = bits(p->b, IN_AT, 11) << dir->g.block_bits;
	e->blocks = bits(p->b, LEN_AT, 11) + 1;
	left = dir->g.dir_offset - e->src;
	if (e->stored > left)
		e->stored = left;
}

u64 update1_extent_bytes(const struct update1_dir *dir,
			 const struct update1_extent *e)
{
	u64 bytes = (u64)e->blocks << dir->g.block_bits;
	u64 left = dir->g.new_size - (e->dest << dir->g.block_bits);

	return bytes < left ? bytes : left;
}

static void pack_save(struct update1_packed *to, const struct update1_save *s)
{
	to->a = s->old | (u64)s->epoch << EPOCH_AT;
	to->b = s->room | (u64)(s->blocks - 1) << ROOM_BITS |
		(u64)s->last << LAST_AT;
}

void update1_save(const struct update1_dir *dir, u32 i, struct update1_save *s)
{
	const struct update1_packed *p = &dir->saves[i];

	s->old = bits(p->a, 0, DEST_BITS);
	s->epoch = bits(p->a, EPOCH_AT, 16);
	s->room = bits(p->b, 0, ROOM_BITS);
	s->blocks = bits(p->b, ROOM_BITS, 15) + 1;
	s->last = bits(p->b, LAST_AT, 16);
}

/* ---- loading the directory ----------------------------------------------- */

static int give_up(struct update1_load *load, int r)
{
	update1_load_cancel(load);
	return r;
}

static void *alloc_table(u32 n, size_t size)
{
	return plat_alloc((n + (size_t)!n) * size);
}

int update1_load_begin(struct update1_load *load, struct update1_dir *dir,
		       const struct update1_geometry *g, const char **why)
{
	*dir = (struct update1_dir){ .g = *g };
	*load = (struct update1_load){ .dir = dir,
				       .crc = ~0u,
				       .chunk = UPDATE1_SUPER_SIZE };
	dir->extents = alloc_table(g->n_extents, sizeof(*dir->extents));
	dir->saves = alloc_table(g->n_saves, sizeof(*dir->saves));
	dir->epochs = alloc_table(g->n_epochs, sizeof(*dir->epochs));
	load->epoch_blocks =
		alloc_table(g->n_epochs, sizeof(*load->epoch_blocks));
	if (dir->extents && dir->saves && dir->epochs && load->epoch_blocks)
		return 0;
	*why = "Not enough memory for the directory";
	return give_up(load, -ENOMEM);
}

void update1_load_cancel(struct update1_load *load)
{
	plat_free(load->epoch_blocks);
	load->epoch_blocks = NULL;
	update1_dir_exit(load->dir);
}

void update1_dir_exit(struct update1_dir *dir)
{
	plat_free(dir->extents);
	plat_free(dir->saves);
	plat_free(dir->epochs);
	memset(dir, 0, sizeof(*dir));
}

u64 update1_load_at(const struct update1_load *load)
{
	const struct update1_geometry *g = &load->dir->g;

	return load->at < g->dir_size ? g->dir_offset + load->at : 0;
}

u32 update1_load_want(const struct update1_load *load)
{
	u32 left = load->dir->g.dir_size - load->at;
	u32 most = sizeof(struct update1_page) + UPDATE1_PAGE_STORED;

	return left < most ? left : most;
}

int update1_load_sizes(struct update1_load *load, const void *bytes,
		       u32 *stored, u32 *decoded, const char **why)
{
	const struct update1_page *page = bytes;
	u32 have = update1_load_want(load);

	if (have < sizeof(*page))
		return give_up(load, refuse(why, "Directory page is cut off"));
	*stored = le32_to_cpu(page->stored);
	*decoded = le32_to_cpu(page->decoded);
	if (!*stored || *stored > have - sizeof(*page) || !*decoded ||
	    *decoded > UPDATE1_PAGE)
		return give_up(load,
			       refuse(why, "Directory page size out of range"));
	return 0;
}

/* The columns of a page, each read on its own. */
struct columns {
	struct cursor kind, gap, blocks, epoch, last, source;
};

/* The column of @n numbers at @from, which moves behind it. */
static struct cursor split_numbers(struct cursor *from, u32 n)
{
	struct cursor column = *from;

	while (n-- && !from->bad)
		take_number(from);
	return column;
}

static struct cursor split_kinds(struct cursor *from, u32 n)
{
	struct cursor column = *from;

	take_bytes(from, n);
	return column;
}

/* Any of them ended before its time, or was not a number. */
static bool columns_bad(const struct columns *c)
{
	return c->kind.bad || c->gap.bad || c->blocks.bad || c->epoch.bad ||
	       c->last.bad || c->source.bad;
}

/* Where the record is in its image of @image_blocks, and how long. */
static int load_span(const struct update1_load *load, struct columns *c,
		     u64 behind, u64 image_blocks, u64 *at, u32 *blocks,
		     const char **why)
{
	u64 gap = take_number(&c->gap), less_one = take_number(&c->blocks);
	u32 most = UPDATE1_MAX_EXTENT >> load->dir->g.block_bits;

	if (gap >= image_blocks - behind)
		return refuse(why, "Directory names a block past the image");
	*at = behind + gap;
	if (less_one >= image_blocks - *at)
		return refuse(why, "Directory names a block past the image");
	if (less_one >= most)
		return refuse(why, "Extent or save is too long");
	*blocks = less_one + 1;
	return 0;
}

/* @delta is from a file: its sum with @from is within 0 and @end - 1, or not.
 */
static bool step(u64 from, s64 delta, u64 end, u64 *to)
{
	*to = from + (u64)delta;
	return (delta < 0 ? -(u64)delta <= from : (u64)delta < end) &&
	       *to < end;
}

static int load_epoch(struct columns *c, u32 n_epochs, u32 before, u32 *epoch,
		      const char **why)
{
	u64 to;

	if (!step(before, take_signed(&c->epoch), n_epochs, &to))
		return refuse(why, "Epoch out of range");
	*epoch = to;
	return 0;
}

/* @blocks are written while @epoch is merged. */
static int add_writes(struct update1_load *load, u32 epoch, u32 blocks,
		      const char **why)
{
	load->epoch_blocks[epoch] += blocks;
	if (load->epoch_blocks[epoch] > UPDATE1_MAX_EPOCH >>
	    load->dir->g.block_bits)
		return refuse(why, "Epoch is too large");
	return 0;
}

/* @shift: of the copy before; the copy of this one is as far from it. */
static int load_copy(struct update1_load *load, struct columns *c,
		     struct update1_extent *e, const char **why)
{
	const struct update1_geometry *g = &load->dir->g;
	u64 bytes = update1_extent_bytes(load->dir, e);

	/* Modulo 2^64: whatever the numbers are, the sum is checked. */
	load->shift += (u64)take_signed(&c->source);
	e->src = (e->dest << g->block_bits) + load->shift;
	if (e->src >= g->old_size || bytes > g->old_size - e->src)
		return refuse(why, "Copy from outside of the old image");
	return 0;
}

/* The chunk of this data extent, if it is not that of the one before. */
static int load_chunk(struct update1_load *load, struct columns *c, u8 kind,
		      const char **why)
{
	u64 end = load->dir->g.dir_offset;
	u64 next = load->chunk + load->stored, stored;
	s64 delta = kind == UPDATE1_DATA_FAR ? take_signed(&c->source) : 0;

	if (!step(next, delta, end, &load->chunk) ||
	    load->chunk < UPDATE1_SUPER_SIZE)
		return refuse(why, "Chunk outside of the update diff");
	stored = take_number(&c->source);
	if (!stored || stored > load->dir->g.stored_bytes)
		return refuse(why, "Stored chunk size out of range");
	if (stored > end - load->chunk)
		return refuse(why, "Chunk outside of the update diff");
	load->stored = stored;
	load->offset = 0;
	return 0;
}

static int load_data(struct update1_load *load, struct columns *c, u8 kind,
		     struct update1_extent *e, const char **why)
{
	const struct update1_geometry *g = &load->dir->g;
	u64 offset, end = g->chunk_bytes >> g->block_bits;

	if ((kind == UPDATE1_DATA_NEXT || kind == UPDATE1_DATA_FAR) &&
	    load_chunk(load, c, kind, why))
		return -EINVAL;
	if (!load->stored)
		return refuse(why, "Directory begins inside of a chunk");
	offset = kind == UPDATE1_DATA_AT || kind == UPDATE1_DATA_FAR
			 ? take_number(&c->source)
			 : load->offset;
	if (offset >= end || e->blocks > end - offset)
		return refuse(why, "Directory points past a chunk");
	load->offset = offset + e->blocks;
	e->src = load->chunk;
	e->offset = offset << g->block_bits;
	e->stored = load->stored;
	return 0;
}

static int load_source(struct update1_load *load, struct columns *c,
		       struct update1_extent *e, const char **why)
{
	const u8 *kind = take_bytes(&c->kind, 1);

	switch (*kind) {
	case UPDATE1_ZERO:
		e->kind = UPDATE1_IS_ZERO;
		return 0;
	case UPDATE1_COPY:
		e->kind = UPDATE1_IS_COPY;
		return load_copy(load, c, e, why);
	case UPDATE1_DATA:
	case UPDATE1_DATA_AT:
	case UPDATE1_DATA_NEXT:
	case UPDATE1_DATA_FAR:
		e->kind = UPDATE1_IS_DATA;
		return load_data(load, c, *kind, e, why);
	}
	return refuse(why, "Unknown kind of extent");
}

/* What no extent names, up to block @end, is in the old image. */
static int check_unnamed(const struct update1_load *load, u64 end,
			 const char **why)
{
	const struct update1_geometry *g = &load->dir->g;
	u64 bytes = end << g->block_bits;

	if (end > load->dest &&
	    (bytes < g->new_size ? bytes : g->new_size) > g->old_size)
		return refuse(why, "Unchanged block past the old image");
	return 0;
}

static void note_epoch(struct update1_epoch *epoch, u32 i)
{
	if (!epoch->end)
		epoch->first = i;
	epoch->end = i + 1;
}

static int load_extent(struct update1_load *load, struct columns *c,
		       const char **why)
{
	struct update1_dir *dir = load->dir;
	struct update1_extent e = { 0 };
	int r = load_span(load, c, load->dest,
			  blocks_of(dir->g.new_size, dir->g.block_bits),
			  &e.dest, &e.blocks, why);

	if (!r)
		r = check_unnamed(load, e.dest, why);
	if (!r)
		r = load_epoch(c, dir->g.n_epochs, load->epoch, &e.epoch, why);
	if (!r)
		r = add_writes(load, e.epoch, e.blocks, why);
	if (!r)
		r = load_source(load, c, &e, why);
	if (r)
		return r;
	pack_extent(&dir->extents[load->extents], dir->g.block_bits, &e);
	note_epoch(&dir->epochs[e.epoch], load->extents);
	load->extents++;
	load->dest = e.dest + e.blocks;
	load->epoch = e.epoch;
	load->changed += e.blocks;
	return 0;
}

static int load_room(struct update1_load *load, struct columns *c,
		     struct update1_save *s, const char **why)
{
	u64 room, end = load->dir->g.save_blocks;

	if (!step(load->room, take_signed(&c->source), end, &room) ||
	    s->blocks > end - room)
		return refuse(why, "Save outside of the save area");
	s->room = room;
	return 0;
}

static int load_save(struct update1_load *load, struct columns *c,
		     const char **why)
{
	struct update1_dir *dir = load->dir;
	struct update1_save s;
	u64 last;
	int r = load_span(load, c, load->old,
			  blocks_of(dir->g.old_size, dir->g.block_bits), &s.old,
			  &s.blocks, why);

	if (!r)
		r = load_epoch(c, dir->g.n_epochs, load->save_epoch, &s.epoch,
			       why);
	if (!r && s.epoch)
		r = add_writes(load, s.epoch - 1, s.blocks, why);
	if (!r)
		r = load_room(load, c, &s, why);
	if (r)
		return r;
	last = take_number(&c->last);
	if (last >= dir->g.n_epochs - s.epoch)
		return refuse(why, "Epoch out of range");
	s.last = s.epoch + last;
	pack_save(&dir->saves[load->saves++], &s);
	load->old = s.old + s.blocks;
	load->save_epoch = s.epoch;
	load->room = s.room + s.blocks;
	return 0;
}

/* The columns of @n extents, or of saves, which have no kind. */
static struct columns split_columns(struct cursor *from, u32 n, bool extents)
{
	struct columns c = { .kind = *from, .last = *from };

	if (extents)
		c.kind = split_kinds(from, n);
	c.gap = split_numbers(from, n);
	c.blocks = split_numbers(from, n);
	c.epoch = split_numbers(from, n);
	if (!extents)
		c.last = split_numbers(from, n);
	c.source = *from;
	return c;
}

static int load_records(struct update1_load *load, struct cursor *from,
			const char **why)
{
	const struct update1_geometry *g = &load->dir->g;
	bool extents = load->extents < g->n_extents;
	u32 left = extents ? g->n_extents - load->extents
			   : g->n_saves - load->saves;
	u64 n = take_number(from);
	struct columns c;
	int r = 0;

	if (!n || n > left)
		return refuse(why, "Directory has other counts than it says");
	c = split_columns(from, n, extents);
	if (c.source.bad)
		return refuse(why, "Directory page is not what it says");
	while (!r && n--)
		r = extents ? load_extent(load, &c, why)
			    : load_save(load, &c, why);
	if (columns_bad(&c) || (!r && c.source.at != from->end))
		return refuse(why, "Directory page is not what it says");
	return r;
}

int update1_load_page(struct update1_load *load, const void *bytes,
		      const void *contents, const char **why)
{
	const struct update1_page *page = bytes;
	u32 size = sizeof(*page) + le32_to_cpu(page->stored);
	const u8 *begin = contents;
	struct cursor from = { begin, begin + le32_to_cpu(page->decoded),
			       false };
	int r = load_records(load, &from, why);

	if (r)
		return give_up(load, r);
	load->crc = plat_crc32c(load->crc, bytes, size);
	load->at += size;
	return 0;
}

/* Every epoch is there, and finding all their extents takes not too long. */
static int check_epochs(const struct update1_dir *dir, const char **why)
{
	u64 looks = 0;
	u32 i;

	for (i = 0; i < dir->g.n_epochs; i++) {
		if (!dir->epochs[i].end)
			return refuse(why, "Epoch without an extent");
		looks += dir->epochs[i].end - dir->epochs[i].first;
	}
	if (looks > UPDATE1_MAX_LOOKS)
		return refuse(why, "Epochs are too scattered");
	return 0;
}

static int check_loaded(const struct update1_load *load, const char **why)
{
	const struct update1_geometry *g = &load->dir->g;

	if (load->crc != g->dir_crc && g->dir_size)
		return refuse(why, "Directory has a wrong checksum");
	if (load->extents != g->n_extents || load->saves != g->n_saves ||
	    load->changed != g->changed)
		return refuse(why, "Directory has other counts than it says");
	if (check_epochs(load->dir, why))
		return -EINVAL;
	return check_unnamed(load, blocks_of(g->new_size, g->block_bits), why);
}

int update1_load_end(struct update1_load *load, const char **why)
{
	int r = check_loaded(load, why);

	if (r)
		return give_up(load, r);
	plat_free(load->epoch_blocks);
	load->epoch_blocks = NULL;
	return 0;
}

/* ---- lookup -------------------------------------------------------------- */

/* The end of what is packed, in blocks. */
static u64 extent_end(const struct update1_packed *p)
{
	u64 kind = bits(p->a, KIND_AT, 2);

	return bits(p->a, 0, DEST_BITS) + 1 +
	       (kind == UPDATE1_IS_DATA ? bits(p->b, LEN_AT, 11)
					: bits(p->b, COPY_BITS, 15));
}

static u64 save_end(const struct update1_packed *p)
{
	return bits(p->a, 0, DEST_BITS) + 1 + bits(p->b, ROOM_BITS, 15);
}

/* The first of @n that ends behind @block. */
static u32 find_end(const struct update1_packed *table, u32 n, u64 block,
		    u64 (*end)(const struct update1_packed *))
{
	u32 low = 0, high = n;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (end(&table[middle]) <= block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

u32 update1_find(const struct update1_dir *dir, u64 block)
{
	return find_end(dir->extents, dir->g.n_extents, block, extent_end);
}

u32 update1_find_save(const struct update1_dir *dir, u64 block)
{
	return find_end(dir->saves, dir->g.n_saves, block, save_end);
}

/* In the save @s, or in the system device up to it. */
static void place_by_save(const struct update1_dir *dir, u32 done, u64 offset,
			  const struct update1_save *s,
			  struct update1_place *place)
{
	u32 block_bits = dir->g.block_bits;
	u64 begin = s->old << block_bits;
	u64 end = begin + ((u64)s->blocks << block_bits);
	u64 stop = offset < begin ? begin : end;

	place->saved = offset >= begin && s->epoch <= done && done <= s->last;
	place->at = offset;
	if (place->saved)
		place->at = update1_room_at(&dir->g, s->room) + offset - begin;
	if (stop - offset < place->len)
		place->len = stop - offset;
}

void update1_old(const struct update1_dir *dir, u32 done, u64 offset, u32 len,
		 struct update1_place *place)
{
	struct update1_save s;
	u32 i = update1_find_save(dir, offset >> dir->g.block_bits);

	*place = (struct update1_place){ .at = offset, .len = len };
	if (i == dir->g.n_saves)
		return;
	update1_save(dir, i, &s);
	place_by_save(dir, done, offset, &s, place);
}
