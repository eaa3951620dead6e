// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "live.h"
#include "machine.h"
#include "progress.h"
#include "watchdog.h"

#define POLL_US 200000

int live_load(struct boot *boot, const char *board)
{
	struct dev *stage;
	int r;

	memset(boot, 0, sizeof(*boot));
	if (board_load(&boot->board, board) || env_read(&boot->env))
		return -1;
	cmdline_running(&boot->cmd);
	stage = dev_open(boot->board.stage, DEV_READ);
	r = stage ? stage_read(stage, &boot->rec) : -1;
	dev_close(stage);
	return r;
}

bool live_on_trial(const struct boot *boot)
{
	return boot->env.trial && boot->cmd.slot == boot->env.trial &&
	       (boot->env.phase == PHASE_TRIAL ||
		boot->env.phase == PHASE_COMMIT) &&
	       boot->rec.phase != STAGE_EMPTY &&
	       !strcmp(boot->rec.id, boot->env.update);
}

static int write_record(struct boot *boot, enum stage_phase phase)
{
	boot->rec.phase = phase;
	return stage_note(boot->board.stage, &boot->rec);
}

int live_commit(struct boot *boot)
{
	if (boot->env.phase == PHASE_TRIAL &&
	    env_store_commit(&boot->env, boot->env.trial, boot->env.update))
		return -1;
	if (boot->rec.phase == STAGE_COMMIT)
		return 0; /* the merge has begun: nothing is left to commit */
	if (write_record(boot, STAGE_COMMIT) || machine->release_data() ||
	    machine->swap_system(&boot->board, &boot->rec, SYSTEM_MERGE))
		return error("the commit is stored; the next boot finishes it");
	watchdog_disarm(boot->board.watchdog, -1);
	return 0;
}

/* Merged and durable: the partition alone is the new system. */
static int finish(struct boot *boot)
{
	char last[ENV_VALUE_MAX];

	snprintf(last, sizeof(last), "committed %s", boot->env.update);
	if (machine->swap_system(&boot->board, &boot->rec, SYSTEM_PLAIN) ||
	    write_record(boot, STAGE_EMPTY))
		return -1;
	return env_store_idle(&boot->env, last);
}

static int failed_merge(const struct boot *boot, const struct merge_status *s)
{
	return error("the merge into '%s' has failed (%s): the system goes on "
		     "with %llu of %llu blocks merged, the next boot tries "
		     "again",
		     boot->board.system, s->reason, (unsigned long long)s->done,
		     (unsigned long long)s->total);
}

/* 0 all of it, 1 there is more to come, -1 it has failed. */
static int look(const struct boot *boot, struct merge_status *s)
{
	if (machine->merge_status(s))
		return -1;
	if (!strcmp(s->phase, "failed"))
		return failed_merge(boot, s);
	return s->done < s->total;
}

static int merged(struct boot *boot, bool wait)
{
	struct merge_status s;
	int r = look(boot, &s);

	if (r >= 0 && !wait)
		printf("%llu of %llu blocks merged%s%s\n",
		       (unsigned long long)s.done, (unsigned long long)s.total,
		       r ? ", " : "", r ? s.phase : "");
	if (r < 0 || !wait)
		return r;
	progress_start("merging", s.total);
	while (r > 0) {
		progress_update(s.done);
		usleep(POLL_US);
		r = look(boot, &s);
	}
	if (!r)
		progress_end();
	return r;
}

int live_merge(struct boot *boot, bool wait)
{
	int r = merged(boot, wait);

	if (r)
		return r;
	return finish(boot);
}
