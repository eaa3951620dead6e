// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compresses the chunks, each piece alone, against old bytes of its own, on all
 * processors.
 * A chunk's bytes depend on nothing but the images and the options, and each
 * waits in its own place, so the file does not depend on the scheduling.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "diff-number.h"
#include "diff-plan.h"
#include "err.h"
#include "progress.h"

struct pool {
	const struct plan *plan;
	const struct index *index;
	pthread_mutex_t lock;
	pthread_cond_t finished; /* one more chunk, or a failure */
	uint32_t next, done;
	uint64_t held; /* bytes of all chunks that are stored */
	int failed;
};

/* What one thread works with. */
struct worker {
	const struct plan *plan;
	struct window *window;
	ZSTD_CCtx *zstd;
	uint8_t *bytes, *prefix, *frame;
	size_t room;		    /* of frame */
	uint8_t *stored;	    /* of all pieces, one behind the other */
	struct update1_chunk chunk; /* as its header will say */
};

/* ---- one chunk ----------------------------------------------------------- */

static void gather_prefix(struct worker *w, const struct update1_piece *piece)
{
	uint8_t *to = w->prefix;

	for (uint32_t i = piece->first; i < piece->end; i++) {
		const struct update1_range *range = &w->chunk.ranges[i];

		images_trim();
		memcpy(to, w->plan->old->bytes + range->offset, range->len);
		to += range->len;
	}
}

/* RFC 8878, 3.1.1.1: magic, descriptor, window, dictionary, content size. */
static uint32_t frame_header_size(const uint8_t *frame)
{
	static const uint32_t dictionary[] = { 0, 1, 2, 4 };
	static const uint32_t content[] = { 0, 2, 4, 8 };
	uint8_t descriptor = frame[4];
	bool single = descriptor & 32;
	uint32_t size = 5 + !single + dictionary[descriptor & 3];

	if (descriptor >> 6 == 0)
		return size + single;
	return size + content[descriptor >> 6];
}

/*
 * Compresses @len bytes behind the prefix to w->frame, which is not ended: no
 * block is the last one. Its size, or 0 after error().
 */
static uint32_t compress(struct worker *w, const uint8_t *bytes, uint32_t len,
			 uint32_t prefix)
{
	ZSTD_outBuffer out = { w->frame, w->room, 0 };
	ZSTD_inBuffer in = { bytes, len, 0 };
	size_t left = ZSTD_CCtx_reset(w->zstd, ZSTD_reset_session_only);

	if (!ZSTD_isError(left))
		left = ZSTD_CCtx_setPledgedSrcSize(w->zstd, len);
	if (!ZSTD_isError(left) && prefix)
		left = ZSTD_CCtx_refPrefix(w->zstd, w->prefix, prefix);
	if (!ZSTD_isError(left))
		left = ZSTD_compressStream2(w->zstd, &out, &in, ZSTD_e_flush);
	if (!left)
		return out.pos;
	error("cannot compress %u bytes: %s", len,
	      ZSTD_isError(left) ? ZSTD_getErrorName(left) : "no room");
	return 0;
}

/* What is left of a chunk's share is shared by the pieces that are left. */
static struct window_room room_for(const struct worker *w, uint32_t pieces)
{
	return (struct window_room){
		.ranges = (WINDOW_RANGES - w->chunk.n_ranges) / pieces,
		.bytes = (w->plan->prefix_bytes - w->chunk.prefix) / pieces,
	};
}

static void choose_prefix(struct worker *w, const struct plan_chunk *chunk,
			  uint32_t number, uint32_t first_block,
			  uint32_t n_blocks)
{
	struct update1_piece *piece = &w->chunk.pieces[number];
	struct window_room room = room_for(w, w->chunk.n_pieces - number);
	uint32_t n =
		window_choose(w->window, chunk->blocks + first_block, n_blocks,
			      chunk->epoch,
			      w->bytes + (first_block << w->plan->block_bits),
			      &room, w->chunk.ranges + w->chunk.n_ranges);

	piece->first = w->chunk.n_ranges;
	piece->end = w->chunk.n_ranges += n;
	piece->prefix = 0;
	for (uint32_t i = piece->first; i < piece->end; i++)
		piece->prefix += w->chunk.ranges[i].len;
	w->chunk.prefix += piece->prefix;
}

