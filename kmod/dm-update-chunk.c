// SPDX-License-Identifier: GPL-2.0-only
#include <linux/device-mapper.h>
#include <linux/dm-io.h>
#include <linux/lz4.h>
#include <linux/mutex.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/zstd.h>

#include "dm-update-chunk.h"

#define DM_MSG_PREFIX "update"

#define CACHE_BYTES (1u << 20) /* of chunks, if that is enough slots */
#define MAX_SLOTS   16

/*
 * A place for one decompressed chunk. LOADING: one user fills it, the others
 * wait. FAILED: its users get the error, new ones try again elsewhere. Only a
 * slot without users changes its chunk.
 */
enum slot_state { SLOT_EMPTY, SLOT_LOADING, SLOT_READY, SLOT_FAILED };

struct slot {
	struct list_head list; /* longest unused first */
	enum slot_state state;
	u32 chunk;
	unsigned int users;
	int error;
	void *data;
};

/* What one thread needs to read and decompress a chunk. */
struct decoder {
	struct list_head list;
	void *packed; /* vmalloc: dm-io reads into it */
	void *workspace;
	zstd_dctx *zstd;
};

struct update_reader {
	struct block_device *bdev;
	struct dm_io_client *io;
	struct update_dir dir;
	unsigned long errors;

	struct mutex lock;	/* of what follows; never held across I/O */
	wait_queue_head_t wait; /* a slot or a decoder changed */
	struct list_head slots;
	struct list_head decoders; /* idle ones */
	unsigned int idle_slots;
	struct slot slot[MAX_SLOTS];
	unsigned int n_slots;
	unsigned int n_decoders;
	struct decoder decoder[];
};

/* ---- reading bytes of the diff ------------------------------------------ */

static size_t packed_room(struct block_device *bdev, u32 size)
{
	return round_up(size, 512) + 2 * bdev_logical_block_size(bdev);
}

/*
 * Reads @len bytes at @offset, which need no alignment, by way of @buf, a
 * vmalloc buffer of packed_room(len) bytes. Returns where in it they are.
 */
static void *read_bytes(struct update_reader *reader, u64 offset, u32 len,
			void *buf)
{
	u32 align = bdev_logical_block_size(reader->bdev);
	u64 begin = offset & ~(u64)(align - 1);
	u64 end = (offset + len + align - 1) & ~(u64)(align - 1);
	struct dm_io_region where = {
		.bdev = reader->bdev,
		.sector = begin >> SECTOR_SHIFT,
		.count = (end - begin) >> SECTOR_SHIFT,
	};
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(REQ_OP_READ, 0),
		.mem.type = DM_IO_VMA,
		.mem.ptr.vma = buf,
		.client = reader->io,
	};
	int r = compat_dm_io(&request, 1, &where, NULL);

	return r ? ERR_PTR(r) : buf + (offset - begin);
}

/* ---- decompression ------------------------------------------------------ */

static int decompress_zstd(struct decoder *decoder, void *to, u32 room,
			   const void *from, u32 len)
{
	size_t n = zstd_decompress_dctx(decoder->zstd, to, room, from, len);

	return zstd_is_error(n) ? -EBADMSG : n;
}

static int decompress_lz4(void *to, u32 room, const void *from, u32 len)
{
	int n = LZ4_decompress_safe(from, to, len, room);

	return n < 0 ? -EBADMSG : n;
}

/* Bytes that @from gave, at most @room; or -EBADMSG. */
static int decompress(enum update_compression compression,
		      struct decoder *decoder, void *to, u32 room,
		      const void *from, u32 len)
{
	switch (compression) {
	case UPDATE_NONE:
		if (len > room)
			return -EBADMSG;
		memcpy(to, from, len);
		return len;
	case UPDATE_ZSTD:
		return decompress_zstd(decoder, to, room, from, len);
	case UPDATE_LZ4:
		return decompress_lz4(to, room, from, len);
	}
	return -EBADMSG;
}

