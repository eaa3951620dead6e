// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An update diff of format version 1, made by the writer of the tests: what is
 * valid is read back as it was meant, each way of being wrong is refused for
 * its own reason, lookups find every block, chunks decode whole and in part.
 */
#include <zstd.h>

#include "test.h"
#include "dm-update-v1.h"
#include "v1-writer.h"

#define BITS  12
#define BLOCK (1u << BITS)
#define OLD   (100 * BLOCK - 700)
#define NEW   (120 * BLOCK - 300)
#define CHUNK (16 * BLOCK)
#define PIECE (4 * BLOCK)

static u8 old_image[OLD], data[CHUNK];

/* A directory of every kind of extent, and of saves. */
static void sample_of(struct v1_writer *w, u64 features)
{
	static const struct v1_range ranges[] = { { 5000, 7000 }, { 3, 4096 } };
	static const struct v1_extent extents[] = {
		{ 0, 2, 1, UPDATE1_ZERO, 0, 0, 0 },
		{ 2, 3, 0, UPDATE1_COPY, 4097, 0, 0 },
		{ 9, 4, 0, UPDATE1_DATA, 0, 0, 0 },
		{ 13, 2, 2, UPDATE1_DATA, 0, 0, 4 },
		{ 20, 1, 1, UPDATE1_DATA, 0, 0, 15 },
		{ 30, 1, 1, UPDATE1_DATA, 0, 2, 2 },
		{ 31, 5, 1, UPDATE1_DATA, 0, 1, 0 },
		{ 40, 1, 3, UPDATE1_DATA, 0, 2, 0 },
		{ 50, 8, 1, UPDATE1_COPY, 12 * BLOCK + 1, 0, 0 },
		{ 90, 29, 2, UPDATE1_ZERO, 0, 0, 0 },
		{ 119, 1, 3, UPDATE1_COPY, OLD - (BLOCK - 300), 0, 0 },
	};
	static const struct v1_save saves[] = {
		{ 2, 1, 0, 2, 0 },
		{ 3, 2, 0, 0, 1 },
		{ 99, 1, 2, 3, 1 },
	};

	v1_begin(w, BITS, CHUNK, PIECE, OLD, NEW);
	w->super.incompat = cpu_to_le64(features);
	w->page = 4;
	v1_add_chunk(w, old_image, data, 16, ranges, 2);
	v1_add_chunk(w, old_image, data + 100, 5, NULL, 0);
	v1_add_chunk(w, old_image, data + 200, 3, ranges, 1);
	for (size_t i = 0; i < sizeof(extents) / sizeof(extents[0]); i++)
		v1_add_extent(w, extents[i]);
	for (size_t i = 0; i < sizeof(saves) / sizeof(saves[0]); i++)
		v1_add_save(w, saves[i]);
}

static void sample(struct v1_writer *w)
{
	sample_of(w, UPDATE1_ALONE);
}

/* What the diff says, with the contents of the pages as @w has them. */
static const char *load_pages(const struct v1_writer *w,
			      struct update1_load *load)
{
	static u8 contents[UPDATE1_PAGE];
	const char *why = NULL;
	u32 stored, decoded;
	u64 at;

	while ((at = update1_load_at(load))) {
		const u8 *page = w->file + at;
		u32 want = update1_load_want(load);
		void *bytes = malloc(want); /* to see reads past what it has */

		memcpy(bytes, page, want);
		if (!update1_load_sizes(load, bytes, &stored, &decoded, &why)) {
			if (ZSTD_decompress(contents, decoded, page + 8,
					    stored) != decoded) {
				why = "zstd";
				update1_load_cancel(load);
			} else {
				update1_load_page(load, bytes, contents, &why);
			}
		}
		free(bytes);
		if (why)
			return why;
	}
	update1_load_end(load, &why);
	return why;
}

static const char *load_file(const struct v1_writer *w, struct update1_dir *dir)
{
	struct update1_geometry g;
	struct update1_load load;
	const char *why = NULL;

	if (update1_super_parse((void *)w->file, w->size, &g, &why) ||
	    update1_load_begin(&load, dir, &g, &why))
		return why;
	return load_pages(w, &load);
}

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 16;
}

static void fill_images(void)
{
	u64 state = 1;

	for (size_t i = 0; i < sizeof(old_image); i++)
		old_image[i] = next_random(&state);
	/* Partly old bytes, partly runs, partly noise. */
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i % 9000 < 5000   ? old_image[5000 + i % 7000]
			  : i % 9000 < 7000 ? i >> 8
					    : next_random(&state);
}

/* ---- what is valid ------------------------------------------------------- */

static void same_extent(const struct v1_writer *w, const struct v1_extent *want,
			const struct update1_extent *got)
{
	check(got->dest == want->dest && got->blocks == want->blocks);
	check(got->epoch == want->epoch);
	if (want->kind == UPDATE1_ZERO)
		check(got->kind == UPDATE1_IS_ZERO);
	if (want->kind == UPDATE1_COPY)
		check(got->kind == UPDATE1_IS_COPY && got->src == want->src);
	if (want->kind != UPDATE1_DATA)
		return;
	check(got->kind == UPDATE1_IS_DATA);
	check(got->src == w->chunks[want->chunk].at);
	check(got->offset == want->block * BLOCK);
	check(got->stored >= w->chunks[want->chunk].stored);
	check(got->stored < w->chunks[want->chunk].stored + 1024);
}

