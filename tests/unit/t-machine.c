// SPDX-License-Identifier: GPL-2.0-or-later
/* The tables that the root device gets; making it is for the board tests. */
#include "capture.h"
#include "machine.h"
#include "test.h"

#define SYSTEM "/dev/disk/by-partlabel/system"

static const struct board places = { .system = SYSTEM, .stage = "/dev/vda2" };

static void table_is(enum system_mode mode, const struct stage_record *rec,
		     const char *target, const char *params)
{
	struct system_table table;

	machine_system_table(&table, &places, rec, 262144, mode);
	check(!strcmp(table.dm.target, target));
	check(!strcmp(table.dm.params, params));
	check(table.dm.read_only);
	/* The partition, or the new image up to the end of its last sector. */
	check(table.dm.sectors == (*target == 'l' ? 262144 : 17));
}

/* An image of 17 sectors, the last of them a part. */
static const struct stage_record whole = { .payload = 4096,
					   .image = 8193,
					   .progress = 5 << 20 };
static const struct stage_record older = { .payload = 4096, .image = 8193 };
static const struct stage_record kernel = { .progress = 0 };

static void test_trial_writes_nothing(void)
{
	table_is(SYSTEM_TRIAL, &whole, "update",
		 SYSTEM " /dev/mapper/bowline-stage 1 no_bg_update");
}

static void test_merge_copies(void)
{
	table_is(SYSTEM_MERGE, &whole, "update",
		 SYSTEM
		 " /dev/mapper/bowline-stage 3 progress /dev/vda2 10240");
	table_is(SYSTEM_MERGE, &older, "update",
		 SYSTEM " /dev/mapper/bowline-stage 0");
}

static void test_plain_is_the_partition(void)
{
	table_is(SYSTEM_PLAIN, &whole, "linear", SYSTEM " 0");
}

static void test_a_kernel_alone_changes_nothing(void)
{
	table_is(SYSTEM_TRIAL, &kernel, "linear", SYSTEM " 0");
	table_is(SYSTEM_MERGE, &kernel, "linear", SYSTEM " 0");
}

static void test_longest_name_fits(void)
{
	const struct stage_record last = { .payload = 1, .progress = ~0ull };
	struct system_table table;
	struct board board = { 0 };
	char want[sizeof(table.params)];

	memset(board.system, 'x', sizeof(board.system) - 1);
	memset(board.stage, 'y', sizeof(board.stage) - 1);
	snprintf(want, sizeof(want),
		 "%s /dev/mapper/bowline-stage 3 progress %s 36028797018963967",
		 board.system, board.stage);
	machine_system_table(&table, &board, &last, 8, SYSTEM_MERGE);
	check(!strcmp(table.params, want));
}

static void test_merge_status_is_read(void)
{
	struct merge_status s = { 0 };

	check(!machine_merge_status(&s, "12 100 49152 running 3 -"));
	check(s.exists && s.done == 12 && s.total == 100 && s.errors == 3);
	check(!strcmp(s.phase, "running") && !strcmp(s.reason, "-"));
	check(!machine_merge_status(&s, "12 100 0 failed 1 damaged_chunk"));
	check(!strcmp(s.phase, "failed") && !strcmp(s.reason, "damaged_chunk"));
	capture_begin();
	check(machine_merge_status(&s, "12 100"));
	check(strstr(capture_end(), "says '12 100', not DONE TOTAL BYTES"));
}

/* ---- the data device ---- */

static const struct board sizes = { .data = "/dev/vda3", .bow_block_size = 3 };

static void bow_is(const struct board *board, uint64_t sectors,
		   unsigned int logical, const char *params)
{
	struct bow_table table;

	machine_bow_table(&table, board, sectors, logical);
	check(!strcmp(table.dm.target, "bow"));
	check(table.dm.sectors == sectors && !table.dm.read_only);
	if (strcmp(table.params, params))
		printf("     got '%s'\n", table.params);
	check(!strcmp(table.params, params));
}

static void test_bow_takes_the_largest_block_that_fits(void)
{
	struct board small = sizes;

	bow_is(&sizes, 65536, 512, "/dev/vda3 1 block_size:4096");
	bow_is(&sizes, 65540, 512, "/dev/vda3 1 block_size:2048");
	bow_is(&sizes, 65538, 512, "/dev/vda3 1 block_size:1024");
	bow_is(&sizes, 65537, 512, "/dev/vda3 1 block_size:512");
	small.bow_block_size = 0;
	bow_is(&small, 65536, 512, "/dev/vda3 1 block_size:512");
	bow_is(&small, 65536, 4096, "/dev/vda3 1 block_size:4096");
}

static void test_bow_gets_the_boards_options(void)
{
	struct board all = sizes;

	all.bow_low_water = 5000;
	bow_is(&all, 8, 512,
	       "/dev/vda3 2 block_size:4096 low_water:5242880000");
	all.bow_no_space = NO_SPACE_RELEASE;
	bow_is(&all, 8, 512,
	       "/dev/vda3 3 block_size:4096 low_water:5242880000 "
	       "no_space:release");
	all.bow_low_water = 0;
	bow_is(&all, 8, 512, "/dev/vda3 2 block_size:4096 no_space:release");
}

static void test_bow_status_is_read(void)
{
	struct bow_status s = { 0 };

	check(!machine_bow_status(&s, "1 4096 8192 3 1 low"));
	check(s.exists && s.state == 1 && s.free == 4096 &&
	      s.backed_up == 8192 && s.logs == 3 && s.errors == 1);
	check(!strcmp(s.space, "low"));
	check(!machine_bow_status(&s, "1 4096 8192 3 1"));
	check(!strcmp(s.space, "ok"));
	capture_begin();
	check(machine_bow_status(&s, "4096 blocks"));
	check(strstr(capture_end(), "says '4096 blocks'"));
}

int main(void)
{
	static const struct test tests[] = {
		{ "trial_writes_nothing", test_trial_writes_nothing },
		{ "merge_copies", test_merge_copies },
		{ "plain_is_the_partition", test_plain_is_the_partition },
		{ "a_kernel_alone_changes_nothing",
		  test_a_kernel_alone_changes_nothing },
		{ "longest_name_fits", test_longest_name_fits },
		{ "merge_status_is_read", test_merge_status_is_read },
		{ "bow_takes_the_largest_block_that_fits",
		  test_bow_takes_the_largest_block_that_fits },
		{ "bow_gets_the_boards_options",
		  test_bow_gets_the_boards_options },
		{ "bow_status_is_read", test_bow_status_is_read },
	};

	return RUN_TESTS(tests);
}
