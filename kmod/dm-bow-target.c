// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device-mapper target "bow": backs up what is overwritten into the file
 * system's own free space. docs/FORMAT.md has its log, dm-bow.h how
 * it is divided.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

#include "dm-bow.h"

#define DISCARD_MAX  (1u << 21) /* sectors in one discard */
#define SMALL_DEVICE (1u << 21) /* sectors: 1 GiB */

/* A table's part; struct bow is what tables share. */
struct bow_target {
	struct bow *bow;
	struct dm_dev *dev;
	u32 block_size; /* 0: none was given */
	struct bow_policy policy;
};

static LIST_HEAD(all_bows);
static DEFINE_MUTEX(all_bows_mutex);

/* ---- which bio may go ---------------------------------------------------- */

static struct bow_bio *bow_bio(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct bow_bio));
}

/* Block 0 lies elsewhere while the log is in its place. Lock held. */
static bool admit_zero(struct bow *bow, struct bio *bio)
{
	if (bow->frozen || bow->moving)
		return false;
	/* In state 0 it may be a log that should not be there. */
	if (bow->log_dirty &&
	    (bow->state == BOW_TRIM || op_is_write(bio_op(bio))))
		return false;
	atomic_inc(&bow->zeros);
	bow_bio(bio)->count = BOW_ZERO;
	if (bow->state == BOW_CHECKPOINT)
		bio->bi_iter.bi_sector += bow->sector0;
	return true;
}

/*
 * Does the write touch nothing that needs the worker? And takes it free blocks?
 * Lock held.
 */
static bool is_plain(struct bow *bow, struct bio *bio, enum bow_type becomes,
		     bool *takes)
{
	u64 pos = bow_first_block(bow, bio);
	u64 end = bow_end_block(bow, bio);
	u64 len;
	u32 leaf;

	*takes = false;
	for (; pos < end; pos += len) {
		enum bow_type type;

		len = end - pos;
		type = bow_ranges_find(&bow->ranges, pos, &len);
		if (type == BOW_FREE &&
		    bow_ranges_missing(&bow->ranges, pos, len, becomes, &leaf))
			return false;
		*takes |= type == BOW_FREE;
		if (bow->state == BOW_CHECKPOINT &&
		    (type == BOW_UNCHANGED || type == BOW_BACKUP))
			return false;
	}
	return true;
}

enum bow_type bow_taken_type(const struct bow *bow)
{
	return bow->state == BOW_TRIM ? BOW_UNCHANGED : BOW_CHANGED;
}

void bow_take_free(struct bow *bow, struct bio *bio)
{
	enum bow_type becomes = bow_taken_type(bow);
	u64 pos = bow_first_block(bow, bio);
	u64 end = bow_end_block(bow, bio);
	u64 len;

	for (; pos < end; pos += len) {
		len = end - pos;
		if (bow_ranges_find(&bow->ranges, pos, &len) == BOW_FREE)
			bow_ranges_set(&bow->ranges, pos, len, becomes);
	}
	bow_watch_room(bow);
}

static bool is_held(struct bow *bow, struct bio *bio)
{
	return bow_first_block(bow, bio) < bow->hold_to &&
	       bow_end_block(bow, bio) > bow->hold_from;
}

static bool admit_write(struct bow *bow, struct bio *bio)
{
	bool takes;

	if (bow->frozen || is_held(bow, bio) ||
	    (bow->log_dirty && bow->state == BOW_TRIM) ||
	    !is_plain(bow, bio, bow_taken_type(bow), &takes))
		return false;
	if (takes)
		bow_take_free(bow, bio);
	atomic_inc(&bow->writes[bow->generation]);
	bow_bio(bio)->count = bow->generation ? BOW_WRITE_1 : BOW_WRITE_0;
	return true;
}

static enum bow_level level_of(struct bow *bow)
{
	u64 free = bow->ranges.count[BOW_FREE] * bow->block_size;

