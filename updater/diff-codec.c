// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "diff-codec.h"
#include "err.h"

struct packer {
	enum update_compression compression;
	ZSTD_CCtx *zstd;
};

/* Compressed with a checksum, so that a flipped bit is found when read. */
struct packer *packer_new(const struct diff_options *options)
{
	struct packer *packer = malloc(sizeof(*packer));

	if (!packer)
		return NULL;
	packer->compression = options->compression;
	packer->zstd = ZSTD_createCCtx();
	if (!packer->zstd) {
		free(packer);
		return NULL;
	}
	ZSTD_CCtx_setParameter(packer->zstd, ZSTD_c_compressionLevel,
			       options->level);
	ZSTD_CCtx_setParameter(packer->zstd, ZSTD_c_checksumFlag, 1);
	return packer;
}

void packer_free(struct packer *packer)
{
	if (packer)
		ZSTD_freeCCtx(packer->zstd);
	free(packer);
}

/* lz4 adds a byte to 255, zstd less, but never less than some bytes. */
size_t pack_bound(size_t size)
{
	return ZSTD_compressBound(size) + size / 255 + 16;
}

static size_t pack_zstd(struct packer *packer, void *to, const void *from,
			size_t size)
{
	size_t n =
		ZSTD_compress2(packer->zstd, to, pack_bound(size), from, size);

	if (!ZSTD_isError(n))
		return n;
	error("cannot compress %zu bytes: %s", size, ZSTD_getErrorName(n));
	return 0;
}

static size_t pack_lz4(void *to, const void *from, size_t size)
{
	int n = 0;

	if (size <= LZ4_MAX_INPUT_SIZE)
		n = LZ4_compress_HC(from, to, size, LZ4_compressBound(size),
				    LZ4HC_CLEVEL_MAX);
	if (n <= 0)
		error("cannot compress %zu bytes by lz4", size);
	return n > 0 ? n : 0;
}

size_t pack(struct packer *packer, void *to, const void *from, size_t size)
{
	switch (packer->compression) {
	case UPDATE_NONE:
		memcpy(to, from, size);
		return size;
	case UPDATE_ZSTD:
		return pack_zstd(packer, to, from, size);
	case UPDATE_LZ4:
		return pack_lz4(to, from, size);
	}
	return 0;
}

static size_t unpack_lz4(const char *file, void *to, size_t most,
			 const void *from, size_t len)
{
	int n = -1;

	if (len <= INT_MAX && most <= INT_MAX)
		n = LZ4_decompress_safe(from, to, len, most);
	if (n <= 0)
		error("'%s': what lz4 made is damaged", file);
	return n > 0 ? n : 0;
}

size_t unpack(enum update_compression compression, const char *file, void *to,
	      size_t most, const void *from, size_t len)
{
	size_t n;

	switch (compression) {
	case UPDATE_NONE:
		n = len < most ? len : most;
		memcpy(to, from, n);
		return n;
	case UPDATE_LZ4:
		return unpack_lz4(file, to, most, from, len);
	case UPDATE_ZSTD:
		break;
	}
	n = ZSTD_decompress(to, most, from, len);
	if (!ZSTD_isError(n) && n)
		return n;
	error("'%s': %s", file, n ? ZSTD_getErrorName(n) : "nothing in it");
	return 0;
}
