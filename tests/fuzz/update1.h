/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A diff of format 1 taken apart for the fuzzer, which could not get through
 * checksums and packing: 192 bytes of superblock, a byte of switches, a byte of
 * where the power fails; the number of pages, and each page unpacked, with its
 * length in 2 bytes; the chunks, which begin at byte 4096 of the file.
 */
#ifndef BOWLINE_FUZZ_UPDATE1_H
#define BOWLINE_FUZZ_UPDATE1_H

#define UPDATE1_HEAD 192 /* of the superblock; zeros and a checksum follow */

/* Switches. */
#define KEEP_PLACES 1 /* file and directory are where the superblock says */
#define KEEP_SUMS   2 /* the checksums of chunk headers stay as they are */
#define CUT_STAGE   4 /* the power fails at the stage, not at the system */

#endif