	if (bow->state != BOW_CHECKPOINT)
		return BOW_OK;
	if (!free)
		return BOW_FULL;
	return free < bow->policy.low_water ? BOW_LOW : BOW_OK;
}

void bow_watch_room(struct bow *bow)
{
	enum bow_level level = level_of(bow);

	if (level > bow->level && bow->policy.low_water) {
		bow->event = true;
		queue_work(bow->wq, &bow->work);
	}
	bow->level = level;
}

bool bow_admit(struct bow *bow, struct bio *bio)
{
	if (bow->state == BOW_COMMITTED)
		return true;
	if (!bow_first_block(bow, bio))
		return admit_zero(bow, bio);
	return !op_is_write(bio_op(bio)) || admit_write(bow, bio);
}

/* Are now all there that the worker waits for? Lock held. */
static bool is_last_awaited(struct bow *bow, struct bio *bio)
{
	if (!bow->awaited)
		return false;
	bow->awaited_bytes -= min(bow->awaited_bytes, bio->bi_iter.bi_size);
	WRITE_ONCE(bow->awaited, bow->awaited_bytes ? bow->awaited - 1 : 0);
	return !bow->awaited;
}

static void defer(struct bow *bow, struct bio *bio)
{
	bool last;

	spin_lock(&bow->lock);
	bio_list_add(&bow->deferred, bio);
	last = is_last_awaited(bow, bio);
	spin_unlock(&bow->lock);
	if (last)
		wake_up(&bow->company);
	queue_work(bow->wq, &bow->work);
}

/* Discards say what is free; they go down once nothing is kept any more. */
static int map_discard(struct bow *bow, struct bio *bio)
{
	if (READ_ONCE(bow->state) != BOW_COMMITTED) {
		defer(bow, bio);
		return DM_MAPIO_SUBMITTED;
	}
	if (compat_can_discard(bow->bdev))
		return DM_MAPIO_REMAPPED;
	bio_endio(bio);
	return DM_MAPIO_SUBMITTED;
}

static int bow_map(struct dm_target *ti, struct bio *bio)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;
	u64 block = bow_block_sectors(bow);
	u64 sector = bio->bi_iter.bi_sector;
	bool go;

	bow_bio(bio)->count = BOW_PLAIN;
	bio_set_dev(bio, bow->bdev);
	if (!bio_sectors(bio))
		return DM_MAPIO_REMAPPED;
	if (bio_op(bio) == REQ_OP_DISCARD)
		return map_discard(bow, bio);
	if (sector < block && bio_end_sector(bio) > block)
		dm_accept_partial_bio(bio, block - sector);
	spin_lock(&bow->lock);
	go = bow_admit(bow, bio);
	spin_unlock(&bow->lock);
	if (go)
		return DM_MAPIO_REMAPPED;
	defer(bow, bio);
	return DM_MAPIO_SUBMITTED;
}

static int bow_end_io(struct dm_target *ti, struct bio *bio,
		      blk_status_t *error)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;
	enum bow_count count = bow_bio(bio)->count;
	bool last = false;

	if (count == BOW_ZERO)
		last = atomic_dec_and_test(&bow->zeros);
	else if (count == BOW_WRITE_0 || count == BOW_WRITE_1)
		last = atomic_dec_and_test(&bow->writes[count == BOW_WRITE_1]);
	if (last)
		wake_up(&bow->idle);
	return DM_ENDIO_DONE;
}

/* ---- sysfs --------------------------------------------------------------- */

static int set_state(struct bow *bow, unsigned int want)
{
	int err;

	if (bow->suspended)
		return -EBUSY;
	if (want != bow->state + 1 || want > BOW_COMMITTED)
		return -EINVAL;
	reinit_completion(&bow->changed);
	WRITE_ONCE(bow->want, want);
	wake_up(&bow->company);
	queue_work(bow->wq, &bow->work);
	wait_for_completion(&bow->changed);
	err = bow->result;
	return err;
}

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	struct bow *bow = container_of(kobj, struct bow, kobj);

	return sprintf(buf, "%d\n", READ_ONCE(bow->state));
}

