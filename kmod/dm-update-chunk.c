// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cpumask.h>
#include <linux/hash.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "dm-update-chunk.h"

#define MEMORY_BYTES (2u << 20) /* of all, if that is enough for the least */
#define LEAST_SLOTS  3
#define GOOD_SLOTS   8 /* before there are more decoders than CPUs */
#define MAX_SLOTS    32
#define MAX_DECODERS 16
#define HASH_BITS    5

/*
 * A place for one decompressed chunk. LOADING: one user fills it, the others
 * wait. FAILED: its users get the error, new ones try again elsewhere. Only a
 * slot without users changes its chunk. One that has too little of its chunk
 * leaves the table, so that the users it has keep it while others fill more.
 */
enum slot_state { SLOT_EMPTY, SLOT_LOADING, SLOT_READY, SLOT_FAILED };

struct slot {
	struct list_head idle;	/* while it has no user */
	struct hlist_node node; /* in the table, LOADING or READY */
	struct work_struct work;
	struct update_reader *reader;
	enum slot_state state;
	struct update_ref chunk;
	struct update_span span; /* that is, or at least will be, valid */
	bool whole;		 /* all of the chunk is, or will be */
	unsigned int users;
	int error;
	void *data;
};

struct update_reader {
	struct update_source *source;
	struct workqueue_struct *wq; /* fills slots ahead of their readers */

	struct semaphore free; /* counts idle decoders: each wakes one waiter */
	wait_queue_head_t room; /* a slot became idle */
	spinlock_t lock;	/* of what follows */
	struct list_head idle;	/* slots, longest unused first */
	unsigned int n_idle;
	struct hlist_head table[1 << HASH_BITS];
	struct list_head decoders; /* idle ones */
	struct update_reader_counts counts;

	struct slot slot[MAX_SLOTS];
	unsigned int n_slots;
	struct update_decoder decoder[MAX_DECODERS];
	unsigned int n_decoders;
};

/* ---- decoders ----------------------------------------------------------- */

/* The one that has the chunk, or the one unused for longest. Lock held. */
static struct update_decoder *choose_decoder(struct update_reader *reader,
					     const struct update_ref *chunk)
{
	struct update_decoder *decoder;

	list_for_each_entry (decoder, &reader->decoders, list)
		if (chunk &&
		    update_window_has(&decoder->window, reader->source, chunk))
			return decoder;
	return list_last_entry(&reader->decoders, struct update_decoder, list);
}

struct update_decoder *update_decoder_get(struct update_reader *reader,
					  const struct update_ref *chunk)
{
	struct update_decoder *decoder;

	down(&reader->free);
	spin_lock(&reader->lock);
	decoder = choose_decoder(reader, chunk);
	list_del(&decoder->list);
	spin_unlock(&reader->lock);
	return decoder;
}

void update_decoder_put(struct update_reader *reader,
			struct update_decoder *decoder)
{
	spin_lock(&reader->lock);
	list_add(&decoder->list, &reader->decoders);
	spin_unlock(&reader->lock);
	up(&reader->free);
}

/* ---- slots; the lock is held -------------------------------------------- */

static struct hlist_head *bucket(struct update_reader *reader,
				 const struct update_ref *chunk)
{
	return &reader->table[hash_64(chunk->key, HASH_BITS)];
}

static struct slot *find_chunk(struct update_reader *reader,
			       const struct update_ref *chunk)
{
	struct slot *slot;

	hlist_for_each_entry(slot, bucket(reader, chunk),
			     node) if (slot->chunk.key ==
				       chunk->key) return slot;
	return NULL;
}

static void hold(struct update_reader *reader, struct slot *slot)
{
	if (slot->users++)
		return;
	list_del_init(&slot->idle);
	reader->n_idle--;
}

static void release(struct update_reader *reader, struct slot *slot)
{
	if (--slot->users)
		return;
	/* What cannot be found again is the first to be taken. */
	if (hlist_unhashed(&slot->node))
		list_add(&slot->idle, &reader->idle);
	else
		list_add_tail(&slot->idle, &reader->idle);
	reader->n_idle++;
}

/* Takes, held, the slot that nobody uses since the longest time, or NULL. */
static struct slot *claim_slot(struct update_reader *reader,
			       const struct update_ref *chunk,
			       struct update_span span, bool whole)
{
	struct slot *slot =
		list_first_entry_or_null(&reader->idle, struct slot, idle);

	if (!slot)
		return NULL;
	hold(reader, slot);
	hlist_del_init(&slot->node);
	hlist_add_head(&slot->node, bucket(reader, chunk));
	slot->chunk = *chunk;
	slot->span = span;
	slot->whole = whole;
	slot->state = SLOT_LOADING;
	slot->error = 0;
	return slot;
}

