// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The order of the merge in place. A step is what is written together: a piece
 * of a copy or of zeros, or all that one chunk is decoded to. A step that reads
 * a block of the old image should come before the one that overwrites it; where
 * it cannot, or where both are in one epoch, the block is saved. Several orders
 * of the steps are tried; each is cut into epochs where that costs least: a cut
 * costs a record and its flush, a saved block a block more to write.
 */
#include <stdlib.h>
#include <string.h>

#include "diff-order.h"
#include "err.h"
#include "progress.h"

#define PIECE	     (1u << 20) /* bytes of a copy in one step, at most */
#define SMALL_ONES   (1u << 18) /* most pieces of what moves by a little */
#define MOST_TURNS   256
#define MOST_EXTENTS (UPDATE1_MAX_DIR / 16)
#define LOOK_BACK    512 /* steps of an epoch, at most */

void lists_free(struct lists *lists)
{
	free(lists->start);
	free(lists->items);
}

/* ---- steps --------------------------------------------------------------- */

static uint64_t extent_bytes(const struct plan *plan,
			     const struct plan_extent *e)
{
	return (uint64_t)e->blocks << plan->block_bits;
}

/*
 * A copy that overwrites what it reads is cut into pieces as long as it moves,
 * so that every piece can be read before the next one overwrites it.
 */
static uint32_t piece_blocks(const struct plan *plan,
			     const struct plan_extent *e)
{
	uint64_t dest = e->dest << plan->block_bits, moves, piece = PIECE;
	uint64_t least = plan->new->size / SMALL_ONES;

	if (e->kind == UPDATE1_IS_DATA)
		return e->blocks;
	moves = dest > e->src ? dest - e->src : e->src - dest;
	if (e->kind == UPDATE1_IS_COPY && moves < extent_bytes(plan, e))
		piece = moves < least ? least : moves;
	piece = piece < PIECE ? piece : PIECE;
	piece >>= plan->block_bits;
	return piece ? piece : 1;
}

static int split_extents(struct plan *plan)
{
	struct plan_extent *pieces;
	uint32_t n = 0;

	for (uint32_t i = 0; i < plan->n_extents; i++)
		n += (plan->extents[i].blocks - 1) /
			     piece_blocks(plan, &plan->extents[i]) +
		     1;
	pieces = malloc((n + 1) * sizeof(*pieces));
	if (!pieces)
		return error("out of memory for %u extents", n);
	n = 0;
	for (uint32_t i = 0; i < plan->n_extents; i++) {
		struct plan_extent e = plan->extents[i];
		uint32_t most = piece_blocks(plan, &e), left = e.blocks;

		for (; left; left -= e.blocks) {
			e.blocks = left < most ? left : most;
			pieces[n++] = e;
			e.dest += e.blocks;
			e.src += extent_bytes(plan, &e);
		}
	}
	free(plan->extents);
	plan->extents = pieces;
	plan->n_extents = n;
	return 0;
}

int make_lists(struct lists *lists, uint32_t owners, const uint32_t *owner,
	       const uint32_t *item, uint32_t n)
{
	lists->start = calloc((size_t)owners + 2, sizeof(uint32_t));
	lists->items = malloc(((size_t)n + 1) * sizeof(uint32_t));
	if (!lists->start || !lists->items)
		return error("out of memory for the order of the merge");
	for (uint32_t i = 0; i < n; i++)
		lists->start[owner[i] + 2]++;
	for (uint32_t o = 0; o < owners; o++)
		lists->start[o + 2] += lists->start[o + 1];
	for (uint32_t i = 0; i < n; i++)
		lists->items[lists->start[owner[i] + 1]++] = item ? item[i] : i;
	return 0;
}

/* The first extent of a chunk makes its step, the others join it. */
static int make_steps(struct sorter *s)
{
	struct plan *plan = s->plan;
	uint32_t *of_chunk = malloc((plan->n_chunks + 1) * sizeof(*of_chunk));

	s->step_of = malloc((plan->n_extents + 1) * sizeof(*s->step_of));
	s->bytes = calloc(plan->n_extents + 1, sizeof(*s->bytes));
	if (!of_chunk || !s->step_of || !s->bytes) {
		free(of_chunk);
		return error("out of memory for the order of the merge");
	}
	memset(of_chunk, 0xff, plan->n_chunks * sizeof(*of_chunk));
	for (uint32_t i = 0; i < plan->n_extents; i++) {
		const struct plan_extent *e = &plan->extents[i];
		uint32_t fresh = NONE;
		uint32_t *step = e->kind == UPDATE1_IS_DATA
					 ? &of_chunk[e->chunk]
					 : &fresh;

		if (*step == NONE)
			*step = s->n++;
		s->step_of[i] = *step;
		s->bytes[*step] += extent_bytes(plan, e);
	}
	free(of_chunk);
	return make_lists(&s->extents, s->n, s->step_of, NULL, plan->n_extents);
}