static ssize_t state_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	struct bow *bow = container_of(kobj, struct bow, kobj);
	unsigned int want;
	int err = kstrtouint(buf, 10, &want);

	if (err)
		return err;
	mutex_lock(&bow->state_mutex);
	err = set_state(bow, want);
	mutex_unlock(&bow->state_mutex);
	return err ? err : count;
}

static u64 free_bytes(struct bow *bow)
{
	u64 blocks;

	spin_lock(&bow->lock);
	blocks = bow->ranges.count[BOW_FREE];
	spin_unlock(&bow->lock);
	return blocks * bow->block_size;
}

static ssize_t free_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	struct bow *bow = container_of(kobj, struct bow, kobj);

	return sprintf(buf, "%llu\n", free_bytes(bow));
}

static struct kobj_attribute attr_state = __ATTR_RW(state);
static struct kobj_attribute attr_free = __ATTR_RO(free);

static struct attribute *bow_attrs[] = {
	&attr_state.attr,
	&attr_free.attr,
	NULL,
};
ATTRIBUTE_GROUPS(bow);

static void kobj_release(struct kobject *kobj)
{
	complete(&container_of(kobj, struct bow, kobj)->kobj_gone);
}

static struct kobj_type bow_ktype = {
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = bow_groups,
	.release = kobj_release,
};

/* ---- what tables share --------------------------------------------------- */

static void free_memory(struct bow *bow)
{
	bow_ranges_free(&bow->ranges);
	kfree(bow->scratch);
	kfree(bow->image);
	kfree(bow->log);
	vfree(bow->buf);
	kfree(bow->batch);
	kfree(bow);
}

/* A 64th of all memory, within bounds. */
static u32 buffer_size(void)
{
	return clamp_t(u64, (u64)totalram_pages() << PAGE_SHIFT >> 6,
		       BOW_BUF_MIN, BOW_BUF_MAX) &
	       ~(BOW_BLOCK_MAX - 1);
}

static struct bow *alloc_memory(u64 sectors, u32 block_size)
{
	struct bow *bow = kzalloc(sizeof(*bow), GFP_KERNEL);

	if (!bow)
		return NULL;
	bow->sectors = sectors;
	bow->block_size = block_size;
	bow->shift = ilog2(block_size) - SECTOR_SHIFT;
	bow->batch = kzalloc(sizeof(*bow->batch), GFP_KERNEL);
	bow->buf_size = buffer_size();
	bow->buf = vmalloc(bow->buf_size);
	bow->log = kzalloc(BOW_BLOCK_MAX, GFP_KERNEL);
	bow->image = kzalloc(BOW_BLOCK_MAX, GFP_KERNEL);
	bow->scratch = kzalloc(BOW_BLOCK_MAX, GFP_KERNEL);
	if (bow->batch && bow->buf && bow->log && bow->image && bow->scratch &&
	    !bow_ranges_init(&bow->ranges, sectors >> bow->shift))
		return bow;
	free_memory(bow);
	return NULL;
}

static void init_parts(struct bow *bow)
{
	unsigned int i;

	INIT_LIST_HEAD(&bow->list);
	spin_lock_init(&bow->lock);
	bio_list_init(&bow->deferred);
	init_waitqueue_head(&bow->idle);
	init_waitqueue_head(&bow->company);
	INIT_WORK(&bow->work, bow_work);
	INIT_DELAYED_WORK(&bow->tidy, bow_tidy);
	mutex_init(&bow->state_mutex);
	mutex_init(&bow->table_mutex);
	init_completion(&bow->changed);
	init_completion(&bow->kobj_gone);
	for (i = 0; i < BOW_PARTS; i++)
		bow_init_io(&bow->batch->reads[i]);
	bow_init_io(&bow->batch->io);
	bow_init_io(&bow->roll_io);
	kobject_init(&bow->kobj, &bow_ktype);
}

