// SPDX-License-Identifier: GPL-2.0-or-later
/* The checksums, against the published check values of "123456789". */
#include "test.h"
#include "../../kmod/plat.h"

static void crc32_is_the_known_one(void)
{
	check((plat_crc32(~0u, "123456789", 9) ^ ~0u) == 0xCBF43926u);
	check(plat_crc32(0, "", 0) == 0);
	check(plat_crc32(5, "", 0) == 5);
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

static const struct test tests[] = {
	{ "crc-32 is the known one", crc32_is_the_known_one },
	{ "crc-32c is the known one", crc32c_is_the_known_one },
	{ "a sum can be made in pieces", a_sum_can_be_made_in_pieces },
};

int main(void)
{
	return RUN_TESTS(tests);
}
