/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads chunks of the diff and decompresses them.
 */
#ifndef BOWLINE_DM_UPDATE_DECODE_H
#define BOWLINE_DM_UPDATE_DECODE_H

#include "dm-update-source.h"

struct update_part;  /* dm-update-old.h */
struct update_stock; /* dm-update-stock.h */

/* A part of the diff in memory, and room for another one. */
struct update_window {
	void *buf; /* kvmalloc'ed, update_read_room(room) bytes */
	u32 room;
	u64 at;	 /* byte of the diff that begins at @found ... */
	u32 len; /* ... and so many of them, or none */
	void *found;
};

/* What one thread needs to read and decompress a chunk; buffers may be NULL. */
struct update_decoder {
	struct list_head list; /* its user's */
	struct update_window window;
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

/* Most bytes of the diff that a chunk of it takes. */
u32 update_packed_most(const struct update_source *source);
/* Whether all of @chunk is there. */
bool update_window_has(const struct update_window *window,
		       const struct update_source *source,
		       const struct update_ref *chunk);
/*
 * The first @len bytes of @chunk as it is in the file; or an ERR_PTR. If it has
 * to be read, then @most bytes with what follows in the file, as far as there
 * is something.
 */
void *update_window_get(struct update_window *window,
			struct update_source *source,
			const struct update_ref *chunk, u32 len, u32 most);

/* How a chunk is wanted. */
struct update_want {
	bool whole; /* all of it, if it has to be decompressed */
	u32 view;   /* entered */
	struct update_stock *stock; /* has what it needs, or a part; or NULL */
};

/*
 * Reads @chunk as it is in the file to @to, which has room for chunk_bytes: for
 * that no decoder is needed, so others decode meanwhile. Returns where it is,
 * NULL if it has to be read with a decoder, or an ERR_PTR.
 */
void *update_fetch(struct update_source *source, const struct update_ref *chunk,
		   void *to);
/*
 * Decompresses @chunk to @to, which has room for chunk_bytes: all of it with
 * want->whole, else what @span is in or, where the compression cannot begin or
 * stop there, more. @fetched: what update_fetch() returned, which may lie in
 * @to; or NULL. Returns 0 and sets *span to what is valid, at least what it
 * was; or -EBADMSG for damaged contents, else the error of the I/O. With
 * want->whole, and nothing fetched, the next chunks of the file are read, too,
 * as far as there is room: who wants all of one mostly wants them.
 */
int update_decode(struct update_source *source, struct update_decoder *decoder,
		  const struct update_ref *chunk, struct update_span *span,
		  const struct update_want *want, void *fetched, void *to);

/* A decoder for metadata: of @compression, packed to @packed bytes at most. */
int update_decoder_simple(struct update_decoder *decoder,
			  const struct update_source *source,
			  enum update_compression compression, u32 packed);
/* @room bytes at most; returns how many there were, or -EBADMSG. */
int update_unpack(struct update_decoder *decoder,
		  enum update_compression compression, void *to, u32 room,
		  const void *from, u32 len);

#endif
