// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "err.h"
#include "live.h"
#include "machine.h"
#include "options.h"
#include "verbs.h"

const char help_rollback[] =
	"drop the update on trial: old system, old data, at the next boot\n"
	"\n"
	"usage: bowline rollback [--reboot] [--board FILE]\n"
	"\n"
	"Stores the decision. The next boot starts the old slot, restores data "
	"to\n"
	"what it was before the trial and says so in bowline_last.\n"
	"\n"
	"  --reboot       reboot at once\n"
	"  --board FILE   the board file (/run/bowline/board.conf, then\n"
	"                 /etc/bowline/board.conf)\n"
	"\n"
	"Exit status: 0 stored, 1 failed or nothing to roll back, 2 usage.\n";

static int rollback(struct boot *boot)
{
	char last[ENV_VALUE_MAX];

	if (boot->env.phase == PHASE_COMMIT)
		return error("update %s is committed: there is no way back",
			     boot->env.update);
	if (boot->env.phase == PHASE_IDLE)
		return error("nothing to roll back: no update is on trial");
	snprintf(last, sizeof(last), "rolled-back %s requested",
		 boot->env.update);
	if (boot->env.phase == PHASE_TRIAL &&
	    env_store_rollback(&boot->env, last))
		return -1;
	printf("update %s will be rolled back by the next boot\n",
	       boot->env.update);
	return 0;
}

int cmd_rollback(int argc, char **argv)
{
	const char *board = NULL;
	bool reboot = false;
	const struct opt opts[] = {
		{ "board", 0, &board, NULL },
		{ "reboot", 0, NULL, &reboot },
		{ 0 },
	};
	struct boot boot;

	if (options_parse("rollback", argc, argv, opts, "", NULL))
		return 2;
	if (live_load(&boot, board) || rollback(&boot))
		return 1;
	return reboot && machine->reboot() ? 1 : 0;
}
