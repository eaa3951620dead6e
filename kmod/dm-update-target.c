// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device-mapper target "update": a new image shown on top of an old one.
 *
 *   <start> <sectors> update <system dev> <update dev> <#opt> [no_bg_update]
 *
 * Blocks that the diff does not change, and blocks that the merge has already
 * copied, go to the system device in whole runs. The others are filled by
 * workers from decompressed chunks. Nothing here writes but the merge.
 */
#include <linux/bio.h>
#include <linux/cpumask.h>
#include <linux/device-mapper.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "dm-update-chunk.h"
#include "dm-update-dir.h"
#include "dm-update-merge.h"

#define DM_MSG_PREFIX "update"

#define MAX_WORKERS 4 /* each costs a decompression state, 160 KiB for zstd */

struct update {
	struct dm_target *ti;
	struct dm_dev *system;
	struct dm_dev *diff;
	struct update_reader *reader;
	const struct update_dir *dir;
	struct workqueue_struct *wq;
	struct update_merge *merge; /* NULL with no_bg_update */
};

/* One read of changed blocks, all in a row; lives in the bio's own memory. */
struct changed_read {
	struct work_struct work;
	struct update *update;
	u32 entry; /* of the block in which the read begins */
};

/* ---- reading changed blocks --------------------------------------------- */

/* Where a read is: a byte of the block of an entry, whose chunk is held. */
struct cursor {
	struct update *update;
	u32 entry;
	u32 at; /* in the block */
	u32 chunk;
	const void *data; /* NULL: nothing is held */
};

static void cursor_drop(struct cursor *cursor)
{
	if (cursor->data)
		update_chunk_put(cursor->update->reader, cursor->data);
	cursor->data = NULL;
}

static int cursor_hold(struct cursor *cursor)
{
	const struct update_dir *dir = cursor->update->dir;
	const void *data;

	if (cursor->data &&
	    cursor->entry < dir->chunks[cursor->chunk + 1].first)
		return 0;
	cursor_drop(cursor);
	cursor->chunk = update_dir_chunk(dir, cursor->entry);
	data = update_chunk_get(cursor->update->reader, cursor->chunk);
	if (IS_ERR(data))
		return PTR_ERR(data);
	cursor->data = data;
	return 0;
}

static int fill_segment(struct cursor *cursor, struct bio_vec *segment)
{
	const struct update_dir *dir = cursor->update->dir;
	u32 block = 1u << dir->block_bits;
	u32 filled = 0;

	while (filled < segment->bv_len) {
		u32 n = min(segment->bv_len - filled, block - cursor->at);
		int r = cursor_hold(cursor);

		if (r)
			return r;
		memcpy_to_page(segment->bv_page, segment->bv_offset + filled,
			       cursor->data + cursor->at +
				       update_dir_offset(dir, cursor->entry),
			       n);
		filled += n;
		cursor->at += n;
		if (cursor->at == block) {
			cursor->at = 0;
			cursor->entry++;
		}
	}
	return 0;
}

static void read_changed(struct work_struct *work)
{
	struct changed_read *read =
		container_of(work, struct changed_read, work);
	struct bio *bio = dm_bio_from_per_bio_data(read, sizeof(*read));
	struct update *update = read->update;
	u32 block = 1u << update->dir->block_bits;
	struct cursor cursor = { .update = update, .entry = read->entry };
	struct bvec_iter iter;
	struct bio_vec segment;
	int r = 0;

	cursor.at = (dm_target_offset(update->ti, bio->bi_iter.bi_sector)
		     << SECTOR_SHIFT) &
		    (block - 1);
	bio_for_each_segment(segment, bio, iter)
	{
		r = fill_segment(&cursor, &segment);
		if (r)
			break;
	}
	cursor_drop(&cursor);
	bio->bi_status = errno_to_blk_status(r);
	bio_endio(bio);
}

/* ---- map ---------------------------------------------------------------- */

static void trim(struct bio *bio, sector_t most)
{
	if (bio_sectors(bio) > most)
		dm_accept_partial_bio(bio, most);
}

