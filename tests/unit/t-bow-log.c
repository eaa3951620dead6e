// SPDX-License-Identifier: GPL-2.0-or-later
/* Building and judging one block of the bow log. */
#include "test.h"
#include "../../kmod/dm-bow-log.h"

#define SECTORS 100000

static const u32 sizes[] = { 512, 1024, 2048, 4096 };

static struct bow_step step_nr(u32 i, u32 size)
{
	u64 block = size / 512;

	return (struct bow_step){ (10 + i) * block, (5000 + i) * block, size,
				  1000 + i };
}

/* As on a device that writes 512 bytes as one. */
static u32 header_of_size(u32 size)
{
	return size > 512 ? BOW_HEADER_LONG : BOW_HEADER_SIZE;
}

static u32 capacity_of(u32 size)
{
	return bow_log_capacity(size, header_of_size(size));
}

static void fill(u8 *block, u32 size, u32 entries)
{
	struct bow_step first = { 0, 9 * size / 512, size, 77 };

	bow_log_start(block, size, header_of_size(size), 8 * size / 512,
		      &first);
	for (u32 i = 1; i < entries; i++) {
		struct bow_step step = step_nr(i, size);

		check(!bow_log_add(block, &step));
	}
	bow_log_seal(block);
}

static const char *parse(struct bow_log *log, const u8 *block)
{
	const char *why = NULL;

	if (!bow_log_header(log, block, SECTORS, &why))
		bow_log_block(log, block);
	return why;
}

static void what_is_built_is_read(void)
{
	static const u32 published[] = { 20, 41, 84, 169 };
	u8 block[4096];

	for (int s = 0; s < 4; s++) {
		struct bow_step got, want = step_nr(3, sizes[s]);
		struct bow_log log;

		u32 capacity = capacity_of(sizes[s]);

		check(bow_log_capacity(sizes[s], 28) == published[s]);
		fill(block, sizes[s], capacity);
		check(!bow_log_room(block));
		check(bow_log_append(block, &want) == -ENOSPC);
		check(bow_log_move(block, 16) == -ENOSPC);
		check(!parse(&log, block));
		check(log.tail == BOW_TAIL_WHOLE);
		check(log.count == capacity && !log.sequence);
		check(log.sector0 == 8 * sizes[s] / 512);
		bow_log_entry(&log, 3, &got);
		check(!memcmp(&got, &want, sizeof(got)));
		check(!bow_log_check(&log, 3, &got));
	}
}

static void the_format_is_the_published_one(void)
{
	static const u8 head[] = { 'B', 'O', 'W', 0, 0,	   1, 28, 0, 0, 2, 0,
				   0,	1,   0,	  0, 0,	   0, 0,  0, 0, 8, 0,
				   0,	0,   0,	  0, 0,	   0, 0,  0, 0, 0, 0,
				   0,	0,   0,	  9, 0,	   0, 0,  0, 0, 0, 0,
				   0,	2,   0,	  0, 0x4d, 0, 0,  0, 0, 0 };
	struct bow_step first = { 0, 9, 512, 77 };
	u8 block[512];

	bow_log_start(block, 512, BOW_HEADER_SIZE, 8, &first);
	check(!memcmp(block, head, sizeof(head)));
}

static void a_roll_begins_anew(void)
{
	u8 block[512];
	struct bow_step step;
	struct bow_log log;

	fill(block, 512, 20);
	bow_log_roll(block, 4321, 55);
	check(!parse(&log, block));
	check(log.count == 1 && log.sequence == 1 && log.sector0 == 8);
	bow_log_entry(&log, 0, &step);
	check(!step.source && step.dest == 4321 && step.size == 512 &&
	      step.checksum == 55);
	for (int i = 52; i < 508; i++)
		check(!block[i]);
}

static void a_move_is_an_entry_and_a_field(void)
{
	u8 block[512];
	struct bow_step step;
	struct bow_log log;

	fill(block, 512, 2);
	check(!bow_log_move(block, 600));
	check(!parse(&log, block));
	check(log.sector0 == 600);
	bow_log_entry(&log, 2, &step);
	check(step.source == 8 && step.dest == 600 && !step.checksum);
}

