/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sums that plat.h promises, in the kernel. Each module includes this in
 * one source of its own and calls plat_begin_sums() when it is loaded and
 * plat_end_sums() when it goes.
 *
 * Where the kernel's library does not use the processor's own instructions for
 * them, a driver of its crypto API may: "crc32" and "crc32c" there are these
 * very sums, whose state is the u32. Without such a driver it is the library.
 */
#ifndef BOWLINE_PLAT_SUMS_H
#define BOWLINE_PLAT_SUMS_H

#include "plat.h"

#ifdef COMPAT_SUMS_BY_CRYPTO

#include <crypto/hash.h>
#include <linux/err.h>
#include <linux/module.h>

MODULE_SOFTDEP("pre: crypto-crc32 crypto-crc32c");

#define SUM_WORTH 64 /* bytes for which a driver is worth its call */

static struct crypto_shash *by_crc32, *by_crc32c;

static struct crypto_shash *find_driver(const char *name)
{
	struct crypto_shash *driver = crypto_alloc_shash(name, 0, 0);

	if (IS_ERR(driver))
		return NULL;
	if (crypto_shash_descsize(driver) == sizeof(u32))
		return driver;
	crypto_free_shash(driver);
	return NULL;
}

void plat_begin_sums(void)
{
	by_crc32 = find_driver("crc32");
	by_crc32c = find_driver("crc32c");
}

void plat_end_sums(void)
{
	crypto_free_shash(by_crc32);
	crypto_free_shash(by_crc32c);
}

/* False: nobody did it, *sum is what it was. */
static bool sum_by(struct crypto_shash *driver, u32 *sum, const void *p,
		   size_t len)
{
	SHASH_DESC_ON_STACK(desc, driver);

	if (!driver || len < SUM_WORTH || len > UINT_MAX)
		return false;
	desc->tfm = driver;
	*(u32 *)shash_desc_ctx(desc) = *sum;
	if (crypto_shash_update(desc, p, len))
		return false;
	*sum = *(u32 *)shash_desc_ctx(desc);
	return true;
}

u32 plat_crc32(u32 seed, const void *p, size_t len)
{
	return sum_by(by_crc32, &seed, p, len) ? seed : crc32_le(seed, p, len);
}

u32 plat_crc32c(u32 seed, const void *p, size_t len)
{
	return sum_by(by_crc32c, &seed, p, len) ? seed
						: __crc32c_le(seed, p, len);
}

#else

void plat_begin_sums(void)
{
}

void plat_end_sums(void)
{
}

u32 plat_crc32(u32 seed, const void *p, size_t len)
{
	return crc32_le(seed, p, len);
}

u32 plat_crc32c(u32 seed, const void *p, size_t len)
{
	return __crc32c_le(seed, p, len);
}

#endif
#endif
