// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which old bytes a chunk is decoded against. Two times the same question:
 * which few of many sets (places of the old image) hold most of a chunk's
 * elements, when what another chosen one holds does not count again? First
 * coarsely, with regions and the seeds of the index; then, within the regions
 * that were chosen, with short segments and all strings of GRAM bytes. What
 * counts is how much of the chunk occurs, not where: the compressor finds that.
 */
#include <stdlib.h>
#include <string.h>

#include "diff-plan.h"

#define REGION_BITS   14   /* a region is 16 KiB ... */
#define REGION_MORE   8192 /* ... searched with so much before and behind */
#define CHUNK_REGIONS 64   /* most regions for a chunk of 64 KiB */
#define SEED_PLACES   24   /* more common seeds choose no region */

#define SEGMENT_BITS 8	/* a segment is 256 bytes ... */
#define MARGIN	     64 /* ... taken with so much before and behind */
#define GRAM	     8
#define GRAM_BITS    17
#define NO_GRAM	     UINT32_MAX
/* Strings that make a segment worth its bytes: beside a chosen one, or alone */
#define WORTH_BESIDE 4
#define WORTH_ALONE  24
#define WORTH_READ   1024 /* those of all segments that are read at once */
#define CLOSE_GAP    512  /* bytes */

struct set {
	uint64_t at;	   /* its region or segment */
	uint32_t first, n; /* of its elements */
};

/* Sets and what they hold; queue[g]: sets that held g uncovered, a list. */
struct cover {
	struct set *sets;
	uint32_t *elements;
	uint8_t *covered; /* by element */
	uint32_t *queue, *next;
	uint32_t n_sets, n_elements, best;
};

struct vote {
	uint64_t region;
	uint32_t seed;
};

struct window {
	const struct plan *plan;
	const struct index *index;
	uint32_t max_regions;
	uint32_t epoch;		 /* of the chunk, if plan->lost counts */
	struct window_room room; /* of this piece */
	struct seed *seeds;
	struct vote *votes;
	uint64_t *regions;
	uint32_t n_regions;
	uint32_t *grams, *next_gram; /* by hash; by place in the chunk */
	uint8_t *chosen;	     /* by set */
	uint32_t *gains;	     /* of the chosen ones */
	struct cover cover;
};

/* ---- the sets that hold most --------------------------------------------- */

#define NO_SET UINT32_MAX

static void queue_put(struct cover *c, uint32_t set, uint32_t gain)
{
	c->next[set] = c->queue[gain];
	c->queue[gain] = set;
}

/* All sets are there; @elements is how many different ones there can be. */
static void cover_begin(struct cover *c, uint32_t elements)
{
	c->best = 0;
	for (uint32_t i = 0; i < c->n_sets; i++)
		if (c->sets[i].n > c->best)
			c->best = c->sets[i].n;
	memset(c->covered, 0, elements);
	memset(c->queue, 0xff, (c->best + 1) * sizeof(*c->queue));
	for (uint32_t i = c->n_sets; i--;)
		queue_put(c, i, c->sets[i].n);
}

static void cover_mark(struct cover *c, uint32_t set, uint8_t from, uint8_t to)
{
	const uint32_t *e = c->elements + c->sets[set].first;

	for (uint32_t i = 0; i < c->sets[set].n; i++)
		if (c->covered[e[i]] == from)
			c->covered[e[i]] = to;
}

/* Elements of the set that are not covered; one may be in it repeatedly. */
static uint32_t cover_gain(struct cover *c, uint32_t set)
{
	const uint32_t *e = c->elements + c->sets[set].first;
	uint32_t gain = 0;

	for (uint32_t i = 0; i < c->sets[set].n; i++)
		if (!c->covered[e[i]]) {
			c->covered[e[i]] = 2;
			gain++;
		}
	cover_mark(c, set, 2, 0);
	return gain;
}

/* Takes the set with the largest gain, if that is at least @min: or NO_SET. */
static uint32_t cover_next(struct cover *c, uint32_t min, uint32_t *gain)
{
	for (; c->best >= min; c->best--)
		while (c->queue[c->best] != NO_SET) {
			uint32_t set = c->queue[c->best];

			c->queue[c->best] = c->next[set];
			*gain = cover_gain(c, set);
			if (*gain == c->best)
				return set;
			if (*gain >= min)
				queue_put(c, set, *gain);
		}
	return NO_SET;
}

static struct set *cover_add(struct cover *c, uint64_t at)
{
	struct set *set = &c->sets[c->n_sets++];

