// SPDX-License-Identifier: GPL-2.0-or-later
/* The checksums, against the published check values of "123456789". */
#include "test.h"
#include "../../kmod/plat.h"

static void crc32_is_the_known_one(void)
{
	check((plat_crc32(~0u, "123456789", 9) ^ ~0u) == 0xCBF43926u);
	check(plat_crc32(0, "", 0) == 0);
	check(plat_crc32(5, "", 0) == 5);
	check(plat_crc32(5, NULL, 0) == 5);
}

static void crc32c_is_the_known_one(void)
{
	check((plat_crc32c(~0u, "123456789", 9) ^ ~0u) == 0xE3069283u);
}

static void a_sum_can_be_made_in_pieces(void)
{
	u32 whole = plat_crc32(7, "123456789", 9);

	check(plat_crc32(plat_crc32(7, "1234", 4), "56789", 5) == whole);
}

/* Bit by bit, as the polynomial is defined. */
static u32 by_bits(u32 poly, u32 crc, const u8 *p, size_t len)
{
	for (; len--; p++) {
		crc ^= *p;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? poly : 0);
	}
	return crc;
}

static void every_length_and_alignment_is_right(void)
{
	u8 bytes[80];

	for (u32 i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * i * 7 + i;
	for (u32 from = 0; from < 9; from++)
		for (u32 len = 0; len <= 64; len++) {
			check(plat_crc32(from, bytes + from, len) ==
			      by_bits(0xEDB88320u, from, bytes + from, len));
			check(plat_crc32c(~from, bytes + from, len) ==
			      by_bits(0x82F63B78u, ~from, bytes + from, len));
		}
}

static const struct test tests[] = {
	{ "crc-32 is the known one", crc32_is_the_known_one },
	{ "crc-32c is the known one", crc32c_is_the_known_one },
	{ "a sum can be made in pieces", a_sum_can_be_made_in_pieces },
	{ "every length and alignment is right",
	  every_length_and_alignment_is_right },
};

int main(void)
{
	return RUN_TESTS(tests);
}
