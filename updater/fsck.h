/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which file system a device has, and checking it with the tools of a system
 * that is mounted but does not run.
 */
#ifndef BOWLINE_FSCK_H
#define BOWLINE_FSCK_H

/* "f2fs" and so on, by the magic number; NULL: none that is known. */
const char *fsck_type(const char *dev);

/*
 * Runs fsck.TYPE of the system at root on the device, which is not mounted:
 * a full check that mends what is safe, and if that leaves errors one more that
 * mends all.
 * At most ten minutes. Says what came of it. 0: sound or mended, -1: not, or
 * nobody knows.
 */
int fsck_run(const char *dev, const char *root);

#endif
