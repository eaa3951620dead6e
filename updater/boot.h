/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One boot, as the initramfs sees it: gather the facts, decide, carry out the
 * steps. Everything here may be cut off at any write and started again.
 */
#ifndef BOWLINE_BOOT_H
#define BOWLINE_BOOT_H

#include "board.h"
#include "cmdline.h"
#include "env.h"
#include "stage.h"

/* How the record's reason begins when the data log was damaged. */
#define BOOT_DATA_DAMAGED "data log damaged"

struct boot {
	struct board board;
	struct cmdline cmd;
	struct env env;
	struct stage_record rec;
	unsigned int facts; /* enum fact, one bit of every group */
	char why_bad[64];   /* why the staged update is F_BAD, or "" */
	char outcome[64];   /* what became of a damaged data log, or "" */
};

/*
 * Fills env, rec and facts; board and cmd are set by the caller. Writes
 * nothing. A stage or a log that cannot be read is a fact, not an error; -1
 * after error() only when the environment cannot even be looked for.
 */
int boot_gather(struct boot *boot);

/*
 * Decides and carries out. 0: the root is mounted at sysroot, or, with
 * rebooted set, a reboot was asked for. -1 after error(): this boot cannot go
 * on; the caller reboots.
 */
int boot_run(struct boot *boot, const char *sysroot, bool *rebooted);

/* The slot to fall back to: 'A' or 'B'. */
char boot_base(const struct boot *boot);
/* "health NAME", "watchdog", ...: why the trial in *boot is being undone. */
void boot_reason(const struct boot *boot, char *text, size_t room);

#endif