static void a_valid_diff_is_taken(void)
{
	struct update1_extent e;
	struct update1_dir dir;
	struct v1_writer w;
	struct update1_save s;

	sample(&w);
	v1_end(&w);
	check(update_version(w.file) == 1);
	check(!load_file(&w, &dir));
	check(dir.g.n_extents == w.n_extents && dir.g.n_epochs == 4);
	check(sizeof(*dir.extents) == 16);
	for (u32 i = 0; i < w.n_extents; i++) {
		update1_extent(&dir, i, &e);
		same_extent(&w, &w.extents[i], &e);
	}
	check(update1_extent_bytes(&dir, &e) == BLOCK - 300);
	for (u32 i = 0; i < w.n_saves; i++) {
		update1_save(&dir, i, &s);
		check(s.old == w.saves[i].old && s.room == w.saves[i].room);
		check(s.blocks == w.saves[i].blocks);
		check(s.epoch == w.saves[i].epoch);
		check(s.last == w.saves[i].last);
	}
	update1_dir_exit(&dir);
	v1_free(&w);
}

static void the_largest_numbers_are_kept(void)
{
	u64 blocks = UPDATE1_MAX_IMAGE >> 9;
	struct v1_extent copy = {
		blocks - 32768, 32768, 65535, UPDATE1_COPY, 0, 0, 0
	};
	struct v1_save save = { blocks - 32767, 32767, 65535, 65535,
				UPDATE1_MAX_ROOM - 32767 };
	struct update1_extent e;
	struct update1_dir dir;
	struct update1_save s;
	struct v1_writer w;

	v1_begin(&w, 9, 1 << 20, 1 << 20, UPDATE1_MAX_IMAGE, UPDATE1_MAX_IMAGE);
	for (u32 i = 0; i < 65535; i++)
		v1_add_extent(&w, (struct v1_extent){ i, 1, i, UPDATE1_ZERO, 0,
						      0, 0 });
	copy.src = UPDATE1_MAX_IMAGE - UPDATE1_MAX_EXTENT;
	v1_add_extent(&w, copy);
	v1_add_save(&w, save);
	v1_end(&w);
	check(!load_file(&w, &dir));
	update1_extent(&dir, 65535, &e);
	same_extent(&w, &copy, &e);
	update1_save(&dir, 0, &s);
	check(s.old == save.old && s.blocks == 32767 && s.epoch == 65535);
	check(s.last == 65535 && s.room == save.room);
	update1_dir_exit(&dir);
	v1_free(&w);
}

static void a_diff_of_nothing_is_taken(void)
{
	struct update1_dir dir;
	struct v1_writer w;

	v1_begin(&w, BITS, CHUNK, PIECE, NEW, NEW);
	v1_end(&w);
	check(!load_file(&w, &dir));
	check(update1_find(&dir, 0) == 0 && !dir.g.n_epochs);
	update1_dir_exit(&dir);
	v1_free(&w);
}

static void every_block_is_found(void)
{
	struct update1_extent e;
	struct update1_dir dir;
	struct v1_writer w;
	u32 i;

	sample(&w);
	v1_end(&w);
	check(!load_file(&w, &dir));
	for (u64 block = 0; block < 125; block++) {
		i = update1_find(&dir, block);
		if (i) {
			update1_extent(&dir, i - 1, &e);
			check(e.dest + e.blocks <= block);
		}
		if (i == dir.g.n_extents)
			continue;
		update1_extent(&dir, i, &e);
		check(e.dest + e.blocks > block);
	}
	check(update1_find(&dir, ~0ull) == dir.g.n_extents);
	update1_dir_exit(&dir);
	v1_free(&w);
}

static void extents_and_saves_of_an_epoch_are_found(void)
{
	struct update1_dir dir;
	struct v1_writer w;
	u32 n = 0, saves = 0;

	sample(&w);
	v1_end(&w);
	check(!load_file(&w, &dir));
	for (u32 epoch = 0; epoch < 4; epoch++) {
		for (u32 i = 0;
		     (i = update1_epoch_next(&dir, epoch, i)) < w.n_extents;
		     i++, n++)
			check(w.extents[i].epoch == epoch);
		for (u32 i = 0;
		     (i = update1_save_next(&dir, epoch, i)) < w.n_saves;
		     i++, saves++)
			check(w.saves[i].epoch == epoch);
	}
	check(n == w.n_extents && saves == w.n_saves);
	update1_dir_exit(&dir);
	v1_free(&w);
}

/* Byte @at of the old image, by the table of saves in sample(). */
static u64 place_of(u64 at, u32 done, bool *saved)
{
	u64 block = at / BLOCK;

	*saved = (block == 2 && done <= 2) ||
		 ((block == 3 || block == 4) && done == 0) ||
		 (block == 99 && done >= 2 && done <= 3);
	if (!*saved)
		return at;
	return 8192 + at % BLOCK +
	       BLOCK * (block == 2   ? 0
			: block == 4 ? 2
				     : 1);
}

static void old_bytes_are_in_their_place_or_saved(void)
{
	static const u32 dones[] = { 0, 1, 2, 3, 4, UPDATE1_NOT_BEGUN };
	struct update1_place place;
	struct update1_dir dir;
	struct v1_writer w;
	bool saved;

	sample(&w);
	v1_end(&w);
	check(!load_file(&w, &dir));
	for (u64 at = 0; at < OLD; at += 511)
		for (int i = 0; i < 6; i++) {
			update1_old(&dir, dones[i], at, 3 * BLOCK, &place);
			check(place.at == place_of(at, dones[i], &saved));
			check(place.saved == saved);
			check(place.len && place.len <= 3 * BLOCK);
			for (u32 k = 0; k < place.len; k += 127) {
				check(place_of(at + k, dones[i], &saved) ==
				      place.at + k);
				check(saved == place.saved);
			}
		}
	check(update1_progress_size(&dir.g) == 8192 + 3 * BLOCK);
	update1_dir_exit(&dir);
	v1_free(&w);
}

