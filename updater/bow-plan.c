// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Undoing a log that was loaded: carrying out c->where.
 *
 * A move is a piece of that map: contents to put back, and where they are now.
 * As long as nothing is overwritten that a move, or the log itself, is read
 * from, all of it can be repeated after a cut: no progress needs to be kept.
 * Only space that was saved, freed by its file system and used for another
 * backup stands against that. Then what can be carried out is, the rest is
 * saved into blocks that held backups and hold nothing needed any more, and a
 * new log of the moves that are left is put into block 0: an ordinary log of a
 * restore in progress, which is loaded and undone like any other.
 *
 * Without such blocks the entries are undone one by one from the last, as the
 * format foresees it: whenever one would overwrite what was read since the
 * last time, the count in block 0 is lowered to what is left.
 */
#include <stdlib.h>
#include <string.h>

#include "bow-chain.h"
#include "err.h"
#include "progress.h"

#define GAP (16u << 10) /* bytes read in vain rather than skipped */

struct move {
	uint64_t to;
	uint64_t from;
	uint32_t len;
	bool waits; /* somebody reads what it would overwrite */
};

struct plan {
	struct chain *c;
	struct move *moves;
	uint32_t n, room;
	uint32_t waiting;    /* of them */
	struct extmap reads; /* all that must not be overwritten */
	struct extmap pool;  /* what nobody needs any more */
	uint64_t pool_pos;
	uint64_t total, done; /* bytes, for the progress */
};

static uint64_t bytes(uint64_t sectors)
{
	return sectors * BOWLINE_SECTOR;
}

static uint32_t block_sectors(const struct chain *c)
{
	return c->info->block_size / BOWLINE_SECTOR;
}

/* ---- block 0 ---------------------------------------------------------------
 */

bool chain_atomic(struct chain *c)
{
	return c->info->block_size <= dev_sector(c->dev);
}

int chain_put(struct chain *c, uint64_t byte, const void *p, size_t len)
{
	return dev_write(c->dev, byte, p, len) || dev_flush(c->dev) ? -1 : 0;
}

/* A log block of one entry, as a restore in progress has it. */
static void one_entry(struct chain *c, uint8_t *block, uint32_t sequence,
		      uint64_t dest, const uint8_t *contents)
{
	struct bow_header *h = (struct bow_header *)block;
	uint32_t size = c->info->block_size;
	const struct bow_step first = { 0, dest, size,
					bow_checksum(0, size, contents, size) };

	bow_log_start(block, size, BOW_HEADER_SIZE, dest, &first);
	h->magic = cpu_to_le32(BOW_MAGIC_RESTORING);
	h->sequence = cpu_to_le32(sequence);
	bow_log_seal(block);
}

/* What fits into the head is durable with one write, whatever the rest is. */
static int put_one_entry(struct chain *c, uint32_t sequence, uint64_t dest,
			 const uint8_t *contents)
{
	uint8_t block[BOW_BLOCK_MAX];

	one_entry(c, block, sequence, dest, contents);
	return chain_put(c, 0, block,
			 chain_atomic(c) ? c->info->block_size : BOW_HEAD);
}

static int put_mark(struct chain *c, uint32_t log, uint32_t count)
{
	struct log_block *b = &c->logs[log];
	struct bow_header *h = (struct bow_header *)b->block;
	uint32_t len = chain_atomic(c) ? c->info->block_size : BOW_HEAD;

	h->magic = cpu_to_le32(BOW_MAGIC_RESTORING);
	h->count = cpu_to_le32(count);
	/* The sum in the head proves it, without what a cut left out. */
	if (b->log.header_size == BOW_HEADER_LONG && !b->fault) {
		h->sector0 = cpu_to_le64(b->log.sector0);
		bow_log_seal(b->block);
	}
	return chain_put(c, 0, h, len);
}

/* Where it takes two writes, entry 0 alone counts until the last of them. */
static int finish(struct chain *c, uint64_t from, const uint8_t *block0)
{
	uint32_t size = c->info->block_size;

	if (chain_atomic(c))
		return chain_put(c, 0, block0, size);
	if (put_one_entry(c, 0, from, block0) ||
	    chain_put(c, BOW_HEAD, block0 + BOW_HEAD, size - BOW_HEAD))
		return -1;
	return chain_put(c, 0, block0, BOW_HEAD);
}

