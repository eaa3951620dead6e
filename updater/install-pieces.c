// SPDX-License-Identifier: GPL-2.0-or-later
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "err.h"
#include "install-pieces.h"
#include "progress.h"

/* ---- a piece ------------------------------------------------------------- */

#define PIECE_TRIES 5 /* of a piece that a link damages */

/* Where piece i of a payload begins in the bundle. */
static uint64_t piece_at(const struct install *in, enum payload_kind kind,
			 u32 i)
{
	const struct payload *p = in->manifest.payload;
	uint64_t at = in->head.size;

	for (int before = 0; before < (int)kind; before++)
		at += bundle_padded(p[before].size);
	return at + (uint64_t)i * p[kind].piece_size;
}

static int fetch(struct install *in, enum payload_kind kind, u32 i, u32 at,
		 uint8_t *bytes, u32 len)
{
	return stream_seek(&in->stream, piece_at(in, kind, i) + at) ||
	       stream_read(&in->stream, bytes, len);
}

static int fetch_piece(struct install *in, enum payload_kind kind, u32 i,
		       uint8_t *bytes)
{
	const struct payload *p = &in->manifest.payload[kind];

	return fetch(in, kind, i, 0, bytes, bundle_padded(piece_len(p, i)));
}

/* A piece that is wrong, asked for again where a link damages it. */
static int mend_piece(struct install *in, enum payload_kind kind, u32 i,
		      uint8_t *bytes, const char *why)
{
	const struct payload *p = &in->manifest.payload[kind];
	const char *name = in->stream.name, *what = payload_title(kind);

	for (int tries = 1; tries < PIECE_TRIES; tries++) {
		if (!stream_again(&in->stream))
			break;
		say("piece %u of the %s in '%s' %s: asking for it again", i + 1,
		    what, name, why);
		if (fetch_piece(in, kind, i, bytes))
			return -1;
		why = bundle_wrong_piece(p, i, bytes);
		if (!why)
			return 0;
	}
	return error("piece %u of the %s in '%s' %s", i + 1, what, name, why);
}

int receive_piece(struct install *in, enum payload_kind kind, u32 i,
		  uint8_t *bytes)
{
	const char *why;

	if (fetch_piece(in, kind, i, bytes))
		return -1;
	why = bundle_wrong_piece(&in->manifest.payload[kind], i, bytes);
	return why ? mend_piece(in, kind, i, bytes, why) : 0;
}

/* ---- pieces that are looked at beside the rest --------------------------- */

#define LOOKS	3 /* pieces under way: one arrives or leaves, */
#define THREADS 2 /* the others are looked at */

struct look {
	u32 piece;
	uint8_t *bytes;	 /* padded */
	bool over;	 /* it was looked at, and */
	const char *why; /* they are wrong, or NULL */
};

/* A payload on its way: pieces arrive, are looked at by threads, and leave. */
struct way {
	struct install *in;
	enum payload_kind kind;
	const struct payload *payload;
	struct dev *dev;
	uint64_t offset;
	void (*how)(const struct way *w, struct look *l);
	pthread_t thread[THREADS];
	unsigned int n_threads;

	/* The lock is over these, and over what is over. */
	pthread_mutex_t lock;
	pthread_cond_t arrived, looked_at;
	struct look looks[LOOKS];
	u32 put, begun, taken; /* pieces so far */
	bool closed;
};

static struct look *turn(struct way *w, u32 n)
{
	return &w->looks[n % LOOKS];
}

static void look_at(struct way *w, struct look *l)
{
	pthread_mutex_unlock(&w->lock);
	w->how(w, l);
	pthread_mutex_lock(&w->lock);
	l->over = true;
	pthread_cond_signal(&w->looked_at);
}