/* ---- chunks -------------------------------------------------------------- */

static void fill_prefixes(const struct update1_chunk *chunk, u32 first, u32 end,
			  u8 *frames)
{
	u32 at, len;

	for (u32 k = first; k < end; k++) {
		const struct update1_piece *piece = &chunk->pieces[k];
		u8 *frame = frames + update1_frames_at(chunk, first, k);

		at = 0;
		for (u32 r = piece->first; r < piece->end; r++)
			for (u32 i = 0; i < chunk->ranges[r].len; i++)
				frame[update1_frames_span(piece, at++, &len)] =
					old_image[chunk->ranges[r].offset + i];
	}
}

/*
 * The pieces of a chunk that bytes @from to @end are in, as a reader gets them,
 * into their places at @to; NULL or why not.
 */
static const char *read_chunk(const struct update1_dir *dir, const u8 *stored,
			      u32 len, u32 from, u32 end, u8 *to)
{
	static struct update1_chunk chunk;
	const struct update1_geometry *g = &dir->g;
	const char *why = NULL;
	u32 first = update1_first_piece(g, from), size, n;
	u8 *frames, *out;

	if (update1_chunk_parse(g, stored, len, &chunk, &why))
		return why;
	end = update1_pieces(g, &chunk, end);
	size = update1_frames_bytes(g, &chunk, first, end);
	frames = malloc(update1_frames_room(g));
	out = malloc(size);
	fill_prefixes(&chunk, first, end, frames);
	n = update1_frames_seal(g, &chunk, first, end, stored, frames);
	check(n <= update1_frames_room(g));
	if (ZSTD_decompress(out, size, frames, n) != size)
		why = "zstd";
	else if (update1_frames_take(g, &chunk, first, end, out, to))
		why = "checksum";
	free(frames);
	free(out);
	return why;
}

static void decode_parts(u64 features)
{
	static const u32 starts[] = { 0, 100, 200 }, blocks[] = { 16, 5, 3 };
	static u8 to[CHUNK];
	struct update1_dir dir;
	struct v1_writer w;

	sample_of(&w, features);
	v1_end(&w);
	check(!load_file(&w, &dir));
	for (u32 c = 0; c < 3; c++)
		for (u32 end = 1; end <= blocks[c] * BLOCK; end += 1023)
			for (u32 from = 0; from < end; from += 701) {
				memset(to, 0, sizeof(to));
				check(!read_chunk(&dir, w.file + w.chunks[c].at,
						  w.chunks[c].stored, from, end,
						  to));
				check(!memcmp(to + from,
					      data + starts[c] + from,
					      end - from));
			}
	update1_dir_exit(&dir);
	v1_free(&w);
}

static void chunks_decode_whole_and_in_part(void)
{
	decode_parts(UPDATE1_ALONE);
	decode_parts(0);
}

/* Who wants none of the other pieces need not care for them. */
static void pieces_are_read_one_by_one(void)
{
	static u8 to[CHUNK];
	struct update1_dir dir;
	struct v1_writer w;
	u32 piece, n;
	u8 *stored;

	sample(&w);
	v1_end(&w);
	check(!load_file(&w, &dir));
	piece = dir.g.piece_bytes;
	stored = w.file + w.chunks[0].at;
	n = CHUNK / piece;
	check(n > 2);
	stored[w.chunks[0].stored - 1] ^= 1; /* of the last one */
	for (u32 first = 0; first < n; first++)
		for (u32 end = first + 1; end <= n; end++)
			check(!read_chunk(&dir, stored, w.chunks[0].stored,
					  first * piece, end * piece,
					  to) == (end < n));
	update1_dir_exit(&dir);
	v1_free(&w);
}

/* What has no prefix is decoded in its place: taken from there, to there. */
static void pieces_are_taken_from_where_they_are(void)
{
	static u8 to[CHUNK];
	struct update1_chunk chunk = { .bytes = CHUNK, .n_pieces = 4 };
	struct update1_geometry g = { .piece_bytes = CHUNK / 4 };

	for (u32 i = 0; i < 4; i++)
		chunk.pieces[i].crc =
			plat_crc32c(~0u, data + i * CHUNK / 4, CHUNK / 4);
	memcpy(to + CHUNK / 4, data + CHUNK / 4, CHUNK / 2);
	check(!update1_frames_take(&g, &chunk, 1, 3, to + CHUNK / 4, to));
	check(!memcmp(to + CHUNK / 4, data + CHUNK / 4, CHUNK / 2));
	to[CHUNK / 2]++;
	check(update1_frames_take(&g, &chunk, 1, 3, to + CHUNK / 4, to) ==
	      -EBADMSG);
}

