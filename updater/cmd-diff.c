// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#include "diff.h"
#include "err.h"
#include "options.h"
#include "verbs.h"
#include "../kmod/dm-update-v1.h"

const char help_diff[] =
	"make the diff between two system images\n"
	"\n"
	"usage: bowline diff OLD NEW -o OUT [OPTION...]\n"
	"\n"
	"Writes to OUT what turns the image OLD into NEW, for the update "
	"target\n"
	"of a device that has OLD in its system partition. The images may be\n"
	"files or block devices; the partition must be able to hold NEW.\n"
	"\n"
	"  -o, --output OUT      the diff; replaced only when it is complete\n"
	"  --format N            of the diff, 0 or 1 (1); 1 copies and leans on "
	"what\n"
	"                        the old image has; 0 is the published one\n"
	"  --block-size N        compare blocks of N bytes (4096)\n"
	"  --chunk-size N        compress N bytes at a time (65536)\n"
	"  -a, --compression NAME  zstd, or in format 0 lz4 or none (zstd)\n"
	"  --level N             of zstd, 1 to 22 (19)\n"
	"  --threads N           that compress, 1 to 1024 (one a processor)\n"
	"\n"
	"Only in format 1:\n"
	"\n"
	"  --piece-size N        any N bytes of a chunk can be decoded alone "
	"(16384)\n"
	"  --prefix-size N       old bytes that a chunk leans on, at most "
	"(262144)\n"
	"  --merge-writes N      percent of what changes that a merge writes, "
	"at most,\n"
	"                        where that makes the diff larger by less than "
	"an\n"
	"                        eighth of what is not written (120)\n"
	"  --memory SIZE         take no more, for a larger diff where the "
	"images have\n"
	"                        more in common than fits (no bound: up to 6 "
	"times the\n"
	"                        larger image, and 16M for each thread)\n"
	"  --explain             say what the diff consists of, and which files "
	"of NEW\n"
	"                        made it large: for ext4 with debugfs, for "
	"squashfs with\n"
	"                        rdsquashfs, for erofs with dump.erofs, if "
	"installed\n"
	"\n"
	"Sizes may end in K, M or G. Called as update-diff, by a link of that "
	"name,\n"
	"the program is this verb. The same images and options give the same "
	"bytes on\n"
	"every machine with the same libraries.\n"
	"\n"
	"Exit status: 0 made, 1 failed and OUT is as it was, 2 usage.\n";

#define DIFF_PIECE_SIZE	 16384
#define DIFF_PREFIX_SIZE 262144
#define MAX_BLOCK_V1	 65536
#define MIN_PREFIX	 1024
#define MAX_THREADS	 1024u
#define USUAL_PERCENT	 120
#define MOST_PERCENT	 300u

/* The options as they were given. */
struct texts {
	const char *out, *format, *block, *chunk, *compression, *level;
	const char *threads, *piece, *prefix, *merge, *memory;
	bool explain;
};

/* A size in bytes below 2^31, or 0, which no option allows. */
static uint32_t parse_size(const char *text)
{
	uint64_t size;

	return option_size(text, &size) && size <= INT32_MAX ? size : 0;
}

static int parse_compression(const char *name, enum update_compression *to)
{
	if (!strcmp(name, "zstd"))
		*to = UPDATE_ZSTD;
	else if (!strcmp(name, "lz4"))
		*to = UPDATE_LZ4;
	else if (!strcmp(name, "none"))
		*to = UPDATE_NONE;
	else
		return usage_error("diff",
				   "--compression is '%s', expected "
				   "zstd, lz4 or none",
				   name);
	return 0;
}

static int check_common(const struct diff_options *o)
{
	uint32_t block = o->block_size, chunk = o->chunk_size;

	if (block < BOWLINE_SECTOR || block > UPDATE_MAX_CHUNK ||
	    block & (block - 1))
		return usage_error("diff", "--block-size must be a power of "
					   "two, 512 to 4M");
	if (chunk < block || chunk > UPDATE_MAX_CHUNK || chunk % block)
		return usage_error("diff", "--chunk-size must be whole blocks, "
					   "up to 4M");
	if (o->level < 1 || o->level > ZSTD_maxCLevel())
		return usage_error("diff", "--level must be 1 to %d",
				   ZSTD_maxCLevel());
	if (o->threads > MAX_THREADS)
		return usage_error("diff", "--threads must be 1 to %u",
				   MAX_THREADS);
	return 0;
}

