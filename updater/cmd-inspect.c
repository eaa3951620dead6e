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
	"entry, newest first, with the verdict on it, and on the last line the\n"
	"verdict on the whole, with the first thing that does not add up. "
	"Writes\n"
	"nothing to DEV.\n"
	"\n"
	"Exit status: 0 no log or a whole one, 1 cannot read, 2 usage, 3 a log\n"
	"that does not add up.\n";

#define DAMAGED 3

static int inspect(struct dev *dev)
{
	struct bow_info info;

	if (bow_inspect(dev, stdout, &info))
		return -1;
	return info.kind == BOW_DAMAGED ? DAMAGED : 0;
}

int cmd_inspect(int argc, char **argv)
{
	const struct opt none[] = { { 0 } };

	return offline_verb("inspect", argc, argv, none, DEV_READ, inspect);
}