/* Entries n to n + more - 1; every second or so moves the live block 0. */
static void append_some(u8 *block, u32 size, u32 n, u32 more)
{
	for (u32 i = n; i < n + more; i++) {
		struct bow_step step = step_nr(i, size);

		if (i == n + 1 || rand() % 50 == 0)
			check(!bow_log_move(block, (7000 + i) * size / 512));
		else
			check(!bow_log_append(block, &step));
	}
}

/* Sectors of the one or the other, as chosen by bits. */
static void mix(u8 *to, const u8 *old, const u8 *new, u32 size, u32 bits)
{
	for (u32 i = 0; i < size; i += 512, bits >>= 1)
		memcpy(to + i, (bits & 1 ? new : old) + i, 512);
}

/*
 * Whatever sectors of a log write are on the disk, the block reads as before
 * it or as after it, and where it began is told by the sum in its head.
 */
static void torn_appends_read_as_a_state(void)
{
	u8 old[4096], new[4096], mixed[4096];
	struct bow_log was, is, log;

	srand(2);
	for (int round = 0; round < 40000; round++) {
		u32 size = sizes[1 + rand() % 3];
		u32 room = capacity_of(size);
		u32 n = 1 + rand() % (room - 1);
		u32 more = 1 + rand() % (room - n);

		fill(old, size, n);
		if (rand() % 2 && more > 1)
			append_some(old, size, n++, 1), more--;
		memcpy(new, old, size);
		bow_log_mark(new);
		append_some(new, size, n, more);
		mix(mixed, old, new, size, rand() >> 8);
		check(!parse(&was, old) && !parse(&is, new));
		check(!parse(&log, mixed));
		check(log.tail == BOW_TAIL_WHOLE || log.tail == BOW_TAIL_TORN);
		check((log.count == n && log.sector0 == was.sector0) ||
		      (log.count == n + more && log.sector0 == is.sector0 &&
		       !memcmp(mixed, new, size - 4)));
	}
}

/* A block that begins is its head, whatever lies behind it. */
static void a_torn_roll_reads_as_begun(void)
{
	u8 old[4096], block[4096];
	struct bow_log log;

	for (int s = 1; s < 4; s++) {
		fill(old, sizes[s], capacity_of(sizes[s]));
		memcpy(block, old, sizeof(block));
		bow_log_roll(block, 4096, 55);
		append_some(block, sizes[s], 1, 10);
		memcpy(block + 512, old + 512, sizes[s] - 512);
		check(!parse(&log, block) && log.tail == BOW_TAIL_TORN);
		check(log.count == 11 && log.sequence == 1);
	}
}

/* A full block, none of whose entries come again in the next one. */
static void fill_before(u8 *block, u32 size)
{
	fill(block, size, capacity_of(size));
	for (u32 at = BOW_HEADER_LONG; at < size - 4; at += 24)
		block[at] ^= 0x80;
	bow_log_seal(block);
}

/*
 * The first entries come to a block whose head alone was written: what a cut
 * leaves out of them is what was there before, be it a log or not.
 */
static void torn_appends_to_a_begun_block_read_as_a_state(void)
{
	u8 before[4096], begun[4096], new[4096], mixed[4096], seen[4096];
	unsigned int needed = 0;
	struct bow_log log;

	srand(3);
	for (int round = 0; round < 2000; round++) {
		u32 size = sizes[1 + rand() % 3];
		u32 n = 1 + rand() % 18;
		u32 more = 1 + rand() % (capacity_of(size) - n);

		fill_before(before, size);
		if (rand() % 2)
			before[512 + rand() % (size - 512)] ^= 1;
		memcpy(begun, before, size);
		bow_log_roll(begun, 4096, 55);
		append_some(begun, size, 1, n - 1);
		memcpy(new, begun, size);
		memcpy(begun + 512, before + 512, size - 512);
		bow_log_mark(new);
		append_some(new, size, n, more);
		mix(mixed, begun, new, size, rand() >> 8);
		memcpy(seen, before, size);
		check(!parse(&log, mixed));
		if (log.tail == BOW_TAIL_OTHER) {
			check(bow_log_over(&log, mixed, seen));
			needed++;
		}
		check(log.tail == BOW_TAIL_WHOLE || log.tail == BOW_TAIL_TORN);
		check(log.count == n ||
		      (log.count == n + more &&
		       !memcmp(mixed, new, 48 + log.count * 24)));
	}
	printf("     what was before was needed %u times\n", needed);
	check(needed > 250);
}

