// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The epochs of a merge, made better step by step. An order of all steps, cut
 * into epochs, treats circles badly: one step in the wrong place makes others
 * wrong. Here each step, again and again, goes to the epoch where it costs the
 * fewest saves and writes while all others stay; noise that gets less lets it
 * leave what is best only nearby. The noise is always the same.
 *
 * Where that leaves a merge that saves little, more saves for fewer writes are
 * tried: epochs nearly as long as they may be, in the order of the image, of
 * which steps leave only if they cost saves and are not torn from neighbours.
 */
#include <stdlib.h>
#include <string.h>

#include "diff-order.h"
#include "err.h"

#define ROUNDS	    100
#define MOST_WORK   (1ull << 31) /* of all rounds, in epochs looked at */
#define MOST_EPOCHS 1024
#define MOST_SPANS  (1u << 31) /* what finding the extents of all may cost */
#define BLOCK	    256	       /* what one save costs ... */
#define APART	    512	       /* ... neighbours that are two writes ... */
#define NOISE	    1024 /* ... and the noise of the first round, at most */

/*
 * The same for long epochs; how much these may save, in percent of what
 * changes; and what a request to the device is worth, in bytes: three make an
 * epoch.
 */
#define LONG_EPOCH   (13u << 20)
#define LONG_APART   3072
#define LONG_NOISE   3072
#define LONG_PERCENT 9
#define REQUEST	     (128u << 10)
#define EPOCH_ASKS   3		/* two flushes and the record */
#define LONG_REQUEST (1u << 20) /* bytes that one writes, at most */
#define MOST_JOINS   256

struct settler {
	struct sorter *s;
	struct lists reads; /* of a step: old blocks that others overwrite */
	uint32_t *epoch, n; /* of a step; how many epochs */
	uint64_t *bytes;    /* written, by epoch */
	int32_t *change;    /* by epoch: of the cost, from this one on */
	uint32_t *beside;   /* by epoch: extents that lie beside the step's */
	uint32_t apart, noise; /* see above */
	uint64_t most;	       /* bytes of an epoch */
	uint64_t random;
};

static uint32_t next_random(struct settler *t)
{
	t->random = t->random * 6364136223846793005u + 1442695040888963407u;
	return t->random >> 33;
}

/* ---- what a step costs --------------------------------------------------- */

/* Does another step than @but read the old block in @epoch or later? */
static bool read_from(const struct settler *t, uint64_t block, uint32_t epoch,
		      uint32_t but)
{
	const struct lists *readers = &t->s->readers;

	for (uint32_t i = readers->start[block]; i < readers->start[block + 1];
	     i++)
		if (readers->items[i] != but &&
		    t->epoch[readers->items[i]] >= epoch)
			return true;
	return false;
}

/* The last epoch that reads the old block, or -1; @own reads it for sure. */
static int64_t last_read(const struct settler *t, uint64_t block,
			 uint32_t writer, bool *own)
{
	const struct lists *readers = &t->s->readers;
	int64_t last = -1;

	*own = false;
	for (uint32_t i = readers->start[block]; i < readers->start[block + 1];
	     i++) {
		uint32_t step = readers->items[i];

		*own |= step == writer;
		if (t->epoch[step] > last)
			last = t->epoch[step];
	}
	return last;
}

/* A block that the step overwrites is saved up to its last reader's epoch. */
static void weigh_writes(struct settler *t, uint32_t step)
{
	const struct sorter *s = t->s;

	for (uint32_t i = s->extents.start[step];
	     i < s->extents.start[step + 1]; i++) {
		const struct plan_extent *e =
			&s->plan->extents[s->extents.items[i]];

		for (uint64_t b = e->dest;
		     b < e->dest + e->blocks && b < s->old_blocks; b++) {
			bool own;
			int64_t last = last_read(t, b, step, &own);

			if (own || last < 0)
				continue;
			t->change[0]++;
			t->change[last + 1]--;
		}
	}
}

/* A block that it reads is saved from its writer's epoch on, if nobody else
 * makes that so. */
static void weigh_reads(struct settler *t, uint32_t step)
{
	for (uint32_t i = t->reads.start[step]; i < t->reads.start[step + 1];
	     i++) {
		uint32_t block = t->reads.items[i];
		uint32_t writer = t->s->writer[block];

		if (!read_from(t, block, t->epoch[writer], step))
			t->change[t->epoch[writer]]++;
	}
}