/* A log on the device would be lost: someone must restore or keep it first. */
static int refuse_log(struct bow *bow, char **error)
{
	int err = bow_read(bow, 0, bow->block_size, bow->scratch);

	if (err)
		*error = "Cannot read the first block of the device";
	else if (bow_log_is(bow->scratch))
		*error = "The device carries a bow log: restore or keep it "
			 "first";
	else
		return 0;
	return err ? err : -EEXIST;
}

static void destroy(struct bow *bow)
{
	/* sysfs first: a change of state under way still finds all it needs */
	if (bow->kobj_added)
		kobject_del(&bow->kobj);
	kobject_put(&bow->kobj);
	wait_for_completion(&bow->kobj_gone);
	cancel_delayed_work_sync(&bow->tidy);
	if (bow->wq)
		destroy_workqueue(bow->wq);
	if (bow->client)
		dm_io_client_destroy(bow->client);
	free_memory(bow);
}

static int start(struct bow *bow, char **error)
{
	bow->client = dm_io_client_create();
	if (IS_ERR(bow->client)) {
		int err = PTR_ERR(bow->client);

		bow->client = NULL;
		*error = "Cannot create an I/O client";
		return err;
	}
	bow->wq = alloc_ordered_workqueue("bow", WQ_MEM_RECLAIM);
	if (!bow->wq) {
		*error = "Cannot create a workqueue";
		return -ENOMEM;
	}
	return refuse_log(bow, error);
}

static struct bow *create(struct mapped_device *md, struct block_device *bdev,
			  u64 sectors, u32 block_size, char **error)
{
	struct bow *bow = alloc_memory(sectors, block_size);
	int err;

	if (!bow) {
		*error = "Cannot allocate memory";
		return ERR_PTR(-ENOMEM);
	}
	init_parts(bow);
	bow->md = md;
	bow->bdev = bdev;
	bow->unit = min(block_size, bdev_logical_block_size(bdev));
	err = start(bow, error);
	if (err) {
		destroy(bow);
		return ERR_PTR(err);
	}
	return bow;
}

static struct bow *find(struct mapped_device *md)
{
	struct bow *bow;

	list_for_each_entry (bow, &all_bows, list) {
		if (bow->md == md)
			return bow;
	}
	return NULL;
}

/*
 * A table that is loaded while another bow table of the same device lives goes
 * on with its state. That only works on the same blocks.
 */
static struct bow *share(struct mapped_device *md, struct bow *new)
{
	struct bow *bow;

	mutex_lock(&all_bows_mutex);
	bow = find(md);
	if (!bow && new) {
		list_add(&new->list, &all_bows);
		bow = new;
	}
	if (bow)
		bow->users++;
	mutex_unlock(&all_bows_mutex);
	return bow;
}

static void put_bow(struct bow *bow)
{
	bool last;

	mutex_lock(&all_bows_mutex);
	last = !--bow->users;
	if (last)
		list_del(&bow->list);
	mutex_unlock(&all_bows_mutex);
	if (last)
		destroy(bow);
}

/* Nothing is read or waited for under the mutex of all. */
static struct bow *get_bow(struct mapped_device *md, struct block_device *bdev,
			   u64 sectors, u32 block_size, char **error)
{
	struct bow *bow = share(md, NULL);
	struct bow *new;

	if (!bow) {
		new = create(md, bdev, sectors, block_size, error);
		if (IS_ERR(new))
			return new;
		bow = share(md, new);
		if (bow != new)
			destroy(new);
	}
	if (bow->bdev == bdev && bow->sectors == sectors &&
	    bow->block_size == block_size)
		return bow;
	put_bow(bow);
	*error = "A bow table with other parameters is live";
	return ERR_PTR(-EBUSY);
}

/* ---- construction -------------------------------------------------------- */

static int parse_block_size(const char *word, struct bow_target *t)
{
	u32 size;
	int err = kstrtou32(word, 10, &size);

	if (err || size < BOW_BLOCK_MIN || size > BOW_BLOCK_MAX ||
	    !is_power_of_2(size))
		return -EINVAL;
	t->block_size = size;
	return 0;
}