/* More than one raw block of prefix; the most that the format allows. */
static void a_large_prefix_is_put_together(void)
{
	static u8 to[CHUNK];
	struct v1_range ranges[] = { { 1, OLD - 1 }, { 77, 60000 } };
	struct update1_dir dir;
	struct v1_writer w;

	v1_begin(&w, BITS, CHUNK, CHUNK, OLD, OLD);
	w.super.prefix_bytes = cpu_to_le32(UPDATE1_MAX_CHUNK);
	v1_add_chunk(&w, old_image, old_image + 60000, 16, ranges, 2);
	v1_add_extent(&w,
		      (struct v1_extent){ 0, 16, 0, UPDATE1_DATA, 0, 0, 0 });
	v1_end(&w);
	check(w.chunks[0].stored < 100);
	check(!load_file(&w, &dir));
	check(!read_chunk(&dir, w.file + w.chunks[0].at, w.chunks[0].stored, 0,
			  CHUNK, to));
	check(!memcmp(to, old_image + 60000, CHUNK));
	update1_dir_exit(&dir);
	v1_free(&w);
}

/* A bit that means nothing to zstd is no damage: the bytes are right then. */
static void each_damaged_byte_of_a_chunk_is_found(void)
{
	static u8 to[CHUNK];
	struct update1_dir dir;
	struct v1_writer w;
	u32 found = 0;

	sample(&w);
	v1_end(&w);
	check(!load_file(&w, &dir));
	for (u32 i = 0; i < w.chunks[1].stored; i++) {
		u8 *stored = w.file + w.chunks[1].at;

		stored[i] ^= 1 << i % 8;
		if (read_chunk(&dir, stored, w.chunks[1].stored, 0, 5 * BLOCK,
			       to))
			found++;
		else
			check(!memcmp(to, data + 100, 5 * BLOCK));
		stored[i] ^= 1 << i % 8;
	}
	check(found + 8 > w.chunks[1].stored);
	update1_dir_exit(&dir);
	v1_free(&w);
}

static const char *parse_raw_chunk(const struct update1_dir *dir,
				   const void *body, size_t len, u32 room)
{
	static struct update1_chunk chunk;
	__le16 size = cpu_to_le16((u16)(6 + len));
	u8 *bytes = malloc(6 + len + room);
	const char *why = NULL;
	__le32 crc;

	memcpy(bytes + 4, &size, 2);
	memcpy(bytes + 6, body, len);
	crc = cpu_to_le32(plat_crc32c(~0u, bytes + 4, 2 + len));
	memcpy(bytes, &crc, 4);
	update1_chunk_parse(&dir->g, bytes, 6 + len + room, &chunk, &why);
	free(bytes);
	return why;
}

static void each_wrong_chunk_header_is_refused(void)
{
	static const struct {
		const char *why;
		u8 len, body[24];
	} rows[] = {
		{ NULL, 7, { 1, 0, 10, 1, 2, 3, 4 } },
		{ "Chunk size out of range", 7, { 0, 0, 10, 1, 2, 3, 4 } },
		{ "Chunk size out of range", 7, { 17, 0, 10, 1, 2, 3, 4 } },
		{ "Chunk is cut off", 7, { 1, 0, 0, 1, 2, 3, 4 } },
		{ "Chunk is cut off", 7, { 1, 0, 101, 1, 2, 3, 4 } },
		{ NULL, 13, { 5, 0, 60, 0, 40, 1, 2, 3, 4, 1, 2, 3, 4 } },
		{ "Chunk is cut off",
		  13,
		  { 5, 0, 60, 0, 41, 1, 2, 3, 4, 1, 2, 3, 4 } },
		{ "Chunk header is not what it says",
		  8,
		  { 1, 0, 10, 1, 2, 3, 4, 5 } },
		{ "Chunk header is not what it says",
		  6,
		  { 1, 0, 10, 1, 2, 3 } },
		{ "Chunk header is not what it says",
		  11,
		  { 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 } },
		{ "Chunk leans on too many ranges",
		  8,
		  { 1, 129, 2, 10, 1, 2, 3, 4 } },
		{ "Chunk leans on too many ranges",
		  17,
		  { 5, 1, 0, 1, 10, 128, 2, 0, 1, 1, 2, 3, 4, 1, 2, 3, 4 } },
		{ "Chunk leans on bytes past the old image",
		  9,
		  { 1, 1, 0, 0, 10, 1, 2, 3, 4 } },
		{ "Chunk leans on bytes past the old image",
		  9,
		  { 1, 1, 1, 1, 10, 1, 2, 3, 4 } },
		{ "Chunk leans on bytes past the old image",
		  11,
		  { 1, 1, 128, 255, 50, 1, 10, 1, 2, 3, 4 } },
		{ "Prefix of a chunk is too large",
		  11,
		  { 1, 1, 0, 129, 128, 16, 10, 1, 2, 3, 4 } },
		{ "Prefix of a chunk is too large",
		  23,
		  { 5,	 1, 0,	128, 128, 8, 10, 1, 255, 255, 15, 129,
		    128, 8, 10, 1,   2,	  3, 4,	 1, 2,	 3,   4 } },
	};
	struct update1_dir dir;
	struct v1_writer w;

	sample(&w);
	v1_end(&w);
	check(!load_file(&w, &dir));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why =
			parse_raw_chunk(&dir, rows[i].body, rows[i].len, 100);

		if (why != rows[i].why &&
		    (!why || !rows[i].why || strcmp(why, rows[i].why))) {
			printf("row %zu: %s\n", i, why ? why : "taken");
			check(false);
		}
	}
	check(parse_raw_chunk(&dir, data, 4100, 0));
	update1_dir_exit(&dir);
	v1_free(&w);
}

