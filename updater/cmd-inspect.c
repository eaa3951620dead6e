// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "bow.h"
#include "offline.h"
#include "verbs.h"

const char help_inspect[] =
	"explain the bow log of a data device\n"
	"\n"
	"usage: bowline inspect DEV\n"
	"\n"
	"DEV is a block device or an image file. Prints each log block and "
	"each\n"
	"entry, newest first, with the verdict on its checksum, and at the "
	"end\n"
	"the verdict on the whole. Stops at the first thing that does not add\n"
	"up and says what it is. Writes nothing to DEV.\n"
	"\n"
	"Exit status: 0 explained (also a damaged log), 1 cannot read, 2 "
	"usage.\n";

static int inspect(struct dev *dev)
{
	return bow_inspect(dev, stdout);
}

int cmd_inspect(int argc, char **argv)
{
	return offline_verb("inspect", argc, argv, DEV_READ, inspect);
}
