// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device-mapper target "update": a new image shown on top of an old one.
 *
 *   <start> <sectors> update <system dev> <update dev> <#opt>
 *	[no_bg_update | paused] [progress <dev> <sector>]
 *
 * Blocks that the diff does not change, and blocks that the merge has already
 * copied, go to the system device in whole runs. The others are filled from
 * decompressed chunks: at once if these are in the cache, else by workers.
 * Nothing here writes but the merge.
 */
#include <linux/bio.h>
#include <linux/device-mapper.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "dm-update-ahead.h"
#include "dm-update-cursor.h"
#include "dm-update-merge.h"
#include "dm-update-old.h"
#include "dm-update-store.h"

#define DM_MSG_PREFIX "update"

#define MAX_WORKERS 16 /* reads that wait for chunks at the same time */

struct update {
	struct dm_target *ti;
	struct dm_dev *system;
	struct dm_dev *diff;
	struct dm_dev *store; /* NULL: progress is not recorded */
	struct update_source source;
	struct update_reader *reader;
	struct update_ahead ahead;
	struct workqueue_struct *wq;
	struct workqueue_struct *near; /* for one read, on the reader's CPU */
	atomic_t reads;		       /* that wait for chunks */
	struct update_merge *merge;    /* NULL with no_bg_update */
};

/* A read, in the bio's own memory. */
struct changed_read {
	struct work_struct work;
	struct update *update;
	u64 block;    /* the first one */
	bool in_row;  /* one of many, each behind the other */
	bool viewing; /* reads old bytes, by this view, until it ends */
	u32 view;
};

/* ---- reading changed blocks --------------------------------------------- */

/* Fills @bio; @cached: only if it need not wait, else -EAGAIN. */
static int fill_bio(struct update *update, struct bio *bio, bool cached,
		    bool whole)
{
	sector_t sector = dm_target_offset(update->ti, bio->bi_iter.bi_sector);
	struct update_cursor cursor;
	struct bvec_iter iter;
	struct bio_vec segment;
	int r = 0;

	update_cursor_init(&cursor, update->reader, (u64)sector << SECTOR_SHIFT,
			   bio->bi_iter.bi_size);
	cursor.cached = cached;
	cursor.whole = whole;
	bio_for_each_segment(segment, bio, iter)
	{
		void *to = bvec_kmap_local(&segment);

		r = update_cursor_read(&cursor, to, segment.bv_len);
		flush_dcache_page(segment.bv_page);
		kunmap_local(to);
		if (r)
			break;
	}
	update_cursor_exit(&cursor);
	return r;
}

static void end_read(struct bio *bio, int r)
{
	bio->bi_status = errno_to_blk_status(r);
	bio_endio(bio);
}

static void read_changed(struct work_struct *work)
{
	struct changed_read *read =
		container_of(work, struct changed_read, work);
	struct bio *bio = dm_bio_from_per_bio_data(read, sizeof(*read));
	struct update *update = read->update;
	int r;

	if (read->in_row)
		update_ahead_wait(&update->ahead, read->block);
	r = fill_bio(update, bio, false, read->in_row);
	atomic_dec(&update->reads);
	end_read(bio, r);
}

/* ---- map ---------------------------------------------------------------- */

static void trim(struct bio *bio, u64 most)
{
	if (bio_sectors(bio) > most)
		dm_accept_partial_bio(bio, most);
}

static bool is_aligned(struct block_device *bdev, u64 bytes)
{
	return !(bytes & (bdev_logical_block_size(bdev) - 1));
}

/*
 * Where the bytes of the image from @at on, of piece @piece, can be read as
 * they are: the device, *from there, *len of them; or NULL.
 */
static struct block_device *find_copy(struct update *update, u32 view,
				      const struct update_piece *piece, u64 at,
				      u64 *from, u32 *len)
{
	const struct update_source *source = &update->source;
	u64 begin = piece->block << source->block_bits;
	u64 end = begin + ((u64)piece->n << source->block_bits);
	struct block_device *bdev;

	if (piece->kind != UPDATE_PIECE_COPY ||
	    update_piece_merged(piece, view))
		return NULL;
	*len = min_t(u64, *len, end - at);
	if (at + *len > source->new_bytes)
		return NULL;
	bdev = update_old_find(source, view, piece->from + (at - begin), len,
			       from);
	return is_aligned(bdev, *from | *len) ? bdev : NULL;
}

