// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The decision table. First the space of facts itself: every combination has a
 * row, every row has a combination, every plan is whole. Then the device as a
 * small model - environment, record, system, data, log - with the boot script
 * (slots.c) and the table (state.c) as they are: from a fresh device, every
 * state that updates, power cuts between any two durable steps, lost
 * environments and operators can reach is visited, and the promises P1 to P3 of
 * docs/DESIGN.md are asserted on each.
 */
#include "slots.h"
#include "state.h"
#include "test.h"

/* ---- the space of facts ---- */

#define GROUPS (sizeof(fact_groups) / sizeof(fact_groups[0]))

static void walk(unsigned int group, unsigned int facts,
		 void (*visit)(unsigned int facts))
{
	if (group == GROUPS) {
		visit(facts);
		return;
	}
	for (unsigned int bit = 1; bit; bit <<= 1)
		if (fact_groups[group] & bit)
			walk(group + 1, facts | bit, visit);
}

static unsigned int combinations;
static unsigned int hits[64];

static unsigned int count(const struct row *row, enum step from, enum step to)
{
	unsigned int n = 0;

	for (const enum step *s = row->plan; *s != STEP_END; s++)
		n += *s >= from && *s <= to;
	return n;
}

/* Whether `first` stands before `then` wherever both are in the plan. */
static int ordered(const struct row *row, enum step first, enum step then)
{
	int seen = 0;

	for (const enum step *s = row->plan; *s != STEP_END; s++) {
		if (*s == then)
			seen = 1;
		if (*s == first && seen)
			return 0;
	}
	return 1;
}

static void whole_plan(unsigned int facts)
{
	const struct row *row = decide(facts);
	unsigned int roots, reboots;

	combinations++;
	check(row != NULL);
	if (!row)
		return;
	hits[row - decision_table]++;
	roots = count(row, STEP_SYSTEM_PLAIN, STEP_SYSTEM_MERGE);
	reboots = count(row, STEP_REBOOT, STEP_REBOOT);
	check(roots + reboots == 1);
	check(count(row, STEP_DATA_PLAIN, STEP_DATA_BOW) == roots);
	check(count(row, STEP_STORE_COMMIT, STEP_STORE_CLEAR) <= 2);
	check(ordered(row, STEP_STORE_ROLLBACK, STEP_UNDO));
	check(ordered(row, STEP_UNDO, STEP_STORE_UNDONE));
	check(ordered(row, STEP_RECORD_COMMIT, STEP_KEEP));
	check(ordered(row, STEP_KEEP, STEP_SYSTEM_MERGE));
}

static void test_every_combination_has_a_whole_plan(void)
{
	combinations = 0;
	walk(0, 0, whole_plan);
	printf("     %u combinations of facts\n", combinations);
	check(combinations == 2 * 4 * 3 * 3 * 2 * 5 * 2);
}

static void test_no_row_is_dead(void)
{
	for (unsigned int i = 0; i < decision_rows; i++) {
		if (!hits[i])
			printf("     never chosen: %s\n",
			       decision_table[i].why);
		check(hits[i]);
	}
}

static void promises(unsigned int facts)
{
	const struct row *row = decide(facts);
	unsigned int f = facts;

	/* P1: a half merged system never runs without the update over it. */
	if (f & F_MERGING)
		check(count(row, STEP_SYSTEM_MERGE, STEP_SYSTEM_MERGE) == 1);
	else if (!(f & F_COMMIT))
		check(!count(row, STEP_SYSTEM_MERGE, STEP_SYSTEM_MERGE));
	/* P1: data under a log is never mounted as it is. */
	if (!(f & F_NO_LOG) && !count(row, STEP_REBOOT, STEP_REBOOT))
		check(count(row, STEP_UNDO, STEP_KEEP) == 1);
	/* P2: only the slot on trial runs the new system on trial. */
	if (count(row, STEP_SYSTEM_TRIAL, STEP_SYSTEM_TRIAL))
		check(f & F_TRIAL && f & F_ON_TRIAL && f & F_GOOD &&
		      f & F_STAGED && f & F_KNOWN);
	/* P3: a lost environment is made anew in the same boot. */
	if (f & F_LOST)
		check(count(row, STEP_STORE_COMMIT, STEP_STORE_CLEAR) == 1);
	/* An ordinary boot writes nothing at all. */
	if (f & F_IDLE && f & F_NO_LOG && f & F_KNOWN && !(f & F_MERGING))
		check(!count(row, STEP_STORE_COMMIT, STEP_KEEP));
}

