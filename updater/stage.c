// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "err.h"
#include "plat.h"
#include "stage.h"

#define RECORD_MAGIC   0x47545342u /* "BSTG" */
#define RECORD_VERSION 1

/* docs/FORMAT.md, "The record on the stage" */
struct disk_record {
	__le32 magic;
	__le16 version;
	__u8 phase;
	char base;
	__le64 sequence;
	char id[UPDATE_ID_LEN];
	__le64 payload;
	__le64 image;
	__le32 attempt;
	char reason[64];
	__le64 progress;
	__u8 zero[STAGE_RECORD_SIZE - 124 - 4];
	__le32 crc; /* CRC-32C, seed ~0, over everything before it */
} __attribute__((packed));
_Static_assert(sizeof(struct disk_record) == STAGE_RECORD_SIZE, "record");

static __le32 crc_of(const struct disk_record *disk)
{
	return cpu_to_le32(
		plat_crc32c(~0u, disk, sizeof(*disk) - sizeof(disk->crc)));
}

static bool valid(const struct disk_record *disk)
{
	return le32_to_cpu(disk->magic) == RECORD_MAGIC &&
	       le16_to_cpu(disk->version) == RECORD_VERSION &&
	       disk->phase <= STAGE_COMMIT &&
	       (disk->base == 'A' || disk->base == 'B') &&
	       !disk->reason[sizeof(disk->reason) - 1] &&
	       disk->crc == crc_of(disk);
}

struct copies {
	struct disk_record disk[2];
	int newest; /* index, or -1 */
};

/* A copy that cannot be read is as good as a torn one. */
static int load(struct dev *stage, struct copies *copies)
{
	uint64_t best = 0;
	int unreadable = 0;

	copies->newest = -1;
	if (dev_size(stage) < 2 * STAGE_RECORD_SIZE)
		return error("the stage '%s' is too small: it has %llu bytes",
			     dev_name(stage),
			     (unsigned long long)dev_size(stage));
	for (int i = 0; i < 2; i++) {
		struct disk_record *disk = &copies->disk[i];

		if (dev_read(stage, i * STAGE_RECORD_SIZE, disk,
			     sizeof(*disk))) {
			unreadable++;
			continue;
		}
		if (!valid(disk) || le64_to_cpu(disk->sequence) < best)
			continue;
		best = le64_to_cpu(disk->sequence);
		copies->newest = i;
	}
	return unreadable == 2 ? -1 : 0;
}

int stage_read(struct dev *stage, struct stage_record *rec)
{
	static struct copies copies;
	const struct disk_record *disk;

	memset(rec, 0, sizeof(*rec));
	rec->base = 'A';
	if (load(stage, &copies))
		return -1;
	if (copies.newest < 0)
		return 0;
	disk = &copies.disk[copies.newest];
	rec->phase = disk->phase;
	rec->base = disk->base;
	memcpy(rec->id, disk->id, UPDATE_ID_LEN);
	rec->payload = le64_to_cpu(disk->payload);
	rec->image = le64_to_cpu(disk->image);
	rec->attempt = le32_to_cpu(disk->attempt);
	strcpy(rec->reason, disk->reason);
	rec->progress = le64_to_cpu(disk->progress);
	return 0;
}

static void encode(struct disk_record *disk, const struct stage_record *rec,
		   uint64_t sequence)
{
	memset(disk, 0, sizeof(*disk));
	disk->magic = cpu_to_le32(RECORD_MAGIC);
	disk->version = cpu_to_le16(RECORD_VERSION);
	disk->phase = rec->phase;
	disk->base = rec->base;
	disk->sequence = cpu_to_le64(sequence);
	memcpy(disk->id, rec->id, UPDATE_ID_LEN);
	disk->payload = cpu_to_le64(rec->payload);
	disk->image = cpu_to_le64(rec->image);
	disk->attempt = cpu_to_le32(rec->attempt);
	memcpy(disk->reason, rec->reason, sizeof(disk->reason));
	disk->progress = cpu_to_le64(rec->progress);
	disk->crc = crc_of(disk);
}

int stage_write(struct dev *stage, const struct stage_record *rec)
{
	static struct copies copies;
	uint64_t sequence = 1;
	int to;

	if (load(stage, &copies))
		return -1;
	to = copies.newest == 0; /* over the older or the invalid copy */
	if (copies.newest >= 0)
		sequence += le64_to_cpu(copies.disk[copies.newest].sequence);
	encode(&copies.disk[to], rec, sequence);
	if (dev_write(stage, to * STAGE_RECORD_SIZE, &copies.disk[to],
		      STAGE_RECORD_SIZE))
		return -1;
	return dev_flush(stage);
}

int stage_note(const char *path, const struct stage_record *rec)
{
	struct dev *stage = dev_open(path, DEV_SHARED);
	int r = stage ? stage_write(stage, rec) : -1;

	dev_close(stage);
	return r;
}
