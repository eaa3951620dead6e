// SPDX-License-Identifier: GPL-2.0-or-later
#include "bow.h"
#include "err.h"
#include "offline.h"
#include "verbs.h"

const char help_restore[] =
	"put a data device back as it was before the trial\n"
	"\n"
	"usage: bowline restore DEV\n"
	"\n"
	"DEV is a block device that is not in use, or an image file. Undoes "
	"all\n"
	"that its bow log says was changed, and removes the log. The whole "
	"log,\n"
	"with the checksums of the backed-up data, is checked before the "
	"first\n"
	"write: one that does not add up is refused and nothing is changed.\n"
	"Power may fail at any moment: run it again. What was free when the\n"
	"trial began has no defined contents afterwards. Without a log there\n"
	"is nothing to do.\n"
	"\n"
	"Exit status: 0 restored or no log, 1 failed, 2 usage.\n";

static int restore(struct dev *dev)
{
	struct bow_info info;

	if (bow_probe(dev, &info) || bow_restore(dev))
		return -1;
	if (info.kind == BOW_NONE)
		say("'%s' carries no bow log: nothing to restore",
		    dev_name(dev));
	else
		say("'%s' is restored: %llu bytes in %llu pieces",
		    dev_name(dev), (unsigned long long)info.backed_up,
		    (unsigned long long)info.entries);
	return 0;
}

int cmd_restore(int argc, char **argv)
{
	return offline_verb("restore", argc, argv, DEV_WRITE, restore);
}