/* ---- progress records ---------------------------------------------------- */

static void the_newer_record_counts(void)
{
	static struct update1_record records[2];
	struct update1_geometry g = { .n_epochs = 9, .id = "one" };
	struct update1_progress p;

	update1_progress_read(&g, records, &p);
	check(!p.begun && !p.done && !p.slot && !p.sequence);
	for (u32 done = 0; done <= 9; done++) {
		u32 slot = p.slot;

		update1_progress_record(&g, &p, done, &records[slot]);
		update1_progress_written(&p, done);
		check(p.slot == !slot);
		update1_progress_read(&g, records, &p);
		check(p.begun && p.done == done && p.sequence == done + 1);
		check(p.slot == !slot);
		/* A torn write of the next leaves this one. */
		records[p.slot].zero[100] ^= 1;
		update1_progress_read(&g, records, &p);
		check(p.begun && p.done == done);
	}
}

static void a_record_of_another_diff_does_not_count(void)
{
	static struct update1_record records[2];
	struct update1_geometry g = { .n_epochs = 9, .id = "one" };
	struct update1_geometry other = { .n_epochs = 20, .id = "two" };
	struct update1_progress p;

	update1_progress_read(&other, records, &p);
	update1_progress_record(&other, &p, 12, &records[0]);
	update1_progress_written(&p, 12);
	update1_progress_record(&other, &p, 13, &records[1]);
	update1_progress_read(&g, records, &p);
	check(!p.begun && !p.done && p.sequence == 2);
	update1_progress_record(&g, &p, 0, &records[p.slot]);
	update1_progress_read(&g, records, &p);
	check(p.begun && p.done == 0 && p.sequence == 3 && p.slot == 1);
	g.n_epochs = 20;
	memcpy(g.id, "two", 3);
	g.n_epochs = 12;
	update1_progress_read(&g, records, &p);
	check(!p.begun); /* it has fewer epochs than the record says */
}

/* ---- every way of being wrong -------------------------------------------- */

/* Of the superblock, and of what is in the directory. */
#define SUPER(name)	static void name(struct update1_super *s)
#define DIRECTORY(name) static void name(struct v1_writer *w)

SUPER(no_magic)
{
	s->magic[7] = 1;
}
SUPER(version_0)
{
	s->version = 0;
}
SUPER(version_2)
{
	s->version = 2;
}
SUPER(incompatible)
{
	s->incompat = cpu_to_le64(1ull << 63);
}
SUPER(padding_0)
{
	s->zero0 = 1;
}
SUPER(padding_end)
{
	s->zero[3899] = 1;
}
SUPER(block_8)
{
	s->block_bits = 8;
}
SUPER(block_17)
{
	s->block_bits = 17;
}
SUPER(chunk_0)
{
	s->chunk_bytes = 0;
}
SUPER(chunk_odd)
{
	s->chunk_bytes = cpu_to_le32(CHUNK + 512);
}
SUPER(chunk_huge)
{
	s->chunk_bytes = cpu_to_le32((1 << 20) + BLOCK);
}
SUPER(piece_0)
{
	s->piece_bytes = 0;
}
SUPER(piece_odd)
{
	s->piece_bytes = cpu_to_le32(BLOCK + 1);
}
SUPER(piece_large)
{
	s->piece_bytes = cpu_to_le32(CHUNK + BLOCK);
}
SUPER(piece_small)
{
	s->chunk_bytes = cpu_to_le32(65 * BLOCK);
	s->piece_bytes = cpu_to_le32(BLOCK);
}
SUPER(prefix_huge)
{
	s->prefix_bytes = cpu_to_le32((1 << 20) + 1);
}
SUPER(stored_huge)
{
	s->stored_bytes = cpu_to_le32(4096 + CHUNK + CHUNK / 128 + 1025);
}
SUPER(old_0)
{
	s->old_size = 0;
}
SUPER(old_huge)
{
	s->old_size = cpu_to_le64((1ull << 44) + 1);
}
SUPER(new_0)
{
	s->new_size = 0;
}
SUPER(new_huge)
{
	s->new_size = ~0ull;
}
SUPER(extents_above_image)
{
	s->n_extents = cpu_to_le32(121);
}
SUPER(extents_huge)
{
	s->new_size = cpu_to_le64(1ull << 40);
	s->n_extents = cpu_to_le32((1 << 22) + 1);
}
SUPER(epochs_none)
{
	s->n_epochs = 0;
}
SUPER(epochs_above_extents)
{
	s->n_epochs = cpu_to_le32(12);
}
SUPER(epochs_huge)
{
	s->n_epochs = cpu_to_le32(65537);
}
SUPER(saves_huge)
{
	s->n_saves = cpu_to_le32(16385);
}
SUPER(room_huge)
{
	s->save_blocks = cpu_to_le32((1 << 27) + 1);
}
SUPER(cut_off)
{
	s->file_size = cpu_to_le64(le64_to_cpu(s->file_size) + 4096);
	s->dir_size = cpu_to_le64(le64_to_cpu(s->dir_size) + 4096);
}
SUPER(file_huge)
{
	s->file_size = cpu_to_le64((1ull << 42) + 1);
}
SUPER(dir_in_super)
{
	u64 end = le64_to_cpu(s->file_size);

	s->dir_offset = cpu_to_le64(4095);
	s->dir_size = cpu_to_le64(end - 4095);
}
SUPER(dir_short)
{
	s->dir_size = cpu_to_le64(le64_to_cpu(s->dir_size) - 1);
}
SUPER(dir_wraps)
{
	s->dir_offset = ~0ull;
	s->dir_size = cpu_to_le64(le64_to_cpu(s->file_size) + 1);
}
SUPER(fewer_extents)
{
	s->n_extents = cpu_to_le32(10);
}
SUPER(more_extents)
{
	s->n_extents = cpu_to_le32(12);
}
SUPER(fewer_saves)
{
	s->n_saves = cpu_to_le32(2);
}
SUPER(more_saves)
{
	s->n_saves = cpu_to_le32(4);
}
SUPER(more_epochs)
{
	s->n_epochs = cpu_to_le32(5);
}
SUPER(fewer_epochs)
{
	s->n_epochs = cpu_to_le32(3);
}
SUPER(other_changed)
{
	s->changed = cpu_to_le64(le64_to_cpu(s->changed) + 1);
}
SUPER(old_smaller)
{
	s->old_size = cpu_to_le64(OLD - 1);
}
SUPER(stored_small)
{
	s->stored_bytes = cpu_to_le32(le32_to_cpu(s->stored_bytes) - 1);
}
SUPER(room_small)
{
	s->save_blocks = cpu_to_le32(2);
}
SUPER(new_smaller)
{
	s->new_size = cpu_to_le64(119 * BLOCK);
}
SUPER(new_larger)
{
	s->new_size = cpu_to_le64(120 * BLOCK + 1);
}