/* To the system device, up to the block of entry @next. */
static int map_unchanged(struct update *update, struct bio *bio,
			 sector_t sector, u32 next)
{
	const struct update_dir *dir = update->dir;
	u32 shift = dir->block_bits - SECTOR_SHIFT;

	if (next < dir->n)
		trim(bio, (update_dir_dest(dir, next) << shift) - sector);
	bio_set_dev(bio, update->system->bdev);
	bio->bi_iter.bi_sector = sector;
	return DM_MAPIO_REMAPPED;
}

/* To a worker, as many blocks as change in a row. */
static int map_changed(struct update *update, struct bio *bio, sector_t sector,
		       u32 entry)
{
	const struct update_dir *dir = update->dir;
	struct changed_read *read = dm_per_bio_data(bio, sizeof(*read));
	u32 shift = dir->block_bits - SECTOR_SHIFT;
	u64 dest = update_dir_dest(dir, entry);
	u32 n = 1;

	while (((dest + n) << shift) < sector + bio_sectors(bio) &&
	       entry + n < dir->n &&
	       update_dir_dest(dir, entry + n) == dest + n)
		n++;
	trim(bio, ((dest + n) << shift) - sector);
	INIT_WORK(&read->work, read_changed);
	read->update = update;
	read->entry = entry;
	queue_work(update->wq, &read->work);
	return DM_MAPIO_SUBMITTED;
}

static int update_map(struct dm_target *ti, struct bio *bio)
{
	struct update *update = ti->private;
	const struct update_dir *dir = update->dir;
	sector_t sector = dm_target_offset(ti, bio->bi_iter.bi_sector);
	u64 block = sector >> (dir->block_bits - SECTOR_SHIFT);
	u32 entry;

	if (bio_op(bio) != REQ_OP_READ)
		return DM_MAPIO_KILL;
	entry = update_dir_find(dir, block);
	if (update->merge)
		entry = max(entry, update_merge_done(update->merge));
	if (entry < dir->n && update_dir_dest(dir, entry) == block)
		return map_changed(update, bio, sector, entry);
	return map_unchanged(update, bio, sector, entry);
}

/* ---- life --------------------------------------------------------------- */

static int parse_options(struct dm_target *ti, struct dm_arg_set *args,
			 bool *merge)
{
	static const struct dm_arg counts[] = {
		{ 0, 1, "Invalid number of options" },
	};
	unsigned int n;
	int r = dm_read_arg_group(counts, args, &n, &ti->error);

	if (r)
		return r;
	*merge = true;
	while (n--) {
		if (strcasecmp(dm_shift_arg(args), "no_bg_update")) {
			ti->error = "Unknown option";
			return -EINVAL;
		}
		*merge = false;
	}
	if (args->argc) {
		ti->error = "Too many arguments";
		return -EINVAL;
	}
	return 0;
}

static int get_devices(struct update *update, const char *system,
		       const char *diff, bool merge)
{
	struct dm_target *ti = update->ti;
	int r;

	r = dm_get_device(ti, system,
			  merge ? BLK_OPEN_READ | BLK_OPEN_WRITE
				: BLK_OPEN_READ,
			  &update->system);
	if (r) {
		ti->error = "Cannot open the system device";
		return r;
	}
	r = dm_get_device(ti, diff, BLK_OPEN_READ, &update->diff);
	if (r) {
		ti->error = "Cannot open the update device";
		goto put_system;
	}
	if (update->diff->bdev != update->system->bdev)
		return 0;
	ti->error = "System and update device are the same";
	r = -EINVAL;
	dm_put_device(ti, update->diff);
put_system:
	dm_put_device(ti, update->system);
	return r;
}

static void put_devices(struct update *update)
{
	dm_put_device(update->ti, update->diff);
	dm_put_device(update->ti, update->system);
}

