// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The user-space side of kmod/plat.h: the two checksums that the kernel's
 * libraries give the pure files. zlib has the one. The other takes eight bytes
 * a step by eight tables, made on first use; the programs that use it have one
 * thread when they do.
 */
#include <zlib.h>

#include "../kmod/plat.h"

#define POLY_CRC32C 0x82F63B78u
#define STEP	    8 /* bytes at once */

/* table[k][b]: what byte b does to the checksum, k more bytes behind it. */
static u32 table[STEP][256];

static void fill(void)
{
	for (u32 i = 0; i < 256; i++) {
		u32 crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? POLY_CRC32C : 0);
		table[0][i] = crc;
	}
	for (u32 k = 1; k < STEP; k++)
		for (u32 i = 0; i < 256; i++) {
			u32 crc = table[k - 1][i];

			table[k][i] = (crc >> 8) ^ table[0][crc & 0xFF];
		}
}

static u32 step(u32 crc, const u8 *p)
{
	u32 next = 0;

	for (u32 i = 0; i < STEP; i++) {
		u8 byte = i < sizeof(crc) ? p[i] ^ (crc >> 8 * i) : p[i];

		next ^= table[STEP - 1 - i][byte];
	}
	return next;
}

/* zlib inverts what goes in and what comes out, and begins anew without p. */
u32 plat_crc32(u32 seed, const void *p, size_t len)
{
	return len ? ~(u32)crc32_z(~seed, p, len) : seed;
}

u32 plat_crc32c(u32 seed, const void *from, size_t len)
{
	const u8 *p = from;
	u32 crc = seed;

	if (!table[0][1])
		fill();
	for (; len >= STEP; p += STEP, len -= STEP)
		crc = step(crc, p);
	while (len--)
		crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xFF];
	return crc;
}
