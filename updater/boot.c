// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "boot.h"
#include "bow.h"
#include "bundle.h"
#include "err.h"
#include "machine.h"
#include "state.h"
#include "vars.h"

/* ---- the facts ---- */

static unsigned int phase_fact(enum phase phase)
{
	static const unsigned int facts[] = { F_IDLE, F_TRIAL, F_COMMIT,
					      F_ROLLBACK };

	return facts[phase];
}

static unsigned int slot_fact(const struct boot *boot)
{
	if (!boot->env.trial)
		return F_NO_TRIAL;
	return boot->cmd.slot == boot->env.trial ? F_ON_TRIAL : F_ON_OTHER;
}

/*
 * Checking every byte of the payload takes seconds, so it is done only where
 * the table asks: before an attempt, and before the first merge.
 */
static unsigned int payload_fact(struct boot *boot, struct dev *stage)
{
	bool asked = boot->env.phase == PHASE_COMMIT ||
		     (boot->env.phase == PHASE_TRIAL &&
		      slot_fact(boot) == F_ON_TRIAL);
	struct manifest manifest;
	int r;

	if (!asked || boot->rec.phase != STAGE_TRIAL)
		return F_BAD;
	if (strcmp(boot->rec.id, boot->env.update)) {
		strcpy(boot->why_bad, "another update is staged");
		return F_BAD;
	}
	say("checking the staged update %s", boot->rec.id);
	r = bundle_stage_verify(stage, &boot->rec, &manifest, boot->why_bad,
				sizeof(boot->why_bad));
	if (!r)
		manifest_free(&manifest);
	return r ? F_BAD : F_GOOD;
}

static unsigned int stage_facts(struct boot *boot)
{
	static const unsigned int facts[] = { F_EMPTY, F_STAGED, F_MERGING };
	struct dev *stage = dev_open(boot->board.stage, DEV_READ);
	unsigned int found = F_EMPTY | F_BAD;

	memset(&boot->rec, 0, sizeof(boot->rec));
	boot->rec.base = boot->cmd.slot ? boot->cmd.slot : 'A';
	if (stage && !stage_read(stage, &boot->rec))
		found = facts[boot->rec.phase] | payload_fact(boot, stage);
	else
		error("the stage '%s' cannot be read: going on without it",
		      boot->board.stage);
	dev_close(stage);
	return found;
}

static unsigned int log_fact(struct boot *boot)
{
	static const unsigned int facts[] = { [BOW_NONE] = F_NO_LOG,
					      [BOW_LOG] = F_LOG,
					      [BOW_RESTORING] = F_RESTORING,
					      [BOW_KEEPING] = F_KEEPING,
					      [BOW_DAMAGED] = F_TORN };
	struct dev *data = dev_open(boot->board.data, DEV_READ);
	struct bow_info info;
	unsigned int found = F_NO_LOG;

	if (data && !bow_probe(data, &info))
		found = facts[info.kind];
	else
		error("the data device '%s' cannot be read: going on "
		      "without its log",
		      boot->board.data);
	dev_close(data);
	return found;
}

int boot_gather(struct boot *boot)
{
	boot->why_bad[0] = 0;
	if (env_read(&boot->env))
		return -1;
	if (boot->env.invalid)
		say("the environment has '%s', which is no legal value",
		    boot->env.raw_bad);
	boot->facts = boot->env.lost ? F_LOST : F_KNOWN;
	boot->facts |= phase_fact(boot->env.phase) | slot_fact(boot) |
		       (boot->cmd.rescue ? F_RESCUE : F_ASKED);
	boot->facts |= stage_facts(boot) | log_fact(boot);
	return 0;
}

/* ---- what the environment will say ---- */

char boot_base(const struct boot *boot)
{
	if (boot->env.trial)
		return other_slot(boot->env.trial);
	if (boot->rec.phase != STAGE_EMPTY)
		return boot->rec.base;
	return boot->cmd.slot ? boot->cmd.slot : 'A';
}

static const char *update_id(const struct boot *boot)
{
	if (boot->env.update[0])
		return boot->env.update;
	return boot->rec.id[0] ? boot->rec.id : "unknown";
}

static bool attempts_used(const struct boot *boot)
{
	return boot->env.trial &&
	       boot->env.left[slot_index(boot->env.trial)] == '0';
}

/*
 * The first that is certain wins. The record's own words come from the last
 * attempt: the initramfs clears them when an attempt begins.
 */
