/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An update diff of format version 1: superblock, directory, chunks, merge.
 * Pure: shared by the kernel target, the updater, the tests and the fuzzers.
 * docs/FORMAT.md is the prose. Nothing here reads, writes or decompresses.
 *
 * Functions that can refuse return 0 or -EINVAL (-ENOMEM, -EBADMSG) and then
 * point *why at a constant sentence, capitalised, without a full stop.
 *
 * Loading: read 4096 bytes at 0, update1_super_parse(); update1_load_begin();
 * then, while update1_load_at() is not 0, read update1_load_want() bytes there,
 * update1_load_page(); update1_load_end(). What passes is safe to follow: every
 * number is in range and every extent inside the images and the file. Whether
 * the order of the merge is right is not checked: a wrong one gives wrong
 * bytes, but no wrong access.
 *
 * Reading block B of the new image when @done epochs are merged: find the
 * extent (update1_find()). None, or its epoch < done: it is in the system
 * device. Zero: zeros. Copy: bytes of the old image. Data: decode its chunk.
 * Bytes of the old image are where update1_old() says. What was resolved with
 * one @done stays valid until done + 1 is durable; reads that still use it must
 * end before the merge goes on from there (see "Merging").
 */
#ifndef BOWLINE_DM_UPDATE_V1_H
#define BOWLINE_DM_UPDATE_V1_H

#include "bowline-format.h"
#include "plat.h"

/* ---- limits: what one diff may make its reader allocate ------------------ */

#define UPDATE1_MAX_IMAGE  (1ull << 44) /* bytes: 16 TiB */
#define UPDATE1_MAX_FILE   (1ull << 42) /* bytes */
#define UPDATE1_MAX_CHUNK  (1u << 20)	/* bytes, decoded; also of a prefix */
#define UPDATE1_MAX_HEADER 4096		/* bytes of a chunk's header */
#define UPDATE1_MAX_RANGES 256		/* of old bytes in a prefix */
/*
 * Ranges so near each other are one read, with what is between them: a request
 * costs more than so many bytes. Not a limit; the maker of a diff knows it,
 * too.
 */
#define UPDATE1_READ_GAP   16384
#define UPDATE1_MAX_PIECES 64	       /* of a chunk */
#define UPDATE1_MAX_DIR	   (64u << 20) /* bytes of the directory in memory */
#define UPDATE1_MAX_EXTENT (16u << 20) /* bytes */
#define UPDATE1_MAX_EPOCHS 65536
#define UPDATE1_MAX_EPOCH  (16u << 20) /* bytes written until a record */
#define UPDATE1_MAX_LOOKS                                   \
	(1ull << 32) /* at extents, to find those of epochs \
		      */
#define UPDATE1_MAX_SAVES   16384
#define UPDATE1_MAX_ROOM    (1u << 27) /* blocks of the save area */
#define UPDATE1_PAGE	    65536      /* bytes of a decoded page */
#define UPDATE1_PAGE_STORED (UPDATE1_PAGE + 512 + 1024)

/* ---- superblock ---------------------------------------------------------- */

struct update1_geometry {
	u32 block_bits;
	u32 chunk_bytes;
	u32 prefix_bytes;
	u32 piece_bytes;
	u32 stored_bytes;
	u32 n_extents;
	u32 n_saves;
	u32 n_epochs;
	u32 save_blocks;
	u32 dir_crc;
	u32 dir_size;
	u64 dir_offset;
	u64 file_size;
	u64 old_size;
	u64 new_size;
	u64 changed; /* blocks */
	bool alone;  /* pieces are decoded alone, not behind those before */
	u8 old_sha256[32];
	u8 new_sha256[32];
	u8 id[16];
};

/* The version of a diff that begins with these 10 bytes; -EINVAL: not one. */
int update_version(const void *start);

/* @super: the first 4096 bytes of a file or device of @file_bytes bytes. */
int update1_super_parse(const struct update1_super *super, u64 file_bytes,
			struct update1_geometry *geometry, const char **why);

/* ---- directory ----------------------------------------------------------- */

enum update1_kind { UPDATE1_IS_ZERO, UPDATE1_IS_COPY, UPDATE1_IS_DATA };

/* An extent as it is kept, 16 bytes; update1_extent() unpacks it. */
struct update1_packed {
	u64 a;
	u64 b;
};

struct update1_extent {
	u64 dest;   /* block of the new image */
	u32 blocks; /* at least 1 */
	u32 epoch;
	enum update1_kind kind;
	u64 src;    /* copy: byte of the old image; data: byte of the file */
	u32 offset; /* data: bytes into the decoded chunk */
	u32 stored; /* data: bytes to read at src, 0 to 1023 more than needed */
};

