// SPDX-License-Identifier: GPL-2.0-or-later
#include "bow.h"
#include "err.h"
#include "offline.h"
#include "verbs.h"

const char help_keep[] =
	"finish a commit: keep a data device as the trial left it\n"
	"\n"
	"usage: bowline keep DEV\n"
	"\n"
	"DEV is a block device that is not in use, or an image file. Puts the\n"
	"live contents of its first block back in place, which removes the "
	"bow\n"
	"log; all that was changed since the log began stays. There is no way\n"
	"back afterwards. Power may fail at any moment: run it again. Without "
	"a\n"
	"log there is nothing to do.\n"
	"\n"
	"Exit status: 0 kept or no log, 1 failed, 2 usage.\n";

static int keep(struct dev *dev)
{
	struct bow_info info;

	if (bow_probe(dev, &info) || bow_keep(dev))
		return -1;
	if (info.kind == BOW_NONE)
		say("'%s' carries no bow log: nothing to finish",
		    dev_name(dev));
	else
		say("'%s' is kept as it is", dev_name(dev));
	return 0;
}

int cmd_keep(int argc, char **argv)
{
	return offline_verb("keep", argc, argv, DEV_WRITE, keep);
}
