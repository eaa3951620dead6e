/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every on-disk structure that the kernel targets and the updater share.
 * Little-endian, packed, one sector = 512 bytes. docs/FORMAT.md is the prose.
 */
#ifndef BOWLINE_FORMAT_H
#define BOWLINE_FORMAT_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#define BOWLINE_SIZE(type, size) static_assert(sizeof(type) == (size))
#else
#define BOWLINE_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

#define BOWLINE_SECTOR 512

/* ---- the bow log: one block at byte 0 of the data device ---------------- */

#define BOW_MAGIC	    0x00574F42u /* a log */
#define BOW_MAGIC_RESTORING 0x00424F57u /* a log whose restore has begun */
#define BOW_VERSION	    0x0100
#define BOW_HEADER_SIZE	    28
#define BOW_HEADER_LONG	    48 /* with struct bow_sums behind it */
#define BOW_ENTRY_SIZE	    24

struct bow_header {
	__le32 magic;
	__le16 version;
	__le16 header_size; /* bytes; the entries start here */
	__le32 block_size;  /* bytes: 512, 1024, 2048 or 4096 */
	__le32 count;	    /* entries in this block, at least 1 */
	__le32 sequence;    /* 0 for the first block, +1 at each rollover */
	__le64 sector0;	    /* sector of the live contents of block 0 */
} __attribute__((packed));
BOWLINE_SIZE(struct bow_header, BOW_HEADER_SIZE);

/*
 * Ours, where a cut can tear the log block: each sum is the CRC-32C of the
 * header, with BOW_MAGIC, count and sector0 of that state, and of its entries.
 */
struct bow_sums {
	__le32 sum;
	__le32 prev_count; /* 0: the block has just begun */
	__le64 prev_sector0;
	__le32 prev_sum;
} __attribute__((packed));
BOWLINE_SIZE(struct bow_sums, BOW_HEADER_LONG - BOW_HEADER_SIZE);

struct bow_entry {
	__le64 source;	 /* sector about to be overwritten */
	__le64 dest;	 /* sector where its old contents are */
	__le32 size;	 /* bytes, a multiple of the block size */
	__le32 checksum; /* CRC-32 seeded with the source block; 0 = none */
} __attribute__((packed));
BOWLINE_SIZE(struct bow_entry, BOW_ENTRY_SIZE);

/* ---- the update diff, format version 0 ---------------------------------- */

#define UPDATE_MAGIC	 "update\0" /* 8 bytes with the final NUL */
#define UPDATE_VERSION_0 0

struct update_super {
	__u8 magic[8];
	__u8 version;
	__u8 block_bits; /* block = 1 << block_bits bytes, 9 to 31 */
	__le16 pad0;
	__le32 chunk_blocks; /* most blocks in one decompressed chunk */
	char compression[16];
	__le64 dir_offset; /* bytes, any alignment */
	__le64 dir_compressed_size;
	__le64 dir_n; /* entries with the sentinel, at least 1 */
	__le64 pad1;
} __attribute__((packed));
BOWLINE_SIZE(struct update_super, 64);

struct update_dirent {
	__le32 dest_lo; /* block number in the image, 48 bits */
	__le16 dest_hi;
	__le16 src_hi; /* byte offset of the compressed chunk, 48 bits */
	__le32 src_lo;
	__le32 offset; /* block index inside the decompressed chunk */
} __attribute__((packed));
BOWLINE_SIZE(struct update_dirent, 16);

/* ---- the update diff, format version 1 ---------------------------------- */

#define UPDATE_VERSION_1   1
#define UPDATE1_SUPER_SIZE 4096
/* The pieces of a chunk decode each alone, behind old bytes of its own. */
#define UPDATE1_ALONE	 1ull
#define UPDATE1_FEATURES UPDATE1_ALONE

struct update1_super {
	__u8 magic[8]; /* UPDATE_MAGIC */
	__u8 version;
	__u8 block_bits; /* 9 to 16 */
	__le16 zero0;
	__le32 chunk_bytes;  /* most that a chunk decodes to: whole blocks */
	__le32 prefix_bytes; /* most old bytes that a chunk leans on */
	__le32 piece_bytes;  /* of a chunk that are decoded at once: blocks */
	__le32 stored_bytes; /* the largest chunk in the file, header and all */
	__le32 n_epochs;
	__le64 incompat; /* UPDATE1_* features that a reader must know */
	__le64 compat;	 /* features that it may ignore */
	__le64 old_size; /* bytes of the images */
	__le64 new_size;
	__u8 old_sha256[32];
	__u8 new_sha256[32];
	__u8 id[16]; /* names this diff in the progress records */
	__le64 file_size;
	__le64 dir_offset; /* bytes: chunks are before, nothing behind */
	__le64 dir_size;
	__le32 n_extents;
	__le32 n_saves;
	__le32 dir_crc;	    /* CRC-32C of the directory as it is stored */
	__le32 save_blocks; /* room that the merge needs behind the records */
	__le64 changed;	    /* blocks in all extents */
	__u8 zero[3900];
	__le32 crc; /* CRC-32C of all before */
} __attribute__((packed));
BOWLINE_SIZE(struct update1_super, UPDATE1_SUPER_SIZE);

/* The directory is pages; each is this and one zstd frame of columns. */
struct update1_page {
	__le32 stored;	/* bytes of the frame */
	__le32 decoded; /* bytes that it decodes to */
} __attribute__((packed));
BOWLINE_SIZE(struct update1_page, 8);

/* What an extent of the directory is, first column of a page. */
#define UPDATE1_ZERO	  0
#define UPDATE1_COPY	  1
#define UPDATE1_DATA	  2 /* goes on in the chunk of the last data extent */
#define UPDATE1_DATA_AT	  3 /* the same chunk, at a block that is named */
#define UPDATE1_DATA_NEXT 4 /* begins the chunk stored behind the last one */
#define UPDATE1_DATA_FAR  5 /* any block of any chunk */

/* A chunk begins with this; numbers of 7 bits a byte follow, then CRCs. */
struct update1_chunk_head {
	__le32 crc;  /* CRC-32C of the header behind this field */
	__le16 size; /* bytes of the header, this field and crc included */
} __attribute__((packed));
BOWLINE_SIZE(struct update1_chunk_head, 6);

/* The progress of a merge: two of these, then the save area. */
#define UPDATE1_RECORD_MAGIC   0x47505542u /* bytes "BUPG" */
#define UPDATE1_RECORD_VERSION 1
#define UPDATE1_RECORD_SIZE    4096

struct update1_record {
	__le32 magic;
	__le16 version;
	__le16 zero0;
	__le64 sequence; /* of this write, from 1 */
	__u8 id[16];	 /* of the diff */
	__le32 done;	 /* epochs that are in the system device, durably */
	__u8 zero[4056];
	__le32 crc; /* CRC-32C of all before */
} __attribute__((packed));
BOWLINE_SIZE(struct update1_record, UPDATE1_RECORD_SIZE);

#endif