/* A copy of whole sectors: to where they are. */
static bool map_copy(struct update *update, struct bio *bio, sector_t sector,
		     u64 block)
{
	struct changed_read *read = dm_per_bio_data(bio, sizeof(*read));
	struct update_source *source = &update->source;
	u64 from, at = (u64)sector << SECTOR_SHIFT;
	u32 len = bio->bi_iter.bi_size;
	struct block_device *bdev;
	struct update_piece piece;

	update_source_piece(source, update_source_find(source, block), &piece);
	if (piece.kind != UPDATE_PIECE_COPY)
		return false;
	read->view = update_view_enter(&source->view);
	bdev = find_copy(update, read->view, &piece, at, &from, &len);
	if (!bdev) {
		update_view_leave(&source->view, read->view);
		return false;
	}
	read->viewing = true;
	trim(bio, len >> SECTOR_SHIFT);
	bio_set_dev(bio, bdev);
	bio->bi_iter.bi_sector = from >> SECTOR_SHIFT;
	return true;
}

/*
 * A lone read is best done where its reader sleeps meanwhile: to wake another
 * CPU, and then the reader's again, takes longer than a small chunk. More than
 * one are spread over the CPUs.
 */
static void queue_read(struct update *update, struct changed_read *read)
{
	bool alone = atomic_inc_return(&update->reads) == 1;

	INIT_WORK(&read->work, read_changed);
	queue_work(alone ? update->near : update->wq, &read->work);
}

/* To the cache or a worker, as many blocks as change in a row. */
static int map_changed(struct update *update, struct bio *bio, sector_t sector,
		       u64 block, u64 end)
{
	struct changed_read *read = dm_per_bio_data(bio, sizeof(*read));
	bool in_row;

	if (map_copy(update, bio, sector, block))
		return DM_MAPIO_REMAPPED;
	in_row = update_ahead_note(&update->ahead, block, end);

	if (!fill_bio(update, bio, true, false)) {
		end_read(bio, 0);
		return DM_MAPIO_SUBMITTED;
	}
	read->update = update;
	read->block = block;
	read->in_row = in_row;
	queue_read(update, read);
	update_ahead_inside(&update->ahead, block, end, in_row);
	return DM_MAPIO_SUBMITTED;
}

static int update_map(struct dm_target *ti, struct bio *bio)
{
	struct update *update = ti->private;
	const struct update_source *source = &update->source;
	struct changed_read *read = dm_per_bio_data(bio, sizeof(*read));
	u32 shift = source->block_bits - SECTOR_SHIFT;
	sector_t sector = dm_target_offset(ti, bio->bi_iter.bi_sector);
	u64 block = sector >> shift;
	u64 end = ((sector + bio_sectors(bio) - 1) >> shift) + 1;
	u64 next;

	read->viewing = false;
	if (bio_op(bio) != REQ_OP_READ)
		return DM_MAPIO_KILL;
	if (update->merge)
		update_merge_note_read(update->merge);
	next = find_next_zero_bit(source->changed, end, block);
	if (next > block) {
		trim(bio, (next << shift) - sector);
		return map_changed(update, bio, sector, block, next);
	}
	/* At least this one, whatever the merge does with its bit meanwhile. */
	next = find_next_bit(source->changed, end, block + 1);
	trim(bio, (next << shift) - sector);
	bio_set_dev(bio, update->system->bdev);
	bio->bi_iter.bi_sector = sector;
	return DM_MAPIO_REMAPPED;
}

static int update_end_io(struct dm_target *ti, struct bio *bio,
			 blk_status_t *error)
{
	struct changed_read *read = dm_per_bio_data(bio, sizeof(*read));
	struct update *update = ti->private;

	if (read->viewing)
		update_view_leave(&update->source.view, read->view);
	return DM_ENDIO_DONE;
}

/* ---- life --------------------------------------------------------------- */

/* What the words behind <#opt> ask for. */
struct options {
	bool merge;
	bool paused;
	const char *store; /* a device, or NULL */
	u64 store_sector;
};

static const struct dm_arg counts[] = {
	{ 0, 4, "Invalid number of options" },
};

static int parse_progress(struct dm_arg_set *args, struct options *options)
{
	options->store = dm_shift_arg(args);
	return kstrtou64(dm_shift_arg(args), 10, &options->store_sector) ||
			       options->store_sector > U64_MAX >> SECTOR_SHIFT
		       ? -EINVAL
		       : 0;
}

