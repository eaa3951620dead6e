/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of 7 bits a byte of docs/FORMAT.md, written. */
#ifndef BOWLINE_DIFF_NUMBER_H
#define BOWLINE_DIFF_NUMBER_H

#include <stdint.h>

#define NUMBER_MAX 9 /* bytes */

/* Both return the byte behind the number. */
static inline uint8_t *put_number(uint8_t *to, uint64_t n)
{
	for (; n > 127; n >>= 7)
		*to++ = n | 128;
	*to++ = n;
	return to;
}

static inline uint8_t *put_signed(uint8_t *to, int64_t n)
{
	return put_number(to, n < 0 ? -2 * (n + 1) + 1 : 2 * n);
}

#endif