/* Old blocks kept aside while epochs @epoch to @last are merged. */
struct update1_save {
	u64 old;    /* block of the old image; @epoch overwrites it */
	u32 blocks; /* at least 1 */
	u32 room;   /* block of the save area */
	u32 epoch;
	u32 last;
};

/* All extents of an epoch have an index from @first to @end - 1. */
struct update1_epoch {
	u32 first;
	u32 end;
};

struct update1_dir {
	struct update1_geometry g;
	struct update1_packed *extents; /* by dest */
	struct update1_packed *saves;	/* by old */
	struct update1_epoch *epochs;
};

/* The state of the loading, between begin and end. Private. */
struct update1_load {
	struct update1_dir *dir;
	u32 *epoch_blocks; /* written in each epoch, saves for the next one */
	u32 at, crc, extents, saves;
	u64 dest, shift, chunk, old, changed;
	u32 stored, offset, epoch, save_epoch, room;
};

/*
 * Allocates and begins. After a failure of this or any update1_load_ function
 * nothing is left to free. @dir stays where it is while the loading lasts.
 */
int update1_load_begin(struct update1_load *load, struct update1_dir *dir,
		       const struct update1_geometry *geometry,
		       const char **why);
/* Where in the file the next page is; 0: there is none. */
u64 update1_load_at(const struct update1_load *load);
/* Bytes to read there, at most 8 + UPDATE1_PAGE_STORED; the page and more. */
u32 update1_load_want(const struct update1_load *load);
/* @bytes: what was read there. The sizes of the page's frame and its contents.
 */
int update1_load_sizes(struct update1_load *load, const void *bytes,
		       u32 *stored, u32 *decoded, const char **why);
/*
 * @bytes: the same; @contents: the frame, at bytes + 8, decoded to exactly
 * @decoded bytes.
 */
int update1_load_page(struct update1_load *load, const void *bytes,
		      const void *contents, const char **why);
int update1_load_end(struct update1_load *load, const char **why);
/* Gives up a loading that has not failed. */
void update1_load_cancel(struct update1_load *load);

/* Frees what was loaded; a zeroed directory is allowed. */
void update1_dir_exit(struct update1_dir *dir);

/* The first extent that ends behind @block; n_extents if there is none. */
u32 update1_find(const struct update1_dir *dir, u64 block);
/* Extent @i, 0 <= i < n_extents. */
void update1_extent(const struct update1_dir *dir, u32 i,
		    struct update1_extent *extent);
/* Bytes of the new image in the extent: the last block may be a part. */
u64 update1_extent_bytes(const struct update1_dir *dir,
			 const struct update1_extent *extent);

/* Where old bytes are. */
struct update1_place {
	bool saved; /* on the device of the records; else on the system's */
	u64 at;	    /* byte there, counted from the first record */
	u32 len;    /* this many together, at least 1 */
};

/* For update1_old(): there is no record yet, so nothing was saved. */
#define UPDATE1_NOT_BEGUN (~0u)

/*
 * Old bytes from @offset on, at most @len, when @done epochs are merged. What
 * an extent of an epoch >= @done reads is there, if the order is right.
 */
void update1_old(const struct update1_dir *dir, u32 done, u64 offset, u32 len,
		 struct update1_place *place);

/* ---- chunks -------------------------------------------------------------- */

struct update1_range {
	u64 offset; /* bytes of the old image */
	u32 len;
};

/* Not alone: only the first has ranges, and they are the prefix of all. */
struct update1_piece {
	u32 first;  /* of chunk.ranges: those of its prefix ... */
	u32 end;    /* ... and behind them */
	u32 prefix; /* bytes of these */
	u32 stored; /* bytes in the file */
	u32 crc;    /* CRC-32C of what it decodes to */
};

struct update1_chunk {
	u32 header; /* bytes; the first piece follows */
	u32 bytes;  /* decoded */
	u32 prefix; /* bytes of all ranges */
	u32 n_ranges;
	u32 n_pieces;
	struct update1_range ranges[UPDATE1_MAX_RANGES];
	struct update1_piece pieces[UPDATE1_MAX_PIECES];
};

/*
 * @bytes: @len bytes from the beginning of a chunk, extent.stored of them for
 * the whole chunk. What passes has its ranges in the old image, its prefixes
 * and size within the bounds, and all pieces within @len.
 */