static int note_writers(struct sorter *s)
{
	s->writer = malloc(s->old_blocks * sizeof(*s->writer));
	if (!s->writer)
		return error("out of memory for the order of the merge");
	memset(s->writer, 0xff, s->old_blocks * sizeof(*s->writer));
	for (uint32_t i = 0; i < s->plan->n_extents; i++) {
		const struct plan_extent *e = &s->plan->extents[i];

		for (uint32_t b = 0; b < e->blocks; b++)
			if (e->dest + b < s->old_blocks)
				s->writer[e->dest + b] = s->step_of[i];
	}
	return 0;
}

/* ---- what reads what ----------------------------------------------------- */

/* Calls @note for every old block that each step reads, and is overwritten. */
struct reads {
	uint32_t *blocks, *steps;
	uint32_t n, room;
};

static int note_read(struct sorter *s, struct reads *r, uint32_t step,
		     uint64_t offset, uint64_t len)
{
	uint64_t block = offset >> s->plan->block_bits;
	uint64_t last = (offset + len - 1) >> s->plan->block_bits;

	for (; block <= last; block++) {
		if (s->writer[block] == NONE)
			continue;
		if (r->n == r->room) {
			r->room = 2 * r->room + 4096;
			r->blocks = realloc(r->blocks,
					    r->room * sizeof(*r->blocks));
			r->steps =
				realloc(r->steps, r->room * sizeof(*r->steps));
			if (!r->blocks || !r->steps)
				return error("out of memory for the order of "
					     "the merge");
		}
		r->blocks[r->n] = block;
		r->steps[r->n++] = step;
	}
	return 0;
}

static int note_step_reads(struct sorter *s, struct reads *r, uint32_t step)
{
	struct plan *plan = s->plan;
	uint32_t i = s->extents.items[s->extents.start[step]];
	const struct plan_extent *e = &plan->extents[i];
	const struct plan_chunk *chunk;

	if (e->kind == UPDATE1_IS_COPY)
		return note_read(s, r, step, e->src, extent_bytes(plan, e));
	if (e->kind == UPDATE1_IS_ZERO)
		return 0;
	chunk = &plan->chunks[e->chunk];
	for (uint32_t k = 0; k < chunk->n_ranges; k++)
		if (note_read(s, r, step, chunk->ranges[k].offset,
			      chunk->ranges[k].len))
			return -1;
	return 0;
}

static int note_readers(struct sorter *s)
{
	struct reads r = { 0 };
	int failed = 0;

	for (uint32_t step = 0; !failed && step < s->n; step++)
		failed = note_step_reads(s, &r, step);
	if (!failed)
		failed = make_lists(&s->readers, s->old_blocks, r.blocks,
				    r.steps, r.n);
	free(r.blocks);
	free(r.steps);
	return failed;
}

/* One edge for every block, those that follow each other and are alike once. */
static int note_before(struct sorter *s)
{
	uint32_t *owner, *item, n = 0, most = s->readers.start[s->old_blocks];
	int r = -1;

	owner = malloc(((size_t)most + 1) * sizeof(*owner));
	item = malloc(((size_t)most + 1) * sizeof(*item));
	for (uint64_t b = 0; owner && item && b < s->old_blocks; b++)
		for (uint32_t i = s->readers.start[b];
		     i < s->readers.start[b + 1]; i++) {
			uint32_t reader = s->readers.items[i];

			if (reader == s->writer[b] ||
			    (n && owner[n - 1] == s->writer[b] &&
			     item[n - 1] == reader))
				continue;
			owner[n] = s->writer[b];
			item[n++] = reader;
		}
	if (owner && item)
		r = make_lists(&s->before, s->n, owner, item, n);
	else
		error("out of memory for the order of the merge");
	free(owner);
	free(item);
	return r;
}

/* ---- orders -------------------------------------------------------------- */