static int parse_low_water(const char *word, struct bow_target *t)
{
	return kstrtou64(word, 10, &t->policy.low_water);
}

static int parse_no_space(const char *word, struct bow_target *t)
{
	t->policy.release = !strcmp(word, "release");
	return t->policy.release || !strcmp(word, "fail") ? 0 : -EINVAL;
}

static const struct bow_option {
	const char *name;
	int (*parse)(const char *word, struct bow_target *t);
	char *error;
} options[] = {
	{
		.name = "block_size:",
		.parse = parse_block_size,
		.error = "block_size: expected 512, 1024, 2048 or 4096",
	},
	{
		.name = "low_water:",
		.parse = parse_low_water,
		.error = "low_water: expected bytes",
	},
	{
		.name = "no_space:",
		.parse = parse_no_space,
		.error = "no_space: expected fail or release",
	},
};

static const struct bow_option *find_option(const char *word)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		if (strstarts(word, options[i].name))
			return &options[i];
	}
	return NULL;
}

/* seen: a bit for each option that was there before. */
static int parse_option(struct dm_target *ti, const char *word, u32 *seen)
{
	const struct bow_option *option = find_option(word);

	if (!option) {
		ti->error = "Unknown option: expected block_size:, low_water: "
			    "or no_space:";
		return -EINVAL;
	}
	if (*seen & 1u << (option - options)) {
		ti->error = "An option is given twice";
		return -EINVAL;
	}
	*seen |= 1u << (option - options);
	ti->error = option->error;
	return option->parse(word + strlen(option->name), ti->private);
}

static int parse_options(struct dm_target *ti, struct dm_arg_set *as)
{
	static const struct dm_arg args[] = {
		{ 0, 3, "Too many optional arguments: expected at most 3" },
	};
	unsigned int n;
	u32 seen = 0;
	int err;

	if (!as->argc)
		return 0;
	err = dm_read_arg_group(args, as, &n, &ti->error);
	while (!err && n--)
		err = parse_option(ti, dm_shift_arg(as), &seen);
	if (!err && as->argc) {
		ti->error = "Arguments after the last option";
		err = -EINVAL;
	}
	return err;
}

/*
 * As published, the device's own block; on a large device the largest that
 * divides the table, so that memory stays small.
 */
static u32 default_size(u64 sectors, u32 logical)
{
	u32 size = sectors > SMALL_DEVICE ? BOW_BLOCK_MAX : logical;

	while (size > logical && sectors & ((size >> SECTOR_SHIFT) - 1))
		size /= 2;
	return max(size, logical);
}

static int check_size(struct dm_target *ti, struct bow_target *t,
		      u32 *block_size)
{
	u32 logical = bdev_logical_block_size(t->dev->bdev);

	*block_size = t->block_size;
	if (!*block_size)
		*block_size = default_size(ti->len, logical);
	if (*block_size < logical || *block_size > BOW_BLOCK_MAX)
		ti->error = "block_size is smaller than the device's blocks";
	else if (ti->begin)
		ti->error = "The table must begin at sector 0";
	else if (ti->len & ((*block_size >> SECTOR_SHIFT) - 1))
		ti->error = "The length is not a number of blocks";
	else
		return 0;
	return -EINVAL;
}

static void announce(struct dm_target *ti)
{
	ti->per_io_data_size = sizeof(struct bow_bio);
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->discards_supported = true;
}

static int open_bow(struct dm_target *ti, struct bow_target *t)
{
	u32 block_size;
	int err = check_size(ti, t, &block_size);

	if (err)
		return err;
	t->bow = get_bow(dm_table_get_md(ti->table), t->dev->bdev, ti->len,
			 block_size, &ti->error);
	return PTR_ERR_OR_ZERO(t->bow);
}

