/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads an update diff: checks its superblock and directory once, and gives
 * out decompressed chunks from a bounded cache.
 *
 * All memory is taken by update_reader_create(); nothing later allocates, so
 * reading works when memory is short. A chunk that several ask for is read and
 * decompressed once. Every decompression state has one user at a time.
 */
#ifndef BOWLINE_DM_UPDATE_CHUNK_H
#define BOWLINE_DM_UPDATE_CHUNK_H

#include <linux/blkdev.h>

#include "dm-update-dir.h"

struct update_reader; /* opaque */

/*
 * @bdev: holds the diff from its first byte; must outlive the reader.
 * @image_bytes: size of the image that is shown. @readers: how many threads
 * may decompress at the same time, at least 1. Returns an ERR_PTR and points
 * *why at a constant sentence if the diff is not valid or memory is short.
 * May sleep, as everything here.
 */
struct update_reader *update_reader_create(struct block_device *bdev,
					   u64 image_bytes,
					   unsigned int readers,
					   const char **why);
/* Nobody may hold a chunk. */
void update_reader_destroy(struct update_reader *reader);

const struct update_dir *update_reader_dir(struct update_reader *reader);

/*
 * The contents of chunk @c, 0 <= c < n_chunks, of which chunks[c].need bytes
 * are valid; or an ERR_PTR: -EBADMSG for damaged contents, else of the I/O.
 * What was got stays valid until update_chunk_put(). A thread holds one chunk
 * at a time: those who wait for room would else wait for each other.
 */
const void *update_chunk_get(struct update_reader *reader, u32 c);
void update_chunk_put(struct update_reader *reader, const void *data);

/* How often a chunk could not be read or was damaged. */
unsigned long update_reader_errors(struct update_reader *reader);

#endif
