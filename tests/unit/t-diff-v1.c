// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making diffs of format version 1. Whatever the images and options: what the
 * diff says, read by the pure files that the kernel uses, is the new image, and
 * a merge that does every epoch over again comes to it, whatever it left where
 * the epoch writes.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "capture.h"
#include "diff.h"
#include "test.h"
#include "../../kmod/dm-update-v1.h"

#define SIZE (1 << 20)

static char folder[] = "/tmp/t-diff-v1.XXXXXX";

static const char *in(const char *name)
{
	static char path[4][256];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", folder, name);
	return path[turn];
}

static uint64_t next_random(void)
{
	static uint64_t state = 11;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return state >> 20;
}

static void put(const char *name, const uint8_t *data, size_t len)
{
	FILE *f = fopen(in(name), "w");

	check(f && fwrite(data, 1, len, f) == len);
	if (f)
		fclose(f);
}

static uint8_t *get(const char *name, size_t *len)
{
	FILE *f = fopen(in(name), "r");
	struct stat st;
	uint8_t *data;

	check(f && !fstat(fileno(f), &st));
	*len = st.st_size;
	data = malloc(*len + 1);
	check(fread(data, 1, *len, f) == *len);
	fclose(f);
	return data;
}

/* ---- a merge ------------------------------------------------------------- */

struct merge {
	struct update1_dir dir;
	uint8_t *file, *old, *new, *system, *saved;
	size_t file_len, old_len, new_len;
	uint32_t done;
	uint32_t prefix; /* the largest so far */
};

static int load(struct merge *m)
{
	struct update1_geometry g;
	struct update1_load l;
	const char *why = "";
	uint32_t stored, decoded;
	uint64_t at;
	int r;

	r = update1_super_parse((void *)m->file, m->file_len, &g, &why) ||
	    update1_load_begin(&l, &m->dir, &g, &why);
	while (!r && (at = update1_load_at(&l))) {
		uint8_t *columns;

		r = update1_load_sizes(&l, m->file + at, &stored, &decoded,
				       &why);
		if (r)
			break;
		columns = malloc(decoded);
		check(ZSTD_decompress(columns, decoded, m->file + at + 8,
				      stored) == decoded);
		r = update1_load_page(&l, m->file + at, columns, &why);
		free(columns);
	}
	if (!r)
		r = update1_load_end(&l, &why);
	if (r)
		printf("not loaded: %s\n", why);
	return r;
}

static void read_old(const struct merge *m, uint8_t *to, uint64_t at,
		     uint32_t len)
{
	struct update1_place place;

	for (; len; len -= place.len, at += place.len, to += place.len) {
		update1_old(&m->dir, m->done, at, len, &place);
		memcpy(to, (place.saved ? m->saved : m->system) + place.at,
		       place.len);
	}
}

static void read_prefix(struct merge *m, const struct update1_chunk *chunk,
			uint32_t number, uint8_t *frame)
{
	const struct update1_piece *piece = &chunk->pieces[number];
	uint8_t *prefix = malloc(piece->prefix + 1);
	uint32_t at = 0, span;

	for (uint32_t i = piece->first; i < piece->end; i++) {
		read_old(m, prefix + at, chunk->ranges[i].offset,
			 chunk->ranges[i].len);
		at += chunk->ranges[i].len;
	}
	for (at = 0; at < piece->prefix; at += span) {
		uint8_t *to = frame + update1_frames_span(piece, at, &span);

		memcpy(to, prefix + at, span);
	}
	free(prefix);
}