static int parse_words(struct dm_target *ti, struct dm_arg_set *args,
		       struct options *options)
{
	unsigned int n;
	const char *word;
	int r = dm_read_arg_group(counts, args, &n, &ti->error);

	if (r)
		return r;
	while (n--) {
		word = dm_shift_arg(args);
		if (!strcasecmp(word, "no_bg_update") && options->merge) {
			options->merge = false;
		} else if (!strcasecmp(word, "paused") && !options->paused) {
			options->paused = true;
		} else if (!strcasecmp(word, "progress") && n >= 2 &&
			   !options->store) {
			n -= 2;
			if (parse_progress(args, options)) {
				ti->error = "Expected progress <dev> <sector>";
				return -EINVAL;
			}
		} else {
			ti->error = "Unknown or repeated option";
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_options(struct dm_target *ti, struct dm_arg_set *args,
			 struct options *options)
{
	int r = parse_words(ti, args, options);

	if (r)
		return r;
	if (args->argc) {
		ti->error = "Too many arguments";
		return -EINVAL;
	}
	if (options->paused && !options->merge) {
		ti->error = "Either no_bg_update or paused";
		return -EINVAL;
	}
	return 0;
}

/*
 * A table that opens a device again, to write, opens it anew and forgets how it
 * was open before: what the first user got is then gone. So all is opened as
 * the other targets of the table would, if the device can be written at all.
 */
static int open_device(struct dm_target *ti, const char *name, bool write,
		       struct dm_dev **dev)
{
	int r = dm_get_device(ti, name,
			      dm_table_get_mode(ti->table) |
				      (write ? BLK_OPEN_WRITE : 0),
			      dev);

	if (r && !write)
		r = dm_get_device(ti, name, BLK_OPEN_READ, dev);
	return r;
}

static void put_devices(struct update *update)
{
	struct dm_dev *devices[] = { update->store, update->diff,
				     update->system };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (devices[i])
			dm_put_device(update->ti, devices[i]);
}

/*
 * What was got stays for put_devices() when the rest fails. The diff, which
 * nobody writes, comes last: the progress may be on the same device.
 */
static int get_devices(struct update *update, char **names,
		       const struct options *options)
{
	struct dm_target *ti = update->ti;
	int r;

	ti->error = "Cannot open the system device";
	r = open_device(ti, names[0], options->merge, &update->system);
	if (r)
		return r;
	ti->error = "Cannot open the progress device";
	if (options->store)
		r = open_device(ti, options->store, options->merge,
				&update->store);
	if (r)
		return r;
	ti->error = "Cannot open the update device";
	r = open_device(ti, names[1], false, &update->diff);
	if (r)
		return r;
	ti->error = "System and update device are the same";
	return update->diff->bdev == update->system->bdev ? -EINVAL : 0;
}

static int check_source(struct update *update, const struct options *options)
{
	const struct update_source *source = &update->source;
	u32 block = 1u << source->block_bits;

	update->ti->error =
		"Blocks of the diff are smaller than the system device's";
	if (block < bdev_logical_block_size(source->system))
		return -EINVAL;
	update->ti->error =
		"Blocks of the diff are smaller than the progress device's";
	if (update->store &&
	    block < bdev_logical_block_size(source->store.bdev))
		return -EINVAL;
	update->ti->error = "Format version 1 is merged only with progress";
	if (source->version && options->merge && !update->store)
		return -EINVAL;
	return 0;
}

static int open_source(struct update *update, const struct options *options)
{
	struct update_source *source = &update->source;
	struct dm_target *ti = update->ti;
	const char *why;
	int r;

	source->system = update->system->bdev;
	source->diff = update->diff->bdev;
	if (update->store)
		source->store.bdev = update->store->bdev;
	source->store.at = options->store_sector << SECTOR_SHIFT;
	source->image_bytes = (u64)ti->len << SECTOR_SHIFT;
	r = update_source_open(source, &why);
	if (r) {
		ti->error = (char *)why;
		return r;
	}
	r = check_source(update, options);
	if (r)
		update_source_close(source);
	return r;
}

static int start_parts(struct update *update, const struct options *options)
{
	struct update_merge *merge;

	update->ti->error = "Not enough memory for chunks";
	update->reader = update_reader_create(&update->source);
	if (IS_ERR(update->reader))
		return PTR_ERR(update->reader);
	update_ahead_init(&update->ahead, update->reader);
	update->ti->error = "Not enough memory";
	update->wq = alloc_workqueue("dm-update", WQ_MEM_RECLAIM | WQ_UNBOUND,
				     MAX_WORKERS);
	if (!update->wq)
		goto destroy_reader;
	update->near = alloc_workqueue("dm-update-near",
				       WQ_MEM_RECLAIM | WQ_CPU_INTENSIVE, 1);
	if (!update->near)
		goto destroy_wq;
	if (!options->merge)
		return 0;
	merge = update_merge_create(update->ti, update->system, update->reader,
				    options->paused);
	if (IS_ERR(merge))
		goto destroy_near;
	update->merge = merge;
	return 0;

destroy_near:
	destroy_workqueue(update->near);
destroy_wq:
	destroy_workqueue(update->wq);
destroy_reader:
	update_reader_destroy(update->reader);
	return -ENOMEM;
}

static void stop_parts(struct update *update)
{
	if (update->merge)
		update_merge_destroy(update->merge);
	destroy_workqueue(update->near);
	destroy_workqueue(update->wq);
	update_reader_destroy(update->reader);
}

static int make_update(struct update *update, char **devices,
		       const struct options *options)
{
	int r = get_devices(update, devices, options);

	if (r)
		goto put_devices;
	r = open_source(update, options);
	if (r)
		goto put_devices;
	r = start_parts(update, options);
	if (!r)
		return 0;
	update_source_close(&update->source);
put_devices:
	put_devices(update);
	return r;
}

static int update_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set args = { .argc = argc - 2, .argv = argv + 2 };
	struct options options = { .merge = true };
	struct update *update;
	int r;

	if (argc < 3) {
		ti->error = "Expected <system dev> <update dev> <#opt> [...]";
		return -EINVAL;
	}
	r = parse_options(ti, &args, &options);
	if (r)
		return r;
	update = kzalloc(sizeof(*update), GFP_KERNEL);
	if (!update) {
		ti->error = "Not enough memory";
		return -ENOMEM;
	}
	update->ti = ti;
	r = make_update(update, argv, &options);
	if (r) {
		kfree(update);
		return r;
	}
	ti->private = update;
	ti->per_io_data_size = sizeof(struct changed_read);
	return 0;
}

static void update_dtr(struct dm_target *ti)
{
	struct update *update = ti->private;

	stop_parts(update);
	update_source_close(&update->source);
	put_devices(update);
	kfree(update);
}

/*
 * The disk is read-only though its table may not say so; where other targets
 * share the disk, only our part of it is. dm sets it anew with each table.
 */
static void update_resume(struct dm_target *ti)
{
	struct update *update = ti->private;

	if (ti->len == dm_table_get_size(ti->table))
		set_disk_ro(dm_disk(dm_table_get_md(ti->table)), true);
	if (update->merge)
		update_merge_start(update->merge);
}

/*
 * Not in the constructor: another table for the same devices may have merged
 * more since.
 */
static int update_preresume(struct dm_target *ti)
{
	struct update *update = ti->private;
	struct update_source *source = &update->source;
	const struct update1_progress *progress = &source->store.progress;
	int r;

	if (!update->store)
		return 0;
	r = update_store_load(source);
	if (r) {
		DMERR("%s: cannot read the progress (%d)", update->store->name,
		      r);
		return r;
	}
	update_view_set(&source->view, progress->begun
					       ? UPDATE_DONE(progress->done)
					       : UPDATE_NOT_BEGUN);
	update_source_set_done(source, progress->done);
	return 0;
}

/* Not earlier: a suspend that fails half-way must leave the merge running. */
static void update_postsuspend(struct dm_target *ti)
{
	struct update *update = ti->private;

	if (update->merge)
		update_merge_stop(update->merge);
	update_chunk_settle(update->reader);
}

/* ---- what dm asks ------------------------------------------------------- */

static void get_state(struct update *update, struct update_merge_state *state)
{
	struct update_reader_counts counts;

	*state = (struct update_merge_state){ .phase = "off", .reason = "-" };
	if (update->merge)
		update_merge_state(update->merge, state);
	update_reader_count(update->reader, &counts);
	state->errors += counts.errors;
}

/* As it can be loaded again, to go on as this one. */
static void show_table(struct update *update, char *result, unsigned int maxlen)
{
	const struct update_merge *merge = update->merge;
	bool paused = merge && update_merge_is_paused(merge);
	unsigned int sz = 0;

	DMEMIT("%s %s %u%s%s", update->system->name, update->diff->name,
	       !merge + paused + (update->store ? 3 : 0),
	       merge ? "" : " no_bg_update", paused ? " paused" : "");
	if (update->store)
		DMEMIT(" progress %s %llu", update->store->name,
		       update->source.store.at >> SECTOR_SHIFT);
}

static void update_status(struct dm_target *ti, status_type_t type,
			  unsigned int flags, char *result, unsigned int maxlen)
{
	struct update *update = ti->private;
	struct update_merge_state state;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		get_state(update, &state);
		DMEMIT("%llu %llu %llu %s %lu %s", state.done,
		       update->source.n_changed, state.bytes, state.phase,
		       state.errors, state.reason);
		break;
	case STATUSTYPE_TABLE:
		show_table(update, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",system=%s,update=%s,bg_update=%c;",
		       update->system->name, update->diff->name,
		       update->merge ? 'y' : 'n');
		break;
	}
}

static int control_merge(struct update *update, unsigned int argc, char **argv)
{
	struct update_merge *merge = update->merge;
	u64 rate;

	if (argc == 1 && !strcasecmp(argv[0], "pause"))
		update_merge_pause(merge, true);
	else if (argc == 1 && !strcasecmp(argv[0], "resume"))
		update_merge_pause(merge, false);
	else if (argc == 2 && !strcasecmp(argv[0], "rate") &&
		 !kstrtou64(argv[1], 10, &rate))
		update_merge_rate(merge, rate);
	else if (argc == 2 && !strcasecmp(argv[0], "yield") &&
		 !strcasecmp(argv[1], "on"))
		update_merge_yield(merge, true);
	else if (argc == 2 && !strcasecmp(argv[0], "yield") &&
		 !strcasecmp(argv[1], "off"))
		update_merge_yield(merge, false);
	else
		return -EINVAL;
	return 0;
}

/* What the status line has no room for. */
static void show_stats(struct update *update, char *result, unsigned int maxlen)
{
	struct update_reader_counts counts;
	unsigned int sz = 0;

	update_reader_count(update->reader, &counts);
	DMEMIT("chunks_decoded=%lu bytes_decoded=%llu chunk_errors=%lu "
	       "memory=%zu directory=%zu merge_memory=%zu records=%llu",
	       counts.decoded, counts.bytes, counts.errors, counts.memory,
	       update_source_memory(&update->source),
	       update->merge ? update_merge_memory(update->merge) : 0,
	       READ_ONCE(update->source.store.progress.sequence));
}

static int update_message(struct dm_target *ti, unsigned int argc, char **argv,
			  char *result, unsigned int maxlen)
{
	struct update *update = ti->private;

	if (argc == 1 && !strcasecmp(argv[0], "stats")) {
		show_stats(update, result, maxlen);
		return 1;
	}
	if (update->merge && !control_merge(update, argc, argv))
		return 0;
	DMWARN("unrecognised message '%s', expected 'stats'%s", argv[0],
	       update->merge ? ", 'pause', 'resume', 'rate <bytes/s>', "
			       "'yield on' or 'yield off'"
			     : "; there is no merge");
	return -EINVAL;
}

static int update_iterate_devices(struct dm_target *ti,
				  iterate_devices_callout_fn fn, void *data)
{
	struct update *update = ti->private;
	sector_t diff = bdev_nr_bytes(update->diff->bdev) >> SECTOR_SHIFT;
	int r = fn(ti, update->system, 0, ti->len, data);

	if (!r)
		r = fn(ti, update->diff, 0, diff, data);
	if (!r && update->store)
		r = fn(ti, update->store, 0,
		       bdev_nr_bytes(update->store->bdev) >> SECTOR_SHIFT,
		       data);
	return r;
}

static struct target_type update_target = {
	.name = "update",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = update_ctr,
	.dtr = update_dtr,
	.map = update_map,
	.end_io = update_end_io,
	.preresume = update_preresume,
	.resume = update_resume,
	.postsuspend = update_postsuspend,
	.status = update_status,
	.message = update_message,
	.iterate_devices = update_iterate_devices,
};

static int __init dm_update_init(void)
{
	int err;

	plat_begin_sums();
	err = dm_register_target(&update_target);
	if (err)
		plat_end_sums();
	return err;
}

static void __exit dm_update_exit(void)
{
	dm_unregister_target(&update_target);
	plat_end_sums();
}

module_init(dm_update_init);
module_exit(dm_update_exit);

MODULE_DESCRIPTION(
	"device-mapper target that shows an update before it is written");
MODULE_LICENSE("GPL");
