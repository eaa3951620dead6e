// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * startbow DATA DIR: a trial's data as `bowline boot` begins it: the device
 * under a new log, mounted at DIR. The updater's own code for real machines.
 */
#include <stdio.h>

#include "machine.h"

int main(int argc, char **argv)
{
	struct board board = { .bow_block_size = 3 };

	if (argc != 3)
		return 2;
	snprintf(board.data, sizeof(board.data), "%s", argv[1]);
	return machine_real.mount_data(&board, argv[2], true) ? 1 : 0;
}
