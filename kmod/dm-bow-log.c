// SPDX-License-Identifier: GPL-2.0-only
/* See dm-bow-log.h. */
#include "dm-bow-log.h"

#define TAIL_SIZE 4

static u64 sectors_of(u32 bytes)
{
	return bytes / BOWLINE_SECTOR;
}

static u32 get_le32(const void *p)
{
	__le32 v;

	memcpy(&v, p, sizeof(v));
	return le32_to_cpu(v);
}

u32 bow_log_capacity(u32 block_size, u32 header_size)
{
	return (block_size - TAIL_SIZE - header_size) / BOW_ENTRY_SIZE;
}

u32 bow_checksum(u64 source, u32 block_size, const void *data, size_t len)
{
	u64 block = source >> (__builtin_ctz(block_size) - 9);

	return plat_crc32((u32)block, data, len);
}

/* ---- the tail ----------------------------------------------------------- */

static u32 sum_zeros(u32 crc, u32 len)
{
	static const u8 zeros[64];

	while (len) {
		u32 n = len < sizeof(zeros) ? len : sizeof(zeros);

		crc = plat_crc32c(crc, zeros, n);
		len -= n;
	}
	return crc;
}

/* The tail of a block with this header and the entries of `block`. */
static u32 tail_for(const void *block, const struct bow_header *h)
{
	u32 header_size = le16_to_cpu(h->header_size);
	u32 used = header_size + le32_to_cpu(h->count) * BOW_ENTRY_SIZE;
	u32 size = le32_to_cpu(h->block_size) - TAIL_SIZE;
	u32 crc;

	crc = plat_crc32c(~0u, (const u8 *)h, sizeof(*h));
	crc = plat_crc32c(crc, (const u8 *)block + sizeof(*h),
			  used - sizeof(*h));
	return ~sum_zeros(crc, size - used);
}

/* The sum of the state with these entries and this header. */
static u32 sum_for(const void *block, const struct bow_header *h)
{
	struct bow_header own = *h;
	u32 crc;

	own.magic = cpu_to_le32(BOW_MAGIC);
	crc = plat_crc32c(~0u, (const u8 *)&own, sizeof(own));
	return ~plat_crc32c(crc,
			    (const u8 *)block + le16_to_cpu(h->header_size),
			    le32_to_cpu(h->count) * BOW_ENTRY_SIZE);
}

u32 bow_log_tail(const struct bow_log *log, const void *block)
{
	return get_le32((const u8 *)block + log->block_size - TAIL_SIZE);
}

/* ---- reading ------------------------------------------------------------ */

bool bow_log_is(const void *head)
{
	u32 magic = get_le32(head);

	return magic == BOW_MAGIC || magic == BOW_MAGIC_RESTORING;
}

static bool legal_block_size(u32 size)
{
	return size >= BOW_BLOCK_MIN && size <= BOW_BLOCK_MAX &&
	       !(size & (size - 1));
}

static bool outside(u64 sector, u64 len, u64 sectors)
{
	return sector > sectors || len > sectors - sector;
}

static const char *header_fault(const struct bow_log *log, u32 version)
{
	u64 block = sectors_of(log->block_size);

	if (version != BOW_VERSION)
		return "its version is unknown";
	if (!legal_block_size(log->block_size))
		return "its block size is none of 512, 1024, 2048, 4096";
	if (log->header_size < BOW_HEADER_SIZE ||
	    log->header_size > log->block_size - TAIL_SIZE)
		return "its header size is out of bounds";
	if (!log->count && log->magic == BOW_MAGIC_RESTORING)
		return "it counts no entries";
	if (log->count > bow_log_capacity(log->block_size, log->header_size))
		return "it counts more entries than fit";
	if (!log->sector0 || outside(log->sector0, block, log->sectors))
		return "the live block 0 lies outside the device";
	if (log->sector0 & (block - 1))
		return "the live block 0 is not at a block";
	return NULL;
}

int bow_log_header(struct bow_log *log, const void *head, u64 sectors,
		   const char **why)
{
	struct bow_header h;

	memcpy(&h, head, sizeof(h));
	memset(log, 0, sizeof(*log));
	log->magic = le32_to_cpu(h.magic);
	log->block_size = le32_to_cpu(h.block_size);
	log->header_size = le16_to_cpu(h.header_size);
	log->count = le32_to_cpu(h.count);
	log->sequence = le32_to_cpu(h.sequence);
	log->sector0 = le64_to_cpu(h.sector0);
	log->sectors = sectors;
	if (!bow_log_is(head))
		*why = "it has no magic number";
	else
		*why = header_fault(log, le16_to_cpu(h.version));
	return *why ? -EINVAL : 0;
}

