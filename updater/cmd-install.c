// SPDX-License-Identifier: GPL-2.0-or-later
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "install.h"
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

static const struct option options[] = {
	{ "board", required_argument, NULL, 'b' },
	{ "allow-downgrade", no_argument, NULL, 'd' },
	{ 0 },
};

int cmd_install(int argc, char **argv)
{
	const char *board_file = NULL;
	bool allow_downgrade = false;
	struct board board;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (c) {
		case 'b':
			board_file = optarg;
			break;
		case 'd':
			allow_downgrade = true;
			break;
		case ':':
			return usage_error("install", "'%s' needs a value",
					   argv[optind - 1]);
		default:
			return usage_error("install", "unknown option '%s'",
					   argv[optind - 1]);
		}
	}
	if (argc - optind != 1)
		return usage_error("install", "expected one bundle, got %d",
				   argc - optind);
	if (board_load(&board, board_file))
		return 1;
	return install_bundle(&board, argv[optind], allow_downgrade) ? 1 : 0;
}
