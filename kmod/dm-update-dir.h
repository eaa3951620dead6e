/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Superblock and directory of an update diff, format version 0. Pure: shared
 * by the kernel target, the updater, the unit tests and the fuzzers.
 *
 * Calling sequence: read 64 bytes, update_super_parse(); read dir_packed bytes
 * at dir_offset and decompress them to dir_n entries; update_dir_init(). What
 * passes both is safe to follow: every number is in range, entries are in
 * order, every chunk lies inside the file and is small enough to hold. Nothing
 * of that is checked again later. What a chunk decompresses to is not known
 * here; whoever decompresses it compares the length with update_chunk.need.
 *
 * Functions that can refuse return 0 or -EINVAL (-ENOMEM) and then point *why
 * at a constant sentence, capitalised, without a full stop.
 */
#ifndef BOWLINE_DM_UPDATE_DIR_H
#define BOWLINE_DM_UPDATE_DIR_H

#include "bowline-format.h"
#include "plat.h"

/* Bounds of what one diff may make its reader allocate. */
#define UPDATE_MAX_CHUNK (4u << 20)  /* bytes of a decompressed chunk */
#define UPDATE_MAX_DIR	 (64u << 20) /* bytes of the decompressed directory */

enum update_compression { UPDATE_NONE, UPDATE_ZSTD, UPDATE_LZ4 };

struct update_geometry {
	u32 block_bits;	 /* 9 to 22 */
	u32 chunk_bytes; /* most that a chunk decompresses to */
	enum update_compression compression;
	u64 dir_offset; /* bytes in the file */
	u32 dir_packed; /* bytes, compressed */
	u32 dir_n;	/* entries with the sentinel, at least 1 */
};

struct update_chunk {
	u64 src;   /* byte of the file; the next chunk's src is its end */
	u32 first; /* its first entry; the next chunk's first is its end */
	u32 need;  /* bytes it has to decompress to, at least */
};

struct update_dir {
	u32 block_bits;
	u32 chunk_bytes;
	u32 n;	      /* changed blocks: entries without the sentinel */
	u32 n_chunks; /* chunks[n_chunks] is a sentinel */
	enum update_compression compression;
	const struct update_dirent *entries;
	struct update_chunk *chunks;
};

/* The most that @size bytes may take when compressed; 0 <= size < 2^30. */
u32 update_packed_limit(enum update_compression compression, u32 size);

/*
 * @super: the first 64 bytes of a diff of @file_bytes bytes, to be shown on an
 * image of @image_bytes bytes (at least 1).
 */
int update_super_parse(const struct update_super *super, u64 file_bytes,
		       u64 image_bytes, struct update_geometry *geometry,
		       const char **why);

/*
 * @entries: geometry->dir_n entries, allocated with plat_alloc(). They belong
 * to the directory after a success, to the caller still after a failure.
 */
int update_dir_init(struct update_dir *dir,
		    const struct update_geometry *geometry, u64 file_bytes,
		    u64 image_bytes, const struct update_dirent *entries,
		    const char **why);
/* Frees what update_dir_init() took and made; a zeroed directory is allowed. */
void update_dir_exit(struct update_dir *dir);

/* The block of the image that entry @i, 0 <= i < n, replaces. */
u64 update_dir_dest(const struct update_dir *dir, u32 i);
/* Where its contents are in the decompressed chunk, in bytes. */
u32 update_dir_offset(const struct update_dir *dir, u32 i);
/* The first entry for @block or a later one; n if there is none. */
u32 update_dir_find(const struct update_dir *dir, u64 block);
/* The chunk of entry @i, 0 <= i < n. */
u32 update_dir_chunk(const struct update_dir *dir, u32 i);
/* Compressed bytes of chunk @c, 0 <= c < n_chunks. */
u32 update_chunk_packed(const struct update_dir *dir, u32 c);

#endif
