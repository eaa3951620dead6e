// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "slots.h"

#define DEFAULT_LEFT	 3
#define DEFAULT_ATTEMPTS 3

/* The facts as the rules read them. */
struct reading {
	const struct slots_facts *facts;
	char order[3]; /* "AB", "BA", "A" or "B" */
	enum { IDLE, TRIAL, COMMIT, ROLLBACK } phase;
	char trial;  /* 'A', 'B' or 0; 0 in phase idle */
	char failed; /* slot whose kernel did not start in this boot, or 0 */
};

static bool is(const char *text, const char *want)
{
	return text && !strcmp(text, want);
}

/* The digit that is the whole text, or other. */
static uint8_t digit(const char *text, char least, uint8_t other)
{
	if (!text || text[0] < least || text[0] > '9' || text[1])
		return other;
	return (uint8_t)(text[0] - '0');
}

static char other_than(char slot)
{
	return slot == 'A' ? 'B' : 'A';
}

static void read_facts(const struct slots_facts *facts, struct reading *r)
{
	memset(r, 0, sizeof(*r));
	r->facts = facts;
	strcpy(r->order, is(facts->order, "B A") ? "BA"
			 : is(facts->order, "A") ? "A"
			 : is(facts->order, "B") ? "B"
						 : "AB");
	r->trial = is(facts->trial, "A")   ? 'A'
		   : is(facts->trial, "B") ? 'B'
					   : 0;
	if (r->trial)
		r->phase = is(facts->phase, "trial")	  ? TRIAL
			   : is(facts->phase, "commit")	  ? COMMIT
			   : is(facts->phase, "rollback") ? ROLLBACK
							  : IDLE;
	if (r->phase == IDLE)
		r->trial = 0;
}

static struct slots_step *add(struct slots_outcome *out, enum slots_kind kind,
			      char slot)
{
	struct slots_step *step = &out->step[out->n++];

	step->kind = kind;
	step->slot = slot;
	return step;
}

/*
 * One try of a slot; true when it boots. The kernel is told of one slot that
 * failed before it, and of the slot on trial rather than of the other.
 */
static bool try_slot(struct reading *r, char slot, uint8_t attempt, bool rescue,
		     struct slots_outcome *out)
{
	struct slots_step *step = add(out, SLOTS_TRY, slot);

	step->attempt = attempt;
	step->failed = r->failed;
	step->rescue = rescue;
	step->done = r->facts->loads[slot == 'B'];
	if (!step->done && (!r->failed || r->failed != r->trial))
		r->failed = slot;
	return step->done;
}

/* Counted and stored before it is made; not made if it cannot be counted. */
static bool try_counted(struct reading *r, char slot, struct slots_outcome *out)
{
	uint8_t most = digit(r->facts->attempts, '1', DEFAULT_ATTEMPTS);
	uint8_t left = digit(r->facts->left[slot == 'B'], '0', 0);
	struct slots_step *step;

	if (!left)
		return false;
	step = add(out, SLOTS_STORE, slot);
	step->left = left - 1;
	step->done = r->facts->store_works;
	if (!step->done)
		return false;
	return try_slot(r, slot, most > left ? most - left + 1 : 1, false, out);
}

static bool turn(struct reading *r, char slot, struct slots_outcome *out)
{
	if (slot == r->trial && r->phase == ROLLBACK)
		return false;
	if (slot == r->trial && r->phase == TRIAL)
		return try_counted(r, slot, out);
	if (slot != r->trial &&
	    !digit(r->facts->left[slot == 'B'], '0', DEFAULT_LEFT))
		return false;
	return try_slot(r, slot, 0, false, out);
}

/* Whatever the attempts say; until a commit the old system comes first. */
static void rescue(struct reading *r, struct slots_outcome *out)
{
	char first = r->order[0];

	if (r->phase == TRIAL || r->phase == ROLLBACK)
		first = other_than(r->trial);
	if (!try_slot(r, first, 0, true, out))
		try_slot(r, other_than(first), 0, true, out);
}

void slots_choose(const struct slots_facts *facts, struct slots_outcome *out)
{
	struct reading r;

	memset(out, 0, sizeof(*out));
	read_facts(facts, &r);
	for (const char *slot = r.order; *slot; slot++)
		if (turn(&r, *slot, out))
			return;
	rescue(&r, out);
}