static bool covers(const struct slot *slot, struct update_span span)
{
	return slot->span.from <= span.from && slot->span.end >= span.end;
}

/*
 * The slot of @chunk, held, or NULL if there is no room. It may have to be
 * filled, by the caller if *mine; or may be about to get less than @span.
 */
static struct slot *hold_chunk(struct update_reader *reader,
			       const struct update_ref *chunk,
			       struct update_span span, bool whole, bool *mine)
{
	struct slot *slot = find_chunk(reader, chunk);

	*mine = false;
	if (slot && (slot->state == SLOT_LOADING || slot->whole ||
		     (covers(slot, span) && !whole))) {
		hold(reader, slot);
		return slot;
	}
	if (list_empty(&reader->idle))
		return NULL;
	*mine = true;
	if (slot) /* asked for again, and for more: get all of it */
		hlist_del_init(&slot->node);
	return claim_slot(reader, chunk, span, whole || slot);
}

/* ---- filling ------------------------------------------------------------ */

/* What a lone read wants is read before a decoder is taken. */
static int decode(struct update_reader *reader, struct slot *slot,
		  const struct update_want *want, struct update_span *span)
{
	struct update_source *source = reader->source;
	struct update_want all = *want;
	struct update_decoder *decoder;
	void *fetched = NULL;
	int r;

	all.whole = slot->whole;
	if (!slot->whole)
		fetched = update_fetch(source, &slot->chunk, slot->data);
	if (IS_ERR(fetched))
		return PTR_ERR(fetched);
	decoder = update_decoder_get(reader, &slot->chunk);
	r = update_decode(source, decoder, &slot->chunk, span, &all, fetched,
			  slot->data);
	update_decoder_put(reader, decoder);
	return r;
}

static void fill_slot(struct update_reader *reader, struct slot *slot,
		      const struct update_want *want)
{
	struct update_span span = slot->span;
	int r = decode(reader, slot, want, &span);

	spin_lock(&reader->lock);
	if (r) {
		slot->error = r;
		hlist_del_init(&slot->node);
		reader->counts.errors++;
	} else {
		slot->span = span;
		reader->counts.decoded++;
		reader->counts.bytes += span.end - span.from;
	}
	/* Pairs with the acquire of those who wait. */
	smp_store_release(&slot->state, r ? SLOT_FAILED : SLOT_READY);
	spin_unlock(&reader->lock);
	smp_mb(); /* the state before the look for who waits for it */
	wake_up_var(&slot->state);
}

static void put_slot(struct update_reader *reader, struct slot *slot)
{
	spin_lock(&reader->lock);
	release(reader, slot);
	spin_unlock(&reader->lock);
	if (wq_has_sleeper(&reader->room))
		wake_up_all(&reader->room);
}

static void fill_ahead(struct work_struct *work)
{
	struct slot *slot = container_of(work, struct slot, work);
	struct update_view *view = &slot->reader->source->view;
	struct update_want want = { .view = update_view_enter(view) };

	fill_slot(slot->reader, slot, &want);
	update_view_leave(view, want.view);
	put_slot(slot->reader, slot);
}

/* ---- what readers call -------------------------------------------------- */

const void *update_chunk_get(struct update_reader *reader,
			     const struct update_ref *chunk,
			     struct update_span span,
			     const struct update_want *want)
{
	struct slot *slot;
	bool mine;
	int r;

	for (;;) {
		spin_lock(&reader->lock);
		slot = hold_chunk(reader, chunk, span, want->whole, &mine);
		spin_unlock(&reader->lock);
		if (!slot) {
			wait_event(reader->room, READ_ONCE(reader->n_idle));
			continue;
		}
		if (mine)
			fill_slot(reader, slot, want);
		else
			wait_var_event(&slot->state,
				       smp_load_acquire(&slot->state) !=
					       SLOT_LOADING);
		r = slot->error;
		if (!r && covers(slot, span))
			return slot->data;
		/* All that the chunk has is not enough. */
		if (!r && slot->whole)
			r = -EBADMSG;
		put_slot(reader, slot);
		if (r)
			return ERR_PTR(r);
	}
}

const void *update_chunk_try(struct update_reader *reader,
			     const struct update_ref *chunk,
			     struct update_span span)
{
	const void *data = NULL;
	struct slot *slot;

	spin_lock(&reader->lock);
	slot = find_chunk(reader, chunk);
	if (slot && slot->state == SLOT_READY && covers(slot, span)) {
		hold(reader, slot);
		data = slot->data;
	}
	spin_unlock(&reader->lock);
	return data;
}