static void order_up(struct sorter *s, uint32_t turns)
{
	(void)turns;
	for (uint32_t i = 0; i < s->n; i++)
		s->order[i] = i;
}

static void order_down(struct sorter *s, uint32_t turns)
{
	(void)turns;
	for (uint32_t i = 0; i < s->n; i++)
		s->order[i] = s->n - 1 - i;
}

/*
 * Every step after those that read what it overwrites, but for circles. The
 * steps on the stack have begun: place says where in their list they are.
 */
static void visit(struct sorter *s, uint32_t root, uint32_t *stack,
		  uint32_t *done)
{
	uint32_t depth = 0;

	s->place[root] = s->before.start[root];
	stack[depth++] = root;
	while (depth) {
		uint32_t step = stack[depth - 1];

		if (s->place[step] == s->before.start[step + 1]) {
			s->order[(*done)++] = step;
			depth--;
			continue;
		}
		step = s->before.items[s->place[step]++];
		if (s->place[step] != NONE)
			continue;
		s->place[step] = s->before.start[step];
		stack[depth++] = step;
	}
}

static void order_needs(struct sorter *s, int down)
{
	uint32_t done = 0;

	/* cut is not in use yet: the stack */
	memset(s->place, 0xff, s->n * sizeof(*s->place));
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t root = down ? s->n - 1 - i : i;

		if (s->place[root] == NONE)
			visit(s, root, s->cut, &done);
	}
}

static void order_needs_up(struct sorter *s, uint32_t turns)
{
	(void)turns;
	order_needs(s, 0);
}

static void order_needs_down(struct sorter *s, uint32_t turns)
{
	(void)turns;
	order_needs(s, 1);
}

/* In the order that is there: the longest row of steps before each. */
static void set_levels(struct sorter *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		s->place[s->order[i]] = i;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t step = s->order[i], level = 0;

		for (uint32_t k = s->before.start[step];
		     k < s->before.start[step + 1]; k++) {
			uint32_t other = s->before.items[k];

			if (s->place[other] < i && s->level[other] >= level)
				level = s->level[other] + 1;
		}
		s->level[step] = level;
	}
}

/*
 * What moves by a little is one long row, each step before the next, and would
 * need an epoch for each. So rows are cut to @turns steps, which costs the
 * save of one step in @turns, and all rows go on together, one step a turn.
 */
static void order_turns(struct sorter *s, uint32_t turns)
{
	uint32_t *start = s->cut; /* not in use yet */

	order_needs(s, 0);
	set_levels(s);
	memset(start, 0, (turns + 1) * sizeof(*start));
	for (uint32_t i = 0; i < s->n; i++)
		start[s->level[i] % turns + 1]++;
	for (uint32_t i = 0; i < turns; i++)
		start[i + 1] += start[i];
	for (uint32_t i = 0; i < s->n; i++)
		s->order[start[s->level[i] % turns]++] = i;
}

static const struct {
	const char *name;
	void (*make)(struct sorter *s, uint32_t turns);
	uint32_t turns;
} orders[] = {
	{ "ascending", order_up, 0 },
	{ "descending", order_down, 0 },
	{ "readers first, ascending", order_needs_up, 0 },
	{ "readers first, descending", order_needs_down, 0 },
	{ "in 16 turns", order_turns, 16 },
	{ "in 64 turns", order_turns, 64 },
	{ "in 256 turns", order_turns, MOST_TURNS },
};

/* ---- epochs -------------------------------------------------------------- */

/* The last place that reads the old block, or NONE. */
static uint32_t last_reader(const struct sorter *s, uint64_t block)
{
	uint32_t last = NONE;

	for (uint32_t i = s->readers.start[block];
	     i < s->readers.start[block + 1]; i++) {
		uint32_t place = s->place[s->readers.items[i]];

		if (last == NONE || place > last)
			last = place;
	}
	return last;
}

/*
 * Blocks that the step at @place overwrites: weigh[i] grows by those that need
 * a save if the epoch began at place + 1 - LOOK_BACK + i or before.
 */
static uint64_t weigh_step(const struct sorter *s, uint32_t place,
			   uint64_t weigh[LOOK_BACK])
{
	const struct plan *plan = s->plan;
	uint32_t step = s->order[place];
	uint64_t late = 0;

	for (uint32_t i = s->extents.start[step];
	     i < s->extents.start[step + 1]; i++) {
		const struct plan_extent *e =
			&plan->extents[s->extents.items[i]];

		for (uint64_t b = e->dest;
		     b < e->dest + e->blocks && b < s->old_blocks; b++) {
			uint32_t last = last_reader(s, b);

			if (last == NONE)
				continue;
			if (last > place)
				late += plan_block_size(plan);
			else if (place - last < LOOK_BACK)
				weigh[LOOK_BACK - 1 - (place - last)] +=
					plan_block_size(plan);
		}
	}
	return late;
}