void boot_reason(const struct boot *boot, char *text, size_t room)
{
	const char *reason = "other slot chosen";

	if (boot->env.lost)
		reason = "environment lost";
	else if (boot->env.phase == PHASE_ROLLBACK)
		reason = "requested";
	else if (boot->env.phase == PHASE_IDLE)
		reason = "phase was set to idle in the trial";
	else if (boot->cmd.failed && boot->cmd.failed == boot->env.trial)
		reason = "kernel not loadable";
	else if (boot->why_bad[0])
		reason = boot->why_bad;
	else if (boot->rec.phase == STAGE_EMPTY)
		reason = "stage lost";
	else if (boot->rec.reason[0])
		reason = boot->rec.reason;
	else if (machine->watchdog_fired(&boot->board))
		reason = "watchdog";
	else if (attempts_used(boot))
		reason = boot->rec.attempt
				 ? "not committed: panic, reset or power cut"
				 : "initramfs never reached";
	else if (boot->cmd.rescue)
		reason = "rescue";
	snprintf(text, room, "%s", reason);
}

/* The reason in the text of a rollback that is stored already; NULL: none. */
static const char *stored_reason(const struct boot *boot, const char *begin)
{
	const char *reason = boot->env.last + strlen(begin), *next;

	if (boot->env.phase != PHASE_ROLLBACK ||
	    strncmp(boot->env.last, begin, strlen(begin)))
		return NULL;
	next = strstr(reason, "; ");
	if (next &&
	    !strncmp(reason, BOOT_DATA_DAMAGED, strlen(BOOT_DATA_DAMAGED)))
		reason = next + 2;
	return reason;
}

/*
 * "rolled-back ID REASON", or "rolled-back ID OUTCOME; REASON" if the data log
 * was damaged; the reason of a rollback already stored stays.
 */
static void rolled_back(const struct boot *boot, char *text, size_t room)
{
	char reason[ENV_VALUE_MAX], begin[48];
	const char *stored;

	snprintf(begin, sizeof(begin), "rolled-back %s ", update_id(boot));
	stored = stored_reason(boot, begin);
	if (stored)
		snprintf(reason, sizeof(reason), "%s", stored);
	else
		boot_reason(boot, reason, sizeof(reason));
	snprintf(text, room, "%s%s%s%.*s", begin, boot->outcome,
		 boot->outcome[0] ? "; " : "",
		 (int)(BOWLINE_TEXT_MAX - strlen(begin) -
		       strlen(boot->outcome) - 2),
		 reason);
}

/* ---- the steps ---- */

static int record(struct boot *boot, const struct stage_record *rec)
{
	if (stage_note(boot->board.stage, rec))
		return -1;
	boot->rec = *rec;
	return 0;
}

static int record_attempt(struct boot *boot)
{
	struct stage_record rec = boot->rec;

	rec.attempt = boot->cmd.attempt ? boot->cmd.attempt : 1;
	/* What an attempt gave up for good no later one has. */
	if (!strncmp(rec.reason, ROOM_RELEASED, strlen(ROOM_RELEASED)))
		strcpy(rec.reason, ROOM_RELEASED);
	else
		rec.reason[0] = 0;
	return record(boot, &rec);
}

static int record_phase(struct boot *boot, enum stage_phase phase)
{
	struct stage_record rec = boot->rec;

	if (rec.phase == phase)
		return 0;
	rec.phase = phase;
	return record(boot, &rec);
}

static int change_data(struct boot *boot, int (*change)(struct dev *data))
{
	struct dev *data;
	int r;

	if (boot->facts & F_NO_LOG)
		return 0;
	data = dev_open(boot->board.data, DEV_WRITE);
	r = data ? change(data) : -1;
	dev_close(data);
	return r;
}

static bool is_attempt(const struct boot *boot)
{
	return decide(boot->facts)->plan[0] == STEP_RECORD_ATTEMPT;
}

/* ---- a data log that does not add up: BOW_DAMAGED decides ---- */

#define REPORT_LINES 20 /* on a serial console */

static bool log_is_damaged(const struct boot *boot, struct bow_info *info)
{
	struct dev *data = dev_open(boot->board.data, DEV_READ);
	int r = data ? bow_check(data, info) : -1;

	dev_close(data);
	return !r && info->kind == BOW_DAMAGED;
}

/*
 * Says on the stage what becomes of the data, before anything is done to it: a
 * cut may leave a log that looks whole. Also tells the next boot to check the
 * file system, should this one not come to it. Attempts to come change that.
 */
static void note_outcome(struct boot *boot, const char *outcome)
{
	snprintf(boot->outcome, sizeof(boot->outcome), BOOT_DATA_DAMAGED ": %s",
		 outcome);
	say("%s", boot->outcome);
	if (!strcmp(boot->rec.reason, boot->outcome))
		return;
	strcpy(boot->rec.reason, boot->outcome);
	if (stage_note(boot->board.stage, &boot->rec))
		error("what becomes of the data could not be noted on the "
		      "stage");
}