int update1_chunk_parse(const struct update1_geometry *geometry,
			const void *bytes, u32 len, struct update1_chunk *chunk,
			const char **why);

/* The first piece to decode to have the one that byte @from is in. */
u32 update1_first_piece(const struct update1_geometry *geometry, u32 from);
/* Pieces of the first @bytes bytes of the chunk. */
u32 update1_pieces(const struct update1_geometry *geometry,
		   const struct update1_chunk *chunk, u32 bytes);
/* What the first @pieces pieces decode to, in bytes, prefixes not counted. */
u32 update1_pieces_bytes(const struct update1_geometry *geometry,
			 const struct update1_chunk *chunk, u32 pieces);

/*
 * Frames for the plain zstd decoder, one behind the other, for the pieces from
 * @first to before @end, where @first came from update1_first_piece(). Fill
 * them with the prefixes, update1_frames_span() by update1_frames_span(), then
 * update1_frames_seal(), decode: the decoder gives prefix, piece, prefix,
 * piece, ..., and has to give exactly update1_frames_bytes() bytes.
 */
/* Room for any frames of this diff. */
u32 update1_frames_room(const struct update1_geometry *geometry);
/* Where the frame of piece @piece begins. */
u32 update1_frames_at(const struct update1_chunk *chunk, u32 first, u32 piece);
/*
 * Where byte @at of the prefix of @piece goes in the piece's frame; *len is how
 * many bytes of the prefix from there on lie together.
 */
u32 update1_frames_span(const struct update1_piece *piece, u32 at, u32 *len);
/*
 * Adds all that is not prefix; @stored: the chunk as it is in the file, from
 * its header on. Returns the size of the frames.
 */
u32 update1_frames_seal(const struct update1_geometry *geometry,
			const struct update1_chunk *chunk, u32 first, u32 end,
			const void *stored, void *frames);
/* What the frames decode to, in bytes, the prefixes counted. */
u32 update1_frames_bytes(const struct update1_geometry *geometry,
			 const struct update1_chunk *chunk, u32 first, u32 end);
/*
 * Takes the pieces out of @decoded, what the frames gave, to their places in
 * the chunk at @to; @decoded may be the place of piece @first there. -EBADMSG
 * unless they are what they should be.
 */
int update1_frames_take(const struct update1_geometry *geometry,
			const struct update1_chunk *chunk, u32 first, u32 end,
			const void *decoded, void *to);

/* ---- merging ------------------------------------------------------------- */

/*
 * The durable order, where D is the number in the last durable record:
 *
 *   no record: write the saves of epoch 0; flush; record 0, forced
 *   D < n_epochs: write all extents of epoch D and the saves of epoch D + 1, in
 *   any order; flush both devices; record D + 1, forced
 *   D = n_epochs: the new image is in place
 *
 * A save is copied from the system device (never from the save area) to its
 * room. Epoch D + 1 may write, and so may saves of epoch D + 2, only when the
 * record is durable and no read that was resolved with done = D is left.
 */
struct update1_progress {
	bool begun; /* there is a record of this diff; else done is 0 */
	u32 done;
	u64 sequence; /* of the last write to either record */
	u32 slot;     /* which of the two the next write goes to */
};

/* @records: both, as read. Never fails: without a valid one nothing begun. */
void update1_progress_read(const struct update1_geometry *geometry,
			   const struct update1_record records[2],
			   struct update1_progress *progress);
/*
 * Makes the record that says @done, for the place progress->slot. When it is
 * durable, call update1_progress_written().
 */
void update1_progress_record(const struct update1_geometry *geometry,
			     const struct update1_progress *progress, u32 done,
			     struct update1_record *record);
void update1_progress_written(struct update1_progress *progress, u32 done);

/* Bytes of the device from the first record to the end of the save area. */
u64 update1_progress_size(const struct update1_geometry *geometry);
/* Byte of the save area's block @room, counted from the first record. */
u64 update1_room_at(const struct update1_geometry *geometry, u32 room);

/* The next extent of @epoch with index @i or more; n_extents: none. */
u32 update1_epoch_next(const struct update1_dir *dir, u32 epoch, u32 i);
/* Save @i, 0 <= i < n_saves. */
void update1_save(const struct update1_dir *dir, u32 i,
		  struct update1_save *save);
/* The first save that ends behind old block @block; n_saves: there is none. */
u32 update1_find_save(const struct update1_dir *dir, u64 block);
/* The next save for @epoch with index @i or more; n_saves: none. */
u32 update1_save_next(const struct update1_dir *dir, u32 epoch, u32 i);

#endif