static int open_lower(struct dm_target *ti, struct bow_target *t,
		      const char *path)
{
	int err =
		dm_get_device(ti, path, dm_table_get_mode(ti->table), &t->dev);

	if (err) {
		ti->error = "Cannot open the device";
		return err;
	}
	err = open_bow(ti, t);
	if (err)
		dm_put_device(ti, t->dev);
	return err;
}

/* bow <dev> [<#opt> [block_size:<n>] [low_water:<n>] [no_space:<policy>]] */
static int bow_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set as = { argc, argv };
	struct bow_target *t;
	const char *path;
	int err;

	if (!argc) {
		ti->error = "Expected: <dev> [<#opt> [block_size:<n>] "
			    "[low_water:<n>] [no_space:fail|release]]";
		return -EINVAL;
	}
	path = dm_shift_arg(&as);
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t) {
		ti->error = "Cannot allocate memory";
		return -ENOMEM;
	}
	ti->private = t;
	err = parse_options(ti, &as);
	if (!err)
		err = open_lower(ti, t, path);
	if (err)
		kfree(t);
	else
		announce(ti);
	return err;
}

/* The table whose event it is must be there when it is told. */
static void set_table(struct bow *bow, struct dm_table *from,
		      struct dm_table *to)
{
	mutex_lock(&bow->table_mutex);
	if (!from || bow->table == from)
		bow->table = to;
	mutex_unlock(&bow->table_mutex);
}

static void bow_dtr(struct dm_target *ti)
{
	struct bow_target *t = ti->private;

	set_table(t->bow, ti->table, NULL);
	put_bow(t->bow);
	dm_put_device(ti, t->dev);
	kfree(t);
}

/* ---- life ---------------------------------------------------------------- */

static void bow_presuspend(struct dm_target *ti)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;

	/* Waits for a change of state under way. */
	mutex_lock(&bow->state_mutex);
	bow->suspended = true;
	mutex_unlock(&bow->state_mutex);
}

static void let_state_change(struct bow *bow)
{
	mutex_lock(&bow->state_mutex);
	bow->suspended = false;
	mutex_unlock(&bow->state_mutex);
}

/* The suspend was given up half-way. */
static void bow_presuspend_undo(struct dm_target *ti)
{
	let_state_change(((struct bow_target *)ti->private)->bow);
}

/* What the worker does when nobody waits for it ends, too. */
static void bow_postsuspend(struct dm_target *ti)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;

	flush_work(&bow->work);
	flush_delayed_work(&bow->tidy);
}

static void bow_resume(struct dm_target *ti)
{
	struct bow_target *t = ti->private;
	struct bow *bow = t->bow;
	struct kobject *disk = &disk_to_dev(dm_disk(bow->md))->kobj;

	if (!bow->kobj_added && !kobject_add(&bow->kobj, disk, "bow"))
		bow->kobj_added = true;
	if (!bow->kobj_added)
		DMERR("cannot create the bow folder in sysfs");
	set_table(bow, NULL, ti->table);
	spin_lock(&bow->lock);
	bow->policy = t->policy;
	bow_watch_room(bow);
	spin_unlock(&bow->lock);
	let_state_change(bow);
}

static void emit_table(struct bow_target *t, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT("%s", t->dev->name);
	if (t->block_size || t->policy.low_water || t->policy.release)
		DMEMIT(" %d", !!t->block_size + !!t->policy.low_water +
				      t->policy.release);
	if (t->block_size)
		DMEMIT(" block_size:%u", t->block_size);
	if (t->policy.low_water)
		DMEMIT(" low_water:%llu", t->policy.low_water);
	if (t->policy.release)
		DMEMIT(" no_space:release");
}

/*
 * <state> <free> <backed up> <log blocks> <errors> <room>; free and backups in
 * bytes.
 */
