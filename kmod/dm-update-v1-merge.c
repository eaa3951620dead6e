// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-v1.h"

#define RECORDS 2

static u32 record_crc(const struct update1_record *record)
{
	return plat_crc32c(~0u, record, offsetof(struct update1_record, crc));
}

static bool record_valid(const struct update1_record *record)
{
	return le32_to_cpu(record->magic) == UPDATE1_RECORD_MAGIC &&
	       le16_to_cpu(record->version) == UPDATE1_RECORD_VERSION &&
	       le32_to_cpu(record->crc) == record_crc(record);
}

static bool record_ours(const struct update1_geometry *g,
			const struct update1_record *record)
{
	return !memcmp(record->id, g->id, sizeof(g->id)) &&
	       le32_to_cpu(record->done) <= g->n_epochs;
}

void update1_progress_read(const struct update1_geometry *g,
			   const struct update1_record records[2],
			   struct update1_progress *p)
{
	u64 newest = 0;
	u32 i;

	*p = (struct update1_progress){ 0 };
	for (i = 0; i < RECORDS; i++) {
		u64 sequence = le64_to_cpu(records[i].sequence);

		if (!record_valid(&records[i]))
			continue;
		if (sequence > p->sequence)
			p->sequence = sequence;
		if (!record_ours(g, &records[i]) || sequence <= newest)
			continue;
		newest = sequence;
		p->begun = true;
		p->done = le32_to_cpu(records[i].done);
		p->slot = !i;
	}
}

void update1_progress_record(const struct update1_geometry *g,
			     const struct update1_progress *p, u32 done,
			     struct update1_record *record)
{
	memset(record, 0, sizeof(*record));
	record->magic = cpu_to_le32(UPDATE1_RECORD_MAGIC);
	record->version = cpu_to_le16(UPDATE1_RECORD_VERSION);
	record->sequence = cpu_to_le64(p->sequence + 1);
	memcpy(record->id, g->id, sizeof(record->id));
	record->done = cpu_to_le32(done);
	record->crc = cpu_to_le32(record_crc(record));
}

void update1_progress_written(struct update1_progress *p, u32 done)
{
	p->begun = true;
	p->done = done;
	p->sequence++;
	p->slot = !p->slot;
}

u64 update1_progress_size(const struct update1_geometry *g)
{
	return update1_room_at(g, g->save_blocks);
}

u64 update1_room_at(const struct update1_geometry *g, u32 room)
{
	return RECORDS * UPDATE1_RECORD_SIZE + ((u64)room << g->block_bits);
}

u32 update1_epoch_next(const struct update1_dir *dir, u32 epoch, u32 i)
{
	const struct update1_epoch *range = &dir->epochs[epoch];
	struct update1_extent e;

	for (i = i < range->first ? range->first : i; i < range->end; i++) {
		update1_extent(dir, i, &e);
		if (e.epoch == epoch)
			return i;
	}
	return dir->g.n_extents;
}

u32 update1_save_next(const struct update1_dir *dir, u32 epoch, u32 i)
{
	struct update1_save s;

	for (; i < dir->g.n_saves; i++) {
		update1_save(dir, i, &s);
		if (s.epoch == epoch)
			break;
	}
	return i;
}
