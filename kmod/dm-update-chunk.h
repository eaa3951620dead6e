/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Gives out the contents of chunks from a bounded cache.
 *
 * All memory is taken by update_reader_create(); nothing later allocates, so
 * reading works when memory is short. A chunk that several ask for is read and
 * decompressed once, and no farther than they need. Every decompression state
 * has one user at a time, and there are as many as CPUs, or one more, as far as
 * memory permits.
 */
#ifndef BOWLINE_DM_UPDATE_CHUNK_H
#define BOWLINE_DM_UPDATE_CHUNK_H

#include "dm-update-decode.h"

struct update_reader; /* opaque */

struct update_reader_counts {
	unsigned long errors;  /* chunks that could not be read or were bad */
	unsigned long decoded; /* times that a chunk was decompressed */
	u64 bytes;	       /* that these gave */
	size_t memory;	       /* taken, without that of the source */
};

/* @source must outlive the reader. Returns an ERR_PTR when memory is short. */
struct update_reader *update_reader_create(struct update_source *source);
/* Nobody may hold a chunk. */
void update_reader_destroy(struct update_reader *reader);
struct update_source *update_reader_source(struct update_reader *reader);
/* How many chunks it has room for. */
unsigned int update_reader_slots(const struct update_reader *reader);

/*
 * Where @chunk lies, of which the bytes of @span, at least 1, are valid; or an
 * ERR_PTR: -EBADMSG for damaged contents, else of the I/O. What was got stays
 * valid until update_chunk_put(). A thread holds one chunk at a time: those who
 * wait for room would else wait for each other. May sleep.
 */
const void *update_chunk_get(struct update_reader *reader,
			     const struct update_ref *chunk,
			     struct update_span span,
			     const struct update_want *want);
/* The same if the chunk is in the cache, else NULL. Does not sleep. */
const void *update_chunk_try(struct update_reader *reader,
			     const struct update_ref *chunk,
			     struct update_span span);
void update_chunk_put(struct update_reader *reader, const void *data);

/*
 * Begins to get @span of @chunk, or with @whole all of it, if it is not in the
 * cache and there is room that nobody needs. Does not sleep.
 */
void update_chunk_ahead(struct update_reader *reader,
			const struct update_ref *chunk, struct update_span span,
			bool whole);
/* Waits until what was begun so has ended. */
void update_chunk_settle(struct update_reader *reader);

/*
 * May wait for one; if there is a choice, one that has read @chunk already.
 * NULL: for who wants its buffers alone.
 */
struct update_decoder *update_decoder_get(struct update_reader *reader,
					  const struct update_ref *chunk);
void update_decoder_put(struct update_reader *reader,
			struct update_decoder *decoder);

void update_reader_count(struct update_reader *reader,
			 struct update_reader_counts *counts);

#endif