static int salvage_log(struct dev *data)
{
	struct bow_salvage done;

	if (bow_salvage(data, stdout, REPORT_LINES, &done))
		return -1;
	say("'%s': %llu bytes put back, %llu left as they are%s%s",
	    dev_name(data), (unsigned long long)done.undone,
	    (unsigned long long)done.left,
	    done.unknown ? ", more may have been saved" : "",
	    done.block0 == BOW_BLOCK0_LOST ? ", the first block is lost" : "");
	return 0;
}

static int drop_log(struct dev *data)
{
	struct bow_salvage done;

	if (bow_drop(data, &done))
		return -1;
	say("'%s': the changed data stays, the first block is %s",
	    dev_name(data),
	    done.block0 == BOW_BLOCK0_LIVE  ? "the live one"
	    : done.block0 == BOW_BLOCK0_OLD ? "the old one"
					    : "lost");
	return 0;
}

/* Nothing is changed, in this boot and all that follow. */
static int stop(struct boot *boot, bool rollback)
{
	char last[ENV_VALUE_MAX];

	snprintf(boot->outcome, sizeof(boot->outcome),
		 BOOT_DATA_DAMAGED ": stopped, data not mounted");
	say("EMERGENCY: %s; 'bowline inspect %s' explains it", boot->outcome,
	    boot->board.data);
	if (rollback)
		rolled_back(boot, last, sizeof(last));
	else
		snprintf(last, sizeof(last), "%s", boot->outcome);
	if (strcmp(last, boot->env.last))
		env_store_last(&boot->env, last);
	return -1;
}

static int undo_damaged(struct boot *boot, const struct bow_info *info)
{
	say("the log of '%s' does not add up: %s", boot->board.data,
	    info->reason);
	if (boot->board.bow_damaged == DAMAGED_STOP)
		return stop(boot, true);
	if (boot->board.bow_damaged == DAMAGED_KEEP && !info->restoring) {
		note_outcome(boot, "kept, data not restored");
		return change_data(boot, drop_log);
	}
	if (boot->board.bow_damaged == DAMAGED_KEEP)
		say("a restore had begun: what is proven is undone");
	note_outcome(boot, "salvaged, in part");
	return change_data(boot, salvage_log);
}

/*
 * A restore that fails though the log's structure is whole: is a backup not
 * what its checksum says? Then no later boot can do better. An attempt gives
 * up instead, for it must not start from other data.
 */
static int undo(struct boot *boot)
{
	struct bow_info info;
	int r;

	if (boot->facts & F_KEEPING) {
		note_outcome(boot, "a commit had begun, data not restored");
		return change_data(boot, bow_keep);
	}
	if (!strncmp(boot->rec.reason, BOOT_DATA_DAMAGED,
		     strlen(BOOT_DATA_DAMAGED)))
		strcpy(boot->outcome, boot->rec.reason);
	r = boot->facts & F_TORN ? -1 : change_data(boot, bow_restore);
	if (r && !is_attempt(boot) && log_is_damaged(boot, &info))
		r = undo_damaged(boot, &info);
	return r;
}

/* What was decided for stays decided: only block 0 is in doubt. */
static int keep(struct boot *boot)
{
	struct bow_info info;
	int r = change_data(boot, bow_keep);

	if (!r || !log_is_damaged(boot, &info))
		return r;
	if (boot->board.bow_damaged == DAMAGED_STOP)
		return stop(boot, false);
	note_outcome(boot, "kept");
	return change_data(boot, info.restoring ? salvage_log : drop_log);
}

static int store(struct boot *boot, enum step step)
{
	char last[ENV_VALUE_MAX];

	switch (step) {
	case STEP_STORE_COMMIT:
		return env_store_commit(&boot->env, other_slot(boot_base(boot)),
					update_id(boot));
	case STEP_STORE_DONE:
		snprintf(last, sizeof(last), "committed %s", update_id(boot));
		return env_store_idle(&boot->env, last);
	case STEP_STORE_CLEAR:
		snprintf(last, sizeof(last), "%s",
			 boot->env.lost ? "environment lost, no update"
					: boot->env.last);
		return env_store_idle(&boot->env, last);
	case STEP_STORE_ROLLBACK:
		rolled_back(boot, last, sizeof(last));
		return env_store_rollback(&boot->env, last);
	default: /* STEP_STORE_UNDONE */
		rolled_back(boot, last, sizeof(last));
		return env_store_undone(&boot->env, boot_base(boot), last);
	}
}