/* The same, but one byte is neither of before nor of the write. */
static void damage_to_a_begun_block_is_no_cut(void)
{
	u8 before[4096], block[4096], seen[4096];
	struct bow_log log;

	for (u32 at = 512; at < 48 + 168 * 24; at += 7) {
		fill_before(before, 4096);
		memcpy(block, before, 4096);
		bow_log_roll(block, 4096, 55);
		bow_log_mark(block);
		append_some(block, 4096, 1, capacity_of(4096) - 1);
		block[at] ^= 4;
		memcpy(seen, before, 4096);
		check(!parse(&log, block) && log.tail == BOW_TAIL_OTHER);
		check(!bow_log_over(&log, block, seen));
	}
}

/* More is missing than the last write added, or not to a sector's end. */
static void lost_entries_are_no_cut(void)
{
	u8 block[4096];
	struct bow_log log;

	fill(block, 4096, 100);
	bow_log_mark(block);
	append_some(block, 4096, 100, 20);
	memset(block + 2048, 0, 512);
	check(!parse(&log, block) && log.tail == BOW_TAIL_OTHER);
	fill(block, 4096, 40);
	bow_log_mark(block);
	append_some(block, 4096, 40, 20);
	memset(block + 48 + 50 * 24, 0, 24);
	check(!parse(&log, block) && log.tail == BOW_TAIL_OTHER);
}

/* A block that holds its own number and then zeros has the checksum 0. */
static void a_backup_may_have_the_checksum_zero(void)
{
	u8 block[4096];
	struct bow_step step = step_nr(30, 4096);
	struct bow_log log;

	step.checksum = 0;
	fill(block, 4096, 30);
	check(!bow_log_append(block, &step));
	check(!parse(&log, block) && log.tail == BOW_TAIL_WHOLE);
	check(log.count == 31 && log.sector0 == 64);
	block[12] = 29;
	check(!parse(&log, block) && log.tail == BOW_TAIL_TORN);
	check(log.count == 31 && log.sector0 == 64);
}

static void a_lowered_count_is_seen(void)
{
	u8 block[512];
	struct bow_log log;

	fill(block, 512, 15);
	block[12] = 9;
	check(!parse(&log, block));
	check(log.count == 15 && log.tail == BOW_TAIL_TORN);
}

static void damage_is_no_state(void)
{
	u8 block[4096], bad[4096];
	struct bow_log log;

	fill(block, 4096, 60);
	bow_log_mark(block);
	append_some(block, 4096, 60, 5);
	for (u32 bit = 0; bit < (48 + 65 * 24) * 8; bit += 7) {
		memcpy(bad, block, sizeof(bad));
		bad[bit / 8] ^= 1 << bit % 8;
		if (parse(&log, bad) || log.tail == BOW_TAIL_OTHER)
			continue;
		/* The count, and what only a cut asks for. */
		check(log.tail == BOW_TAIL_TORN && log.count == 65);
		check((bit / 8 >= 12 && bit / 8 < 16) ||
		      (bit / 8 >= 28 && bit / 8 < 48));
	}
}

static void a_restore_in_progress_keeps_its_count(void)
{
	u8 block[512];
	struct bow_log log;

	fill(block, 512, 15);
	memcpy(block, "WOB", 4);
	block[12] = 4;
	check(!parse(&log, block));
	check(log.count == 4 && log.tail == BOW_TAIL_TORN);
}