/* The best cut before @end, when saves[k] is what an epoch of k + 1 steps
 * saves. */
static void cut_before(struct sorter *s, uint32_t end, uint64_t cost,
		       const uint64_t *saves)
{
	uint64_t bytes = 0;

	s->best[end] = UINT64_MAX;
	for (uint32_t k = 0; k < LOOK_BACK && k < end; k++) {
		uint64_t sum = s->best[end - 1 - k] + cost + saves[k];

		bytes += s->bytes[s->order[end - 1 - k]];
		if (k && bytes > EPOCH_MOST)
			break;
		if (sum < s->best[end]) {
			s->best[end] = sum;
			s->cut[end] = end - 1 - k;
		}
	}
}

/* What the merge writes beside the image in this order, cut best. */
static uint64_t cut_order(struct sorter *s, uint64_t cost)
{
	uint64_t saves[LOOK_BACK] = { 0 }, weigh[LOOK_BACK], late = 0, sum;

	for (uint32_t i = 0; i < s->n; i++)
		s->place[s->order[i]] = i;
	s->best[0] = 0;
	for (uint32_t end = 1; end <= s->n; end++) {
		memset(weigh, 0, sizeof(weigh));
		late += weigh_step(s, end - 1, weigh);
		memmove(saves + 1, saves, sizeof(saves) - sizeof(*saves));
		saves[0] = 0;
		sum = 0;
		for (uint32_t k = 0; k < LOOK_BACK; k++) {
			sum += weigh[LOOK_BACK - 1 - k];
			saves[k] += sum;
		}
		cut_before(s, end, cost, saves);
	}
	return s->best[s->n] + late;
}

static uint32_t count_cuts(const struct sorter *s)
{
	uint32_t n = 0;

	for (uint32_t at = s->n; at; at = s->cut[at])
		n++;
	return n;
}

/* From the cuts: the epoch of every step. */
static void number_epochs(struct sorter *s)
{
	uint32_t epoch = count_cuts(s);

	s->n_epochs = epoch;
	for (uint32_t at = s->n; at; at = s->cut[at]) {
		epoch--;
		for (uint32_t i = s->cut[at]; i < at; i++)
			s->epoch[s->order[i]] = epoch;
	}
}

/* Those of an order that is there already. */
static void take_epochs(struct sorter *s)
{
	s->n_epochs = s->plan->n_epochs;
	for (uint32_t i = 0; i < s->plan->n_extents; i++)
		s->epoch[s->step_of[i]] = s->plan->extents[i].epoch;
}

/* Writes the epochs into the extents. */
static void set_epochs(struct sorter *s)
{
	struct plan *plan = s->plan;

	plan->n_epochs = s->n_epochs;
	for (uint32_t i = 0; i < plan->n_extents; i++) {
		struct plan_extent *e = &plan->extents[i];

		e->epoch = s->epoch[s->step_of[i]];
		if (e->kind == UPDATE1_IS_DATA)
			plan->chunks[e->chunk].epoch = e->epoch;
	}
}

static void choose_order(struct sorter *s)
{
	uint64_t least = UINT64_MAX, cost = EPOCH_COST, sum;
	unsigned int chosen = 0, n = sizeof(orders) / sizeof(*orders);

	progress_start("ordering the merge", n + 1);
	for (unsigned int i = 0; i < n; i++) {
		orders[i].make(s, orders[i].turns);
		sum = cut_order(s, cost);
		if (sum < least) {
			least = sum;
			chosen = i;
		}
		progress_update(i + 1);
	}
	do {
		orders[chosen].make(s, orders[chosen].turns);
		cut_order(s, cost);
		cost *= 2;
	} while (count_cuts(s) > UPDATE1_MAX_EPOCHS);
	s->plan->order = orders[chosen].name;
	progress_end();
}

/* ---- saves --------------------------------------------------------------- */

