// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Merges of version 1 on simulated disks, by the durable order that
 * kmod/dm-update-v1.h gives: random pairs, random orders within an epoch, the
 * power cut after every step, with what no flush made durable lost, kept or
 * torn by sectors. At each step a reader has to see the new image; after each
 * cut, too, and the merge goes on to its end, with another cut on the way.
 *
 * MERGES in the environment is how many of them are tried (2000), SEED where
 * they begin (1).
 */
#include "test.h"
#include "dm-update-v1.h"
#include "v1-random.h"

#define SECTOR 512
#define ROOM   (64 * SECTOR) /* bytes of a simulated disk */
#define EXTENT (10 * SECTOR) /* and of the longest extent */

/* A disk with a volatile cache. */
struct disk {
	u8 now[ROOM]; /* as reads see it */
	u8 durable[ROOM];
	bool dirty[ROOM / SECTOR];
};

/* The system, and the device with records and save area. */
struct machine {
	struct disk system;
	struct disk stage;
};

/* One merge that is under way. */
struct merge {
	const struct v1_pair *pair;
	const struct update1_dir *dir;
	struct machine *m;
	struct update1_progress progress;
	u64 *state;
	u64 written; /* bytes to either device, without records */
};

/* Counted over all schedules. */
static u64 schedules, cuts, reads, saved;

/* ---- disks --------------------------------------------------------------- */

/* Whole sectors, as a disk has them. */
static void disk_write(struct disk *d, u64 at, const void *data, u32 len)
{
	if (at + len > ROOM || at % SECTOR)
		abort();
	memcpy(d->now + at, data, len);
	for (u64 s = at / SECTOR; s * SECTOR < at + len; s++)
		d->dirty[s] = true;
}

static void disk_flush(struct disk *d)
{
	memcpy(d->durable, d->now, ROOM);
	memset(d->dirty, 0, sizeof(d->dirty));
}

/* @loss: 0 everything that is not durable is lost, 1 nothing, else by dice. */
static void disk_cut(struct disk *d, u32 loss, u64 *state)
{
	for (u32 s = 0; s < ROOM / SECTOR; s++)
		if (d->dirty[s] &&
		    (loss == 1 || (loss > 1 && v1_below(state, 2))))
			memcpy(d->durable + s * SECTOR, d->now + s * SECTOR,
			       SECTOR);
	memcpy(d->now, d->durable, ROOM);
	memset(d->dirty, 0, sizeof(d->dirty));
}

/* ---- reading the new image ----------------------------------------------- */

static u32 old_done(const struct merge *g)
{
	return g->progress.begun ? g->progress.done : UPDATE1_NOT_BEGUN;
}

static void read_old(const struct merge *g, u64 offset, u8 *to, u32 len)
{
	struct update1_place place;

	for (; len; offset += place.len, to += place.len, len -= place.len) {
		const struct disk *d;

		update1_old(g->dir, old_done(g), offset, len, &place);
		d = place.saved ? &g->m->stage : &g->m->system;
		if (place.at + place.len > ROOM)
			abort();
		memcpy(to, d->now + place.at, place.len);
	}
}

static u32 chunk_at(const struct v1_writer *w, u64 at)
{
	u32 i = 0;

	while (w->chunks[i].at != at)
		i++;
	return i;
}

static void read_data(const struct merge *g, const struct update1_extent *e,
		      u8 *to, u32 len)
{
	const struct v1_writer *w = &g->pair->w;
	u32 index = chunk_at(w, e->src), n = 0;
	const struct v1_chunk *chunk = &w->chunks[index];
	u8 prefix[8192], decoded[EXTENT];

	for (u32 i = 0; i < chunk->n_ranges; i++) {
		read_old(g, chunk->ranges[i].offset, prefix + n,
			 chunk->ranges[i].len);
		n += chunk->ranges[i].len;
	}
	v1_ghost_decode(w, index, prefix, n, decoded);
	memcpy(to, decoded + e->offset, len);
}