static void test_promises_hold_for_every_combination(void)
{
	walk(0, 0, promises);
}

/* ---- the device as a model ---- */

enum phase { IDLE, TRIAL, COMMIT, ROLLBACK };
enum record { EMPTY, STAGED, MERGING };
enum image { OLD, HALF, NEW };
enum log { NO_LOG, LOG, RESTORING, KEEPING };
enum running { OFF, PLAIN, ON_TRIAL, ON_MERGE };

struct world {
	unsigned char lost, phase, trial, order, left[2];
	unsigned char record, whole; /* the stage; whole = as signed */
	unsigned char kernel_b;	     /* slot B's kernel can be loaded */
	unsigned char system, data, log;
	unsigned char running, slot;
	unsigned char tampered; /* an operator did something */
	unsigned char zero;
};
_Static_assert(sizeof(struct world) == 16, "hashed as bytes");

#define WORLDS (1u << 21)

static struct world *seen;   /* hash table of all that was reached */
static unsigned char *taken; /* slot in use */
static struct world *queue;
static unsigned int n_worlds, n_done;

static unsigned int hash(const struct world *w)
{
	const unsigned char *p = (const unsigned char *)w;
	unsigned int h = 2166136261u;

	for (size_t i = 0; i < sizeof(*w); i++)
		h = (h ^ p[i]) * 16777619u;
	return h % WORLDS;
}

static void reach(const struct world *w)
{
	unsigned int h = hash(w);

	while (taken[h]) {
		if (!memcmp(&seen[h], w, sizeof(*w)))
			return;
		h = (h + 1) % WORLDS;
	}
	taken[h] = 1;
	seen[h] = *w;
	if (n_worlds < WORLDS / 2)
		queue[n_worlds++] = *w;
	else
		check(!"the model outgrew its table");
}

/* A durable step is done; the power may fail right after it. */
static void done(struct world *w)
{
	struct world off = *w;

	off.running = OFF;
	off.slot = 0;
	reach(&off);
}

static const char *const orders[] = { "A B", "B A", "A", "B" };

static void choose(const struct world *w, struct slots_outcome *out)
{
	static const char *const phases[] = { "idle", "trial", "commit",
					      "rollback" };
	const char left[2][2] = { { '0' + w->left[0] }, { '0' + w->left[1] } };
	const struct slots_facts facts = {
		.order = orders[w->order],
		.left = { left[0], left[1] },
		.phase = phases[w->phase],
		.trial = w->trial ? "B" : NULL,
		.attempts = "3",
		.loads = { true, w->kernel_b },
		.store_works = true,
	};

	slots_choose(&facts, out);
}

static unsigned int facts_of(const struct world *w, char slot, bool rescue)
{
	static const unsigned int phases[] = { F_IDLE, F_TRIAL, F_COMMIT,
					       F_ROLLBACK };
	static const unsigned int records[] = { F_EMPTY, F_STAGED, F_MERGING };
	static const unsigned int logs[] = { F_NO_LOG, F_LOG, F_RESTORING,
					     F_KEEPING };

	return (w->lost ? F_LOST : F_KNOWN) | phases[w->phase] |
	       (!w->trial     ? F_NO_TRIAL
		: slot == 'B' ? F_ON_TRIAL
			      : F_ON_OTHER) |
	       records[w->record] | (w->whole ? F_GOOD : F_BAD) | logs[w->log] |
	       (rescue ? F_RESCUE : F_ASKED);
}

static void store_idle(struct world *w)
{
	w->lost = 0;
	w->phase = IDLE;
	w->trial = 0;
}

static void undo(struct world *w)
{
	if (w->log == KEEPING) {
		w->log = NO_LOG;
	} else if (w->log != NO_LOG) {
		w->log = RESTORING;
		w->data = HALF;
		done(w);
		w->log = NO_LOG;
		w->data = OLD;
	}
}