static const struct {
	void (*apply)(struct update1_super *s);
	const char *why;
} supers[] = {
	{ no_magic, "Not an update diff" },
	{ version_0, "Unknown version of the update diff" },
	{ version_2, "Unknown version of the update diff" },
	{ incompatible, "Diff needs a feature that is not known" },
	{ padding_0, "Superblock padding is not zero" },
	{ padding_end, "Superblock padding is not zero" },
	{ block_8, "Block size out of range" },
	{ block_17, "Block size out of range" },
	{ chunk_0, "Chunk size out of range" },
	{ chunk_odd, "Chunk size out of range" },
	{ chunk_huge, "Chunk size out of range" },
	{ piece_0, "Piece size out of range" },
	{ piece_odd, "Piece size out of range" },
	{ piece_large, "Piece size out of range" },
	{ piece_small, "Piece size out of range" },
	{ prefix_huge, "Prefix size out of range" },
	{ stored_huge, "Stored chunk size out of range" },
	{ old_0, "Image size out of range" },
	{ old_huge, "Image size out of range" },
	{ new_0, "Image size out of range" },
	{ new_huge, "Image size out of range" },
	{ extents_above_image, "Number of extents out of range" },
	{ extents_huge, "Number of extents out of range" },
	{ epochs_none, "Number of epochs out of range" },
	{ epochs_above_extents, "Number of epochs out of range" },
	{ epochs_huge, "Number of epochs out of range" },
	{ saves_huge, "Number of saves out of range" },
	{ room_huge, "Number of saves out of range" },
	{ cut_off, "Diff is cut off" },
	{ file_huge, "Diff is cut off" },
	{ dir_in_super, "Directory outside of the update diff" },
	{ dir_short, "Directory outside of the update diff" },
	{ dir_wraps, "Directory outside of the update diff" },
	{ fewer_extents, "Directory has other counts than it says" },
	{ more_extents, "Directory has other counts than it says" },
	{ fewer_saves, "Directory has other counts than it says" },
	{ more_saves, "Directory has other counts than it says" },
	{ more_epochs, "Epoch without an extent" },
	{ fewer_epochs, "Epoch out of range" },
	{ other_changed, "Directory has other counts than it says" },
	{ old_smaller, "Copy from outside of the old image" },
	{ stored_small, "Stored chunk size out of range" },
	{ room_small, "Save outside of the save area" },
	{ new_smaller, "Directory names a block past the image" },
	{ new_larger, "Copy from outside of the old image" },
};

DIRECTORY(kind_6)
{
	w->extents[0].kind = 6;
}
DIRECTORY(data_first)
{
	w->extents[0].kind = UPDATE1_DATA_AT;
}
DIRECTORY(past_image)
{
	w->extents[10].dest = 120;
}
DIRECTORY(past_image_by_length)
{
	w->extents[10].blocks = 2;
}
DIRECTORY(before_last)
{
	w->extents[10].dest = 118; /* a gap of -1 */
}
DIRECTORY(copy_before)
{
	w->extents[1].src = -1;
}
DIRECTORY(copy_far)
{
	w->extents[1].src = 1ull << 62;
}
DIRECTORY(copy_past)
{
	w->extents[10].src++;
}
DIRECTORY(chunk_in_super)
{
	w->chunks[2].at = 4095;
}
DIRECTORY(chunk_in_directory)
{
	w->chunks[2].at++;
}
DIRECTORY(chunk_far)
{
	w->chunks[2].at = 1ull << 61;
}
DIRECTORY(chunk_empty)
{
	w->chunks[1].stored = 0;
}
DIRECTORY(past_chunk)
{
	w->extents[4].block = 16;
}
DIRECTORY(past_chunk_by_length)
{
	w->extents[4].blocks = 2;
}
DIRECTORY(block_of_chunk_huge)
{
	w->extents[5].block = ~0u;
}
DIRECTORY(epoch_missing)
{
	w->extents[7].epoch = 9;
}
DIRECTORY(epoch_negative)
{
	w->extents[1].epoch = -1;
	w->extents[2].epoch = -1;
	w->extents[0].epoch = 9;
}
DIRECTORY(unnamed_past_old)
{
	w->extents[9].dest = 101;
	w->extents[9].blocks = 18;
}
DIRECTORY(unnamed_end)
{
	w->n_extents--;
	w->extents[7].epoch = 3;
}
DIRECTORY(save_past_image)
{
	w->saves[2].old = 100;
}
DIRECTORY(save_overlaps)
{
	w->saves[1].old = 2;
}
DIRECTORY(save_last)
{
	w->saves[2].last = 4;
}
DIRECTORY(save_last_before)
{
	w->saves[2].last = 1; /* a difference of -1 */
}
DIRECTORY(save_epoch)
{
	w->saves[2].epoch = 4;
	w->saves[2].last = 4;
}
DIRECTORY(save_room_negative)
{
	w->saves[0].room = -1;
}

