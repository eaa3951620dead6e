// SPDX-License-Identifier: GPL-2.0-or-later
/* The tables that the root device gets; making it is for the board tests. */
#include "machine.h"
#include "test.h"

#define SYSTEM "/dev/disk/by-partlabel/system"

static void table_is(enum system_mode mode, const char *target,
		     const char *params)
{
	struct system_table table;

	machine_system_table(&table, SYSTEM, 262144, mode);
	check(!strcmp(table.dm.target, target));
	check(!strcmp(table.dm.params, params));
	check(table.dm.sectors == 262144);
	check(table.dm.read_only);
}

static void test_trial_writes_nothing(void)
{
	table_is(SYSTEM_TRIAL, "update",
		 SYSTEM " /dev/mapper/bowline-stage 1 no_bg_update");
}

static void test_merge_copies(void)
{
	table_is(SYSTEM_MERGE, "update", SYSTEM " /dev/mapper/bowline-stage 0");
}

static void test_plain_is_the_partition(void)
{
	table_is(SYSTEM_PLAIN, "linear", SYSTEM " 0");
}

static void test_longest_name_fits(void)
{
	char name[BOARD_VALUE_MAX];
	struct system_table table;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	machine_system_table(&table, name, 8, SYSTEM_TRIAL);
	check(!strncmp(table.params, name, sizeof(name) - 1));
	check(!strcmp(table.params + sizeof(name) - 1,
		      " /dev/mapper/bowline-stage 1 no_bg_update"));
}

int main(void)
{
	static const struct test tests[] = {
		{ "trial_writes_nothing", test_trial_writes_nothing },
		{ "merge_copies", test_merge_copies },
		{ "plain_is_the_partition", test_plain_is_the_partition },
		{ "longest_name_fits", test_longest_name_fits },
	};

	return RUN_TESTS(tests);
}