static void decoder_exit(struct decoder *decoder)
{
	kvfree(decoder->workspace);
	vfree(decoder->packed);
}

static int decoder_init(struct decoder *decoder, struct block_device *bdev,
			enum update_compression compression, u32 packed)
{
	size_t size = zstd_dctx_workspace_bound();

	decoder->packed = vmalloc(packed_room(bdev, packed));
	if (!decoder->packed)
		return -ENOMEM;
	if (compression != UPDATE_ZSTD)
		return 0;
	decoder->workspace = kvmalloc(size, GFP_KERNEL);
	if (decoder->workspace)
		decoder->zstd = zstd_init_dctx(decoder->workspace, size);
	if (decoder->zstd)
		return 0;
	decoder_exit(decoder);
	return -ENOMEM;
}

static struct decoder *decoder_get(struct update_reader *reader)
{
	struct decoder *decoder;

	mutex_lock(&reader->lock);
	while (list_empty(&reader->decoders)) {
		mutex_unlock(&reader->lock);
		wait_event(reader->wait,
			   !list_empty_careful(&reader->decoders));
		mutex_lock(&reader->lock);
	}
	decoder = list_first_entry(&reader->decoders, struct decoder, list);
	list_del_init(&decoder->list);
	mutex_unlock(&reader->lock);
	return decoder;
}

static void decoder_put(struct update_reader *reader, struct decoder *decoder)
{
	mutex_lock(&reader->lock);
	list_add(&decoder->list, &reader->decoders);
	mutex_unlock(&reader->lock);
	wake_up(&reader->wait);
}

/* ---- the cache ---------------------------------------------------------- */

/* Fills @slot with its chunk. A chunk that is too short would leave the end
 * of what was there before, so its length counts as much as its contents.
 */
static int load(struct update_reader *reader, struct slot *slot)
{
	const struct update_dir *dir = &reader->dir;
	const struct update_chunk *chunk = &dir->chunks[slot->chunk];
	u32 len = update_chunk_packed(dir, slot->chunk);
	struct decoder *decoder = decoder_get(reader);
	void *packed;
	int n;

	packed = read_bytes(reader, chunk->src, len, decoder->packed);
	if (IS_ERR(packed))
		n = PTR_ERR(packed);
	else
		n = decompress(dir->compression, decoder, slot->data,
			       dir->chunk_bytes, packed, len);
	decoder_put(reader, decoder);
	if (n >= 0 && (u32)n < chunk->need)
		n = -EBADMSG;
	if (n >= 0)
		return 0;
	DMERR_LIMIT("%pg: chunk %u at byte %llu %s", reader->bdev, slot->chunk,
		    chunk->src, n == -EBADMSG ? "is damaged" : "is unreadable");
	return n;
}

static struct slot *find_chunk(struct update_reader *reader, u32 c)
{
	unsigned int i;

	for (i = 0; i < reader->n_slots; i++) {
		struct slot *slot = &reader->slot[i];

		if (slot->chunk == c &&
		    (slot->state == SLOT_LOADING || slot->state == SLOT_READY))
			return slot;
	}
	return NULL;
}

/* Takes the slot that nobody uses since the longest time; NULL if none. */
static struct slot *claim_slot(struct update_reader *reader, u32 c)
{
	struct slot *slot;

	list_for_each_entry (slot, &reader->slots, list) {
		if (slot->users)
			continue;
		slot->chunk = c;
		slot->state = SLOT_LOADING;
		slot->error = 0;
		return slot;
	}
	return NULL;
}

static void hold(struct update_reader *reader, struct slot *slot)
{
	if (!slot->users++)
		WRITE_ONCE(reader->idle_slots, reader->idle_slots - 1);
}

static void release(struct update_reader *reader, struct slot *slot)
{
	list_move_tail(&slot->list, &reader->slots);
	if (!--slot->users)
		WRITE_ONCE(reader->idle_slots, reader->idle_slots + 1);
}