/* An extent's bytes from its source; returns how many. */
static u32 read_extent(const struct merge *g, const struct update1_extent *e,
		       u8 *to)
{
	u32 len = update1_extent_bytes(g->dir, e);

	switch (e->kind) {
	case UPDATE1_IS_ZERO:
		memset(to, 0, len);
		break;
	case UPDATE1_IS_COPY:
		read_old(g, e->src, to, len);
		break;
	case UPDATE1_IS_DATA:
		read_data(g, e, to, len);
	}
	return len;
}

/* Does extent @i read as the new image? */
static bool extent_reads(const struct merge *g, u32 i)
{
	struct update1_extent e;
	u8 got[EXTENT];
	u64 at;
	u32 len;

	update1_extent(g->dir, i, &e);
	at = e.dest << g->dir->g.block_bits;
	len = update1_extent_bytes(g->dir, &e);
	if (g->progress.begun && e.epoch < g->progress.done)
		memcpy(got, g->m->system.now + at, len);
	else
		read_extent(g, &e, got);
	reads++;
	return !memcmp(got, g->pair->new + at, len);
}

/* Does what no extent names? */
static bool rest_reads(const struct merge *g)
{
	u32 block = 1 << g->dir->g.block_bits, i = 0;
	struct update1_extent e;

	for (u64 at = 0; at < g->pair->new_size; at += block) {
		u64 left = g->pair->new_size - at;

		i = update1_find(g->dir, at >> g->dir->g.block_bits);
		if (i < g->dir->g.n_extents) {
			update1_extent(g->dir, i, &e);
			if (e.dest <= at >> g->dir->g.block_bits)
				continue;
		}
		if (memcmp(g->m->system.now + at, g->pair->new + at,
			   left < block ? left : block))
			return false;
	}
	return true;
}

static bool image_reads(const struct merge *g)
{
	for (u32 i = 0; i < g->dir->g.n_extents; i++)
		if (!extent_reads(g, i))
			return false;
	return rest_reads(g);
}

/* ---- merging ------------------------------------------------------------- */

static u32 whole_sectors(u32 len)
{
	return (len + SECTOR - 1) / SECTOR * SECTOR;
}

static void write_extent(struct merge *g, u32 i)
{
	u8 bytes[EXTENT] = { 0 };
	struct update1_extent e;
	u32 len;

	update1_extent(g->dir, i, &e);
	len = whole_sectors(read_extent(g, &e, bytes));
	disk_write(&g->m->system, e.dest << g->dir->g.block_bits, bytes, len);
	g->written += len;
}

static void write_save(struct merge *g, u32 i)
{
	u32 bits = g->dir->g.block_bits, len;
	struct update1_save s;
	u64 left;

	update1_save(g->dir, i, &s);
	len = s.blocks << bits;
	left = g->pair->old_size - (s.old << bits);
	if (left < len)
		len = whole_sectors(left);
	disk_write(&g->m->stage, update1_room_at(&g->dir->g, s.room),
		   g->m->system.now + (s.old << bits), len);
	g->written += len;
	saved += s.blocks;
}

static void write_record(struct merge *g, u32 done)
{
	struct update1_record record;

	update1_progress_record(&g->dir->g, &g->progress, done, &record);
	disk_write(&g->m->stage, g->progress.slot * sizeof(record), &record,
		   sizeof(record));
}

static void load_progress(struct merge *g)
{
	update1_progress_read(&g->dir->g, (void *)g->m->stage.now,
			      &g->progress);
}