/* All frames are decoded, so that each chunk's last piece is looked at. */
static void decode(struct merge *m, const struct update1_extent *e, uint8_t *to,
		   uint32_t len)
{
	const struct update1_geometry *g = &m->dir.g;
	struct update1_chunk *chunk = malloc(sizeof(*chunk));
	uint8_t *frames = malloc(update1_frames_room(g)), *out;
	const char *why = "";
	uint32_t size, bytes, all;

	check(!update1_chunk_parse(g, m->file + e->src, e->stored, chunk,
				   &why));
	all = chunk->n_pieces;
	if (chunk->prefix > m->prefix)
		m->prefix = chunk->prefix;
	for (uint32_t i = 0; i < all; i++)
		read_prefix(m, chunk, i,
			    frames + update1_frames_at(chunk, 0, i));
	size = update1_frames_seal(g, chunk, 0, all, m->file + e->src, frames);
	bytes = update1_frames_bytes(g, chunk, 0, all);
	out = malloc(bytes);
	check(ZSTD_decompress(out, bytes, frames, size) == bytes);
	check(!update1_frames_take(g, chunk, 0, all, out, out));
	memcpy(to, out + e->offset, len);
	free(out);
	free(frames);
	free(chunk);
}

static void write_extent(struct merge *m, uint32_t i)
{
	struct update1_extent e;
	uint8_t *to;
	uint32_t len;

	update1_extent(&m->dir, i, &e);
	to = m->system + (e.dest << m->dir.g.block_bits);
	len = update1_extent_bytes(&m->dir, &e);
	if (e.kind == UPDATE1_IS_ZERO)
		memset(to, 0, len);
	else if (e.kind == UPDATE1_IS_COPY)
		read_old(m, to, e.src, len);
	else
		decode(m, &e, to, len);
}

static void write_saves(struct merge *m, uint32_t epoch)
{
	const struct update1_geometry *g = &m->dir.g;
	struct update1_save save;
	uint32_t i = update1_save_next(&m->dir, epoch, 0);

	for (; i < g->n_saves; i = update1_save_next(&m->dir, epoch, i + 1)) {
		update1_save(&m->dir, i, &save);
		memcpy(m->saved + update1_room_at(g, save.room),
		       m->system + (save.old << g->block_bits),
		       (size_t)save.blocks << g->block_bits);
	}
}

/* What a merge that was cut off may have left: anything, where it writes. */
static void scribble(struct merge *m, uint32_t epoch)
{
	struct update1_extent e;
	uint32_t i = update1_epoch_next(&m->dir, epoch, 0);

	for (; i < m->dir.g.n_extents;
	     i = update1_epoch_next(&m->dir, epoch, i + 1)) {
		update1_extent(&m->dir, i, &e);
		memset(m->system + (e.dest << m->dir.g.block_bits), 0xA5,
		       update1_extent_bytes(&m->dir, &e));
	}
}

static void merge_all(struct merge *m)
{
	uint32_t n = m->dir.g.n_extents, epoch, i;

	write_saves(m, 0);
	for (epoch = 0; epoch < m->dir.g.n_epochs; epoch++) {
		m->done = epoch;
		scribble(m, epoch);
		for (i = update1_epoch_next(&m->dir, epoch, 0); i < n;
		     i = update1_epoch_next(&m->dir, epoch, i + 1))
			write_extent(m, i);
		write_saves(m, epoch + 1);
	}
}

/* Does merging the diff over the old image give the new one? */
static int merges(const char *diff)
{
	struct merge m = { 0 };
	size_t room;
	int same;

	m.file = get(diff, &m.file_len);
	m.old = get("old", &m.old_len);
	m.new = get("new", &m.new_len);
	if (load(&m))
		return 0;
	room = (m.old_len > m.new_len ? m.old_len : m.new_len) + 131072;
	m.system = calloc(1, room);
	m.saved = calloc(1, update1_progress_size(&m.dir.g));
	memcpy(m.system, m.old, m.old_len);
	merge_all(&m);
	same = m.dir.g.new_size == m.new_len &&
	       !memcmp(m.system, m.new, m.new_len);
	/* Readers take memory for what the superblock says. */
	check(m.dir.g.prefix_bytes == m.prefix);
	update1_dir_exit(&m.dir);
	free(m.file);
	free(m.old);
	free(m.new);
	free(m.system);
	free(m.saved);
	return same;
}

/* ---- images -------------------------------------------------------------- */