static void emit_status(struct bow *bow, char *result, unsigned int maxlen)
{
	static const char *const rooms[] = { "ok", "low", "full" };
	unsigned int sz = 0;

	spin_lock(&bow->lock);
	DMEMIT("%d %llu %llu %u %llu %s", bow->state,
	       bow->ranges.count[BOW_FREE] * bow->block_size,
	       bow->ranges.count[BOW_BACKUP] * bow->block_size, bow->logs,
	       bow->errors, bow->released ? "released" : rooms[level_of(bow)]);
	spin_unlock(&bow->lock);
}

static void bow_status(struct dm_target *ti, status_type_t type,
		       unsigned int status_flags, char *result,
		       unsigned int maxlen)
{
	struct bow_target *t = ti->private;

	if (type == STATUSTYPE_INFO)
		emit_status(t->bow, result, maxlen);
	else if (type == STATUSTYPE_TABLE)
		emit_table(t, result, maxlen);
	else
		*result = '\0';
}

/* The name that the published target's tests know. Clips *len. Lock held. */
static const char *range_name(struct bow *bow, u64 pos, u64 *len)
{
	static const char *const names[] = {
		[BOW_UNCHANGED] = "Unchanged",
		[BOW_FREE] = "Free",
		[BOW_CHANGED] = "Changed",
		[BOW_BACKUP] = "Backup",
	};
	u64 live = bow->sector0 >> bow->shift;
	enum bow_type type = bow_ranges_find(&bow->ranges, pos, len);

	if (bow->state != BOW_CHECKPOINT)
		return names[type];
	if (pos == 0 || pos == live) {
		*len = 1;
		return pos ? "Sector0_current" : "Sector0";
	}
	if (pos < live && live - pos < *len)
		*len = live - pos;
	return names[type];
}

static void list_ranges(struct bow *bow, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;
	u64 pos, len;

	spin_lock(&bow->lock);
	for (pos = 0; pos < bow->ranges.blocks && sz < maxlen - 1; pos += len) {
		const char *name;

		len = bow->ranges.blocks - pos;
		name = range_name(bow, pos, &len);
		DMEMIT("%s: %llu\n", name, pos << bow->shift);
	}
	spin_unlock(&bow->lock);
	DMEMIT("Top: %llu\n", bow->sectors);
}

static int bow_message(struct dm_target *ti, unsigned int argc, char **argv,
		       char *result, unsigned int maxlen)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;

	if (argc != 1 || strcasecmp(argv[0], "ranges")) {
		DMERR("unknown message '%s': expected 'ranges'", argv[0]);
		return -EINVAL;
	}
	if (maxlen)
		list_ranges(bow, result, maxlen);
	return 1;
}

static int bow_iterate_devices(struct dm_target *ti,
			       iterate_devices_callout_fn fn, void *data)
{
	struct bow_target *t = ti->private;

	return fn(ti, t->dev, 0, ti->len, data);
}

static void bow_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;

	limits->discard_granularity = bow->block_size;
	limits->max_hw_discard_sectors = DISCARD_MAX;
	limits->max_discard_sectors = DISCARD_MAX;
}

static struct target_type bow_target = {
	.name = "bow",
	.version = { 1, 2, 0 },
	.module = THIS_MODULE,
	.ctr = bow_ctr,
	.dtr = bow_dtr,
	.map = bow_map,
	.end_io = bow_end_io,
	.presuspend = bow_presuspend,
	.presuspend_undo = bow_presuspend_undo,
	.postsuspend = bow_postsuspend,
	.resume = bow_resume,
	.status = bow_status,
	.message = bow_message,
	.iterate_devices = bow_iterate_devices,
	.io_hints = bow_io_hints,
};

static int __init bow_init(void)
{
	int err;

	plat_begin_sums();
	err = dm_register_target(&bow_target);
	if (err)
		plat_end_sums();
	return err;
}

static void __exit bow_exit(void)
{
	dm_unregister_target(&bow_target);
	plat_end_sums();
}

module_init(bow_init);
module_exit(bow_exit);

MODULE_DESCRIPTION("device-mapper target that backs up overwritten blocks");
MODULE_AUTHOR("The Bowline authors");
MODULE_LICENSE("GPL");
