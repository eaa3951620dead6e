// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The user-space side of kmod/plat.h: the two checksums that the kernel's
 * libraries give the pure files. One table of 256 words each, made on first
 * use; the programs that use it have one thread when they do.
 */
#include "../kmod/plat.h"

#define POLY_CRC32  0xEDB88320u
#define POLY_CRC32C 0x82F63B78u

static void fill(u32 *table, u32 poly)
{
	for (u32 i = 0; i < 256; i++) {
		u32 crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? poly : 0);
		table[i] = crc;
	}
}

static u32 update(const u32 *table, u32 crc, const u8 *p, size_t len)
{
	while (len--)
		crc = (crc >> 8) ^ table[(crc ^ *p++) & 0xFF];
	return crc;
}

u32 plat_crc32(u32 seed, const void *p, size_t len)
{
	static u32 table[256];

	if (!table[1])
		fill(table, POLY_CRC32);
	return update(table, seed, p, len);
}

u32 plat_crc32c(u32 seed, const void *p, size_t len)
{
	static u32 table[256];

	if (!table[1])
		fill(table, POLY_CRC32C);
	return update(table, seed, p, len);
}