static void keep(struct world *w)
{
	check(w->log != RESTORING);
	if (w->log == LOG) {
		w->log = KEEPING;
		w->data = NEW;
		done(w);
	}
	w->log = NO_LOG;
}

static void store_commit(struct world *w)
{
	w->lost = 0;
	w->phase = COMMIT;
	w->trial = 1;
	w->order = 1;
	w->left[1] = 3;
}

static void store_undone(struct world *w)
{
	bool base_a = w->trial || w->record != EMPTY || w->slot == 'A';

	store_idle(w);
	w->order = base_a ? 0 : 1;
	w->left[base_a] = 0;
}

/* What has to be true of a system that runs. */
static void visible(const struct world *w)
{
	if (w->running == PLAIN) {
		check(w->log == NO_LOG);
		check(w->system == w->data && w->system != HALF);
	}
	if (w->running == ON_MERGE)
		check(w->log == NO_LOG && w->data != HALF && w->whole);
	if (w->running == ON_TRIAL)
		check(w->log == LOG && w->system == OLD && w->whole);
}

static void start(struct world *w, enum running running)
{
	w->running = running;
	visible(w);
	reach(w);
}

static void apply(struct world *w, enum step step)
{
	switch (step) {
	case STEP_STORE_COMMIT:
		store_commit(w);
		break;
	case STEP_STORE_ROLLBACK:
		w->lost = 0;
		w->phase = ROLLBACK;
		break;
	case STEP_STORE_UNDONE:
		store_undone(w);
		break;
	case STEP_STORE_DONE:
	case STEP_STORE_CLEAR:
		store_idle(w);
		break;
	case STEP_RECORD_COMMIT:
		w->record = MERGING;
		break;
	case STEP_RECORD_EMPTY:
		w->record = EMPTY;
		break;
	case STEP_UNDO:
		undo(w);
		break;
	case STEP_KEEP:
		keep(w);
		break;
	case STEP_SYSTEM_MERGE:
		/* Data is now the new system's, whatever it was. */
		check(w->data != HALF);
		w->data = NEW;
		w->system = w->system == NEW ? NEW : HALF;
		break;
	case STEP_DATA_BOW:
		check(w->log == NO_LOG && w->data == OLD);
		w->log = LOG;
		break;
	default:
		break;
	}
	done(w);
}

/* One boot; *w runs afterwards, or is off again after STEP_REBOOT. */
static void boot(struct world *w)
{
	struct slots_outcome out;
	const struct slots_step *last;
	const struct row *row;

	choose(w, &out);
	for (unsigned int i = 0; i < out.n; i++)
		if (out.step[i].kind == SLOTS_STORE) {
			w->left[out.step[i].slot == 'B'] = out.step[i].left;
			done(w);
		}
	last = &out.step[out.n - 1];
	check(last->done); /* P1: something boots */
	w->slot = last->slot;
	row = decide(facts_of(w, last->slot, last->rescue));
	for (const enum step *s = row->plan; *s != STEP_END; s++)
		apply(w, *s);
	if (count(row, STEP_REBOOT, STEP_REBOOT))
		done(w);
	else
		start(w, count(row, STEP_SYSTEM_PLAIN, STEP_SYSTEM_PLAIN)
				 ? PLAIN
			 : count(row, STEP_SYSTEM_TRIAL, STEP_SYSTEM_TRIAL)
				 ? ON_TRIAL
				 : ON_MERGE);
}

/* ---- what a running system and its operator do ---- */

static void install(struct world w, int good_kernel)
{
	if (w.phase != IDLE || w.record == MERGING || w.system != OLD ||
	    w.slot != 'A')
		return;
	w.record = EMPTY;
	done(&w);
	w.whole = 0;
	w.kernel_b = 0;
	done(&w);
	w.whole = 1;
	w.kernel_b = good_kernel;
	done(&w);
	w.record = STAGED;
	done(&w);
	w.lost = 0;
	w.phase = TRIAL;
	w.trial = 1;
	w.order = 1;
	w.left[1] = 3;
	done(&w);
}

static void finish_merge(struct world w)
{
	w.system = NEW;
	done(&w);
	w.record = EMPTY;
	done(&w);
	store_idle(&w);
	done(&w);
}