/* Text-like, so that there is something to find and something to compress. */
static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = i % 9000 < 5000 ? next_random() % 64 : i / 700 * 7;
}

static void scatter(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len / 3000; i++)
		p[next_random() % len]++;
}

static void insert(uint8_t *p, size_t len)
{
	size_t by = next_random() % 3 ? 4096 * (next_random() % 9 + 1)
				      : next_random() % 20000;

	if (by < len)
		memmove(p + by, p, len - by);
}

static void take_out(uint8_t *p, size_t len)
{
	size_t by = next_random() % 2 ? 8192 : next_random() % 20000;

	if (by < len)
		memmove(p, p + by, len - by);
}

/* Two parts change places, so each needs what the other overwrites. */
static void swap(uint8_t *p, size_t len)
{
	size_t part = len / 4;
	uint8_t *copy = malloc(part + 1);

	memcpy(copy, p, part);
	memcpy(p, p + 2 * part, part);
	memcpy(p + 2 * part, copy, part);
	free(copy);
}

static void rotate(uint8_t *p, size_t len)
{
	size_t by = next_random() % (len + 1);
	uint8_t *copy = malloc(len);

	memcpy(copy, p, len);
	memcpy(p, copy + by, len - by);
	memcpy(p + len - by, copy, by);
	free(copy);
}

static void reverse(uint8_t *p, size_t len)
{
	uint8_t block[4096];

	for (size_t i = 0; i < len / 8192; i++) {
		size_t j = len / 4096 - 1 - i;

		memcpy(block, p + i * 4096, 4096);
		memcpy(p + i * 4096, p + j * 4096, 4096);
		memcpy(p + j * 4096, block, 4096);
	}
}

static void zero_run(uint8_t *p, size_t len)
{
	memset(p + len / 4, 0, len / 2);
}

static void repeat(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = i / 4096 % 3 * 85 + 1;
}

static void renew(uint8_t *p, size_t len)
{
	for (size_t i = len / 3; i < len / 2; i++)
		p[i] = next_random();
}

static void nothing(uint8_t *p, size_t len)
{
	(void)p;
	(void)len;
}

typedef void (*edit)(uint8_t *p, size_t len);

static const edit edits[] = { scatter, insert,	 take_out, swap,  rotate,
			      reverse, zero_run, repeat,   renew, nothing };

#define EDITS (sizeof(edits) / sizeof(edits[0]))

static void write_images(edit first, edit second, size_t old_len,
			 size_t new_len)
{
	size_t room = 2 * SIZE;
	uint8_t *data = calloc(1, room);

	fill(data, room);
	put("old", data, old_len);
	first(data, new_len);
	second(data, new_len);
	put("new", data, new_len);
	free(data);
}

static struct diff_options usual(void)
{
	return (struct diff_options){ .block_size = 4096,
				      .chunk_size = 65536,
				      .piece_size = 16384,
				      .prefix_size = 262144,
				      .compression = UPDATE_ZSTD,
				      .level = 3,
				      .threads = 2 };
}

/* What it says about its progress is not for the log. */
static int diff_between(const char *old, const char *new, const char *out,
			const struct diff_options *options,
			struct diff_result *result)
{
	int r;

	capture_begin();
	r = diff_make_v1(in(old), in(new), in(out), options, result);
	capture_end();
	return r;
}

static int make(const char *out, const struct diff_options *options,
		struct diff_result *result)
{
	return diff_between("old", "new", out, options, result);
}

/* ---- tests --------------------------------------------------------------- */

static void every_edit_merges_to_the_new_image(void)
{
	struct diff_options options = usual();
	struct diff_result result;

	for (size_t i = 0; i < EDITS * EDITS; i += 3) {
		write_images(edits[i / EDITS], edits[i % EDITS], SIZE / 4,
			     SIZE / 4);
		options.merge_percent = i % 2 ? 100 + i % 20 : 0;
		check(!make("diff", &options, &result));
		check(merges("diff"));
		if (test_failed) {
			printf("edits %zu and %zu\n", i / EDITS, i % EDITS);
			return;
		}
	}
}

