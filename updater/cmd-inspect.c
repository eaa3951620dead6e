// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "bow.h"
#include "options.h"
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

int cmd_inspect(int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	const char *path;
	struct dev *dev;
	int r;

	if (options_parse("inspect", argc, argv, opts, "DEV", &path))
		return 2;
	dev = dev_open(path, DEV_READ);
	r = dev ? bow_inspect(dev, stdout) : -1;
	dev_close(dev);
	return r ? 1 : 0;
}