void bow_log_entry(const struct bow_log *log, u32 i, struct bow_step *step)
{
	struct bow_entry e;

	memcpy(&e, log->block + log->header_size + i * BOW_ENTRY_SIZE,
	       sizeof(e));
	step->source = le64_to_cpu(e.source);
	step->dest = le64_to_cpu(e.dest);
	step->size = le32_to_cpu(e.size);
	step->checksum = le32_to_cpu(e.checksum);
}

const char *bow_log_check(const struct bow_log *log, u32 i,
			  const struct bow_step *step)
{
	u64 block = sectors_of(log->block_size);
	u64 len = sectors_of(step->size);

	if (!step->size || step->size & (log->block_size - 1))
		return "its size is not a number of blocks";
	if ((step->source | step->dest) & (block - 1))
		return "it is not at a block";
	if (outside(step->source, len, log->sectors) ||
	    outside(step->dest, len, log->sectors))
		return "it lies outside the device";
	if (!step->dest)
		return "its backup lies in block 0";
	if (!i != !step->source || (!i && len != block))
		return i ? "it overwrites the log" : "it does not save block 0";
	if (step->source < step->dest + len && step->dest < step->source + len)
		return "it overlaps its own backup";
	return NULL;
}

/* Reads entry i; may it say, by its shape, that the live block 0 moved? */
static bool like_move(const struct bow_log *log, u32 i, struct bow_step *step)
{
	bow_log_entry(log, i, step);
	return i && !step->checksum && step->size == log->block_size &&
	       !bow_log_check(log, i, step);
}

/*
 * sector0 as it was, or will be, when the block has so many entries. A backup
 * whose checksum happens to be 0 is no link of the chain of moves: nothing is
 * backed up at sector0, and nothing from there is but by a move.
 */
static u64 sector0_at(const struct bow_log *log, u32 count)
{
	u64 sector0 = log->sector0;
	struct bow_step step;
	u32 i;

	for (i = log->count; i < count; i++) {
		if (like_move(log, i, &step) && step.source == sector0)
			sector0 = step.dest;
	}
	for (i = log->count; i > count; i--) {
		if (like_move(log, i - 1, &step) && step.dest == sector0)
			sector0 = step.source;
	}
	return sector0;
}

static struct bow_header state_of(const struct bow_log *log, u32 count,
				  u64 sector0)
{
	struct bow_header h;

	memcpy(&h, log->block, sizeof(h));
	h.count = cpu_to_le32(count);
	h.sector0 = cpu_to_le64(sector0);
	return h;
}

/* Was the tail written when the block had so many entries? */
static bool tail_fits(const struct bow_log *log, u32 magic, u32 count)
{
	struct bow_header h = state_of(log, count, sector0_at(log, count));

	h.magic = cpu_to_le32(magic);
	return tail_for(log->block, &h) == bow_log_tail(log, log->block);
}

static bool sum_fits(const struct bow_log *log, u32 sum, u32 count, u64 sector0)
{
	struct bow_header h = state_of(log, count, sector0);

	return sum_for(log->block, &h) == sum;
}

/* ---- a write that was cut short ------------------------------------------ */

/* The tail is never blank. */
static bool blank(const struct bow_log *log, u32 from, u32 to)
{
	if (to > log->block_size - TAIL_SIZE)
		to = log->block_size - TAIL_SIZE;
	while (from < to && !log->block[from])
		from++;
	return from >= to;
}

static u32 sector_end(u32 at)
{
	return (at / BOWLINE_SECTOR + 1) * BOWLINE_SECTOR;
}

/* Does entry i go on into a sector in which nothing is? */
static bool cut_through(const struct bow_log *log, u32 i)
{
	u32 from = log->header_size + i * BOW_ENTRY_SIZE;
	u32 end = sector_end(from);

	return end < from + BOW_ENTRY_SIZE &&
	       blank(log, end, end + BOWLINE_SECTOR);
}

/* The first entry that cannot be one for want of bytes. */
static u32 first_missing(const struct bow_log *log)
{
	u32 n = bow_log_capacity(log->block_size, log->header_size);
	struct bow_step step;
	u32 i;

	for (i = 0; i < n; i++) {
		bow_log_entry(log, i, &step);
		if (!step.size || (i && !step.source) ||
		    (!step.checksum && cut_through(log, i)))
			break;
	}
	return i;
}