static const struct {
	void (*apply)(struct v1_writer *w);
	const char *why;
} directories[] = {
	{ kind_6, "Unknown kind of extent" },
	{ data_first, "Directory begins inside of a chunk" },
	{ past_image, "Directory names a block past the image" },
	{ past_image_by_length, "Directory names a block past the image" },
	{ before_last, "Directory page is not what it says" },
	{ copy_before, "Copy from outside of the old image" },
	{ copy_far, "Copy from outside of the old image" },
	{ copy_past, "Copy from outside of the old image" },
	{ chunk_in_super, "Chunk outside of the update diff" },
	{ chunk_in_directory, "Chunk outside of the update diff" },
	{ chunk_far, "Chunk outside of the update diff" },
	{ chunk_empty, "Stored chunk size out of range" },
	{ past_chunk, "Directory points past a chunk" },
	{ past_chunk_by_length, "Directory points past a chunk" },
	{ block_of_chunk_huge, "Directory points past a chunk" },
	{ epoch_missing, "Epoch without an extent" },
	{ epoch_negative, "Epoch out of range" },
	{ unnamed_past_old, "Unchanged block past the old image" },
	{ unnamed_end, "Unchanged block past the old image" },
	{ save_past_image, "Directory names a block past the image" },
	{ save_overlaps, "Directory page is not what it says" },
	{ save_last, "Epoch out of range" },
	{ save_last_before, "Epoch out of range" },
	{ save_epoch, "Epoch out of range" },
	{ save_room_negative, "Save outside of the save area" },
};

/* The diff of @w is refused, and for that reason. */
static void refused(const char *what, size_t row, const struct v1_writer *w,
		    const char *why)
{
	struct update1_dir dir;
	const char *got = load_file(w, &dir);

	if (!got)
		update1_dir_exit(&dir);
	if (!got || strcmp(got, why)) {
		printf("%s %zu: %s, not %s\n", what, row, got ? got : "taken",
		       why);
		check(false);
	}
}

static void each_fault_of_the_superblock_is_refused(void)
{
	for (size_t i = 0; i < sizeof(supers) / sizeof(supers[0]); i++) {
		struct v1_writer w;

		sample(&w);
		v1_end(&w);
		supers[i].apply((void *)w.file);
		v1_seal(&w);
		refused("superblock", i, &w, supers[i].why);
		v1_free(&w);
	}
}

static void each_fault_of_the_directory_is_refused(void)
{
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]);
	     i++) {
		struct v1_writer w;

		sample(&w);
		directories[i].apply(&w);
		v1_end(&w);
		refused("directory", i, &w, directories[i].why);
		v1_free(&w);
	}
}

static void each_flipped_bit_is_refused(void)
{
	struct update1_dir dir;
	struct v1_writer w;

	sample(&w);
	v1_end(&w);
	for (size_t i = 0; i < w.size; i++) {
		const char *why;

		if (i == UPDATE1_SUPER_SIZE)
			i = le64_to_cpu(w.super.dir_offset);
		if (i == le64_to_cpu(w.super.file_size))
			break;
		w.file[i] ^= 1 << i % 8;
		why = load_file(&w, &dir);
		if (!why)
			update1_dir_exit(&dir);
		check(why);
		w.file[i] ^= 1 << i % 8;
	}
	check(!load_file(&w, &dir));
	update1_dir_exit(&dir);
	v1_free(&w);
}

