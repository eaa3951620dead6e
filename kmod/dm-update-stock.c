// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/sort.h>

#include "dm-update-io.h"
#include "dm-update-old.h"
#include "dm-update-stock.h"

/* A chunk of the default size, as it is in the file, fits in any case. */
#define DIFF_BYTES (72u << 10)
#define OLD_BYTES  (224u << 10)

/* ---- which old bytes ----------------------------------------------------- */

static bool note_run(struct update_stock *stock, struct block_device *bdev,
		     u64 at, u32 len)
{
	if (stock->n_runs == UPDATE_STOCK_RUNS ||
	    len > stock->old_room - stock->bytes)
		return false;
	stock->run[stock->n_runs++] = (struct update_run){
		.bdev = bdev,
		.at = at,
		.end = at + len,
	};
	stock->bytes += len;
	return true;
}

static bool note_range(struct update_stock *stock,
		       const struct update_source *source,
		       const struct update1_range *range)
{
	u64 at, from = range->offset;
	u32 n, left = range->len;
	struct block_device *bdev;

	for (; left; left -= n, from += n) {
		n = left;
		bdev = update_old_find(source, stock->view, from, &n, &at);
		if (!note_run(stock, bdev, at, n))
			return false;
	}
	return true;
}

/* Notes what @chunk leans on; @read: if need be, the file is read for it. */
static bool note_chunk(struct update_stock *stock, struct update_source *source,
		       const struct update_ref *chunk, bool read)
{
	const char *why;
	const void *packed;
	u32 i;

	if (!read && !update_window_has(&stock->window, source, chunk))
		return false;
	packed = update_window_get(&stock->window, source, chunk, chunk->stored,
				   stock->window.room);
	/* Whoever decodes it says what is wrong. */
	if (IS_ERR(packed) ||
	    update1_chunk_parse(&source->v1.g, packed, chunk->stored,
				&stock->chunk, &why))
		return false;
	for (i = 0; i < stock->chunk.n_ranges; i++)
		if (!note_range(stock, source, &stock->chunk.ranges[i]))
			return false;
	return true;
}

static bool is_known(struct update_stock *stock, u64 key)
{
	u32 i;

	for (i = 0; i < min_t(u32, stock->n_keys, UPDATE_STOCK_KEYS); i++)
		if (stock->key[i] == key)
			return true;
	stock->key[stock->n_keys++ % UPDATE_STOCK_KEYS] = key;
	return false;
}

/* Of the chunks from piece @first on, as many as there is room for. */
static void collect(struct update_stock *stock, struct update_source *source,
		    u32 first)
{
	struct update_piece piece;
	u32 i;

	for (i = first; i < source->n_pieces; i++) {
		update_source_piece(source, i, &piece);
		if (piece.block << source->block_bits >= stock->end)
			break;
		if (piece.kind == UPDATE_PIECE_DATA &&
		    !is_known(stock, piece.chunk.key) &&
		    !note_chunk(stock, source, &piece.chunk, i == first))
			break;
	}
	stock->first = first;
	stock->behind = max(i, first + 1);
}

/* ---- reading them -------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const struct update_run *x = a, *y = b;

	if (x->bdev != y->bdev)
		return x->bdev < y->bdev ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Runs that lie near each other become one. */
static void join_runs(struct update_stock *stock)
{
	struct update_run *run = stock->run, *to = run;

	sort(run, stock->n_runs, sizeof(*run), by_place, NULL);
	for (run++; run < stock->run + stock->n_runs; run++)
		if (run->bdev == to->bdev &&
		    run->at <= to->end + UPDATE1_READ_GAP)
			to->end = max(to->end, run->end);
		else
			*++to = *run;
	stock->n_runs = to + 1 - stock->run;
}

/* Bytes of @run that fit behind @used; what lies between its parts counts. */
static u32 fitting(const struct update_stock *stock,
		   const struct update_run *run, size_t used)
{
	size_t around = update_read_room(run->bdev, 0);
	size_t left = stock->old_room - used;

	return left < around ? 0
			     : min_t(u64, run->end - run->at,
				     round_down(left - around, SECTOR_SIZE));
}

/* As far as there is room: of the others a chunk reads its own. */
static void read_runs(struct update_stock *stock, struct update_source *source)
{
	struct update_reads reads;
	struct update_run *run;
	size_t used = 0;
	u32 i, len;

	update_reads_init(&reads);
	for (i = 0; i < stock->n_runs; i++) {
		run = &stock->run[i];
		len = fitting(stock, run, used);
		if (!len)
			break;
		run->end = run->at + len;
		run->found =
			update_reads_begin(&reads, source->io, run->bdev,
					   run->at, len, stock->old + used);
		used += update_read_room(run->bdev, len);
	}
	stock->n_runs = update_reads_wait(&reads) ? 0 : i;
}

/* What a room of the save area had in the view before is no matter any more. */
static bool is_filled(const struct update_stock *stock, u32 view, u32 i)
{
	return stock->view == view && i >= stock->first && i < stock->behind;
}

void update_stock_fill(struct update_stock *stock, struct update_source *source,
		       u32 view, u32 i)
{
	if (!source->version || is_filled(stock, view, i))
		return;
	stock->view = view;
	stock->n_runs = stock->n_keys = stock->bytes = 0;
	collect(stock, source, i);
	if (!stock->n_runs)
		return;
	join_runs(stock);
	read_runs(stock, source);
}

const void *update_stock_find(const struct update_stock *stock,
			      struct block_device *bdev, u64 at, u32 len)
{
	const struct update_run *run = stock->run;

	for (; run < stock->run + stock->n_runs; run++)
		if (run->bdev == bdev && at >= run->at && at + len <= run->end)
			return run->found + (at - run->at);
	return NULL;
}

void update_stock_begin(struct update_stock *stock, u64 end)
{
	stock->end = end;
	stock->first = stock->behind = stock->n_runs = 0;
}

/* ---- making -------------------------------------------------------------- */

/* Chunks of version 0 lean on nothing. */
static size_t old_room(const struct update_source *source)
{
	return source->version ? update_old_room(source, OLD_BYTES) : 0;
}

size_t update_stock_memory(const struct update_source *source)
{
	return sizeof(struct update_stock) +
	       update_read_room(source->diff, DIFF_BYTES) + old_room(source);
}

void update_stock_destroy(struct update_stock *stock)
{
	if (!stock)
		return;
	kvfree(stock->old);
	kvfree(stock->window.buf);
	kvfree(stock);
}

struct update_stock *update_stock_create(const struct update_source *source)
{
	struct update_stock *stock;

	if (update_packed_most(source) > DIFF_BYTES)
		return NULL;
	stock = kvzalloc(sizeof(*stock), GFP_KERNEL);
	if (!stock)
		return NULL;
	stock->window.room = DIFF_BYTES;
	stock->window.buf = kvmalloc(update_read_room(source->diff, DIFF_BYTES),
				     GFP_KERNEL);
	stock->old_room = old_room(source);
	if (stock->old_room)
		stock->old = kvmalloc(stock->old_room, GFP_KERNEL);
	if (stock->window.buf && (stock->old || !stock->old_room))
		return stock;
	update_stock_destroy(stock);
	return NULL;
}