	*set = (struct set){ .at = at, .first = c->n_elements };
	return set;
}

/* ---- regions by seeds ---------------------------------------------------- */

static int compare_votes(const void *a, const void *b)
{
	const struct vote *x = a, *y = b;

	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	return x->seed < y->seed ? -1 : x->seed > y->seed;
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Is any of these old bytes one that the chunk must not lean on? */
static bool is_lost(const struct window *w, uint64_t from, uint64_t to)
{
	uint64_t block = from >> w->plan->block_bits;

	if (!w->plan->lost)
		return false;
	for (; block << w->plan->block_bits < to; block++)
		if (w->plan->lost[block] <= w->epoch)
			return true;
	return false;
}

/* Votes of one block of the chunk, read with a little of what is around it. */
static uint32_t vote(struct window *w, uint64_t block, uint32_t *n_seeds,
		     struct vote *votes)
{
	const struct image *new = w->plan->new;
	uint64_t from = block << w->plan->block_bits;
	uint64_t to = from + plan_block_size(w->plan) + SEED_BYTES - 1;
	uint64_t found[SEED_PLACES];
	uint32_t n, places, votes_n = 0;

	images_trim();
	from = from > SEED_BYTES ? from - SEED_BYTES + 1 : 0;
	to = to < new->size ? to : new->size;
	n = index_seeds(w->index, new->bytes + from, to - from, w->seeds);
	for (uint32_t i = 0; i < n; i++) {
		places = index_find(w->index, w->seeds[i].hash, found,
				    SEED_PLACES);
		for (uint32_t p = 0; p < places; p++)
			if (!is_lost(w, found[p], found[p] + 1))
				votes[votes_n++] =
					(struct vote){ found[p] >> REGION_BITS,
						       *n_seeds + i };
	}
	*n_seeds += n;
	return votes_n;
}

static void sets_of_votes(struct window *w, uint32_t n)
{
	struct cover *c = &w->cover;
	struct set *set = NULL;

	c->n_sets = 0;
	c->n_elements = 0;
	qsort(w->votes, n, sizeof(*w->votes), compare_votes);
	for (uint32_t i = 0; i < n; i++) {
		if (!set || set->at != w->votes[i].region)
			set = cover_add(c, w->votes[i].region);
		c->elements[c->n_elements++] = w->votes[i].seed;
		set->n++;
	}
}

static void choose_regions(struct window *w, const uint64_t *blocks,
			   uint32_t n_blocks)
{
	uint32_t n = 0, n_seeds = 0, set, gain;

	for (uint32_t i = 0; i < n_blocks; i++)
		n += vote(w, blocks[i], &n_seeds, w->votes + n);
	sets_of_votes(w, n);
	cover_begin(&w->cover, n_seeds);
	w->n_regions = 0;
	while (w->n_regions < w->max_regions) {
		set = cover_next(&w->cover, 1, &gain);
		if (set == NO_SET)
			break;
		cover_mark(&w->cover, set, 0, 1);
		w->regions[w->n_regions++] = w->cover.sets[set].at;
	}
	qsort(w->regions, w->n_regions, sizeof(*w->regions), compare_u64);
}

/* ---- segments by strings ------------------------------------------------- */

static uint64_t gram_at(const uint8_t *bytes)
{
	uint64_t gram;

	memcpy(&gram, bytes, sizeof(gram));
	return gram;
}

/* The first place in @chunk of the string at @bytes, or NO_GRAM. */
static uint32_t find_gram(const struct window *w, const uint8_t *chunk,
			  const uint8_t *bytes)
{
	uint64_t gram = gram_at(bytes);
	uint32_t at = w->grams[gram * 0x9E3779B97F4A7C15u >> (64 - GRAM_BITS)];

	while (at != NO_GRAM && gram_at(chunk + at) != gram)
		at = w->next_gram[at];
	return at;
}

static void note_grams(struct window *w, const uint8_t *chunk, uint32_t len)
{
	memset(w->grams, 0xff, sizeof(*w->grams) << GRAM_BITS);
	for (uint32_t i = 0; i + GRAM <= len; i++) {
		uint32_t *head =
			&w->grams[gram_at(chunk + i) * 0x9E3779B97F4A7C15u >>
				  (64 - GRAM_BITS)];

		if (find_gram(w, chunk, chunk + i) != NO_GRAM)
			continue;
		w->next_gram[i] = *head;
		*head = i;
	}
}

/* May the segment be in the prefix, with its margins? */
static bool may_use(const struct window *w, uint64_t segment)
{
	uint64_t from = segment << SEGMENT_BITS, size = w->plan->old->size;
	uint64_t to = from + (1 << SEGMENT_BITS) + MARGIN;

	return !is_lost(w, from > MARGIN ? from - MARGIN : 0,
			to < size ? to : size);
}

/* The segment's strings that the chunk has; not a set if they are too few. */
static void add_segment(struct window *w, const uint8_t *chunk,
			uint64_t segment, uint64_t end)
{
	struct cover *c = &w->cover;
	struct set *set = cover_add(c, segment);
	uint64_t at = segment << SEGMENT_BITS;

	for (; at < (segment + 1) << SEGMENT_BITS && at < end; at++) {
		uint32_t gram = find_gram(w, chunk, w->plan->old->bytes + at);

		if (gram != NO_GRAM)
			c->elements[c->n_elements++] = gram;
	}
	set->n = c->n_elements - set->first;
	if (set->n < WORTH_BESIDE) {
		c->n_elements = set->first;
		c->n_sets--;
	}
}

static void sets_of_segments(struct window *w, const uint8_t *chunk)
{
	uint64_t size = w->plan->old->size, done = 0;
	uint64_t last = size < GRAM ? 0 : size - GRAM + 1;

	w->cover.n_sets = 0;
	w->cover.n_elements = 0;
	for (uint32_t i = 0; i < w->n_regions; i++) {
		uint64_t from = w->regions[i] << REGION_BITS;
		uint64_t to = from + (1 << REGION_BITS) + REGION_MORE;

		images_trim();
		from = from > REGION_MORE ? from - REGION_MORE : 0;
		from = from > done ? from : done;
		to = to < last ? to : last;
		for (; from < to; from += 1 << SEGMENT_BITS)
			if (may_use(w, from >> SEGMENT_BITS))
				add_segment(w, chunk, from >> SEGMENT_BITS,
					    last);
		done = from > done ? from : done;
	}
}

/* Is the set beside this one, in the order of the image, chosen? */
static bool beside(const struct window *w, uint32_t set, uint32_t other)
{
	const struct cover *c = &w->cover;

	if (other >= c->n_sets || !w->chosen[other])
		return false;
	return c->sets[set].at + 1 == c->sets[other].at ||
	       c->sets[other].at + 1 == c->sets[set].at;
}

static void choose_segments(struct window *w, uint32_t len)
{
	uint32_t set, gain, ranges = 0, bytes = 0;

	memset(w->chosen, 0, w->cover.n_sets);
	cover_begin(&w->cover, len);
	while (bytes + (1 << SEGMENT_BITS) + 2 * MARGIN <= w->room.bytes &&
	       ranges < w->room.ranges) {
		set = cover_next(&w->cover, WORTH_BESIDE, &gain);
		if (set == NO_SET)
			break;
		if (!beside(w, set, set - 1) && !beside(w, set, set + 1)) {
			if (gain < WORTH_ALONE)
				continue;
			bytes += 2 * MARGIN;
			ranges++;
		}
		bytes += 1 << SEGMENT_BITS;
		cover_mark(&w->cover, set, 0, 1);
		w->chosen[set] = 1;
		w->gains[set] = gain;
	}
}

/* The first set behind @set, or of all with NO_SET, that is chosen; or n_sets.
 */
static uint32_t next_chosen(const struct window *w, uint32_t set)
{
	do
		set++;
	while (set < w->cover.n_sets && !w->chosen[set]);
	return set;
}

/*
 * What lies near each other is one read of the device. A read that gives
 * little makes the diff smaller by less than the time of its readers is worth,
 * and binds the order of the merge.
 */
static void drop_poor_reads(struct window *w)
{
	const struct set *sets = w->cover.sets;
	uint32_t first, last, next, gain;

	for (first = next_chosen(w, NO_SET); first < w->cover.n_sets;
	     first = next) {
		gain = w->gains[first];
		last = first;
		while ((next = next_chosen(w, last)) < w->cover.n_sets &&
		       (sets[next].at - sets[last].at - 1) << SEGMENT_BITS <=
			       UPDATE1_READ_GAP) {
			gain += w->gains[next];
			last = next;
		}
		if (gain < WORTH_READ)
			memset(w->chosen + first, 0, last + 1 - first);
	}
}

/* The chosen segments with their margins; what then overlaps is one range. */
static uint32_t make_ranges(const struct window *w,
			    struct update1_range *ranges, uint32_t *bytes)
{
	uint64_t from, to, size = w->plan->old->size;
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->cover.n_sets; i++) {
		if (!w->chosen[i])
			continue;
		from = w->cover.sets[i].at << SEGMENT_BITS;
		to = from + (1 << SEGMENT_BITS) + MARGIN;
		from = from > MARGIN ? from - MARGIN : 0;
		to = to < size ? to : size;
		if (n && from <= ranges[n - 1].offset + ranges[n - 1].len)
			ranges[n - 1].len = to - ranges[n - 1].offset;
		else
			ranges[n++] = (struct update1_range){ from, to - from };
	}
	*bytes = 0;
	for (uint32_t i = 0; i < n; i++)
		*bytes += ranges[i].len;
	return n;
}