/* An extent of more than 16 MiB, more than that in an epoch. */
static void too_large_an_epoch_is_refused(void)
{
	static const struct {
		u32 first, second, save;
		const char *why;
	} rows[] = {
		{ 2048, 2041, 7, NULL },
		{ 4097, 10, 0, "Extent or save is too long" },
		{ 4096, 1, 0, "Epoch is too large" },
		{ 4000, 90, 7, "Epoch is too large" },
		{ 4000, 90, 6, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		u64 size = 10000ull * BLOCK;
		struct update1_dir dir;
		struct v1_writer w;

		v1_begin(&w, BITS, CHUNK, CHUNK, size, size);
		v1_add_extent(&w, (struct v1_extent){ 0, rows[i].first, 0,
						      UPDATE1_ZERO, 0, 0, 0 });
		v1_add_extent(&w, (struct v1_extent){ 5000, rows[i].second, 0,
						      UPDATE1_ZERO, 0, 0, 0 });
		v1_add_extent(&w, (struct v1_extent){ 9000, 7, 1, UPDATE1_ZERO,
						      0, 0, 0 });
		if (rows[i].save)
			v1_add_save(&w, (struct v1_save){ 9000, rows[i].save, 1,
							  1, 0 });
		v1_end(&w);
		if (rows[i].why) {
			refused("epoch", i, &w, rows[i].why);
		} else {
			check(!load_file(&w, &dir));
			update1_dir_exit(&dir);
		}
		v1_free(&w);
	}
}

/* Each epoch has two extents, with one of every other epoch between them. */
static void scattered_epochs_are_refused(void)
{
	for (u32 epochs = 65535; epochs <= 65536; epochs++) {
		u64 size = 2 * 512ull * epochs;
		struct update1_dir dir;
		struct v1_writer w;

		v1_begin(&w, 9, 512, 512, size, size);
		w.page = 8000;
		for (u32 i = 0; i < 2 * epochs; i++)
			v1_add_extent(&w, (struct v1_extent){ i, 1, i % epochs,
							      UPDATE1_ZERO, 0,
							      0, 0 });
		v1_end(&w);
		if (epochs == 65536) {
			refused("epochs", 0, &w, "Epochs are too scattered");
		} else {
			check(!load_file(&w, &dir));
			update1_dir_exit(&dir);
		}
		v1_free(&w);
	}
}

/* What is taken must be safe to follow; the checkers watch the accesses. */
static void follow(const struct update1_dir *dir, u64 file_bytes)
{
	u64 blocks = (dir->g.new_size + (1 << dir->g.block_bits) - 1) >>
		     dir->g.block_bits;
	struct update1_extent e;
	struct update1_save s;

	for (u32 i = 0; i < dir->g.n_extents; i++) {
		u64 bytes;

		update1_extent(dir, i, &e);
		bytes = update1_extent_bytes(dir, &e);
		check(e.dest + e.blocks <= blocks && bytes);
		check(e.epoch < dir->g.n_epochs);
		check(e.kind != UPDATE1_IS_COPY ||
		      e.src + bytes <= dir->g.old_size);
		check(e.kind != UPDATE1_IS_DATA ||
		      (e.src + e.stored <= file_bytes &&
		       e.offset + bytes <= dir->g.chunk_bytes));
	}
	for (u32 i = 0; i < dir->g.n_saves; i++) {
		update1_save(dir, i, &s);
		check(s.room + s.blocks <= dir->g.save_blocks);
		check(s.last < dir->g.n_epochs);
	}
}

/* The pages of @w with a few flipped bits, which no checksum finds. */
static const char *load_damaged(struct v1_writer *w, struct update1_dir *dir,
				u64 *state)
{
	u64 flips = 1 + next_random(state) % 3;
	struct update1_geometry g;
	struct update1_load load;
	const char *why = NULL;
	size_t len;
	u8 *page;

	if (update1_super_parse((void *)w->file, w->size, &g, &why) ||
	    update1_load_begin(&load, dir, &g, &why))
		abort();
	for (u32 i = 0; !why && (page = v1_page(w, i, &len)); i++) {
		struct update1_page head = { 0, cpu_to_le32((u32)len) };

		for (; flips && next_random(state) % 3; flips--)
			page[next_random(state) % len] ^=
				1 << next_random(state) % 8;
		update1_load_page(&load, &head, page, &why);
		free(page);
	}
	if (why)
		return why;
	load.at = g.dir_size;
	load.crc = g.dir_crc;
	update1_load_end(&load, &why);
	return why;
}

static void random_damage_is_survived(void)
{
	u64 state = 1, taken = 0;
	struct update1_dir dir;
	struct v1_writer w;

	sample(&w);
	v1_end(&w);
	for (int round = 0; round < 100000; round++) {
		if (load_damaged(&w, &dir, &state))
			continue;
		follow(&dir, w.size);
		update1_dir_exit(&dir);
		taken++;
	}
	check(taken > 2500);
	v1_free(&w);
}

static const struct test tests[] = {
	{ "a valid diff is taken", a_valid_diff_is_taken },
	{ "the largest numbers are kept", the_largest_numbers_are_kept },
	{ "a diff of nothing is taken", a_diff_of_nothing_is_taken },
	{ "every block is found", every_block_is_found },
	{ "extents and saves of an epoch are found",
	  extents_and_saves_of_an_epoch_are_found },
	{ "old bytes are in their place or saved",
	  old_bytes_are_in_their_place_or_saved },
	{ "chunks decode whole and in part", chunks_decode_whole_and_in_part },
	{ "pieces are read one by one", pieces_are_read_one_by_one },
	{ "pieces are taken from where they are",
	  pieces_are_taken_from_where_they_are },
	{ "a large prefix is put together", a_large_prefix_is_put_together },
	{ "each damaged byte of a chunk is found",
	  each_damaged_byte_of_a_chunk_is_found },
	{ "each wrong chunk header is refused",
	  each_wrong_chunk_header_is_refused },
	{ "the newer record counts", the_newer_record_counts },
	{ "a record of another diff does not count",
	  a_record_of_another_diff_does_not_count },
	{ "each fault of the superblock is refused",
	  each_fault_of_the_superblock_is_refused },
	{ "each fault of the directory is refused",
	  each_fault_of_the_directory_is_refused },
	{ "each flipped bit is refused", each_flipped_bit_is_refused },
	{ "too large an epoch is refused", too_large_an_epoch_is_refused },
	{ "scattered epochs are refused", scattered_epochs_are_refused },
	{ "random damage is survived", random_damage_is_survived },
};

int main(void)
{
	fill_images();
	return RUN_TESTS(tests);
}