static void *look(void *arg)
{
	struct way *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->closed)
		if (w->begun == w->put)
			pthread_cond_wait(&w->arrived, &w->lock);
		else
			look_at(w, turn(w, w->begun++));
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* A piece has arrived in turn(w, w->put). */
static void put(struct way *w, u32 piece)
{
	struct look *l = turn(w, w->put);

	l->piece = piece;
	l->over = false;
	pthread_mutex_lock(&w->lock);
	w->put++;
	pthread_cond_signal(&w->arrived);
	pthread_mutex_unlock(&w->lock);
}

/* Where no thread is to be had nothing is lost but time. */
static bool looked_at(struct way *w, const struct look *l, bool wait)
{
	bool over;

	pthread_mutex_lock(&w->lock);
	if (wait && !w->n_threads)
		look_at(w, turn(w, w->begun++));
	while (wait && !l->over)
		pthread_cond_wait(&w->looked_at, &w->lock);
	over = l->over;
	pthread_mutex_unlock(&w->lock);
	return over;
}

/*
 * The first under way, looked at; NULL: it may stay. It must leave when others
 * wait for its place, or when they are the last.
 */
static struct look *take(struct way *w, bool last)
{
	struct look *l = turn(w, w->taken);

	if (w->taken == w->put ||
	    !looked_at(w, l, last || w->put - w->taken == LOOKS))
		return NULL;
	w->taken++;
	return l;
}

/* The first look has the buffer of the installation. */
static void free_looks(struct way *w)
{
	for (int i = 1; w && i < LOOKS; i++)
		free(w->looks[i].bytes);
	free(w);
}

static void way_close(struct way *w)
{
	pthread_mutex_lock(&w->lock);
	w->closed = true;
	pthread_cond_broadcast(&w->arrived);
	pthread_mutex_unlock(&w->lock);
	while (w->n_threads)
		pthread_join(w->thread[--w->n_threads], NULL);
	free_looks(w);
}

static int allot(struct way *w)
{
	w->looks[0].bytes = w->in->buf;
	for (int i = 1; i < LOOKS; i++) {
		w->looks[i].bytes =
			malloc(bundle_padded(w->payload->piece_size));
		if (!w->looks[i].bytes)
			return -1;
	}
	return 0;
}

/* What is hashed in milliseconds needs no thread. */
static void start_threads(struct way *w)
{
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->arrived, NULL);
	pthread_cond_init(&w->looked_at, NULL);
	while (w->n_threads < THREADS && w->payload->size > MANIFEST_PIECE &&
	       !pthread_create(&w->thread[w->n_threads], NULL, look, w))
		w->n_threads++;
}

static struct way *way_open(struct install *in, enum payload_kind kind,
			    struct dev *dev, uint64_t offset,
			    void (*how)(const struct way *w, struct look *l))
{
	struct way *w = calloc(1, sizeof(*w));

	if (!w)
		goto no_memory;
	w->in = in;
	w->kind = kind;
	w->payload = &in->manifest.payload[kind];
	w->dev = dev;
	w->offset = offset;
	w->how = how;
	if (allot(w))
		goto no_memory;
	start_threads(w);
	return w;

no_memory:
	free_looks(w);
	error("out of memory for the %s", payload_title(kind));
	return NULL;
}

static uint64_t place(const struct way *w, u32 i)
{
	return w->offset + (uint64_t)i * w->payload->piece_size;
}

/* ---- to the device ------------------------------------------------------- */

static void look_at_fetched(const struct way *w, struct look *l)
{
	l->why = bundle_wrong_piece(w->payload, l->piece, l->bytes);
}

/* failed: the stream has, and error() said so. Nothing more is asked for. */
static int write_piece(struct way *w, const struct look *l, int failed)
{
	uint32_t len = piece_len(w->payload, l->piece);

	if (l->why &&
	    (failed || mend_piece(w->in, w->kind, l->piece, l->bytes, l->why)))
		return -1;
	w->in->sums[w->kind][l->piece] = crc32(0, l->bytes, len);
	return dev_write(w->dev, place(w, l->piece), l->bytes,
			 bundle_padded(len));
}