void update_chunk_put(struct update_reader *reader, const void *data)
{
	struct slot *slot = reader->slot;

	while (slot->data != data)
		slot++;
	put_slot(reader, slot);
}

/* A slot is left for whoever cannot wait. */
void update_chunk_ahead(struct update_reader *reader,
			const struct update_ref *chunk, struct update_span span,
			bool whole)
{
	struct slot *slot = NULL;
	bool mine = false;

	spin_lock(&reader->lock);
	if (reader->n_idle > 1)
		slot = hold_chunk(reader, chunk, span, whole, &mine);
	if (slot && !mine)
		release(reader, slot);
	spin_unlock(&reader->lock);
	if (mine)
		queue_work(reader->wq, &slot->work);
}

void update_chunk_settle(struct update_reader *reader)
{
	flush_workqueue(reader->wq);
}

void update_reader_count(struct update_reader *reader,
			 struct update_reader_counts *counts)
{
	spin_lock(&reader->lock);
	*counts = reader->counts;
	spin_unlock(&reader->lock);
}

/* ---- making ------------------------------------------------------------- */

/* How many decoders there is room for beside so many slots. */
static unsigned int decoders_beside(struct update_reader *reader,
				    unsigned int slots)
{
	size_t taken = reader->counts.memory +
		       slots * (size_t)reader->source->chunk_bytes;

	return (MEMORY_BYTES - min_t(size_t, MEMORY_BYTES, taken)) /
	       update_decoder_memory(reader->source);
}

static unsigned int count_decoders(struct update_reader *reader)
{
	unsigned int cpus = num_online_cpus();
	unsigned int n = min(cpus, decoders_beside(reader, LEAST_SLOTS));

	/* While one waits for the diff, the CPUs have work. */
	if (decoders_beside(reader, GOOD_SLOTS) > cpus)
		n = cpus + 1;
	return clamp(n, 1u, MAX_DECODERS + 0u);
}

static int make_decoders(struct update_reader *reader)
{
	size_t each = update_decoder_memory(reader->source);
	unsigned int n = count_decoders(reader);

	for (; reader->n_decoders < n; reader->n_decoders++) {
		struct update_decoder *decoder =
			&reader->decoder[reader->n_decoders];

		if (update_decoder_init(decoder, reader->source))
			return -ENOMEM;
		list_add(&decoder->list, &reader->decoders);
		reader->counts.memory += each;
	}
	sema_init(&reader->free, n);
	return 0;
}

static int make_slots(struct update_reader *reader)
{
	u32 chunk = reader->source->chunk_bytes;
	size_t used = reader->counts.memory;
	unsigned int n =
		used < MEMORY_BYTES ? (MEMORY_BYTES - used) / chunk : 0;

	n = clamp(n, LEAST_SLOTS + 0u, MAX_SLOTS + 0u);
	for (; reader->n_slots < n; reader->n_slots++) {
		struct slot *slot = &reader->slot[reader->n_slots];

		slot->data = kvmalloc(chunk, GFP_KERNEL);
		if (!slot->data)
			return -ENOMEM;
		slot->reader = reader;
		INIT_WORK(&slot->work, fill_ahead);
		list_add(&slot->idle, &reader->idle);
		reader->counts.memory += chunk;
	}
	reader->n_idle = n;
	return 0;
}

struct update_reader *update_reader_create(struct update_source *source)
{
	struct update_reader *reader = kzalloc(sizeof(*reader), GFP_KERNEL);

	if (!reader)
		return ERR_PTR(-ENOMEM);
	reader->source = source;
	reader->counts.memory = sizeof(*reader);
	spin_lock_init(&reader->lock);
	init_waitqueue_head(&reader->room);
	INIT_LIST_HEAD(&reader->idle);
	INIT_LIST_HEAD(&reader->decoders);
	if (make_decoders(reader) || make_slots(reader))
		goto destroy;
	reader->wq =
		alloc_workqueue("dm-update-ahead", WQ_MEM_RECLAIM | WQ_UNBOUND,
				reader->n_decoders);
	if (reader->wq)
		return reader;
destroy:
	update_reader_destroy(reader);
	return ERR_PTR(-ENOMEM);
}

void update_reader_destroy(struct update_reader *reader)
{
	if (reader->wq)
		destroy_workqueue(reader->wq);
	while (reader->n_decoders)
		update_decoder_exit(&reader->decoder[--reader->n_decoders]);
	while (reader->n_slots)
		kvfree(reader->slot[--reader->n_slots].data);
	kfree(reader);
}

struct update_source *update_reader_source(struct update_reader *reader)
{
	return reader->source;
}

unsigned int update_reader_slots(const struct update_reader *reader)
{
	return reader->n_slots;
}