/* What is to be done until the next record: indices, saves from 1 << 31 on. */
static u32 list_steps(const struct merge *g, u32 *steps)
{
	u32 next = g->progress.begun ? g->progress.done + 1 : 0, n = 0, i;

	if (g->progress.begun)
		for (i = 0; (i = update1_epoch_next(g->dir, next - 1, i)) <
			    g->dir->g.n_extents;
		     i++)
			steps[n++] = i;
	for (i = 0;
	     (i = update1_save_next(g->dir, next, i)) < g->dir->g.n_saves; i++)
		steps[n++] = 1u << 31 | i;
	for (i = n; i > 1; i--) {
		u32 j = v1_below(g->state, i), step = steps[j];

		steps[j] = steps[i - 1];
		steps[i - 1] = step;
	}
	return n;
}

typedef void (*after_step)(struct merge *g);

/* One epoch; @after is called after each write and flush. */
static void merge_epoch(struct merge *g, after_step after)
{
	u32 steps[256], n = list_steps(g, steps);
	u32 next = g->progress.begun ? g->progress.done + 1 : 0;

	for (u32 i = 0; i < n; i++) {
		if (steps[i] >> 31)
			write_save(g, steps[i] & ~(1u << 31));
		else
			write_extent(g, steps[i]);
		after(g);
	}
	disk_flush(&g->m->system);
	after(g);
	disk_flush(&g->m->stage);
	write_record(g, next);
	after(g);
	disk_flush(&g->m->stage);
	update1_progress_written(&g->progress, next);
	after(g);
}

static bool merged(const struct merge *g)
{
	return g->progress.begun && g->progress.done == g->dir->g.n_epochs;
}

static void merge_all(struct merge *g, after_step after)
{
	while (!merged(g))
		merge_epoch(g, after);
}

/* ---- cuts ---------------------------------------------------------------- */

static u32 left_until_cut; /* steps; the second cut of a schedule */
static bool wrong;

static void no_check(struct merge *g)
{
}

static void check_at_random(struct merge *g)
{
	if (g->dir->g.n_extents &&
	    !extent_reads(g, v1_below(g->state, g->dir->g.n_extents)))
		wrong = true;
}

/* The power fails now, in a copy of the machine; it reads right, and goes on.
 */
static void cut_copy(const struct merge *g, struct machine *copy,
		     struct merge *after)
{
	u32 loss = v1_below(g->state, 4);

	*copy = *g->m;
	*after = *g;
	after->m = copy;
	disk_cut(&copy->system, loss, g->state);
	disk_cut(&copy->stage, loss, g->state);
	load_progress(after);
	cuts++;
	if (!image_reads(after))
		wrong = true;
}

static void second_cut(struct merge *g)
{
	static struct machine copy;
	struct merge again;

	check_at_random(g);
	if (left_until_cut-- != 1)
		return;
	cut_copy(g, &copy, &again);
	merge_all(&again, no_check);
	if (!image_reads(&again))
		wrong = true;
}

static void first_cut(struct merge *g)
{
	static struct machine copy;
	struct merge again;

	check_at_random(g);
	cut_copy(g, &copy, &again);
	left_until_cut = 1 + v1_below(g->state, 12);
	merge_all(&again, second_cut);
	if (!image_reads(&again))
		wrong = true;
}

/* ---- schedules ----------------------------------------------------------- */

/* The directory of a pair of ghosts, straight from its pages. */
static void load_directory(struct v1_pair *p, struct update1_dir *dir)
{
	struct update1_geometry g;
	struct update1_load load;
	const char *why = NULL;
	size_t len;
	u8 *page;

	v1_end(&p->w);
	if (update1_super_parse((void *)p->w.file, p->w.size, &g, &why) ||
	    update1_load_begin(&load, dir, &g, &why))
		goto refused;
	for (u32 i = 0; (page = v1_page(&p->w, i, &len)); i++) {
		struct update1_page head = { 0, cpu_to_le32((u32)len) };

		if (update1_load_page(&load, &head, page, &why))
			goto refused;
		free(page);
	}
	load.at = g.dir_size;
	load.crc = g.dir_crc;
	if (!update1_load_end(&load, &why))
		return;
refused:
	printf("refused: %s\n", why);
	abort();
}