/* Those that leave. */
static int write_pieces(struct way *w, bool last, int failed)
{
	struct look *l;

	while ((l = take(w, last)))
		if (write_piece(w, l, failed))
			return -1;
	return 0;
}

/* On a slow link a piece that is right does not wait for the whole next one. */
#define PART (64u << 10)

static int fetch_part(struct way *w, u32 i, u32 at)
{
	u32 left = bundle_padded(piece_len(w->payload, i)) - at;

	progress_update((uint64_t)i * w->payload->piece_size + at);
	if (w->in->first_read)
		return 0;
	return fetch(w->in, w->kind, i, at, turn(w, w->put)->bytes + at,
		     left < PART ? left : PART);
}

static int receive_pieces(struct way *w)
{
	int failed = 0;

	for (u32 i = w->in->there[w->kind]; !failed && i < w->payload->n_pieces;
	     i++) {
		u32 len = piece_len(w->payload, i);

		for (u32 at = 0; !failed && at < len; at += PART) {
			if (write_pieces(w, false, 0))
				return -1;
			failed = fetch_part(w, i, at);
		}
		if (!failed)
			put(w, i);
		w->in->first_read = false;
	}
	return write_pieces(w, true, failed) || failed ? -1 : 0;
}

int receive_payload(struct install *in, enum payload_kind kind, struct dev *dev,
		    uint64_t offset)
{
	const struct payload *p = &in->manifest.payload[kind];
	struct way *w = way_open(in, kind, dev, offset, look_at_fetched);
	char what[32];
	int r;

	if (!w)
		return -1;
	in->sums[kind] = calloc(p->n_pieces, sizeof(*in->sums[kind]));
	if (!in->sums[kind]) {
		way_close(w);
		return error("out of memory for %u pieces", p->n_pieces);
	}
	snprintf(what, sizeof(what), "writing the %s", payload_title(kind));
	progress_start(what, p->size);
	r = receive_pieces(w);
	if (!r)
		progress_end();
	way_close(w);
	return r;
}

/* ---- and back ------------------------------------------------------------ */

/*
 * Of what this installation wrote, a sum is known that costs less than the
 * hash, which was right a moment ago.
 */
static void look_at_read(const struct way *w, struct look *l)
{
	const struct payload *p = w->payload;
	uint32_t len = piece_len(p, l->piece);
	uint8_t hash[HASH_SIZE];
	bool same;

	if (l->piece < w->in->there[w->kind]) {
		sha256(l->bytes, len, hash);
		same = !memcmp(hash, p->piece[l->piece], HASH_SIZE);
	} else {
		same = crc32(0, l->bytes, len) ==
		       w->in->sums[w->kind][l->piece];
	}
	l->why = same ? NULL : "differs";
}

static int read_next(struct way *w, u32 i)
{
	progress_update((uint64_t)i * w->payload->piece_size);
	return dev_read(w->dev, place(w, i), turn(w, w->put)->bytes,
			piece_len(w->payload, i));
}

static int check_pieces(struct way *w, bool last)
{
	const struct look *l;

	while ((l = take(w, last)))
		if (l->why)
			return error("'%s' does not hold what was written: "
				     "piece %u of the %s %s",
				     dev_name(w->dev), l->piece + 1,
				     payload_title(w->kind), l->why);
	return 0;
}

static int compare_pieces(struct way *w)
{
	for (u32 i = 0; i < w->payload->n_pieces; i++) {
		if (check_pieces(w, false) || read_next(w, i))
			return -1;
		put(w, i);
	}
	return check_pieces(w, true);
}

int compare_payload(struct install *in, enum payload_kind kind, struct dev *dev,
		    uint64_t offset)
{
	struct way *w = way_open(in, kind, dev, offset, look_at_read);
	int r;

	if (!w)
		return -1;
	progress_start("reading it back", w->payload->size);
	r = compare_pieces(w);
	if (!r)
		progress_end();
	way_close(w);
	return r;
}
