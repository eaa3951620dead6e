/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the pure files of kmod/ may use of their host, and nothing else.
 *
 * A pure file (dm-*-dir.c, dm-*-ranges.c, dm-*-log.c) includes this header,
 * bowline-format.h and its own header. It then builds into the kernel module
 * and, unchanged, into the updater, the unit tests and the fuzzers.
 *
 * Needs: fixed-width types, le<->cpu, memcpy/memset/memcmp, errno numbers,
 * plat_alloc/plat_free, plat_crc32, plat_crc32c.
 */
#ifndef BOWLINE_PLAT_H
#define BOWLINE_PLAT_H

#ifdef __KERNEL__

#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>

/* Memory that may sleep to get; NULL when there is none. Freed by plat_free. */
#define plat_alloc(size) kvzalloc((size), GFP_KERNEL)
#define plat_free(p)	 kvfree(p)

/* What makes the sums below is there between these two: see plat-sums.h. */
void plat_begin_sums(void);
void plat_end_sums(void);

#else /* user space */

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)
#define cpu_to_le16(x) htole16(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)

#define plat_alloc(size) calloc(1, (size))
#define plat_free(p)	 free(p)

#endif

/* CRC-32 (reflected 0xEDB88320) and CRC-32C, no initial or final inversion. */
u32 plat_crc32(u32 seed, const void *p, size_t len);
u32 plat_crc32c(u32 seed, const void *p, size_t len);

#endif
