// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "diff.h"
#include "err.h"
#include "options.h"
#include "verbs.h"

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
	"  --block-size N        compare blocks of N bytes (4096)\n"
	"  --chunk-size N        compress N bytes at a time (65536)\n"
	"  --compression NAME    zstd or none (zstd)\n"
	"  --level N             of zstd, 1 to 22 (19)\n"
	"\n"
	"Sizes may end in K or M. The same images and options give the same\n"
	"bytes on every machine with the same zstd library.\n"
	"\n"
	"Exit status: 0 made, 1 failed and OUT is as it was, 2 usage.\n";

/* A size in bytes below 2^31, or 0, which no option allows. */
static uint32_t parse_size(const char *text)
{
	unsigned long long size;
	char *end;

	if (*text < '0' || *text > '9')
		return 0;
	errno = 0;
	size = strtoull(text, &end, 10);
	if (errno || size > INT32_MAX)
		return 0;
	if (!strcmp(end, "K"))
		size <<= 10;
	else if (!strcmp(end, "M"))
		size <<= 20;
	else if (*end)
		return 0;
	return size > INT32_MAX ? 0 : size;
}

static int parse_compression(const char *name, enum update_compression *to)
{
	if (!strcmp(name, "zstd"))
		*to = UPDATE_ZSTD;
	else if (!strcmp(name, "none"))
		*to = UPDATE_NONE;
	else
		return usage_error("diff",
				   "--compression is '%s', expected "
				   "zstd or none",
				   name);
	return 0;
}

static int check_options(const struct diff_options *o)
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

int cmd_diff(int argc, char **argv)
{
	const char *block = NULL, *chunk = NULL, *level = NULL;
	const char *compression = "zstd", *out = NULL, *images[2];
	const struct opt opts[] = {
		{ "output", 'o', &out, NULL },
		{ "block-size", 0, &block, NULL },
		{ "chunk-size", 0, &chunk, NULL },
		{ "compression", 0, &compression, NULL },
		{ "level", 0, &level, NULL },
		{ 0 },
	};
	struct diff_options options;
	struct diff_result result;

	if (options_parse("diff", argc, argv, opts, "OLD NEW", images))
		return 2;
	if (!out)
		return usage_error("diff", "no output given, expected -o OUT");
	options = (struct diff_options){
		.block_size = block ? parse_size(block) : DIFF_BLOCK_SIZE,
		.chunk_size = chunk ? parse_size(chunk) : DIFF_CHUNK_SIZE,
		.level = level ? parse_size(level) : DIFF_LEVEL,
	};
	if (parse_compression(compression, &options.compression) ||
	    check_options(&options))
		return 2;
	if (diff_make(images[0], images[1], out, &options, &result))
		return 1;
	summarize(out, &options, &result);
	return 0;
}