/* The last epoch that reads a block, if it is late enough to need a save. */
static bool needs_save(const struct sorter *s, uint64_t block, uint32_t *epoch,
		       uint32_t *last)
{
	if (s->writer[block] == NONE)
		return false;
	*epoch = s->epoch[s->writer[block]];
	*last = 0;
	for (uint32_t i = s->readers.start[block];
	     i < s->readers.start[block + 1]; i++) {
		uint32_t reads = s->epoch[s->readers.items[i]];

		if (reads > *last)
			*last = reads;
	}
	return s->readers.start[block] < s->readers.start[block + 1] &&
	       *last >= *epoch;
}

/* Does the save before reach over @gap blocks that its epoch overwrites too? */
static bool reaches(const struct sorter *s, const struct update1_save *save,
		    uint64_t block, uint32_t epoch, uint32_t gap)
{
	uint64_t end = save->old + save->blocks;

	if (save->epoch != epoch || block - end > gap ||
	    block + 1 - save->old > UPDATE1_MAX_EXTENT >> s->plan->block_bits)
		return false;
	for (; end < block; end++)
		if (s->writer[end] == NONE || s->epoch[s->writer[end]] != epoch)
			return false;
	return true;
}

/*
 * Saves of single blocks become runs of one epoch, over gaps of at most @gap.
 * Without a gap, those that are read equally long. Their number; counted only
 * if there is no room for them.
 */
static uint32_t make_saves(struct sorter *s, uint32_t gap)
{
	struct update1_save *save = NULL, next;
	uint32_t n = 0, epoch, last;

	for (uint64_t block = 0; block < s->old_blocks; block++) {
		if (!needs_save(s, block, &epoch, &last))
			continue;
		if (save && reaches(s, save, block, epoch, gap) &&
		    (gap || save->last == last)) {
			save->blocks = block + 1 - save->old;
			save->last = save->last > last ? save->last : last;
			continue;
		}
		save = s->plan->saves ? &s->plan->saves[n] : &next;
		n++;
		*save = (struct update1_save){
			.old = block, .blocks = 1, .epoch = epoch, .last = last
		};
	}
	return n;
}

static int fill_saves(struct sorter *s)
{
	struct plan *plan = s->plan;
	uint32_t gap = 0;

	free(plan->saves);
	plan->saves = NULL;
	plan->save_blocks = 0;
	plan->n_saves = make_saves(s, gap);
	while (plan->n_saves > UPDATE1_MAX_SAVES &&
	       gap < UPDATE1_MAX_EXTENT >> plan->block_bits) {
		gap = 2 * gap + 1;
		plan->n_saves = make_saves(s, gap);
	}
	if (plan->n_saves > UPDATE1_MAX_SAVES)
		return error("the merge would save %u pieces of the old image, "
			     "at most %u can be: use a larger --block-size",
			     plan->n_saves, UPDATE1_MAX_SAVES);
	plan->saves = calloc(plan->n_saves + 1, sizeof(*plan->saves));
	if (!plan->saves)
		return error("out of memory for the saves");
	make_saves(s, gap);
	return 0;
}

static const struct update1_save *by_epoch;

static int compare_saves(const void *a, const void *b)
{
	const struct update1_save *x = by_epoch + *(const uint32_t *)a;
	const struct update1_save *y = by_epoch + *(const uint32_t *)b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->old < y->old ? -1 : x->old > y->old;
}

/* The lowest room of @blocks that no save in @used, by room, takes. */
static uint32_t find_room(const struct update1_save *saves,
			  const uint32_t *used, uint32_t *n, uint32_t blocks)
{
	uint32_t room = 0, i, kept = 0;

	for (i = 0; i < *n; i++) {
		const struct update1_save *other = &saves[used[i]];

		if (other->room >= room + blocks)
			break;
		kept = other->room + other->blocks;
		room = room > kept ? room : kept;
	}
	*n = i;
	return room;
}

/* Forgets the saves whose rooms are free for those of @epoch. */
static uint32_t drop_over(const struct update1_save *saves, uint32_t *used,
			  uint32_t n, uint32_t epoch)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		if (saves[used[i]].last + 1 >= epoch)
			used[kept++] = used[i];
	return kept;
}

