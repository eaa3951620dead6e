// SPDX-License-Identifier: GPL-2.0-or-later
#include <getopt.h>
#include <stdio.h>

#include "boot.h"
#include "err.h"
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

struct options {
	const char *board;
	const char *cmdline;
	const char *sysroot;
	bool dry_run;
};

static int parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "board", required_argument, NULL, 'b' },
		{ "cmdline", required_argument, NULL, 'c' },
		{ "sysroot", required_argument, NULL, 's' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (c == 'b')
			o->board = optarg;
		else if (c == 'c')
			o->cmdline = optarg;
		else if (c == 's')
			o->sysroot = optarg;
		else if (c == 'n')
			o->dry_run = true;
		else
			return usage_getopt("boot", c, argv);
	}
	if (optind < argc)
		return usage_error("boot", "unknown argument '%s'",
				   argv[optind]);
	return 0;
}

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
	struct options o = { .sysroot = "/sysroot" };
	static struct boot boot;
	bool rebooted;
	int r = parse(&o, argc, argv);

	if (r)
		return r;
	if (board_load(&boot.board, o.board))
		return 1;
	if (o.cmdline)
		cmdline_parse(&boot.cmd, o.cmdline);
	else
		cmdline_running(&boot.cmd);
	if (boot.cmd.rescue)
		say("RESCUE: no slot was left to boot; this one was started "
		    "all the same");
	if (boot_gather(&boot))
		return 1;
	if (o.dry_run)
		return show(&boot);
	return boot_run(&boot, o.sysroot, &rebooted) ? 1 : 0;
}