static int start_parts(struct update *update, bool merge)
{
	struct dm_target *ti = update->ti;
	unsigned int workers = min(num_online_cpus(), MAX_WORKERS + 0u);
	const char *why;

	/* The merge decompresses beside the workers. */
	update->reader = update_reader_create(update->diff->bdev,
					      (u64)ti->len << SECTOR_SHIFT,
					      workers + merge, &why);
	if (IS_ERR(update->reader)) {
		ti->error = (char *)why;
		return PTR_ERR(update->reader);
	}
	update->dir = update_reader_dir(update->reader);
	if (1u << update->dir->block_bits <
	    bdev_logical_block_size(update->system->bdev)) {
		ti->error = "Blocks of the diff are smaller than the system "
			    "device's";
		update_reader_destroy(update->reader);
		return -EINVAL;
	}
	ti->error = "Not enough memory";
	update->wq = alloc_workqueue("dm-update", WQ_MEM_RECLAIM | WQ_UNBOUND,
				     workers);
	if (!update->wq)
		goto destroy_reader;
	if (!merge)
		return 0;
	update->merge = update_merge_create(ti, update->system, update->reader);
	if (!IS_ERR(update->merge))
		return 0;
	destroy_workqueue(update->wq);
destroy_reader:
	update_reader_destroy(update->reader);
	return -ENOMEM;
}

static int update_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set args = { .argc = argc - 2, .argv = argv + 2 };
	struct update *update;
	bool merge;
	int r;

	if (argc < 3) {
		ti->error = "Expected <system dev> <update dev> <#opt> [...]";
		return -EINVAL;
	}
	r = parse_options(ti, &args, &merge);
	if (r)
		return r;
	update = kzalloc(sizeof(*update), GFP_KERNEL);
	if (!update) {
		ti->error = "Not enough memory";
		return -ENOMEM;
	}
	update->ti = ti;
	r = get_devices(update, argv[0], argv[1], merge);
	if (r)
		goto free_update;
	r = start_parts(update, merge);
	if (r)
		goto put_devices;
	ti->private = update;
	ti->per_io_data_size = sizeof(struct changed_read);
	return 0;

put_devices:
	put_devices(update);
free_update:
	kfree(update);
	return r;
}

static void update_dtr(struct dm_target *ti)
{
	struct update *update = ti->private;

	if (update->merge)
		update_merge_destroy(update->merge);
	destroy_workqueue(update->wq);
	update_reader_destroy(update->reader);
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

/* Not earlier: a suspend that fails half-way must leave the merge running. */
static void update_postsuspend(struct dm_target *ti)
{
	struct update *update = ti->private;

	if (update->merge)
		update_merge_stop(update->merge);
}

/* ---- what dm asks ------------------------------------------------------- */

static void update_status(struct dm_target *ti, status_type_t type,
			  unsigned int flags, char *result, unsigned int maxlen)
{
	struct update *update = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%u %u",
		       update->merge ? update_merge_reported(update->merge) : 0,
		       update->dir->n);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %s %s", update->system->name, update->diff->name,
		       update->merge ? "0" : "1 no_bg_update");
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",system=%s,update=%s,bg_update=%c;",
		       update->system->name, update->diff->name,
		       update->merge ? 'y' : 'n');
		break;
	}
}

/* "stats": what the published status line has no room for. */
static int update_message(struct dm_target *ti, unsigned int argc, char **argv,
			  char *result, unsigned int maxlen)
{
	struct update *update = ti->private;
	unsigned int sz = 0;

	if (argc != 1 || strcasecmp(argv[0], "stats")) {
		DMWARN("unrecognised message '%s', expected 'stats'", argv[0]);
		return -EINVAL;
	}
	DMEMIT("merge=%s chunk_errors=%lu",
	       update->merge ? update_merge_state(update->merge) : "off",
	       update_reader_errors(update->reader));
	return 1;
}

static int update_iterate_devices(struct dm_target *ti,
				  iterate_devices_callout_fn fn, void *data)
{
	struct update *update = ti->private;
	sector_t diff = bdev_nr_bytes(update->diff->bdev) >> SECTOR_SHIFT;
	int r = fn(ti, update->system, 0, ti->len, data);

	return r ? r : fn(ti, update->diff, 0, diff, data);
}

static struct target_type update_target = {
	.name = "update",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = update_ctr,
	.dtr = update_dtr,
	.map = update_map,
	.resume = update_resume,
	.postsuspend = update_postsuspend,
	.status = update_status,
	.message = update_message,
	.iterate_devices = update_iterate_devices,
};

static int __init dm_update_init(void)
{
	return dm_register_target(&update_target);
}

static void __exit dm_update_exit(void)
{
	dm_unregister_target(&update_target);
}

module_init(dm_update_init);
module_exit(dm_update_exit);

MODULE_DESCRIPTION(
	"device-mapper target that shows an update before it is written");
MODULE_LICENSE("GPL");
