// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "err.h"
#include "live.h"
#include "options.h"
#include "verbs.h"

const char help_merge[] =
	"follow the merge of a committed update to its end\n"
	"\n"
	"usage: bowline merge [--wait] [--board FILE]\n"
	"\n"
	"Without --wait: says how far the merge is, and finishes the update "
	"when\n"
	"it is done: the root becomes the system partition alone, the stage "
	"is\n"
	"free, the phase idle.\n"
	"\n"
	"  --wait         wait for the end, with progress\n"
	"  --board FILE   the board file (/run/bowline/board.conf, then\n"
	"                 /etc/bowline/board.conf)\n"
	"\n"
	"Exit status: 0 said or finished, 1 failed or nothing to merge, 2 "
	"usage.\n";

static int merge(struct boot *boot, bool wait)
{
	char id[UPDATE_ID_LEN + 1];
	int r;

	if (boot->env.phase != PHASE_COMMIT)
		return error("nothing to merge: the phase is '%s', not "
			     "'commit'",
			     phase_name(boot->env.phase));
	/* Committed by fw_setenv: what 'bowline commit' does comes first. */
	if (boot->rec.phase == STAGE_TRIAL &&
	    (!live_on_trial(boot) || live_commit(boot)))
		return error("update %s does not run yet: reboot to start it",
			     boot->env.update);
	snprintf(id, sizeof(id), "%s", boot->env.update);
	r = live_merge(boot, wait);
	if (!r)
		printf("update %s is merged\n", id);
	return r;
}

int cmd_merge(int argc, char **argv)
{
	const char *board = NULL;
	bool wait = false;
	const struct opt opts[] = {
		{ "board", 0, &board, NULL },
		{ "wait", 0, NULL, &wait },
		{ 0 },
	};
	struct boot boot;

	if (options_parse("merge", argc, argv, opts, "", NULL))
		return 2;
	return live_load(&boot, board) || merge(&boot, wait) < 0 ? 1 : 0;
}