static const struct {
	size_t old_len, new_len;
	uint32_t block, chunk, piece, prefix;
} shapes[] = {
	{ SIZE, SIZE, 512, 512, 512, 1024 },
	{ SIZE, SIZE, 512, 65536, 1024, 262144 },
	{ SIZE, SIZE, 4096, 4096, 4096, 5000 },
	{ SIZE, SIZE, 4096, 3 * 4096, 4096, 100000 },
	{ SIZE, SIZE, 4096, 1 << 20, 16384, 1 << 20 },
	{ SIZE, SIZE, 65536, 65536, 65536, 262144 },
	{ SIZE, SIZE, 65536, 1 << 20, 65536, 262144 },
	{ SIZE, SIZE + 512, 4096, 65536, 16384, 262144 },
	{ SIZE, 2 * SIZE, 4096, 65536, 16384, 262144 },
	{ 2 * SIZE, SIZE, 4096, 65536, 16384, 262144 },
	{ 1000001, 999999, 4096, 65536, 16384, 262144 },
	{ 1000001, 1000003, 512, 65536, 16384, 262144 },
	{ 999999, 1000003, 65536, 65536, 65536, 262144 },
	{ 1, SIZE, 4096, 65536, 16384, 262144 },
	{ SIZE, 1, 4096, 65536, 16384, 262144 },
	{ 1, 1, 512, 512, 512, 1024 },
	{ 7, 5000, 4096, 65536, 65536, 262144 },
};

static void every_shape_merges_to_the_new_image(void)
{
	struct diff_options options = usual();
	struct diff_result result;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (size_t e = i % 3; e < EDITS; e += 3) {
			options.block_size = shapes[i].block;
			options.chunk_size = shapes[i].chunk;
			options.piece_size = shapes[i].piece;
			options.prefix_size = shapes[i].prefix;
			options.merge_percent = e % 2 ? 102 : 0;
			write_images(edits[e], scatter, shapes[i].old_len,
				     shapes[i].new_len);
			check(!make("diff", &options, &result));
			check(merges("diff"));
			if (test_failed) {
				printf("shape %zu, edit %zu\n", i, e);
				return;
			}
		}
}

static void the_same_image_takes_a_superblock(void)
{
	struct diff_options options = usual();
	struct diff_result result;

	write_images(nothing, nothing, SIZE, SIZE);
	check(!make("diff", &options, &result));
	check(result.size == 4096 && result.changed == 0 &&
	      result.blocks == SIZE / 4096);
	check(merges("diff"));
}

/* Blocks of the diff that have to be decoded. */
static uint64_t stored_blocks(const char *diff)
{
	struct merge m = { 0 };
	struct update1_extent e;
	uint64_t n = 0;

	m.file = get(diff, &m.file_len);
	check(!load(&m));
	for (uint32_t i = 0; i < m.dir.g.n_extents; i++) {
		update1_extent(&m.dir, i, &e);
		n += e.kind == UPDATE1_IS_DATA ? e.blocks : 0;
	}
	update1_dir_exit(&m.dir);
	free(m.file);
	return n;
}

/* Everything moves by one byte, and by one block. */
static void what_moved_is_copied(void)
{
	static const size_t by[] = { 1, 4095, 4096, 12288, 100000 };
	struct diff_options options = usual();
	struct diff_result result;
	uint8_t *data = malloc(2 * SIZE);

	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		fill(data, 2 * SIZE);
		put("old", data, 2 * SIZE);
		memmove(data + by[i], data, 2 * SIZE - by[i]);
		put("new", data, 2 * SIZE);
		check(!make("diff", &options, &result));
		check(result.size <= 5 * 4096);
		check(stored_blocks("diff") <= by[i] / 4096 + 1);
		check(merges("diff"));
	}
	free(data);
}

