/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Force-included before every source of kmod/: the only place that knows
 * kernel versions. The sources are written against the newest kernel; each
 * shim says what changed and since when it is not needed any more.
 */
#ifndef BOWLINE_COMPAT_H
#define BOWLINE_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "Bowline's device-mapper targets need Linux 5.10 or newer"
#endif

/*
 * dm_io() takes an I/O priority since 6.9 and since 6.1.83 and others. Kbuild
 * counts the commas of its prototype. Callers use compat_dm_io().
 */
#if DM_IO_COMMAS == 3
#define compat_dm_io(req, n, where, error_bits) \
	dm_io((req), (n), (where), (error_bits))
#elif DM_IO_COMMAS == 4
#define compat_dm_io(req, n, where, error_bits) \
	dm_io((req), (n), (where), (error_bits), IOPRIO_DEFAULT)
#else
#error "this kernel's dm_io() has arguments that nobody has looked at yet"
#endif

/* struct dm_io_request has one bi_opf, a blk_opf_t, since 6.0. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 0, 0)
#define blk_opf_t		    unsigned int
#define COMPAT_DM_IO_OPF(op, flags) .bi_op = (op), .bi_op_flags = (flags)
#else
#define COMPAT_DM_IO_OPF(op, flags) .bi_opf = (op) | (flags)
#endif

/*
 * Since 6.14 the library's sums use the processor's instructions for them
 * wherever it has any; before, on arm64 alone of those with such drivers.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0) && !defined(CONFIG_ARM64) && \
	IS_ENABLED(CONFIG_CRYPTO_HASH)
#define COMPAT_SUMS_BY_CRYPTO
#endif

/* __crc32c_le() became crc32c() in 6.14. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#define __crc32c_le(seed, p, len) crc32c((seed), (p), (len))
#endif

/* Block devices are opened with blk_mode_t since 6.5, fmode_t before. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define BLK_OPEN_READ  FMODE_READ
#define BLK_OPEN_WRITE FMODE_WRITE
#endif

/* bdev_max_discard_sectors() came with 5.19, blk_queue_discard() went. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 19, 0)
#define compat_can_discard(bdev) blk_queue_discard(bdev_get_queue(bdev))
#else
#define compat_can_discard(bdev) (bdev_max_discard_sectors(bdev) != 0)
#endif

#endif