/* Behind each other, so that they are few writes: those of one epoch. */
static void give_rooms(struct plan *plan, const uint32_t *sorted,
		       uint32_t *used)
{
	uint32_t n = 0, at, room, end, blocks;

	for (uint32_t i = 0; i < plan->n_saves; i = end) {
		uint32_t epoch = plan->saves[sorted[i]].epoch;

		blocks = 0;
		for (end = i; end < plan->n_saves &&
			      plan->saves[sorted[end]].epoch == epoch;
		     end++)
			blocks += plan->saves[sorted[end]].blocks;
		n = drop_over(plan->saves, used, n, epoch);
		at = n;
		room = find_room(plan->saves, used, &at, blocks);
		memmove(used + at + end - i, used + at,
			(n - at) * sizeof(*used));
		memcpy(used + at, sorted + i, (end - i) * sizeof(*used));
		n += end - i;
		for (uint32_t k = i; k < end; k++) {
			plan->saves[sorted[k]].room = room;
			room += plan->saves[sorted[k]].blocks;
		}
		if (room > plan->save_blocks)
			plan->save_blocks = room;
	}
}

static int place_saves(struct plan *plan)
{
	uint32_t *sorted = malloc((plan->n_saves + 1) * sizeof(*sorted));
	uint32_t *used = malloc((plan->n_saves + 1) * sizeof(*used));

	if (!sorted || !used) {
		free(sorted);
		free(used);
		return error("out of memory for the saves");
	}
	for (uint32_t i = 0; i < plan->n_saves; i++)
		sorted[i] = i;
	by_epoch = plan->saves;
	qsort(sorted, plan->n_saves, sizeof(*sorted), compare_saves);
	give_rooms(plan, sorted, used);
	free(sorted);
	free(used);
	return 0;
}

/* ---- all of it ----------------------------------------------------------- */

/* Is @next what comes behind @e, in the image, in its source and in time? */
static bool goes_on(const struct plan *plan, const struct plan_extent *e,
		    const struct plan_extent *next)
{
	if (e->kind == UPDATE1_IS_DATA || e->kind != next->kind ||
	    e->epoch != next->epoch || e->dest + e->blocks != next->dest ||
	    extent_bytes(plan, e) + extent_bytes(plan, next) >
		    UPDATE1_MAX_EXTENT)
		return false;
	return e->kind == UPDATE1_IS_ZERO ||
	       e->src + extent_bytes(plan, e) == next->src;
}

/* The pieces that came into one epoch become one extent again. */
static void join_extents(struct plan *plan)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < plan->n_extents; i++) {
		if (n &&
		    goes_on(plan, &plan->extents[n - 1], &plan->extents[i]))
			plan->extents[n - 1].blocks += plan->extents[i].blocks;
		else
			plan->extents[n++] = plan->extents[i];
	}
	plan->n_extents = n;
}

static int allocate_orders(struct sorter *s)
{
	size_t n = (size_t)s->n + MOST_TURNS + 1;

	s->order = malloc(n * sizeof(*s->order));
	s->place = malloc(n * sizeof(*s->place));
	s->best = malloc(n * sizeof(*s->best));
	s->cut = malloc(n * sizeof(*s->cut));
	s->level = malloc(n * sizeof(*s->level));
	s->epoch = malloc(n * sizeof(*s->epoch));
	if (!s->order || !s->place || !s->best || !s->cut || !s->level ||
	    !s->epoch)
		return error("out of memory for the order of the merge");
	return 0;
}

static int find_epochs(struct sorter *s)
{
	if (s->plan->n_epochs) {
		take_epochs(s);
		return 0;
	}
	choose_order(s);
	number_epochs(s);
	return settle_epochs(s);
}

static int sort_steps(struct sorter *s)
{
	if (split_extents(s->plan) || make_steps(s) || note_writers(s) ||
	    note_readers(s) || note_before(s) || allocate_orders(s))
		return -1;
	if (find_epochs(s))
		return -1;
	set_epochs(s);
	if (fill_saves(s) || place_saves(s->plan))
		return -1;
	join_extents(s->plan);
	if (s->plan->n_extents > MOST_EXTENTS)
		return error("the diff would have %u extents, at most %u can "
			     "be: use a larger --block-size",
			     s->plan->n_extents, MOST_EXTENTS);
	return 0;
}

int plan_order(struct plan *plan)
{
	struct sorter s = { .plan = plan,
			    .old_blocks = plan_blocks(plan, plan->old) };
	int r = sort_steps(&s);

	free(s.step_of);
	free(s.writer);
	free(s.bytes);
	lists_free(&s.extents);
	lists_free(&s.readers);
	lists_free(&s.before);
	free(s.order);
	free(s.place);
	free(s.best);
	free(s.cut);
	free(s.level);
	free(s.epoch);
	return r;
}
