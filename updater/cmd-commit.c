// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "err.h"
#include "live.h"
#include "options.h"
#include "verbs.h"

const char help_commit[] =
	"keep the update on trial; from then on there is only forward\n"
	"\n"
	"usage: bowline commit [--board FILE] [--untried]\n"
	"\n"
	"Stores the decision, gives up the way back of the data device and\n"
	"starts the merge. 'bowline merge --wait' follows it to the end; "
	"without\n"
	"it the next boot goes on.\n"
	"\n"
	"  --board FILE   the board file (/run/bowline/board.conf, then\n"
	"                 /etc/bowline/board.conf)\n"
	"  --untried      commit an update that does not run now; the next "
	"boot\n"
	"                 starts it\n"
	"\n"
	"Exit status: 0 committed, 1 failed or nothing to commit, 2 usage.\n";

static int refuse(const struct boot *boot)
{
	if (boot->env.phase == PHASE_IDLE)
		error("nothing to commit: no update is on trial");
	else if (boot->env.phase == PHASE_ROLLBACK)
		error("nothing to commit: update %s is being rolled back",
		      boot->env.update);
	else
		error("update %s is for slot %c and does not run now: reboot "
		      "into it, or give --untried",
		      boot->env.update,
		      boot->env.trial ? boot->env.trial : '?');
	return 1;
}

static int commit_untried(struct boot *boot)
{
	if (boot->env.phase != PHASE_TRIAL || !boot->env.trial)
		return refuse(boot);
	if (env_store_commit(&boot->env, boot->env.trial, boot->env.update))
		return 1;
	printf("update %s is committed; the next boot starts it in slot %c\n",
	       boot->env.update, boot->env.trial);
	return 0;
}

int cmd_commit(int argc, char **argv)
{
	const char *board = NULL;
	bool untried = false;
	const struct opt opts[] = {
		{ "board", 0, &board, NULL },
		{ "untried", 0, NULL, &untried },
		{ 0 },
	};
	struct boot boot;

	if (options_parse("commit", argc, argv, opts, "", NULL))
		return 2;
	if (live_load(&boot, board))
		return 1;
	if (!live_on_trial(&boot))
		return untried ? commit_untried(&boot) : refuse(&boot);
	if (live_commit(&boot))
		return 1;
	printf("update %s is committed; the merge has begun\n",
	       boot.env.update);
	return 0;
}
