// SPDX-License-Identifier: GPL-2.0-or-later
#include <stddef.h>

#include <stdbool.h>

#include "state.h"

#define PLAIN STEP_SYSTEM_PLAIN, STEP_DATA_PLAIN
#define MERGE STEP_SYSTEM_MERGE, STEP_DATA_PLAIN
#define UNDO  STEP_UNDO, STEP_RECORD_EMPTY, STEP_STORE_UNDONE

/*
 * First match wins, so the order matters: what is true of the disks (a system
 * partition that may be half merged) comes before what the environment says,
 * the ordinary cases before the catch-all of their phase.
 */
const struct row decision_table[] = {
	/* Half merged: there is only forward, whatever anybody stored. */
	{ F_MERGING | F_KNOWN | F_COMMIT | F_RESTORING,
	  "committed; finish a restore that was cut short, go on merging",
	  { STEP_UNDO, MERGE } },
	{ F_MERGING | F_KNOWN | F_COMMIT,
	  "committed; go on merging",
	  { STEP_KEEP, MERGE } },
	{ F_MERGING | F_RESTORING,
	  "the merge had begun: commit, finish the restore, go on merging",
	  { STEP_STORE_COMMIT, STEP_UNDO, MERGE } },
	{ F_MERGING,
	  "the merge had begun: only forward, whatever the environment says",
	  { STEP_STORE_COMMIT, STEP_KEEP, MERGE } },

	/* The environment is gone; the record on the stage speaks. */
	{ F_LOST | F_EMPTY | F_NO_LOG,
	  "environment lost, no update in play: make it anew",
	  { STEP_STORE_CLEAR, PLAIN } },
	{ F_LOST, "environment lost in a trial: roll back", { UNDO, PLAIN } },

	/* Committed, and nothing of the merge has been written yet. */
	{ F_COMMIT | F_STAGED | F_GOOD | F_RESTORING,
	  "committed; finish a restore that was cut short, begin to merge",
	  { STEP_UNDO, STEP_RECORD_COMMIT, MERGE } },
	{ F_COMMIT | F_STAGED | F_GOOD,
	  "committed; drop the log, begin to merge",
	  { STEP_RECORD_COMMIT, STEP_KEEP, MERGE } },
	{ F_COMMIT | F_EMPTY | F_NO_LOG,
	  "committed and merged",
	  { STEP_STORE_DONE, PLAIN } },
	{ F_COMMIT,
	  "committed, but the stage is lost and the old system whole: go back",
	  { STEP_STORE_ROLLBACK, UNDO, PLAIN } },

	/* The trial. */
	{ F_TRIAL | F_ON_TRIAL | F_STAGED | F_GOOD | F_ASKED | F_NO_LOG |
		  F_LOG | F_RESTORING,
	  "attempt: old data, new system",
	  { STEP_RECORD_ATTEMPT, STEP_UNDO, STEP_SYSTEM_TRIAL, STEP_DATA_BOW,
	    STEP_WATCHDOG } },
	{ F_TRIAL | F_ON_TRIAL | F_ASKED,
	  "the attempt cannot work: roll back in the other slot",
	  { STEP_STORE_ROLLBACK, STEP_REBOOT } },
	{ F_TRIAL | F_NO_TRIAL | F_NO_LOG,
	  "a trial of no slot: there is no update",
	  { STEP_RECORD_EMPTY, STEP_STORE_CLEAR, PLAIN } },
	{ F_TRIAL,
	  "the trial failed or was called off: roll back",
	  { STEP_STORE_ROLLBACK, UNDO, PLAIN } },

	{ F_ROLLBACK, "roll back", { UNDO, PLAIN } },

	/* Idle. */
	{ F_NO_LOG, "ordinary boot", { PLAIN } },
	{ 0, "idle, but data is under a log: restore it", { UNDO, PLAIN } },
};

const unsigned int decision_rows =
	sizeof(decision_table) / sizeof(decision_table[0]);

static bool matches(unsigned int row, unsigned int facts)
{
	for (size_t i = 0; i < sizeof(fact_groups) / sizeof(fact_groups[0]);
	     i++)
		if ((row & fact_groups[i]) && !(row & facts & fact_groups[i]))
			return false;
	return true;
}

const struct row *decide(unsigned int facts)
{
	for (unsigned int i = 0; i < decision_rows; i++)
		if (matches(decision_table[i].facts, facts))
			return &decision_table[i];
	return NULL;
}

const char *step_name(enum step step)
{
	static const char *const names[STEP_COUNT] = {
		[STEP_END] = "end",
		[STEP_STORE_COMMIT] = "store-commit",
		[STEP_STORE_ROLLBACK] = "store-rollback",
		[STEP_STORE_UNDONE] = "store-undone",
		[STEP_STORE_DONE] = "store-done",
		[STEP_STORE_CLEAR] = "store-clear",
		[STEP_RECORD_ATTEMPT] = "record-attempt",
		[STEP_RECORD_COMMIT] = "record-commit",
		[STEP_RECORD_EMPTY] = "record-empty",
		[STEP_UNDO] = "undo",
		[STEP_KEEP] = "keep",
		[STEP_SYSTEM_PLAIN] = "system-plain",
		[STEP_SYSTEM_TRIAL] = "system-trial",
		[STEP_SYSTEM_MERGE] = "system-merge",
		[STEP_DATA_PLAIN] = "data-plain",
		[STEP_DATA_BOW] = "data-bow",
		[STEP_WATCHDOG] = "watchdog",
		[STEP_REBOOT] = "reboot",
	};

	return names[step];
}

const char *fact_name(unsigned int bit)
{
	static const char *const names[] = {
		"known",    "lost",	 "idle",     "trial",	 "commit",
		"rollback", "on-trial",	 "on-other", "no-trial", "empty",
		"staged",   "merging",	 "good",     "bad",	 "no-log",
		"log",	    "restoring", "torn",     "keeping",	 "asked",
		"rescue",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (bit == 1u << i)
			return names[i];
	return "?";
}