static void commit(struct world w)
{
	/* As live_on_trial() and live_commit() have it. */
	if (!w.trial || w.record != STAGED ||
	    (w.phase != TRIAL && w.phase != COMMIT))
		return;
	store_commit(&w);
	done(&w);
	w.record = MERGING;
	done(&w);
	keep(&w);
	done(&w);
	w.system = HALF;
	done(&w);
	finish_merge(w);
}

static void rollback(struct world w)
{
	if (w.phase != TRIAL)
		return;
	w.phase = ROLLBACK;
	done(&w);
}

static void lose_environment(struct world w)
{
	w.lost = 1;
	w.phase = IDLE;
	w.trial = 0;
	w.order = 0;
	w.left[0] = w.left[1] = 3;
	done(&w);
}

/* fw_setenv of one variable, to every value. */
static void operate(const struct world *from)
{
	for (int i = 0; i < 4; i++) {
		struct world w = *from;

		w.tampered = 1;
		w.order = i;
		done(&w);
		w = *from;
		w.tampered = 1;
		w.phase = i;
		done(&w);
		w = *from;
		w.tampered = 1;
		w.left[i & 1] = i & 2 ? 0 : 9;
		done(&w);
	}
}

static void damage_stage(struct world w)
{
	if (w.record != STAGED)
		return;
	w.whole = 0;
	done(&w);
}

static void next(struct world w)
{
	if (w.running == OFF) {
		lose_environment(w);
		if (!w.lost)
			operate(&w);
		damage_stage(w);
		boot(&w);
		return;
	}
	done(&w);
	operate(&w);
	if (w.running == PLAIN) {
		install(w, 1);
		install(w, 0);
	}
	if (w.running == ON_TRIAL) {
		commit(w);
		rollback(w);
	}
	if (w.running == ON_MERGE)
		finish_merge(w);
}

static const struct world fresh = { .left = { 3, 3 }, .kernel_b = 1 };

static void test_every_state_keeps_the_promises(void)
{
	seen = calloc(WORLDS, sizeof(*seen));
	taken = calloc(WORLDS, 1);
	queue = calloc(WORLDS / 2, sizeof(*queue));
	reach(&fresh);
	while (n_done < n_worlds && !test_failed)
		next(queue[n_done++]);
	if (test_failed) {
		const struct world *w = &queue[n_done - 1];

		printf("     from lost %d phase %d trial %d order %d left %d %d "
		       "record %d whole %d kernel %d system %d data %d log %d "
		       "running %d slot %d tampered %d\n",
		       w->lost, w->phase, w->trial, w->order, w->left[0],
		       w->left[1], w->record, w->whole, w->kernel_b, w->system,
		       w->data, w->log, w->running, w->slot, w->tampered);
	}
	printf("     %u states reached\n", n_worlds);
	check(n_worlds > 1000);
}

/*
 * P2: an update that nobody commits is gone after its attempts. Only the power
 * cuts that end each boot count here; operators may give more attempts.
 */
static void bounded(struct world w)
{
	unsigned int attempts = 0, boots = 0;

	do {
		boot(&w);
		attempts += w.running == ON_TRIAL;
		boots++;
		if (w.running != PLAIN) {
			w.running = OFF;
			w.slot = 0;
		}
	} while (w.running != PLAIN && boots < 8);
	check(attempts <= 3 && boots <= 5);
	check(w.running == PLAIN && w.system == OLD && w.phase == IDLE);
}

static void test_no_trial_outlives_its_attempts(void)
{
	unsigned int n = n_done, tried = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct world *w = &queue[i];

		if (w->running != OFF || w->tampered || w->phase != TRIAL)
			continue;
		bounded(*w);
		tried++;
	}
	printf("     %u states in a trial\n", tried);
	check(tried > 10);
}

int main(void)
{
	static const struct test tests[] = {
		{ "every_combination_has_a_whole_plan",
		  test_every_combination_has_a_whole_plan },
		{ "no_row_is_dead", test_no_row_is_dead },
		{ "promises_hold_for_every_combination",
		  test_promises_hold_for_every_combination },
		{ "every_state_keeps_the_promises",
		  test_every_state_keeps_the_promises },
		{ "no_trial_outlives_its_attempts",
		  test_no_trial_outlives_its_attempts },
	};

	return RUN_TESTS(tests);
}