/* Is entry i missing as what a cut leaves out is: to the end of a sector? */
static bool missing_by_sector(const struct bow_log *log, u32 i)
{
	u32 from = log->header_size + i * BOW_ENTRY_SIZE;

	return blank(log, from, sector_end(from)) || cut_through(log, i);
}

/*
 * Entries are added by one write of the block. A cut may leave out any sectors
 * of it: then they are missing, and what is proven is the state before. What
 * the write was to save has not been overwritten, so nothing else counts. A
 * restore that has begun from that state has put its count into the header.
 */
static bool is_cut(struct bow_log *log, const struct bow_sums *sums)
{
	u32 count = le32_to_cpu(sums->prev_count);
	u64 sector0 = le64_to_cpu(sums->prev_sector0);
	u32 m = first_missing(log);

	if (!count || m < count ||
	    !sum_fits(log, le32_to_cpu(sums->prev_sum), count, sector0))
		return false;
	if (log->magic == BOW_MAGIC_RESTORING)
		return log->count <= count;
	if (m >= log->count || !missing_by_sector(log, m))
		return false;
	log->count = count;
	log->sector0 = sector0;
	return true;
}

bool bow_log_over(struct bow_log *log, void *block, void *before)
{
	u32 at = BOWLINE_SECTOR;
	struct bow_sums sums;
	u8 *seen = before;

	memcpy(seen, block, at);
	for (; at < log->block_size; at += BOWLINE_SECTOR) {
		if (memcmp(seen + at, (u8 *)block + at, BOWLINE_SECTOR))
			memcpy(seen + at, (u8 *)block + at, BOWLINE_SECTOR);
		else
			memset(seen + at, 0, BOWLINE_SECTOR);
	}
	memcpy(&sums, seen + BOW_HEADER_SIZE, sizeof(sums));
	log->block = seen;
	if (is_cut(log, &sums)) {
		memcpy(block, seen, log->block_size);
		log->tail = BOW_TAIL_TORN;
	}
	log->block = block;
	return log->tail == BOW_TAIL_TORN;
}

/* Is there a count, the header's or more, that the sum or the tail is of? */
static bool find_count(struct bow_log *log, u32 sum, bool has_sums)
{
	u32 n = bow_log_capacity(log->block_size, log->header_size);
	u64 sector0;

	for (; n; n--) {
		sector0 = sector0_at(log, n);
		if (!tail_fits(log, BOW_MAGIC, n) &&
		    !(has_sums && sum_fits(log, sum, n, sector0)))
			continue;
		/* A restore that has begun lowers the count. */
		if (log->magic == BOW_MAGIC) {
			log->sector0 = sector0;
			log->count = n;
		}
		return true;
	}
	return false;
}

/*
 * A tail that does not fit is of another write than the header: by a cut, by a
 * restore that has begun, or because damage changed the count. The state that
 * can be proven is the one that counts.
 */
static enum bow_tail judge_tail(struct bow_log *log)
{
	bool has_sums = log->header_size == BOW_HEADER_LONG;
	struct bow_sums sums;

	if (tail_fits(log, log->magic, log->count))
		return BOW_TAIL_WHOLE;
	memcpy(&sums, log->block + BOW_HEADER_SIZE, sizeof(sums));
	if (has_sums &&
	    sum_fits(log, le32_to_cpu(sums.sum), log->count, log->sector0))
		return BOW_TAIL_TORN;
	if (find_count(log, le32_to_cpu(sums.sum), has_sums) ||
	    (has_sums && is_cut(log, &sums)))
		return BOW_TAIL_TORN;
	return BOW_TAIL_OTHER;
}

/*
 * The published target writes sector0 one log write late: when the last move
 * of the live block 0 starts from sector0, it has happened.
 */
static void catch_up(struct bow_log *log)
{
	struct bow_step step;
	u32 i;

	for (i = log->count; i > 0; i--) {
		if (!like_move(log, i - 1, &step) ||
		    (step.source != log->sector0 && step.dest != log->sector0))
			continue;
		log->sector0 = step.dest;
		return;
	}
}

void bow_log_block(struct bow_log *log, const void *block)
{
	log->block = block;
	log->tail = BOW_TAIL_NONE;
	if (!log->count)
		return;
	if (bow_log_tail(log, block))
		log->tail = judge_tail(log);
	else
		catch_up(log);
}