/* What lies beside each other in the image and is of one epoch is one write. */
static void count_beside(struct settler *t, uint32_t step)
{
	const struct sorter *s = t->s;

	for (uint32_t i = s->extents.start[step];
	     i < s->extents.start[step + 1]; i++) {
		uint32_t e = s->extents.items[i];

		if (e && plan_adjoin(s->plan, e - 1) &&
		    s->step_of[e - 1] != step)
			t->beside[t->epoch[s->step_of[e - 1]]]++;
		if (plan_adjoin(s->plan, e) && s->step_of[e + 1] != step)
			t->beside[t->epoch[s->step_of[e + 1]]]++;
	}
}

/* The cheapest epoch that has room for the step, by costs with some noise. */
static uint32_t cheapest(struct settler *t, uint32_t step, uint32_t noise)
{
	uint32_t best = t->epoch[step], own = best;
	int64_t least = INT64_MAX, cost, saves = 0;

	for (uint32_t e = 0; e < t->n; e++) {
		saves += t->change[e];
		if (e != own && t->bytes[e] + t->s->bytes[step] > t->most)
			continue;
		cost = 2 * (saves * BLOCK - (int64_t)t->beside[e] * t->apart +
			    (noise ? next_random(t) % noise : 0)) +
		       (e != own);
		if (cost < least) {
			least = cost;
			best = e;
		}
	}
	return best;
}

static void move_step(struct settler *t, uint32_t step, uint32_t noise)
{
	uint32_t to;

	memset(t->change, 0, (t->n + 1) * sizeof(*t->change));
	memset(t->beside, 0, t->n * sizeof(*t->beside));
	weigh_writes(t, step);
	count_beside(t, step);
	weigh_reads(t, step);
	to = cheapest(t, step, noise);
	t->bytes[t->epoch[step]] -= t->s->bytes[step];
	t->bytes[to] += t->s->bytes[step];
	t->epoch[step] = to;
}

static void settle(struct settler *t)
{
	uint64_t work = (uint64_t)t->s->n * t->n +
			t->s->readers.start[t->s->old_blocks];
	uint32_t rounds = ROUNDS;

	while (rounds && rounds * work > MOST_WORK)
		rounds--;
	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t i = 0; i < t->s->n; i++)
			move_step(t, next_random(t) % t->s->n,
				  t->noise - t->noise * r / rounds);
	for (uint32_t r = 0; rounds && r < 4; r++)
		for (uint32_t i = 0; i < t->s->n; i++)
			move_step(t, i, 0);
}

/* ---- the whole ----------------------------------------------------------- */

/* Neighbours that are not written together. */
static uint64_t count_apart(const struct settler *t)
{
	const struct plan *plan = t->s->plan;
	const uint32_t *step_of = t->s->step_of;
	uint64_t n = 0;

	for (uint32_t i = 0; i < plan->n_extents; i++)
		n += plan_adjoin(plan, i) &&
		     t->epoch[step_of[i]] != t->epoch[step_of[i + 1]];
	return n;
}

/* Saves, writes and epochs, as bytes written. */
static uint64_t cost_of(const struct settler *t)
{
	const struct sorter *s = t->s;
	uint64_t blocks = count_apart(t) * APART / BLOCK, epochs = 0;

	for (uint64_t b = 0; b < s->old_blocks; b++)
		blocks += s->writer[b] != NONE &&
			  read_from(t, b, t->epoch[s->writer[b]], NONE);
	for (uint32_t e = 0; e < t->n; e++)
		epochs += t->bytes[e] > 0;
	return blocks * plan_block_size(s->plan) + epochs * EPOCH_COST;
}

/* The epochs as they are, each with @apart - 1 empty ones behind it. */
static void spread(struct settler *t, uint32_t apart)
{
	const struct sorter *s = t->s;

	t->apart = APART;
	t->noise = NOISE;
	t->most = EPOCH_MOST;
	t->n = s->n_epochs * apart;
	t->random = 1;
	memset(t->bytes, 0, t->n * sizeof(*t->bytes));
	for (uint32_t i = 0; i < s->n; i++) {
		t->epoch[i] = s->epoch[i] * apart;
		t->bytes[t->epoch[i]] += s->bytes[i];
	}
}

/* Gives the steps these epochs, without the empty ones. */
static void keep(struct settler *t)
{
	uint32_t *number = (uint32_t *)t->change, n = 0;

	for (uint32_t e = 0; e < t->n; e++) {
		number[e] = n;
		n += t->bytes[e] > 0;
	}
	for (uint32_t i = 0; i < t->s->n; i++)
		t->s->epoch[i] = number[t->epoch[i]];
	t->s->n_epochs = n;
}