/* A range takes bytes of the diff, a gap only of the prefix: as room is left.
 */
static uint32_t close_gaps(const struct window *w, struct update1_range *ranges,
			   uint32_t n, uint32_t bytes)
{
	uint32_t kept = 0;

	for (uint32_t i = 1; i < n; i++) {
		struct update1_range *last = &ranges[kept];
		uint64_t end = last->offset + last->len;
		uint64_t gap = ranges[i].offset - end;

		if (gap > CLOSE_GAP || bytes + gap > w->room.bytes ||
		    is_lost(w, end, ranges[i].offset)) {
			ranges[++kept] = ranges[i];
			continue;
		}
		last->len += gap + ranges[i].len;
		bytes += gap;
	}
	return n ? kept + 1 : 0;
}

uint32_t window_choose(struct window *w, const uint64_t *blocks,
		       uint32_t n_blocks, uint32_t epoch, const uint8_t *bytes,
		       const struct window_room *room,
		       struct update1_range *ranges)
{
	uint32_t len = n_blocks << w->plan->block_bits, n, prefix;

	w->epoch = epoch;
	w->room = *room;
	choose_regions(w, blocks, n_blocks);
	note_grams(w, bytes, len);
	sets_of_segments(w, bytes);
	choose_segments(w, len);
	drop_poor_reads(w);
	n = make_ranges(w, ranges, &prefix);
	return close_gaps(w, ranges, n, prefix);
}

