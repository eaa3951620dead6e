// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>

#include "dm-update-io.h"
#include "dm-update-store.h"

#define RECORDS (2 * UPDATE1_RECORD_SIZE)

/* @from and @len on the store's device, against what else is there. */
static bool overlaps(const struct update_source *source, u64 from, u64 len)
{
	const struct update_store *store = &source->store;
	u64 size = update1_progress_size(&source->v1.g);

	return store->at < from + len && from < store->at + size;
}

int update_store_init(struct update_source *source, const char **why)
{
	struct update_store *store = &source->store;
	u64 size = update1_progress_size(&source->v1.g);
	u64 room = bdev_nr_bytes(store->bdev);

	*why = "Progress does not begin at a multiple of 4096 bytes";
	if (store->at % UPDATE1_RECORD_SIZE)
		return -EINVAL;
	*why = "Progress and save area do not fit on their device";
	if (store->at > room || size > room - store->at)
		return -EINVAL;
	*why = "Progress lies in the system device or in the diff";
	if (store->bdev == source->system ||
	    (store->bdev == source->diff &&
	     overlaps(source, 0, source->v1.g.file_size)))
		return -EINVAL;
	*why = "Not enough memory";
	store->buf =
		kvmalloc(update_read_room(store->bdev, RECORDS), GFP_KERNEL);
	return store->buf ? 0 : -ENOMEM;
}

void update_store_exit(struct update_source *source)
{
	kvfree(source->store.buf);
	source->store.buf = NULL;
}

int update_store_load(struct update_source *source)
{
	struct update_store *store = &source->store;
	struct update1_record *records;

	records = update_read(source->io, store->bdev, store->at, RECORDS,
			      store->buf);
	if (IS_ERR(records))
		return PTR_ERR(records);
	update1_progress_read(&source->v1.g, records, &store->progress);
	return 0;
}

int update_store_write(struct update_source *source, u32 done, bool saved)
{
	struct update_store *store = &source->store;
	int r;

	update1_progress_record(&source->v1.g, &store->progress, done,
				store->buf);
	r = update_write(source->io, store->bdev,
			 store->at + store->progress.slot *
					     (u64)UPDATE1_RECORD_SIZE,
			 UPDATE1_RECORD_SIZE, store->buf,
			 REQ_FUA | (saved ? REQ_PREFLUSH : 0));
	if (!r)
		update1_progress_written(&store->progress, done);
	return r;
}