static int check_v1(const struct diff_options *o)
{
	if (o->compression != UPDATE_ZSTD)
		return usage_error("diff", "format 1 is always compressed by "
					   "zstd");
	if (o->block_size > MAX_BLOCK_V1)
		return usage_error("diff", "--block-size must be at most 64K "
					   "in format 1");
	if (o->chunk_size > UPDATE1_MAX_CHUNK)
		return usage_error("diff", "--chunk-size must be at most 1M "
					   "in format 1");
	if (o->piece_size > o->chunk_size || o->piece_size % o->block_size ||
	    !o->piece_size ||
	    o->chunk_size / UPDATE1_MAX_PIECES > o->piece_size)
		return usage_error("diff", "--piece-size must be whole blocks, "
					   "at most a chunk and at least 1/64 "
					   "of it");
	if (o->prefix_size < MIN_PREFIX || o->prefix_size > UPDATE1_MAX_CHUNK)
		return usage_error("diff", "--prefix-size must be 1K to 1M");
	if (o->merge_percent &&
	    (o->merge_percent < 100 || o->merge_percent > MOST_PERCENT))
		return usage_error("diff", "--merge-writes must be 100 to %u",
				   MOST_PERCENT);
	return 0;
}

static int check_v0(const struct texts *t)
{
	if (t->piece || t->prefix || t->merge || t->memory || t->explain)
		return usage_error("diff", "--piece-size, --prefix-size, "
					   "--merge-writes, --memory and "
					   "--explain need --format 1");
	return 0;
}

static void summarize(const char *out, const struct diff_options *o,
		      const struct diff_result *r)
{
	unsigned long long bytes = r->changed * o->block_size;

	say("'%s': %llu of %llu blocks changed, %llu bytes in %llu (%.1f %%)",
	    out, (unsigned long long)r->changed, (unsigned long long)r->blocks,
	    bytes, (unsigned long long)r->size,
	    bytes ? 100.0 * r->size / bytes : 0.0);
}

/* A piece is as large as it may be if the usual size does not fit. */
static uint32_t usual_piece(const struct diff_options *o)
{
	uint32_t piece = DIFF_PIECE_SIZE;

	if (piece < o->block_size)
		piece = o->block_size;
	if (piece < o->chunk_size / UPDATE1_MAX_PIECES)
		piece = o->chunk_size;
	return piece < o->chunk_size ? piece : o->chunk_size;
}

static int read_options(const struct texts *t, struct diff_options *o)
{
	*o = (struct diff_options){
		.block_size = t->block ? parse_size(t->block) : DIFF_BLOCK_SIZE,
		.chunk_size = t->chunk ? parse_size(t->chunk) : DIFF_CHUNK_SIZE,
		.level = t->level ? parse_size(t->level) : DIFF_LEVEL,
		.explain = t->explain,
		.prefix_size =
			t->prefix ? parse_size(t->prefix) : DIFF_PREFIX_SIZE,
	};
	if (t->threads) {
		o->threads = parse_size(t->threads);
		if (!o->threads)
			o->threads = MAX_THREADS + 1;
	}
	o->merge_percent = USUAL_PERCENT;
	if (t->merge) {
		o->merge_percent = parse_size(t->merge);
		if (!o->merge_percent)
			o->merge_percent = MOST_PERCENT + 1;
	}
	if (t->memory && (!option_size(t->memory, &o->memory) || !o->memory))
		return usage_error("diff",
				   "--memory is '%s', expected a size, as 800M "
				   "or 4G",
				   t->memory);
	if (parse_compression(t->compression, &o->compression) ||
	    check_common(o))
		return 2;
	o->piece_size = t->piece ? parse_size(t->piece) : usual_piece(o);
	if (!strcmp(t->format, "0"))
		return check_v0(t);
	if (!strcmp(t->format, "1"))
		return check_v1(o);
	return usage_error("diff", "--format is '%s', expected 0 or 1",
			   t->format);
}

int cmd_diff(int argc, char **argv)
{
	/* The published tool, whose name a link may have, makes its own. */
	struct texts t = { .format = strcmp(argv[0], "diff") ? "0" : "1",
			   .compression = "zstd" };
	const struct opt opts[] = {
		{ "output", 'o', &t.out, NULL },
		{ "format", 0, &t.format, NULL },
		{ "block-size", 0, &t.block, NULL },
		{ "chunk-size", 0, &t.chunk, NULL },
		{ "compression", 'a', &t.compression, NULL },
		{ "level", 0, &t.level, NULL },
		{ "threads", 0, &t.threads, NULL },
		{ "piece-size", 0, &t.piece, NULL },
		{ "prefix-size", 0, &t.prefix, NULL },
		{ "merge-writes", 0, &t.merge, NULL },
		{ "memory", 0, &t.memory, NULL },
		{ "explain", 0, NULL, &t.explain },
		{ 0 },
	};
	struct diff_options options;
	struct diff_result result;
	const char *images[2];
	int r;

	if (options_parse("diff", argc, argv, opts, "OLD NEW", images))
		return 2;
	if (!t.out)
		return usage_error("diff", "no output given, expected -o OUT");
	if (read_options(&t, &options))
		return 2;
	if (*t.format == '1')
		r = diff_make_v1(images[0], images[1], t.out, &options,
				 &result);
	else
		r = diff_make(images[0], images[1], t.out, &options, &result);
	if (r)
		return 1;
	summarize(t.out, &options, &result);
	return 0;
}
