/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decompresses chunks, and reads old bytes.
 */
#ifndef BOWLINE_DM_UPDATE_DECODE_H
#define BOWLINE_DM_UPDATE_DECODE_H

#include "dm-update-source.h"

struct update_part; /* private */

/* What one thread needs to read and decompress a chunk; buffers may be NULL. */
struct update_decoder {
	struct list_head list; /* its user's */
	void *packed;
	u64 got_at; /* bytes of the diff that are in it ... */
	u32 got;    /* ... so many, or none */
	void *got_to;
	void *workspace;
	void *zstd;
	/* Version 1: */
	void *frames;
	void *out; /* prefixes and pieces, and old bytes before */
	u32 out_room;
	struct update1_chunk *chunk;
	struct update_part *part;
};

int update_decoder_init(struct update_decoder *decoder,
			const struct update_source *source);
void update_decoder_exit(struct update_decoder *decoder);
/* Bytes of memory that each takes. */
size_t update_decoder_memory(const struct update_source *source);

/* Whether it has read @chunk already, with another one. */
bool update_decoder_has(const struct update_decoder *decoder,
			const struct update_source *source,
			const struct update_ref *chunk);

/*
 * Reads @chunk as it is in the file to @to, which has room for chunk_bytes: for
 * that no decoder is needed, so others decode meanwhile. Returns where it is,
 * NULL if it has to be read with a decoder, or an ERR_PTR.
 */
void *update_fetch(struct update_source *source, const struct update_ref *chunk,
		   void *to);
/*
 * Decompresses @chunk to @to, which has room for chunk_bytes: all of it with
 * @whole, else what @span is in or, where the compression cannot begin or stop
 * there, more. @fetched: what update_fetch() returned, which may lie in @to; or
 * NULL. @view: entered. Returns 0 and sets *span to what is valid, at least
 * what it was; or -EBADMSG for damaged contents, else the error of the I/O.
 * With
 * @whole, and nothing fetched, the next chunks of the file are read, too, as
 * far as there is room: who wants all of one mostly wants them.
 */
int update_decode(struct update_source *source, struct update_decoder *decoder,
		  const struct update_ref *chunk, struct update_span *span,
		  bool whole, u32 view, void *fetched, void *to);

/* A decoder for metadata: of @compression, packed to @packed bytes at most. */
int update_decoder_simple(struct update_decoder *decoder,
			  const struct update_source *source,
			  enum update_compression compression, u32 packed);
/* @room bytes at most; returns how many there were, or -EBADMSG. */
int update_unpack(struct update_decoder *decoder,
		  enum update_compression compression, void *to, u32 room,
		  const void *from, u32 len);

/*
 * Where the old bytes at @from are in view @view: returns the device and sets
 * *at, the byte of it. *len: how many are asked for, and are there together.
 */
struct block_device *update_old_find(const struct update_source *source,
				     u32 view, u64 from, u32 *len, u64 *at);
/* What update_old_read() needs of memory to read @len bytes. */
size_t update_old_room(const struct update_source *source, u32 len);
/*
 * Reads @len old bytes at @from, in view @view, to @to, the beginning of a
 * sector in a kvmalloc'ed buffer of which update_old_room(len) bytes may be
 * used.
 */
int update_old_read(struct update_source *source, u32 view, u64 from, u32 len,
		    void *to);

#endif
