// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The user-space side of kmod/plat.h: the two checksums that the kernel's
 * libraries give the pure files. Eight bytes a step by eight tables each, made
 * on first use; the programs that use it have one thread when they do.
 */
#include "../kmod/plat.h"

#define POLY_CRC32  0xEDB88320u
#define POLY_CRC32C 0x82F63B78u
#define STEP	    8 /* bytes at once */

/* table[k][b]: what byte b does to the checksum, k more bytes behind it. */
struct tables {
	u32 table[STEP][256];
};

static void fill(struct tables *t, u32 poly)
{
	for (u32 i = 0; i < 256; i++) {
		u32 crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? poly : 0);
		t->table[0][i] = crc;
	}
	for (u32 k = 1; k < STEP; k++)
		for (u32 i = 0; i < 256; i++) {
			u32 crc = t->table[k - 1][i];

			t->table[k][i] = (crc >> 8) ^ t->table[0][crc & 0xFF];
		}
}

static u32 step(const struct tables *t, u32 crc, const u8 *p)
{
	u32 next = 0;

	for (u32 i = 0; i < STEP; i++) {
		u8 byte = i < sizeof(crc) ? p[i] ^ (crc >> 8 * i) : p[i];

		next ^= t->table[STEP - 1 - i][byte];
	}
	return next;
}

static u32 update(const struct tables *t, u32 crc, const u8 *p, size_t len)
{
	for (; len >= STEP; p += STEP, len -= STEP)
		crc = step(t, crc, p);
	while (len--)
		crc = (crc >> 8) ^ t->table[0][(crc ^ *p++) & 0xFF];
	return crc;
}

u32 plat_crc32(u32 seed, const void *p, size_t len)
{
	static struct tables t;

	if (!t.table[0][1])
		fill(&t, POLY_CRC32);
	return update(&t, seed, p, len);
}

u32 plat_crc32c(u32 seed, const void *p, size_t len)
{
	static struct tables t;

	if (!t.table[0][1])
		fill(&t, POLY_CRC32C);
	return update(&t, seed, p, len);
}