/* ---- memory -------------------------------------------------------------- */

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static int allocate(struct window *w)
{
	uint32_t bytes = w->plan->chunk_bytes;
	uint32_t blocks = bytes >> w->plan->block_bits;
	/* A seed may begin or end in a block beside. */
	uint32_t seeds = bytes + 2 * SEED_BYTES * blocks;
	uint32_t votes = seeds * SEED_PLACES;
	uint32_t searched =
		w->max_regions * ((1 << REGION_BITS) + 2 * REGION_MORE);
	uint32_t sets = most(votes, searched >> SEGMENT_BITS);
	uint32_t elements = most(votes, searched);
	struct cover *c = &w->cover;

	w->seeds = calloc(plan_block_size(w->plan) + 2 * SEED_BYTES,
			  sizeof(*w->seeds));
	w->votes = malloc((size_t)votes * sizeof(*w->votes));
	w->regions = calloc(w->max_regions, sizeof(*w->regions));
	w->grams = malloc(sizeof(*w->grams) << GRAM_BITS);
	w->next_gram = malloc((size_t)bytes * sizeof(*w->next_gram));
	w->chosen = malloc(sets);
	w->gains = malloc((size_t)sets * sizeof(*w->gains));
	c->sets = malloc((size_t)sets * sizeof(*c->sets));
	c->elements = malloc((size_t)elements * sizeof(*c->elements));
	c->covered = malloc(seeds);
	c->queue = malloc((size_t)elements * sizeof(*c->queue));
	c->next = malloc((size_t)sets * sizeof(*c->next));
	return w->seeds && w->votes && w->regions && w->grams && w->next_gram &&
			       w->chosen && w->gains && c->sets &&
			       c->elements && c->covered && c->queue && c->next
		       ? 0
		       : -1;
}

struct window *window_new(const struct plan *plan, const struct index *index)
{
	struct window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->plan = plan;
	w->index = index;
	w->max_regions = CHUNK_REGIONS * most(1, plan->chunk_bytes / 65536);
	if (!allocate(w))
		return w;
	window_free(w);
	return NULL;
}

void window_free(struct window *w)
{
	if (!w)
		return;
	free(w->seeds);
	free(w->votes);
	free(w->regions);
	free(w->grams);
	free(w->next_gram);
	free(w->chosen);
	free(w->gains);
	free(w->cover.sets);
	free(w->cover.elements);
	free(w->cover.covered);
	free(w->cover.queue);
	free(w->cover.next);
	free(w);
}