/* Piece @number, stored behind @at bytes of others. Its bytes, or 0. */
static uint32_t pack_piece(struct worker *w, const struct plan_chunk *chunk,
			   uint32_t number, uint32_t at)
{
	struct update1_piece *piece = &w->chunk.pieces[number];
	uint32_t most = w->plan->piece_bytes >> w->plan->block_bits;
	uint32_t first = number * most, n = chunk->n_blocks - first;
	const uint8_t *bytes = w->bytes + (first << w->plan->block_bits);
	uint32_t len, size, skip;

	n = n < most ? n : most;
	len = n << w->plan->block_bits;
	choose_prefix(w, chunk, number, first, n);
	gather_prefix(w, piece);
	size = compress(w, bytes, len, piece->prefix);
	if (!size)
		return 0;
	skip = frame_header_size(w->frame);
	piece->stored = size - skip;
	piece->crc = plat_crc32c(~0u, bytes, len);
	memcpy(w->stored + at, w->frame + skip, piece->stored);
	return piece->stored;
}

static uint8_t *put_crc(uint8_t *to, uint32_t crc)
{
	__le32 le = cpu_to_le32(crc);

	memcpy(to, &le, sizeof(le));
	return to + sizeof(le);
}

/* The header of the chunk into @head; its size. */
static uint32_t put_header(const struct update1_chunk *chunk, uint32_t blocks,
			   uint8_t *head)
{
	struct update1_chunk_head fixed;
	uint8_t *to = head + sizeof(fixed);
	uint64_t end = 0;

	to = put_number(to, blocks);
	for (uint32_t i = 0; i < chunk->n_pieces; i++) {
		const struct update1_piece *piece = &chunk->pieces[i];

		to = put_number(to, piece->end - piece->first);
		for (uint32_t k = piece->first; k < piece->end; k++) {
			const struct update1_range *range = &chunk->ranges[k];

			to = put_signed(to, (int64_t)(range->offset - end));
			to = put_number(to, range->len);
			end = range->offset + range->len;
		}
		to = put_number(to, piece->stored);
	}
	for (uint32_t i = 0; i < chunk->n_pieces; i++)
		to = put_crc(to, chunk->pieces[i].crc);
	fixed.size = cpu_to_le16((u16)(to - head));
	memcpy(head, &fixed, sizeof(fixed));
	put_crc(head, plat_crc32c(~0u, head + sizeof(fixed.crc),
				  to - head - sizeof(fixed.crc)));
	return to - head;
}

/* Header and pieces together, as they will be in the file. */
static int store(const struct worker *w, struct plan_chunk *chunk,
		 uint32_t pieces)
{
	uint8_t head[UPDATE1_MAX_HEADER];
	uint32_t size = put_header(&w->chunk, chunk->n_blocks, head);
	size_t ranges = w->chunk.n_ranges * sizeof(*chunk->ranges);

	chunk->size = size + pieces;
	chunk->stored = malloc(chunk->size);
	chunk->n_ranges = w->chunk.n_ranges;
	chunk->ranges = malloc(ranges + 1);
	if (!chunk->stored || !chunk->ranges)
		return error("out of memory for a chunk");
	memcpy(chunk->stored, head, size);
	memcpy(chunk->stored + size, w->stored, pieces);
	memcpy(chunk->ranges, w->chunk.ranges, ranges);
	return 0;
}

static int pack_chunk(struct worker *w, struct plan_chunk *chunk)
{
	uint32_t most = w->plan->piece_bytes >> w->plan->block_bits;
	uint32_t pieces = 0, n;

	for (uint32_t i = 0; i < chunk->n_blocks; i++)
		plan_get_block(w->plan, chunk->blocks[i],
			       w->bytes + (i << w->plan->block_bits));
	w->chunk.n_pieces = (chunk->n_blocks + most - 1) / most;
	w->chunk.n_ranges = w->chunk.prefix = 0;
	for (uint32_t i = 0; i < w->chunk.n_pieces; i++) {
		n = pack_piece(w, chunk, i, pieces);
		if (!n)
			return -1;
		pieces += n;
	}
	return store(w, chunk, pieces);
}

/* ---- threads ------------------------------------------------------------- */

static size_t frame_room(const struct plan *plan)
{
	return ZSTD_compressBound(plan->piece_bytes) + ZSTD_CStreamOutSize();
}