/* ---- the plan ------------------------------------------------------------ */

static int by_from(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

/* Neighbours become one, as long as it fits into the window. */
static int add_move(struct plan *p, uint64_t to, uint64_t from, uint32_t len)
{
	struct move *last = p->n ? &p->moves[p->n - 1] : NULL;

	if (last && last->to + last->len == to &&
	    last->from + last->len == from &&
	    bytes(last->len + len) <= BOW_WINDOW) {
		last->len += len;
		return 0;
	}
	if (p->n == p->room) {
		uint32_t room = p->room ? p->room + p->room / 2 : 256;
		struct move *moves =
			reallocarray(p->moves, room, sizeof(*moves));

		if (!moves)
			return error("out of memory for %u moves", room);
		p->moves = moves;
		p->room = room;
	}
	p->moves[p->n++] = (struct move){ to, from, len, false };
	return 0;
}

/* Contents that are back in their place already are no move. */
static int make_moves(struct plan *p)
{
	struct extmap_range r;
	uint64_t pos = 0;

	while (extmap_next(&p->c->where, pos, &r)) {
		uint64_t done = 0, n;

		pos = r.start + r.len;
		for (; done < r.len && r.from != r.start; done += n) {
			n = BOW_WINDOW / BOWLINE_SECTOR;
			if (n > r.len - done)
				n = r.len - done;
			if (add_move(p, r.start + done, r.from + done, n))
				return -1;
			p->total += bytes(n);
		}
	}
	return 0;
}

/* The log blocks, and block 0 as it was, are read again after a cut. */
static int each_log_place(struct plan *p,
			  int (*visit)(struct plan *p, uint64_t at))
{
	struct chain *c = p->c;

	for (uint32_t l = 0; l + 1 < c->n_logs; l++) {
		uint64_t at = chain_mark(c, &c->logs[l], 0)->place;

		if (at && visit(p, at))
			return -1;
	}
	return c->origin ? visit(p, c->origin) : 0;
}

static int is_overwritten(struct plan *p, uint64_t at)
{
	return extmap_hit(&p->c->where, at, block_sectors(p->c));
}

/* Does any move overwrite what another is read from? Mostly not. */
static bool has_conflict(struct plan *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (extmap_hit(&p->c->where, p->moves[i].from, p->moves[i].len))
			return true;
	return each_log_place(p, is_overwritten);
}

static int note_read(struct plan *p, uint64_t at)
{
	return extmap_set(&p->reads, at, block_sectors(p->c), at);
}

/* Those back in their places are read as well: by whoever checks the log. */
static int note_reads(struct plan *p)
{
	struct extmap_range r;
	uint64_t pos = 0;

	for (; extmap_next(&p->c->where, pos, &r); pos = r.start + r.len)
		if (extmap_set(&p->reads, r.from, r.len, r.from))
			return -1;
	return each_log_place(p, note_read);
}

static int find_waiting(struct plan *p)
{
	if (!has_conflict(p))
		return 0;
	if (note_reads(p))
		return -1;
	for (uint32_t i = 0; i < p->n; i++) {
		struct move *m = &p->moves[i];

		m->waits = extmap_hit(&p->reads, m->to, m->len);
		p->waiting += m->waits;
	}
	return 0;
}

static void plan_free(struct plan *p)
{
	free(p->moves);
	extmap_free(&p->reads);
	extmap_free(&p->pool);
}

/* ---- carrying out -------------------------------------------------------- */

/* The moves from m on that one read covers. */
static uint32_t in_window(const struct move *m, uint32_t left, uint64_t *len)
{
	uint64_t end = m->from;
	uint32_t n = 0;

	while (n < left && bytes(m[n].from) <= bytes(end) + GAP &&
	       bytes(m[n].from + m[n].len - m->from) <= BOW_WINDOW) {
		if (m[n].from + m[n].len > end)
			end = m[n].from + m[n].len;
		n++;
	}
	*len = bytes(end - m->from);
	return n;
}

/* All that do not wait, in the order of what they read. */
static int carry_out(struct plan *p)
{
	struct dev *dev = p->c->dev;
	uint8_t *buf = p->c->buf;
	uint32_t n;

	for (uint32_t i = 0; i < p->n; i += n) {
		uint64_t len, start = bytes(p->moves[i].from);

		n = in_window(&p->moves[i], p->n - i, &len);
		if (dev_read(dev, start, buf, len))
			return -1;
		for (uint32_t k = i; k < i + n; k++) {
			const struct move *m = &p->moves[k];

			if (m->waits)
				continue;
			if (dev_write(dev, bytes(m->to),
				      buf + bytes(m->from) - start,
				      bytes(m->len)))
				return -1;
			p->done += bytes(m->len);
		}
		progress_update(p->done);
	}
	return 0;
}

/* ---- a round: save what waits, then a log of it -------------------------- */

static int to_pool(struct plan *p, uint64_t start, uint64_t len)
{
	return extmap_set(&p->pool, start, len, start);
}

/*
 * What backups and log blocks were ever put into belonged to nobody when state
 * 1 began, or to somebody who is on the map.
 */
static int fill_pool(struct plan *p)
{
	struct chain *c = p->c;
	struct bow_step step;

	if (c->info->sector0 && to_pool(p, c->info->sector0, block_sectors(c)))
		return -1;
	for (uint32_t l = 0; l < c->n_logs; l++) {
		const struct bow_log *log = &c->logs[l].log;

		for (uint32_t i = 0; i < log->count; i++) {
			bow_log_entry(log, i, &step);
			if (chain_mark(c, &c->logs[l], i)->verdict !=
				    V_NONSENSE &&
			    to_pool(p, step.dest, step.size / BOWLINE_SECTOR))
				return -1;
		}
	}
	return 0;
}

static int drain_pool(struct plan *p, const struct extmap *in_use)
{
	struct extmap_range r;
	uint64_t pos = 0;

	for (; extmap_next(in_use, pos, &r); pos = r.start + r.len)
		if (extmap_unset(&p->pool, r.start, r.len))
			return -1;
	return extmap_unset(&p->pool, 0, block_sectors(p->c));
}

static int make_pool(struct plan *p)
{
	return fill_pool(p) || drain_pool(p, &p->c->where) ||
	       drain_pool(p, &p->c->left) || drain_pool(p, &p->reads);
}

/* Takes up to `want` sectors out of the pool; 0: it is empty. */
static uint64_t take(struct plan *p, uint64_t want, uint64_t *start)
{
	struct extmap_range r;

	if (!extmap_next(&p->pool, p->pool_pos, &r))
		return 0;
	*start = r.start > p->pool_pos ? r.start : p->pool_pos;
	if (want > r.start + r.len - *start)
		want = r.start + r.len - *start;
	p->pool_pos = *start + want;
	return want;
}

/* The log that takes the place of the old one. */
struct new_log {
	struct plan *p;
	struct extmap targets; /* of the moves that wait */
	uint64_t *places;      /* of its blocks, the first one first */
	uint32_t n_places;
	uint32_t used;	 /* written, or being filled */
	uint64_t origin; /* where block 0 as it was will be */
	uint8_t block[BOW_BLOCK_MAX];
};

static int find_targets(struct new_log *n)
{
	struct plan *p = n->p;

	for (uint32_t i = 0; i < p->n; i++)
		if (p->moves[i].waits &&
		    extmap_set(&n->targets, p->moves[i].to, p->moves[i].len,
			       p->moves[i].to))
			return -1;
	return 0;
}

static bool must_save(const struct new_log *n, uint64_t at, uint64_t len)
{
	return extmap_hit(&n->targets, at, len);
}

/* Sectors to save: block 0 as it was, and what waits and is overwritten. */
static uint64_t to_save(const struct new_log *n)
{
	struct plan *p = n->p;
	uint64_t sum = block_sectors(p->c);

	for (uint32_t i = 0; i < p->n; i++)
		if (p->moves[i].waits &&
		    must_save(n, p->moves[i].from, p->moves[i].len))
			sum += p->moves[i].len;
	return sum;
}

static uint64_t pool_size(const struct plan *p, uint32_t *pieces)
{
	struct extmap_range r;
	uint64_t pos = 0, sum = 0;

	for (*pieces = 0; extmap_next(&p->pool, pos, &r);
	     pos = r.start + r.len) {
		sum += r.len;
		++*pieces;
	}
	return sum;
}

/* Places for the log, if there are enough for all. 1, 0, or -1. */
static int reserve(struct new_log *n)
{
	struct plan *p = n->p;
	struct chain *c = p->c;
	uint32_t each = bow_log_capacity(c->info->block_size, BOW_HEADER_SIZE) -
			1,
		 pieces;
	uint64_t size = pool_size(p, &pieces);
	/* Each piece of the pool may cut a move in two. */
	uint64_t blocks = ((uint64_t)p->waiting + pieces + each - 1) / each;

	if (size < to_save(n) + blocks * block_sectors(c))
		return 0;
	n->places = calloc(blocks, sizeof(*n->places));
	if (!n->places)
		return error("out of memory for %llu log blocks",
			     (unsigned long long)blocks);
	for (n->n_places = 0; n->n_places < blocks; n->n_places++)
		take(p, block_sectors(c), &n->places[n->n_places]);
	return 1;
}

static int close_block(struct new_log *n)
{
	return dev_write(n->p->c->dev, bytes(n->places[n->used - 1]), n->block,
			 n->p->c->info->block_size);
}

/* Block 0 as it was is saved if need be; its place stands for sector0 too. */
static int begin_log(struct new_log *n)
{
	struct chain *c = n->p->c;
	uint32_t size = c->info->block_size;
	struct bow_step first = { 0, 0, size,
				  bow_checksum(0, size, c->original, size) };

	n->origin = c->origin;
	if (must_save(n, c->origin, block_sectors(c))) {
		take(n->p, block_sectors(c), &n->origin);
		if (dev_write(c->dev, bytes(n->origin), c->original, size))
			return -1;
	}
	n->used = 1;
	first.dest = n->origin;
	bow_log_start(n->block, size, BOW_HEADER_SIZE, n->origin, &first);
	return 0;
}

static int add_entry(struct new_log *n, uint64_t to, uint64_t from,
		     uint32_t len, const uint8_t *data)
{
	uint32_t size = n->p->c->info->block_size;
	const struct bow_step step = {
		to, from, bytes(len), bow_checksum(to, size, data, bytes(len))
	};

	if (!bow_log_room(n->block)) {
		if (close_block(n))
			return -1;
		bow_log_roll(n->block, n->places[n->used - 1],
			     bow_checksum(0, size, n->block, size));
		n->used++;
	}
	return bow_log_append(n->block, &step);
}

/* One that waits: saved piece by piece if need be, and logged. */
static int keep_move(struct new_log *n, const struct move *m)
{
	struct chain *c = n->p->c;
	bool save = must_save(n, m->from, m->len);
	uint64_t run;

	if (dev_read(c->dev, bytes(m->from), c->buf, bytes(m->len)))
		return -1;
	for (uint64_t done = 0; done < m->len; done += run) {
		const uint8_t *data = c->buf + bytes(done);
		uint64_t at = m->from + done;

		run = m->len - done;
		if (save) {
			run = take(n->p, run, &at);
			if (dev_write(c->dev, bytes(at), data, bytes(run)))
				return -1;
		}
		if (add_entry(n, m->to + done, at, run, data))
			return -1;
	}
	return 0;
}

static int write_new_log(struct new_log *n)
{
	struct plan *p = n->p;

	if (begin_log(n))
		return -1;
	for (uint32_t i = 0; i < p->n; i++)
		if (p->moves[i].waits && keep_move(n, &p->moves[i]))
			return -1;
	return close_block(n) || dev_flush(p->c->dev) ? -1 : 0;
}

/*
 * 1: block 0 has a new log, of what waits, that can be undone in one go; 0:
 * there is no room for it; -1.
 */
static int relog(struct plan *p)
{
	struct new_log n = { .p = p };
	int r = make_pool(p) || find_targets(&n) ? -1 : reserve(&n);

	if (r > 0 &&
	    (carry_out(p) || write_new_log(&n) ||
	     put_one_entry(p->c, n.used, n.places[n.used - 1], n.block)))
		r = -1;
	free(n.places);
	extmap_free(&n.targets);
	return r;
}

/* ---- one by one ---------------------------------------------------------- */

/* Entries since `read` was emptied were carried out after the last mark. */
struct walk {
	struct chain *c;
	uint32_t resident; /* index of the log block at block 0 */
	struct extmap read;
	uint64_t done;
};

/* Replaces the log in block 0, whose entries are all done. */
static int replace_rest(struct walk *w, const uint8_t *block)
{
	struct chain *c = w->c;

	if (chain_atomic(c))
		return 0;
	if (put_mark(c, w->resident, 1))
		return -1;
	return chain_put(c, BOW_HEAD, block + BOW_HEAD,
			 c->info->block_size - BOW_HEAD);
}

/* Makes the entries before this one durable: a cut goes on from here. */
static int make_point(struct walk *w, uint32_t log, uint32_t entry)
{
	struct chain *c = w->c;

	if (dev_flush(c->dev))
		return -1;
	if (log != w->resident && replace_rest(w, c->logs[log].block))
		return -1;
	w->resident = log;
	extmap_free(&w->read);
	return put_mark(c, log, entry + 1);
}

static int copy(struct chain *c, uint64_t from, uint64_t to, uint32_t len)
{
	while (len) {
		uint32_t n = len < BOW_WINDOW ? len : BOW_WINDOW;

		if (dev_read(c->dev, from, c->buf, n) ||
		    dev_write(c->dev, to, c->buf, n))
			return -1;
		from += n;
		to += n;
		len -= n;
	}
	return 0;
}

static int walk_entry(struct walk *w, uint32_t log, uint32_t entry)
{
	struct bow_step step;
	uint64_t len;

	bow_log_entry(&w->c->logs[log].log, entry, &step);
	len = step.size / BOWLINE_SECTOR;
	if (entry && extmap_hit(&w->read, step.source, len) &&
	    make_point(w, log, entry))
		return -1;
	if (extmap_set(&w->read, step.dest, len, step.dest))
		return -1;
	w->done += step.size;
	progress_update(w->done);
	if (!entry) /* block 0 itself comes last */
		return 0;
	return copy(w->c, bytes(step.dest), bytes(step.source), step.size);
}

static int walk(struct chain *c)
{
	struct walk w = { .c = c };
	struct bow_step first;
	int err = 0;

	progress_start("restoring", c->info->backed_up);
	for (uint32_t l = 0; !err && l < c->n_logs; l++)
		for (uint32_t i = c->logs[l].log.count; !err && i--;)
			err = walk_entry(&w, l, i);
	bow_log_entry(&c->logs[c->n_logs - 1].log, 0, &first);
	if (!err)
		err = dev_flush(c->dev) || finish(c, first.dest, c->original);
	extmap_free(&w.read);
	return err ? -1 : 0;
}

/* ---- the whole ----------------------------------------------------------- */

/* No room to save what waits in a damaged log: it stays as it is. */
static int leave_waiting(struct plan *p)
{
	struct chain *c = p->c;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct move *m = &p->moves[i];

		if (!m->waits)
			continue;
		p->total -= bytes(m->len);
		if (extmap_set(&c->left, m->to, m->len, LEFT_FOR_SPACE))
			return -1;
	}
	return 0;
}

/* Nothing that was carried out is in the way of carrying it out again. */
static int run_once(struct plan *p)
{
	struct chain *c = p->c;

	if (carry_out(p) || dev_flush(c->dev))
		return -1;
	c->undone = p->total;
	progress_end();
	return c->origin ? finish(c, c->origin, c->original) : 0;
}

static int run(struct plan *p)
{
	struct chain *c = p->c;
	int r;

	if (p->n)
		qsort(p->moves, p->n, sizeof(*p->moves), by_from);
	if (!p->waiting)
		return run_once(p);
	c->undone = p->total;
	r = c->complete && c->origin ? relog(p) : 0;
	if (r)
		return r;
	if (!c->salvage)
		return walk(c);
	return leave_waiting(p) ? -1 : run_once(p);
}

int chain_undo(struct chain *c)
{
	struct plan p = { .c = c };
	int r = make_moves(&p) || find_waiting(&p) ? -1 : 0;

	if (!r && !c->info->restoring)
		r = put_mark(c, 0, c->logs[0].log.count);
	progress_start("restoring", p.total);
	if (!r)
		r = run(&p);
	plan_free(&p);
	return r;
}