/* The slot of chunk @c, held; *mine: and it is the caller's to fill. */
static struct slot *hold_chunk(struct update_reader *reader, u32 c, bool *mine)
{
	struct slot *slot;

	mutex_lock(&reader->lock);
	for (;;) {
		slot = find_chunk(reader, c);
		*mine = !slot;
		if (!slot)
			slot = claim_slot(reader, c);
		if (slot)
			break;
		mutex_unlock(&reader->lock);
		wait_event(reader->wait, READ_ONCE(reader->idle_slots));
		mutex_lock(&reader->lock);
	}
	hold(reader, slot);
	mutex_unlock(&reader->lock);
	return slot;
}

static void fill_slot(struct update_reader *reader, struct slot *slot)
{
	int r = load(reader, slot);

	mutex_lock(&reader->lock);
	slot->error = r;
	if (r)
		reader->errors++;
	/* Pairs with the acquire of those who wait. */
	smp_store_release(&slot->state, r ? SLOT_FAILED : SLOT_READY);
	mutex_unlock(&reader->lock);
	wake_up_all(&reader->wait);
}

const void *update_chunk_get(struct update_reader *reader, u32 c)
{
	struct slot *slot;
	bool mine;
	int r;

	slot = hold_chunk(reader, c, &mine);
	if (mine)
		fill_slot(reader, slot);
	else
		wait_event(reader->wait,
			   smp_load_acquire(&slot->state) != SLOT_LOADING);
	r = slot->error;
	if (!r)
		return slot->data;
	update_chunk_put(reader, slot->data);
	return ERR_PTR(r);
}

void update_chunk_put(struct update_reader *reader, const void *data)
{
	unsigned int i = 0;

	mutex_lock(&reader->lock);
	while (reader->slot[i].data != data)
		i++;
	release(reader, &reader->slot[i]);
	mutex_unlock(&reader->lock);
	wake_up_all(&reader->wait);
}

unsigned long update_reader_errors(struct update_reader *reader)
{
	return READ_ONCE(reader->errors);
}

/* ---- opening ------------------------------------------------------------ */

static int load_super(struct update_reader *reader, u64 image_bytes,
		      struct update_geometry *geometry, const char **why)
{
	u64 bytes = bdev_nr_bytes(reader->bdev);
	u32 size = sizeof(struct update_super);
	void *buf, *super;
	int r;

	*why = "Update device is smaller than a superblock";
	if (bytes < size)
		return -EINVAL;
	*why = "Not enough memory";
	buf = vmalloc(packed_room(reader->bdev, size));
	if (!buf)
		return -ENOMEM;
	*why = "Cannot read the superblock of the update device";
	super = read_bytes(reader, 0, size, buf);
	if (IS_ERR(super))
		r = PTR_ERR(super);
	else
		r = update_super_parse(super, bytes, image_bytes, geometry,
				       why);
	vfree(buf);
	return r;
}

/* The directory as stored, decompressed: plat_alloc'ed, or an ERR_PTR. */
static struct update_dirent *load_entries(
	struct update_reader *reader, const struct update_geometry *geometry,
	const char **why)
{
	size_t size = geometry->dir_n * sizeof(struct update_dirent);
	struct update_dirent *entries = plat_alloc(size);
	struct decoder decoder = {};
	void *packed;
	int n;

	*why = "Not enough memory for the directory";
	n = -ENOMEM;
	if (!entries ||
	    decoder_init(&decoder, reader->bdev, geometry->compression,
			 geometry->dir_packed))
		goto free_entries;
	*why = "Cannot read the directory";
	packed = read_bytes(reader, geometry->dir_offset, geometry->dir_packed,
			    decoder.packed);
	if (IS_ERR(packed))
		n = PTR_ERR(packed);
	else
		n = decompress(geometry->compression, &decoder, entries, size,
			       packed, geometry->dir_packed);
	decoder_exit(&decoder);
	if (n == size)
		return entries;
	if (n >= 0 || n == -EBADMSG) {
		*why = "Directory is damaged";
		n = -EINVAL;
	}
free_entries:
	plat_free(entries);
	return ERR_PTR(n);
}