static int worker_begin(struct worker *w, const struct pool *pool)
{
	const struct plan *plan = pool->plan;

	memset(w, 0, sizeof(*w));
	w->plan = plan;
	w->room = frame_room(plan);
	w->window = window_new(plan, pool->index);
	w->zstd = ZSTD_createCCtx();
	w->bytes = malloc(plan->chunk_bytes);
	w->prefix = malloc(plan->prefix_bytes);
	w->frame = malloc(w->room);
	w->stored =
		malloc((plan->chunk_bytes / plan->piece_bytes + 1) * w->room);
	if (!w->window || !w->zstd || !w->bytes || !w->prefix || !w->frame ||
	    !w->stored)
		return error("out of memory for a thread");
	ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, plan->level);
	ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 0);
	return 0;
}

static void worker_end(struct worker *w)
{
	window_free(w->window);
	ZSTD_freeCCtx(w->zstd);
	free(w->bytes);
	free(w->prefix);
	free(w->frame);
	free(w->stored);
}

/* The next chunk for a thread, or NULL. Those that are stored are done. */
static struct plan_chunk *take(struct pool *pool)
{
	const struct plan *plan = pool->plan;
	struct plan_chunk *chunk = NULL;

	pthread_mutex_lock(&pool->lock);
	for (; pool->next < plan->n_chunks && plan->chunks[pool->next].stored;
	     pool->next++)
		pool->done++;
	if (!pool->failed && pool->next < plan->n_chunks)
		chunk = &plan->chunks[pool->next++];
	else
		pthread_cond_signal(&pool->finished);
	pthread_mutex_unlock(&pool->lock);
	return chunk;
}

/* A chunk was stored in so many bytes. */
static int hold(struct pool *pool, uint32_t bytes)
{
	uint64_t most = pool->plan->chunks_most;

	pool->held += bytes;
	if (!most || pool->held <= most || pool->failed)
		return 0;
	return error("the diff is larger than the %llu bytes that --memory "
		     "leaves for it",
		     (unsigned long long)most);
}

static void report(struct pool *pool, int failed, uint32_t bytes)
{
	pthread_mutex_lock(&pool->lock);
	pool->failed |= failed | hold(pool, bytes);
	pool->done++;
	pthread_cond_signal(&pool->finished);
	pthread_mutex_unlock(&pool->lock);
}

static void *work(void *arg)
{
	struct pool *pool = arg;
	struct worker *w = malloc(sizeof(*w));
	struct plan_chunk *chunk;

	if (!w || worker_begin(w, pool))
		report(pool, 1, 0);
	else
		while ((chunk = take(pool))) {
			int failed = pack_chunk(w, chunk);

			report(pool, failed, chunk->size);
		}
	if (w)
		worker_end(w);
	free(w);
	return NULL;
}

static void wait_all(struct pool *pool)
{
	progress_start("compressing", pool->plan->n_chunks);
	pthread_mutex_lock(&pool->lock);
	while (!pool->failed && pool->done < pool->plan->n_chunks) {
		pthread_cond_wait(&pool->finished, &pool->lock);
		progress_update(pool->done);
	}
	pthread_mutex_unlock(&pool->lock);
	if (!pool->failed)
		progress_end();
}

static int run(struct pool *pool, pthread_t *threads, unsigned int n)
{
	unsigned int started = 0;

	while (started < n &&
	       !pthread_create(&threads[started], NULL, work, pool))
		started++;
	if (started)
		wait_all(pool);
	else
		pool->failed = error("cannot start a thread");
	while (started)
		pthread_join(threads[--started], NULL);
	return pool->failed ? -1 : 0;
}

int plan_pack(struct plan *plan, const struct index *index)
{
	struct pool pool = { .plan = plan,
			     .index = index,
			     .held = plan->chunks_held,
			     .lock = PTHREAD_MUTEX_INITIALIZER,
			     .finished = PTHREAD_COND_INITIALIZER };
	unsigned int n = plan->threads;
	pthread_t *threads;
	int r;

	if (!n)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	threads = calloc(n, sizeof(*threads));
	if (!threads)
		return error("out of memory for %u threads", n);
	plat_crc32c(~0u, "", 0); /* makes its table before the threads do */
	r = run(&pool, threads, n);
	free(threads);
	plan->chunks_held = pool.held;
	return r;
}