static void a_published_block_has_no_tail(void)
{
	u8 block[512];
	struct bow_log log;

	fill(block, 512, 5);
	memset(block + 508, 0, 4);
	check(!parse(&log, block));
	check(log.tail == BOW_TAIL_NONE && log.count == 5);
	/* sector0 late by one write: the move has happened */
	check(!bow_log_move(block, 600));
	memset(block + 508, 0, 4);
	block[20] = 8;
	block[21] = 0;
	check(!parse(&log, block));
	check(log.sector0 == 600);
}

static const char *header_why(u32 at, u32 value, int bytes)
{
	u8 block[512];
	struct bow_log log;
	const char *why = NULL;

	fill(block, 512, 5);
	memcpy(block + at, &value, bytes);
	check(bow_log_header(&log, block, SECTORS, &why) == -EINVAL);
	return why ? why : "";
}

static void bad_headers_are_refused(void)
{
	check(strstr(header_why(0, 0, 4), "magic"));
	check(strstr(header_why(4, 7, 2), "version"));
	check(strstr(header_why(6, 27, 2), "header size"));
	check(strstr(header_why(6, 509, 2), "header size"));
	check(strstr(header_why(8, 256, 4), "block size"));
	check(strstr(header_why(8, 8192, 4), "block size"));
	check(strstr(header_why(8, 0, 4), "block size"));
	check(strstr(header_why(12, 21, 4), "more entries"));
	check(strstr(header_why(12, ~0u, 4), "more entries"));
	check(strstr(header_why(20, SECTORS, 4), "outside"));
	check(strstr(header_why(20, 0, 4), "outside"));
	check(strstr(header_why(24, ~0u, 4), "outside"));
}

static const char *entry_why(u32 i, u64 source, u64 dest, u32 size)
{
	u8 block[4096];
	struct bow_step step = { source, dest, size, 0 };
	struct bow_log log;
	const char *why;

	fill(block, 4096, 5);
	check(!parse(&log, block));
	why = bow_log_check(&log, i, &step);
	return why ? why : "good";
}

static void bad_entries_are_refused(void)
{
	u64 huge = ~0ull << 3;

	check(strstr(entry_why(1, 8, 80, 4096), "good"));
	check(strstr(entry_why(1, 8, 80, 0), "size"));
	check(strstr(entry_why(1, 8, 80, 512), "size"));
	check(strstr(entry_why(1, 9, 80, 4096), "at a"));
	check(strstr(entry_why(1, 8, 81, 4096), "at a"));
	check(strstr(entry_why(1, huge, 80, 4096), "outside"));
	check(strstr(entry_why(1, 8, 99999 & ~7, 8192), "outside"));
	check(strstr(entry_why(1, 8, 0, 4096), "block 0"));
	check(strstr(entry_why(1, 0, 80, 4096), "log"));
	check(strstr(entry_why(0, 8, 80, 4096), "save"));
	check(strstr(entry_why(0, 0, 80, 8192), "save"));
	check(strstr(entry_why(1, 8, 16, 16384), "own"));
}

static const struct test tests[] = {
	{ "what is built is read", what_is_built_is_read },
	{ "the format is the published one", the_format_is_the_published_one },
	{ "a roll begins anew", a_roll_begins_anew },
	{ "a move is an entry and a field", a_move_is_an_entry_and_a_field },
	{ "torn appends read as a state", torn_appends_read_as_a_state },
	{ "a torn roll reads as begun", a_torn_roll_reads_as_begun },
	{ "torn appends to a begun block read as a state",
	  torn_appends_to_a_begun_block_read_as_a_state },
	{ "damage to a begun block is no cut",
	  damage_to_a_begun_block_is_no_cut },
	{ "lost entries are no cut", lost_entries_are_no_cut },
	{ "a backup may have the checksum zero",
	  a_backup_may_have_the_checksum_zero },
	{ "a lowered count is seen", a_lowered_count_is_seen },
	{ "damage is no state", damage_is_no_state },
	{ "a restore in progress keeps its count",
	  a_restore_in_progress_keeps_its_count },
	{ "a published block has no tail", a_published_block_has_no_tail },
	{ "bad headers are refused", bad_headers_are_refused },
	{ "bad entries are refused", bad_entries_are_refused },
};

int main(void)
{
	return RUN_TESTS(tests);
}