static int mount_system(struct boot *boot, enum system_mode mode,
			const char *sysroot)
{
	return machine->mount_system(&boot->board, &boot->rec, mode, sysroot);
}

/*
 * After a log that was damaged, whatever could be done about it: the system
 * that is going to run checks the data before it is mounted.
 */
static void check_data(struct boot *boot, const char *sysroot)
{
	struct stage_record rec = boot->rec;

	if (strncmp(rec.reason, BOOT_DATA_DAMAGED, strlen(BOOT_DATA_DAMAGED)))
		return;
	machine->check_data(&boot->board, sysroot);
	snprintf(rec.reason, sizeof(rec.reason), "checked, %.54s",
		 boot->rec.reason);
	if (record(boot, &rec))
		error("the next boot checks the data again");
}

/* In an ordinary boot a system without its data is better than no system. */
static int mount_data_plain(struct boot *boot, const char *sysroot)
{
	check_data(boot, sysroot);
	if (machine->mount_data(&boot->board, sysroot, false))
		say("going on without '%s'", boot->board.data_mount);
	return 0;
}

static int run_step(struct boot *boot, enum step step, const char *sysroot)
{
	switch (step) {
	case STEP_RECORD_ATTEMPT:
		return record_attempt(boot);
	case STEP_RECORD_COMMIT:
		return record_phase(boot, STAGE_COMMIT);
	case STEP_RECORD_EMPTY:
		return record_phase(boot, STAGE_EMPTY);
	case STEP_UNDO:
		return undo(boot);
	case STEP_KEEP:
		return keep(boot);
	case STEP_SYSTEM_PLAIN:
		return mount_system(boot, SYSTEM_PLAIN, sysroot);
	case STEP_SYSTEM_TRIAL:
		return mount_system(boot, SYSTEM_TRIAL, sysroot);
	case STEP_SYSTEM_MERGE:
		return mount_system(boot, SYSTEM_MERGE, sysroot);
	case STEP_DATA_PLAIN:
		return mount_data_plain(boot, sysroot);
	case STEP_DATA_BOW:
		return machine->mount_data(&boot->board, sysroot, true);
	case STEP_WATCHDOG:
		return machine->arm_watchdog(&boot->board);
	case STEP_REBOOT:
		return machine->reboot();
	default:
		return store(boot, step);
	}
}

/* Data under a log must not be mounted, whatever the log is worth. */
static bool may_follow(enum step step, bool only_system)
{
	return !only_system ||
	       (step >= STEP_SYSTEM_PLAIN && step <= STEP_SYSTEM_MERGE);
}

static bool is_mount(enum step step)
{
	return step >= STEP_SYSTEM_PLAIN && step <= STEP_DATA_BOW;
}

/* What stopped an attempt, for the slot that rolls it back. */
static void note_failure(struct boot *boot, enum step step)
{
	snprintf(boot->rec.reason, sizeof(boot->rec.reason),
		 "initramfs: step %s failed", step_name(step));
	if (stage_note(boot->board.stage, &boot->rec))
		error("the reason could not be noted on the stage");
}

/*
 * Outside of an attempt the device must come up whatever fails. A store or a
 * record that fails is repeated by the next boot, which finds the same facts.
 * Data that could not be restored or kept must not be declared so, nor mounted:
 * then the system comes up without it.
 */
static int run_plan(struct boot *boot, const enum step *plan,
		    const char *sysroot)
{
	bool attempt = is_attempt(boot);
	bool only_system = false;

	for (; *plan != STEP_END; plan++) {
		if (!may_follow(*plan, only_system))
			continue;
		say("step %s", step_name(*plan));
		if (!run_step(boot, *plan, sysroot))
			continue;
		if (attempt)
			note_failure(boot, *plan);
		if (attempt || is_mount(*plan) || *plan == STEP_REBOOT)
			return -1;
		say("step %s failed: the next boot tries it again",
		    step_name(*plan));
		only_system |= *plan == STEP_UNDO || *plan == STEP_KEEP;
	}
	return 0;
}

static bool ends_in_reboot(const enum step *plan)
{
	while (plan[1] != STEP_END)
		plan++;
	return *plan == STEP_REBOOT;
}

int boot_run(struct boot *boot, const char *sysroot, bool *rebooted)
{
	const struct row *row = decide(boot->facts);

	say("slot %c: %s", boot->cmd.slot ? boot->cmd.slot : '?', row->why);
	*rebooted = ends_in_reboot(row->plan);
	return run_plan(boot, row->plan, sysroot);
}
