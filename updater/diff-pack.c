// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compresses the chunks, each against old bytes of its own, on all processors.
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
	size_t room; /* of frame */
	struct update1_range ranges[UPDATE1_MAX_RANGES];
	uint32_t piece_ends[UPDATE1_MAX_PIECES]; /* in frame */
};

/* ---- one chunk ----------------------------------------------------------- */

static uint32_t gather_prefix(struct worker *w, uint32_t n_ranges)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < n_ranges; i++) {
		images_trim();
		memcpy(w->prefix + len,
		       w->plan->old->bytes + w->ranges[i].offset,
		       w->ranges[i].len);
		len += w->ranges[i].len;
	}
	return len;
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

/* Compresses @len bytes in pieces; how many, or 0 after error(). */
static uint32_t compress_pieces(struct worker *w, uint32_t len, uint32_t prefix)
{
	ZSTD_outBuffer out = { w->frame, w->room, 0 };
	uint32_t n = 0, piece = w->plan->piece_bytes;
	size_t left = ZSTD_CCtx_reset(w->zstd, ZSTD_reset_session_only);

	if (!ZSTD_isError(left))
		left = ZSTD_CCtx_setPledgedSrcSize(w->zstd, len);
	if (!ZSTD_isError(left) && prefix)
		left = ZSTD_CCtx_refPrefix(w->zstd, w->prefix, prefix);
	for (uint32_t at = 0; !ZSTD_isError(left) && at < len; at += piece) {
		ZSTD_inBuffer in = { w->bytes + at,
				     len - at < piece ? len - at : piece, 0 };

		left = ZSTD_compressStream2(w->zstd, &out, &in, ZSTD_e_flush);
		if (left)
			break;
		w->piece_ends[n++] = out.pos;
	}
	if (!left)
		return n;
	error("cannot compress %u bytes: %s", len,
	      ZSTD_isError(left) ? ZSTD_getErrorName(left) : "no room");
	return 0;
}

static uint8_t *put_crc(uint8_t *to, uint32_t crc)
{
	__le32 le = cpu_to_le32(crc);

	memcpy(to, &le, sizeof(le));
	return to + sizeof(le);
}

/* The header of a chunk into @head; its size. */
static uint32_t put_header(const struct worker *w, uint8_t *head,
			   const struct plan_chunk *chunk, uint32_t n_ranges,
			   uint32_t n_pieces)
{
	uint32_t from = frame_header_size(w->frame), piece;
	uint32_t left = chunk->n_blocks << w->plan->block_bits;
	struct update1_chunk_head fixed;
	uint8_t *to = head + sizeof(fixed);
	uint64_t end = 0;

	to = put_number(to, chunk->n_blocks);
	to = put_number(to, n_ranges);
	for (uint32_t i = 0; i < n_ranges; i++) {
		to = put_signed(to, (int64_t)(w->ranges[i].offset - end));
		to = put_number(to, w->ranges[i].len);
		end = w->ranges[i].offset + w->ranges[i].len;
	}
	for (uint32_t i = 0; i < n_pieces; from = w->piece_ends[i++])
		to = put_number(to, w->piece_ends[i] - from);
	for (uint32_t i = 0; i < n_pieces; i++, left -= piece) {
		piece = left < w->plan->piece_bytes ? left
						    : w->plan->piece_bytes;
		to = put_crc(to,
			     plat_crc32c(~0u,
					 w->bytes + i * w->plan->piece_bytes,
					 piece));
	}
	fixed.size = cpu_to_le16((u16)(to - head));
	memcpy(head, &fixed, sizeof(fixed));
	put_crc(head, plat_crc32c(~0u, head + sizeof(fixed.crc),
				  to - head - sizeof(fixed.crc)));
	return to - head;
}

/* Header and pieces together, as they will be in the file. */
static int store(const struct worker *w, struct plan_chunk *chunk,
		 uint32_t n_ranges, uint32_t n_pieces)
{
	uint8_t head[UPDATE1_MAX_HEADER];
	uint32_t size = put_header(w, head, chunk, n_ranges, n_pieces);
	uint32_t skip = frame_header_size(w->frame);
	uint32_t pieces = w->piece_ends[n_pieces - 1] - skip;

	chunk->size = size + pieces;
	chunk->stored = malloc(chunk->size);
	chunk->n_ranges = n_ranges;
	chunk->ranges = malloc((n_ranges + 1) * sizeof(*chunk->ranges));
	if (!chunk->stored || !chunk->ranges)
		return error("out of memory for a chunk");
	memcpy(chunk->stored, head, size);
	memcpy(chunk->stored + size, w->frame + skip, pieces);
	memcpy(chunk->ranges, w->ranges, n_ranges * sizeof(*w->ranges));
	return 0;
}

static int pack_chunk(struct worker *w, struct plan_chunk *chunk)
{
	uint32_t len = chunk->n_blocks << w->plan->block_bits, ranges, pieces;

	for (uint32_t i = 0; i < chunk->n_blocks; i++)
		plan_get_block(w->plan, chunk->blocks[i],
			       w->bytes + (i << w->plan->block_bits));
	ranges = window_choose(w->window, chunk, w->bytes, w->ranges);
	pieces = compress_pieces(w, len, gather_prefix(w, ranges));
	return pieces ? store(w, chunk, ranges, pieces) : -1;
}

/* ---- threads ------------------------------------------------------------- */

/* More than one compressed block a piece is never needed for these. */
static size_t frame_room(const struct plan *plan)
{
	return ZSTD_compressBound(plan->chunk_bytes) +
	       plan->chunk_bytes / plan->piece_bytes * ZSTD_compressBound(0) +
	       ZSTD_CStreamOutSize();
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
	if (!w->window || !w->zstd || !w->bytes || !w->prefix || !w->frame)
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