/* What each step reads, in the order of the image, each block once. */
static int list_reads(struct settler *t)
{
	const struct sorter *s = t->s;
	uint32_t most = s->readers.start[s->old_blocks], n = 0;
	uint32_t *owner = malloc(((size_t)most + 1) * sizeof(*owner));
	uint32_t *item = malloc(((size_t)most + 1) * sizeof(*item));
	int r = -1;

	for (uint64_t b = 0; owner && item && b < s->old_blocks; b++)
		for (uint32_t i = s->readers.start[b];
		     i < s->readers.start[b + 1]; i++) {
			uint32_t reader = s->readers.items[i];
			bool again = i > s->readers.start[b] &&
				     s->readers.items[i - 1] == reader;

			if (again || reader == s->writer[b])
				continue;
			owner[n] = reader;
			item[n++] = b;
		}
	if (owner && item)
		r = make_lists(&t->reads, s->n, owner, item, n);
	free(owner);
	free(item);
	return r;
}

static int allocate(struct settler *t)
{
	t->epoch = malloc(((size_t)t->s->n + 1) * sizeof(*t->epoch));
	t->bytes = malloc(2 * MOST_EPOCHS * sizeof(*t->bytes));
	t->change = malloc((2 * MOST_EPOCHS + 1) * sizeof(*t->change));
	t->beside = malloc(2 * MOST_EPOCHS * sizeof(*t->beside));
	return t->epoch && t->bytes && t->change && t->beside ? list_reads(t)
							      : -1;
}

static void settle_best(struct settler *t)
{
	uint64_t least, cost;
	uint32_t best = 0;

	spread(t, 1);
	least = cost_of(t);
	for (uint32_t apart = 1; apart <= 2; apart++) {
		spread(t, apart);
		settle(t);
		cost = cost_of(t);
		if (cost < least) {
			least = cost;
			best = apart;
		}
	}
	if (!best)
		return;
	spread(t, best);
	settle(t);
	keep(t);
}

/* ---- long epochs --------------------------------------------------------- */

/* What an order costs. */
struct bill {
	uint64_t saved; /* bytes */
	uint64_t asked; /* requests, those not counted that every order has */
	bool allowed;	/* by the format */
};

/* The epoch that saves the old block, and the last one that reads it there. */
static bool is_saved(const struct settler *t, uint64_t block, uint32_t *epoch,
		     uint32_t *last)
{
	uint32_t writer = t->s->writer[block];
	bool own;

	if (writer == NONE || !read_from(t, block, t->epoch[writer], NONE))
		return false;
	*epoch = t->epoch[writer];
	*last = last_read(t, block, writer, &own);
	return true;
}

/* Adds up the saves, by epoch; returns how many there are. */
static uint32_t count_saves(const struct settler *t, uint64_t *saves)
{
	uint32_t epoch, last, epoch_before = NONE, last_before = NONE, runs = 0;

	for (uint64_t b = 0; b < t->s->old_blocks; b++) {
		if (is_saved(t, b, &epoch, &last)) {
			saves[epoch] += plan_block_size(t->s->plan);
			runs += epoch != epoch_before || last != last_before;
		} else {
			epoch = last = NONE;
		}
		epoch_before = epoch;
		last_before = last;
	}
	return runs;
}

/*
 * An epoch writes the saves of the next one too. If the saves are too many they
 * are joined, and get longer: long epochs may have no room for that.
 */
static int make_bill(const struct settler *t, struct bill *bill)
{
	uint64_t *saves = calloc((size_t)t->n + 1, sizeof(*saves));

	if (!saves)
		return -1;
	*bill = (struct bill){ .asked = count_apart(t) };
	bill->allowed = count_saves(t, saves) <= UPDATE1_MAX_SAVES;
	for (uint32_t e = 0; e < t->n; e++) {
		bill->saved += saves[e];
		bill->asked += t->bytes[e] ? EPOCH_ASKS : 0;
		bill->allowed &=
			t->bytes[e] + saves[e + 1] <= UPDATE1_MAX_EPOCH;
	}
	free(saves);
	return 0;
}

