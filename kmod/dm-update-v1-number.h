/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers of 7 bits a byte, as directory pages and chunk headers hold them. */
#ifndef BOWLINE_DM_UPDATE_V1_NUMBER_H
#define BOWLINE_DM_UPDATE_V1_NUMBER_H

#include "plat.h"

#define NUMBER_MAX_BYTES 9

/* Reads on; once something was not there, @bad, and everything is 0. */
struct cursor {
	const u8 *at;
	const u8 *end;
	bool bad;
};

static inline const u8 *take_bytes(struct cursor *from, u32 len)
{
	const u8 *bytes = from->at;

	if (from->bad || len > (size_t)(from->end - from->at)) {
		from->bad = true;
		return NULL;
	}
	from->at += len;
	return bytes;
}

/* Below 2^63. */
static inline u64 take_number(struct cursor *from)
{
	u64 number = 0;
	u32 i;

	for (i = 0; i < NUMBER_MAX_BYTES; i++) {
		const u8 *byte = take_bytes(from, 1);

		if (!byte)
			return 0;
		number |= (u64)(*byte & 0x7f) << 7 * i;
		if (!(*byte & 0x80))
			return number;
	}
	from->bad = true;
	return 0;
}

static inline s64 take_signed(struct cursor *from)
{
	u64 number = take_number(from);

	return number & 1 ? -(s64)(number >> 1) - 1 : (s64)(number >> 1);
}

#endif