static int load_dir(struct update_reader *reader, u64 image_bytes,
		    const char **why)
{
	struct update_geometry geometry;
	struct update_dirent *entries;
	int r;

	r = load_super(reader, image_bytes, &geometry, why);
	if (r)
		return r;
	entries = load_entries(reader, &geometry, why);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	r = update_dir_init(&reader->dir, &geometry,
			    bdev_nr_bytes(reader->bdev), image_bytes, entries,
			    why);
	if (r)
		plat_free(entries);
	return r;
}

static int make_slots(struct update_reader *reader, unsigned int readers)
{
	u32 chunk = reader->dir.chunk_bytes;
	unsigned int n =
		clamp_t(u32, CACHE_BYTES / chunk, readers + 1, MAX_SLOTS);

	for (; reader->n_slots < n; reader->n_slots++) {
		struct slot *slot = &reader->slot[reader->n_slots];

		slot->data = kvmalloc(chunk, GFP_KERNEL);
		if (!slot->data)
			return -ENOMEM;
		list_add(&slot->list, &reader->slots);
	}
	reader->idle_slots = n;
	return 0;
}

static int make_decoders(struct update_reader *reader, unsigned int readers)
{
	const struct update_dir *dir = &reader->dir;
	u32 packed = update_packed_limit(dir->compression, dir->chunk_bytes);

	for (; reader->n_decoders < readers; reader->n_decoders++) {
		struct decoder *decoder = &reader->decoder[reader->n_decoders];

		if (decoder_init(decoder, reader->bdev, dir->compression,
				 packed))
			return -ENOMEM;
		list_add(&decoder->list, &reader->decoders);
	}
	return 0;
}

static int reader_open(struct update_reader *reader, u64 image_bytes,
		       unsigned int readers, const char **why)
{
	int r = load_dir(reader, image_bytes, why);

	if (r)
		return r;
	*why = "Not enough memory for chunks";
	r = make_slots(reader, readers);
	if (!r)
		r = make_decoders(reader, readers);
	return r;
}

struct update_reader *update_reader_create(struct block_device *bdev,
					   u64 image_bytes,
					   unsigned int readers,
					   const char **why)
{
	struct update_reader *reader;
	int r;

	*why = "Not enough memory";
	readers = min_t(unsigned int, readers, MAX_SLOTS - 1);
	reader = kzalloc(struct_size(reader, decoder, readers), GFP_KERNEL);
	if (!reader)
		return ERR_PTR(-ENOMEM);
	reader->bdev = bdev;
	mutex_init(&reader->lock);
	init_waitqueue_head(&reader->wait);
	INIT_LIST_HEAD(&reader->slots);
	INIT_LIST_HEAD(&reader->decoders);
	reader->io = dm_io_client_create();
	if (IS_ERR(reader->io)) {
		r = PTR_ERR(reader->io);
		goto free_reader;
	}
	r = reader_open(reader, image_bytes, readers, why);
	if (!r)
		return reader;
	update_reader_destroy(reader);
	return ERR_PTR(r);

free_reader:
	kfree(reader);
	return ERR_PTR(r);
}

void update_reader_destroy(struct update_reader *reader)
{
	while (reader->n_decoders)
		decoder_exit(&reader->decoder[--reader->n_decoders]);
	while (reader->n_slots)
		kvfree(reader->slot[--reader->n_slots].data);
	update_dir_exit(&reader->dir);
	dm_io_client_destroy(reader->io);
	mutex_destroy(&reader->lock);
	kfree(reader);
}

const struct update_dir *update_reader_dir(struct update_reader *reader)
{
	return &reader->dir;
}