/* Changed bytes are few, what is around them comes from the old image. */
static void what_resembles_old_bytes_is_small(void)
{
	struct diff_options options = usual();
	struct diff_result result;
	uint8_t *data = malloc(SIZE);

	for (size_t i = 0; i < SIZE; i++)
		data[i] = next_random();
	put("old", data, SIZE);
	memmove(data + 77, data, SIZE - 77);
	for (size_t i = 0; i < SIZE; i += 1000)
		data[i]++;
	put("new", data, SIZE);
	check(!make("diff", &options, &result));
	check(result.size < SIZE / 40);
	check(merges("diff"));
	free(data);
}

/* New blocks that are alike are stored once, also in other chunks. */
static void equal_blocks_are_stored_once(void)
{
	struct diff_options options = usual();
	struct diff_result result;
	uint8_t *data = calloc(1, SIZE);

	put("old", data, SIZE);
	for (size_t i = 0; i < 40 * 4096; i++)
		data[i] = next_random();
	memcpy(data + SIZE / 2, data, 40 * 4096);
	put("new", data, SIZE);
	options.chunk_size = 4096; /* a chunk has nobody to share with */
	options.piece_size = 4096;
	check(!make("diff", &options, &result));
	check(result.changed == 80 && result.size < 45 * 4096);
	check(merges("diff"));
	free(data);
}

/* Also where they are alike at another offset, far apart. */
static void what_new_blocks_share_is_stored_once(void)
{
	struct diff_options options = usual();
	struct diff_result result;
	size_t len = 60 * 4096;
	uint8_t *data = calloc(1, SIZE);

	put("old", data, SIZE);
	for (size_t i = 0; i < len; i++)
		data[i] = next_random();
	memcpy(data + SIZE / 2 + 1234, data, len);
	put("new", data, SIZE);
	check(!make("diff", &options, &result));
	check(result.size < len + len / 4);
	check(merges("diff"));
	free(data);
}

/* The most blocks of the image that one chunk is spread over. */
static uint64_t spread(const char *diff)
{
	struct merge m = { 0 };
	struct update1_extent e, other;
	uint64_t most = 0;

	m.file = get(diff, &m.file_len);
	check(!load(&m));
	for (uint32_t i = 0; i < m.dir.g.n_extents; i++) {
		update1_extent(&m.dir, i, &e);
		for (uint32_t k = 0; k < i; k++) {
			update1_extent(&m.dir, k, &other);
			if (e.kind == UPDATE1_IS_DATA &&
			    other.kind == UPDATE1_IS_DATA &&
			    other.src == e.src &&
			    e.dest + e.blocks - other.dest > most)
				most = e.dest + e.blocks - other.dest;
		}
	}
	update1_dir_exit(&m.dir);
	free(m.file);
	return most;
}

/* Every block resembles another one, far away. */
static void a_row_of_reads_does_not_need_a_chunk_again(void)
{
	struct diff_options options = usual();
	struct diff_result result;
	uint8_t *data = calloc(2, SIZE);

	put("old", data, 2 * SIZE);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = next_random();
	memcpy(data + SIZE + 1234, data, SIZE - 1234);
	put("new", data, 2 * SIZE);
	check(!make("diff", &options, &result));
	check(spread("diff") <= 160);
	check(merges("diff"));
	free(data);
}

/* A merge writes little beside the image, however little everything moves. */
/* In how many chunks the data of @blocks blocks from @dest on are. */
static uint32_t chunks_of(const char *diff, uint64_t dest, uint32_t blocks)
{
	struct merge m = { 0 };
	struct update1_extent e;
	uint64_t last = 0;
	uint32_t n = 0;

	m.file = get(diff, &m.file_len);
	check(!load(&m));
	for (uint32_t i = update1_find(&m.dir, dest); i < m.dir.g.n_extents;
	     i++) {
		update1_extent(&m.dir, i, &e);
		if (e.dest >= dest + blocks)
			break;
		n += e.kind == UPDATE1_IS_DATA && e.src != last;
		last = e.src;
	}
	update1_dir_exit(&m.dir);
	free(m.file);
	return n;
}