/* ---- building ----------------------------------------------------------- */

static void put_header(void *block, const struct bow_header *h)
{
	memcpy(block, h, sizeof(*h));
}

static struct bow_header header_of(const void *block)
{
	struct bow_header h;

	memcpy(&h, block, sizeof(h));
	return h;
}

static void put_entry(void *block, u32 i, const struct bow_step *step)
{
	struct bow_header h = header_of(block);
	struct bow_entry e = {
		.source = cpu_to_le64(step->source),
		.dest = cpu_to_le64(step->dest),
		.size = cpu_to_le32(step->size),
		.checksum = cpu_to_le32(step->checksum),
	};

	memcpy((u8 *)block + le16_to_cpu(h.header_size) + i * BOW_ENTRY_SIZE,
	       &e, sizeof(e));
}

static void begin(void *block, const struct bow_header *h,
		  const struct bow_step *first)
{
	memset(block, 0, le32_to_cpu(h->block_size));
	put_header(block, h);
	put_entry(block, 0, first);
	bow_log_seal(block);
}

void bow_log_start(void *block, u32 block_size, u32 header_size, u64 sector0,
		   const struct bow_step *first)
{
	struct bow_header h = {
		.magic = cpu_to_le32(BOW_MAGIC),
		.version = cpu_to_le16(BOW_VERSION),
		.header_size = cpu_to_le16(header_size),
		.block_size = cpu_to_le32(block_size),
		.count = cpu_to_le32(1),
		.sector0 = cpu_to_le64(sector0),
	};

	begin(block, &h, first);
}

void bow_log_roll(void *block, u64 dest, u32 checksum)
{
	struct bow_header h = header_of(block);
	struct bow_step first = { 0, dest, le32_to_cpu(h.block_size),
				  checksum };

	h.sequence = cpu_to_le32(le32_to_cpu(h.sequence) + 1);
	h.count = cpu_to_le32(1);
	begin(block, &h, &first);
}

u32 bow_log_room(const void *block)
{
	struct bow_header h = header_of(block);

	return bow_log_capacity(le32_to_cpu(h.block_size),
				le16_to_cpu(h.header_size)) -
	       le32_to_cpu(h.count);
}

void bow_log_mark(void *block)
{
	struct bow_header h = header_of(block);
	struct bow_sums sums;

	if (le16_to_cpu(h.header_size) != BOW_HEADER_LONG)
		return;
	memcpy(&sums, (u8 *)block + sizeof(h), sizeof(sums));
	sums.prev_count = h.count;
	sums.prev_sector0 = h.sector0;
	sums.prev_sum = sums.sum;
	memcpy((u8 *)block + sizeof(h), &sums, sizeof(sums));
}

int bow_log_add(void *block, const struct bow_step *step)
{
	struct bow_header h = header_of(block);
	u32 count = le32_to_cpu(h.count);

	if (!bow_log_room(block))
		return -ENOSPC;
	put_entry(block, count, step);
	h.count = cpu_to_le32(count + 1);
	put_header(block, &h);
	return 0;
}

int bow_log_append(void *block, const struct bow_step *step)
{
	int err = bow_log_add(block, step);

	if (!err)
		bow_log_seal(block);
	return err;
}

int bow_log_move(void *block, u64 dest)
{
	struct bow_header h = header_of(block);
	struct bow_step step = {
		.source = le64_to_cpu(h.sector0),
		.dest = dest,
		.size = le32_to_cpu(h.block_size),
	};

	if (!bow_log_room(block))
		return -ENOSPC;
	h.sector0 = cpu_to_le64(dest);
	put_header(block, &h);
	return bow_log_append(block, &step);
}

void bow_log_close(void *block)
{
	struct bow_header h = header_of(block);

	h.count = 0;
	put_header(block, &h);
	bow_log_seal(block);
}

void bow_log_seal(void *block)
{
	struct bow_header h = header_of(block);
	u32 size = le32_to_cpu(h.block_size);
	__le32 tail, sum;

	if (le16_to_cpu(h.header_size) == BOW_HEADER_LONG) {
		sum = cpu_to_le32(sum_for(block, &h));
		memcpy((u8 *)block + sizeof(h), &sum, sizeof(sum));
	}
	tail = cpu_to_le32(tail_for(block, &h));
	memcpy((u8 *)block + size - TAIL_SIZE, &tail, sizeof(tail));
}
