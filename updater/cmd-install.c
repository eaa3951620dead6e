// SPDX-License-Identifier: GPL-2.0-or-later
#include <stddef.h>

#include "board.h"
#include "cmdline.h"
#include "install.h"
#include "options.h"
#include "verbs.h"

const char help_install[] =
	"check a bundle, write it, and start its trial with the next boot\n"
	"\n"
	"usage: bowline install [--board FILE] [--allow-downgrade] BUNDLE\n"
	"       ... | bowline install [--board FILE] [--allow-downgrade] -\n"
	"\n"
	"BUNDLE is a file that 'bowline bundle' made; '-' reads it from\n"
	"standard input. Checked before anything is written: that no other\n"
	"update is under way, the signature by a trusted key, the board,\n"
	"the version, the sizes of the partitions, and that the system\n"
	"partition holds the image from which the update was made. Each\n"
	"piece is checked before it is written, and all of it is read back\n"
	"from the medium. Then one store of the environment makes the other\n"
	"slot the one to try at the next boot.\n"
	"\n"
	"A bundle without a kernel takes the running slot's along. The same\n"
	"version may be installed again; an older one is refused.\n"
	"\n"
	"  --board FILE        the board file, instead of $BOWLINE_BOARD,\n"
	"                      /run/bowline/board.conf or\n"
	"                      /etc/bowline/board.conf\n"
	"  --allow-downgrade   permit a version older than the running one;\n"
	"                      the bundle's least version still holds\n"
	"\n"
	"Exit status: 0 the trial begins with the next boot; 1 refused or\n"
	"failed, and the next boot is as if nothing had been done; 2 wrong\n"
	"usage.\n";

int cmd_install(int argc, char **argv)
{
	const char *board_file = NULL, *bundle;
	bool allow_downgrade = false;
	const struct opt opts[] = {
		{ "board", 0, &board_file, NULL },
		{ "allow-downgrade", 0, NULL, &allow_downgrade },
		{ 0 },
	};
	struct cmdline cmd;
	struct board board;

	if (options_parse("install", argc, argv, opts, "BUNDLE", &bundle))
		return 2;
	if (board_load(&board, board_file))
		return 1;
	cmdline_running(&cmd);
	return install_bundle(&board, cmd.slot, bundle, allow_downgrade) ? 1
									 : 0;
}
