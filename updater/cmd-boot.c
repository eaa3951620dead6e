// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "boot.h"
#include "err.h"
#include "options.h"
#include "state.h"
#include "verbs.h"

const char help_boot[] =
	"what the initramfs calls: decide, repair, set up root and data\n"
	"\n"
	"usage: bowline boot [OPTION...]\n"
	"\n"
	"Reads the environment, the kernel's command line, the stage and the\n"
	"data device; decides by the table in docs/STATES.md; undoes, keeps "
	"or\n"
	"goes on with an update; mounts the root read-only and data below it.\n"
	"\n"
	"  --board FILE     the board file (/run/bowline/board.conf, then\n"
	"                   /etc/bowline/board.conf)\n"
	"  --cmdline TEXT   in place of /proc/cmdline\n"
	"  --sysroot DIR    where to mount the root (/sysroot)\n"
	"  --dry-run        say the facts and the plan; write nothing\n"
	"\n"
	"Exit status: 0 the root is mounted, 1 this boot cannot go on, 2 "
	"usage.\n";

static int show(const struct boot *boot)
{
	const struct row *row = decide(boot->facts);

	printf("facts:");
	for (unsigned int i = 0; i < 32; i++)
		if (boot->facts & 1u << i)
			printf(" %s", fact_name(1u << i));
	printf("\nrow: %s\nsteps:", row->why);
	for (const enum step *s = row->plan; *s != STEP_END; s++)
		printf(" %s", step_name(*s));
	printf("\n");
	return 0;
}

int cmd_boot(int argc, char **argv)
{
	const char *board = NULL, *cmdline = NULL, *sysroot = "/sysroot";
	bool dry_run = false, rebooted;
	const struct opt opts[] = {
		{ "board", 0, &board, NULL },
		{ "cmdline", 0, &cmdline, NULL },
		{ "sysroot", 0, &sysroot, NULL },
		{ "dry-run", 0, NULL, &dry_run },
		{ 0 },
	};
	static struct boot boot;

	if (options_parse("boot", argc, argv, opts, "", NULL))
		return 2;
	if (board_load(&boot.board, board))
		return 1;
	if (cmdline)
		cmdline_parse(&boot.cmd, cmdline);
	else
		cmdline_running(&boot.cmd);
	if (boot.cmd.rescue)
		say("RESCUE: no slot was left to boot; this one was started "
		    "all the same");
	if (boot_gather(&boot))
		return 1;
	if (dry_run)
		return show(&boot);
	return boot_run(&boot, sysroot, &rebooted) ? 1 : 0;
}