/* Steps in the order of the image fill one epoch after the other. */
static int fill(struct settler *t)
{
	const struct sorter *s = t->s;

	t->apart = LONG_APART;
	t->noise = LONG_NOISE;
	t->most = LONG_EPOCH;
	t->random = 1;
	t->n = 1;
	memset(t->bytes, 0, 2 * MOST_EPOCHS * sizeof(*t->bytes));
	for (uint32_t i = 0; i < s->n; i++) {
		if (t->bytes[t->n - 1] &&
		    t->bytes[t->n - 1] + s->bytes[i] > t->most)
			t->n++;
		if (t->n > 2 * MOST_EPOCHS)
			return -1;
		t->epoch[i] = t->n - 1;
		t->bytes[t->n - 1] += s->bytes[i];
	}
	return 0;
}

static bool is_better(const struct settler *t, const struct bill *before,
		      const struct bill *after)
{
	uint64_t bytes = 0;

	for (uint32_t e = 0; e < t->n; e++)
		bytes += t->bytes[e];
	return after->allowed && after->asked < before->asked &&
	       after->saved * 100 <= bytes * LONG_PERCENT &&
	       after->saved < before->saved + (before->asked - after->asked) *
						      (uint64_t)REQUEST;
}

/* ---- short rows ---------------------------------------------------------- */

/* Extent @i begins a row, which lies together and is of one epoch: its end. */
static uint32_t row_end(const struct settler *t, uint32_t i)
{
	const uint32_t *step_of = t->s->step_of;

	while (plan_adjoin(t->s->plan, i) &&
	       t->epoch[step_of[i]] == t->epoch[step_of[i + 1]])
		i++;
	return i + 1;
}

/* Moves the steps of a row from epoch to epoch. */
static void move_row(struct settler *t, uint32_t first, uint32_t end,
		     uint32_t from, uint32_t to)
{
	for (uint32_t i = first; i < end; i++) {
		uint32_t step = t->s->step_of[i];

		if (t->epoch[step] != from)
			continue;
		t->epoch[step] = to;
		t->bytes[from] -= t->s->bytes[step];
		t->bytes[to] += t->s->bytes[step];
	}
}

/* Moves it if that makes *bill better. */
static int try_row(struct settler *t, uint32_t first, uint32_t end,
		   uint32_t from, uint32_t to, struct bill *bill)
{
	struct bill after;

	move_row(t, first, end, from, to);
	if (make_bill(t, &after))
		return -1;
	if (is_better(t, bill, &after))
		*bill = after;
	else
		move_row(t, first, end, to, from);
	return 0;
}

/*
 * A row that lies in another, and is no longer than a request, splits it into
 * two. No step of it leaves alone, for that spares nothing.
 */
static int join_rows(struct settler *t, struct bill *bill)
{
	const struct sorter *s = t->s;
	uint32_t first, end, tries = MOST_JOINS;

	for (first = 0; first < s->plan->n_extents && tries; first = end) {
		uint32_t from = t->epoch[s->step_of[first]], to;
		uint64_t blocks = 0;

		end = row_end(t, first);
		for (uint32_t i = first; i < end; i++)
			blocks += s->plan->extents[i].blocks;
		if (!first || !plan_adjoin(s->plan, first - 1) ||
		    !plan_adjoin(s->plan, end - 1) ||
		    blocks * plan_block_size(s->plan) > LONG_REQUEST)
			continue;
		to = t->epoch[s->step_of[first - 1]];
		if (to != t->epoch[s->step_of[end]])
			continue;
		tries--;
		if (try_row(t, first, end, from, to, bill))
			return -1;
	}
	return 0;
}

static int settle_long(struct settler *t)
{
	struct bill before, after;

	spread(t, 1);
	if (make_bill(t, &before))
		return -1;
	if (fill(t))
		return 0;
	settle(t);
	if (make_bill(t, &after) || join_rows(t, &after))
		return -1;
	if (is_better(t, &before, &after))
		keep(t);
	return 0;
}

int settle_epochs(struct sorter *s)
{
	struct settler t = { .s = s };
	int r = 0;

	if (!s->n || s->n_epochs > MOST_EPOCHS ||
	    (uint64_t)s->n_epochs * s->plan->n_extents > MOST_SPANS)
		return 0;
	r = allocate(&t);
	if (!r) {
		settle_best(&t);
		r = settle_long(&t);
	}
	if (r)
		error("out of memory for the order of the merge");
	lists_free(&t.reads);
	free(t.epoch);
	free(t.bytes);
	free(t.change);
	free(t.beside);
	return r;
}