static void power_up(struct merge *g, struct v1_pair *p,
		     const struct update1_dir *dir, u64 *state)
{
	static struct machine machine;

	memset(&machine, 0, sizeof(machine));
	disk_write(&machine.system, 0, p->old, whole_sectors(p->old_size));
	disk_flush(&machine.system);
	*g = (struct merge){
		.pair = p, .dir = dir, .m = &machine, .state = state
	};
	load_progress(g);
}

static const struct v1_shape shapes[] = {
	{ .block_bits = 9, .chunk_blocks = 4, .most_blocks = 16 },
	{ .block_bits = 10, .chunk_blocks = 3, .most_blocks = 14 },
};

/* The pair of that number. */
static void make_pair(struct v1_pair *p, u64 seed)
{
	v1_random_pair(p, seed, &shapes[seed % 2]);
}

/* A random pair, merged with a cut after every step. */
static bool schedule(u64 seed)
{
	struct update1_dir dir;
	u64 state = seed * 3;
	struct v1_pair p;
	struct merge g;

	make_pair(&p, seed);
	load_directory(&p, &dir);
	power_up(&g, &p, &dir, &state);
	wrong = !image_reads(&g);
	merge_all(&g, first_cut);
	if (!image_reads(&g) || memcmp(g.m->system.durable, p.new, p.new_size))
		wrong = true;
	update1_dir_exit(&dir);
	v1_pair_free(&p);
	schedules++;
	return !wrong;
}

static u64 number(const char *name, u64 usual)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : usual;
}

static void every_cut_of_a_random_schedule_is_survived(void)
{
	u64 n = number("MERGES", 2000), seed = number("SEED", 1);

	for (u64 i = 0; i < n && !test_failed; i++)
		if (!schedule(seed + i)) {
			printf("schedule %llu is wrong\n",
			       (unsigned long long)(seed + i));
			check(false);
		}
	printf("%llu schedules, %llu cuts, %llu reads, %llu blocks saved\n",
	       (unsigned long long)schedules, (unsigned long long)cuts,
	       (unsigned long long)reads, (unsigned long long)saved);
	check(saved > n / 2 && cuts > 5 * n);
}

/* Takes away what the order needs: @i-th of its saves, if it has any. */
static bool schedule_without(u64 seed, u32 what)
{
	struct update1_dir dir;
	u64 state = seed * 3;
	struct v1_pair p;
	struct merge g;
	u32 i;

	make_pair(&p, seed);
	i = p.w.n_saves ? v1_below(&state, p.w.n_saves) : 0;
	if (p.w.n_saves && what == 0)
		memmove(&p.w.saves[i], &p.w.saves[i + 1],
			(--p.w.n_saves - i) * sizeof(*p.w.saves));
	else if (p.w.n_saves && what == 1 && p.w.saves[i].last > 0)
		p.w.saves[i].last -= p.w.saves[i].last > p.w.saves[i].epoch;
	else if (p.w.n_saves > 1 && what == 2)
		p.w.saves[i].room = p.w.saves[i ? 0 : 1].room;
	load_directory(&p, &dir);
	power_up(&g, &p, &dir, &state);
	wrong = false;
	merge_all(&g, first_cut);
	update1_dir_exit(&dir);
	v1_pair_free(&p);
	return !wrong;
}

/* The simulation must notice an order that is not right. */
static void a_wrong_order_is_noticed(void)
{
	for (u32 what = 0; what < 3; what++) {
		u32 noticed = 0;

		for (u64 seed = 1; seed <= 300; seed++)
			noticed += !schedule_without(seed, what);
		check(noticed > (what == 1 ? 10 : 30));
	}
}

static const struct test tests[] = {
	{ "every cut of a random schedule is survived",
	  every_cut_of_a_random_schedule_is_survived },
	{ "a wrong order is noticed", a_wrong_order_is_noticed },
};

int main(void)
{
	return RUN_TESTS(tests);
}