static void a_read_of_a_chunks_size_needs_one(void)
{
	struct diff_options options = usual();
	struct diff_result result;
	uint8_t *data = calloc(1, SIZE);

	put("old", data, SIZE);
	for (size_t i = 7 * 4096; i < 100 * 4096; i++)
		data[i] = next_random();
	put("new", data, SIZE);
	check(!make("diff", &options, &result));
	for (uint32_t at = 16; at < 96; at += 16)
		check(chunks_of("diff", at, 16) == 1);
	check(chunks_of("diff", 7, 93) == 7);
	check(merges("diff"));
	free(data);
}

static void a_small_move_saves_little(void)
{
	struct diff_options options = usual();
	struct diff_result result;
	uint8_t *data = malloc(16 * SIZE);
	struct merge m = { 0 };
	uint64_t saved = 0;

	for (size_t i = 0; i < 16 * SIZE; i++)
		data[i] = next_random();
	put("old", data, 16 * SIZE);
	memmove(data + 8192, data, 16 * SIZE - 8192);
	put("new", data, 16 * SIZE);
	check(!make("diff", &options, &result));
	check(merges("diff"));
	m.file = get("diff", &m.file_len);
	check(!load(&m));
	for (uint32_t i = 0; i < m.dir.g.n_saves; i++) {
		struct update1_save save;

		update1_save(&m.dir, i, &save);
		saved += (uint64_t)save.blocks << m.dir.g.block_bits;
	}
	check(saved + 4096 * m.dir.g.n_epochs < 16 * SIZE / 10);
	update1_dir_exit(&m.dir);
	free(m.file);
	free(data);
}

static int same_files(const char *a, const char *b)
{
	size_t a_len, b_len;
	uint8_t *a_data = get(a, &a_len), *b_data = get(b, &b_len);
	int same = a_len == b_len && !memcmp(a_data, b_data, a_len);

	free(a_data);
	free(b_data);
	return same;
}

static void the_bytes_do_not_depend_on_threads(void)
{
	struct diff_options options = usual();
	struct diff_result result;

	write_images(insert, scatter, SIZE, SIZE);
	options.chunk_size = 8192;
	options.piece_size = 4096;
	options.threads = 1;
	check(!make("diff", &options, &result));
	options.threads = 7;
	check(!make("diff2", &options, &result));
	check(same_files("diff", "diff2"));
}

static void an_image_is_never_overwritten(void)
{
	struct diff_options options = usual();
	struct diff_result result;

	write_images(scatter, nothing, SIZE, SIZE);
	check(make("new", &options, &result));
	check(make("old", &options, &result));
	put("empty", (const uint8_t *)"", 0);
	check(diff_between("old", "empty", "diff3", &options, &result));
	check(diff_between("empty", "new", "diff3", &options, &result));
	check(diff_between("old", "new", "no/folder", &options, &result));
	check(access(in("diff3"), F_OK));
}

static const struct test tests[] = {
	{ "every edit merges to the new image",
	  every_edit_merges_to_the_new_image },
	{ "every shape merges to the new image",
	  every_shape_merges_to_the_new_image },
	{ "the same image takes a superblock",
	  the_same_image_takes_a_superblock },
	{ "what moved is copied", what_moved_is_copied },
	{ "what resembles old bytes is small",
	  what_resembles_old_bytes_is_small },
	{ "equal blocks are stored once", equal_blocks_are_stored_once },
	{ "what new blocks share is stored once",
	  what_new_blocks_share_is_stored_once },
	{ "a row of reads does not need a chunk again",
	  a_row_of_reads_does_not_need_a_chunk_again },
	{ "a read of a chunk's size needs one",
	  a_read_of_a_chunks_size_needs_one },
	{ "a small move saves little", a_small_move_saves_little },
	{ "the bytes do not depend on threads",
	  the_bytes_do_not_depend_on_threads },
	{ "an image is never overwritten", an_image_is_never_overwritten },
};

int main(void)
{
	char command[300];
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = RUN_TESTS(tests);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command) || failed;
}
