// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>

#include "bow.h"
#include "err.h"
#include "offline.h"
#include "verbs.h"

const char help_restore[] =
	"put a data device back as it was before the trial\n"
	"\n"
	"usage: bowline restore [--salvage] DEV\n"
	"\n"
	"DEV is a block device that is not in use, or an image file. Undoes all\n"
	"that its bow log says was changed, and removes the log. The whole log,\n"
	"with the checksums of the backed-up data, is checked before the first\n"
	"write: one that does not add up is refused and nothing is changed.\n"
	"Power may fail at any moment: run it again. What was free when the\n"
	"trial began has no defined contents afterwards. Without a log there\n"
	"is nothing to do.\n"
	"\n"
	"  --salvage   of a log that does not add up, undo what is proven; say\n"
	"              which sectors stay as they are, and why\n"
	"\n"
	"Exit status: 0 restored or no log, 1 failed, 2 usage, 3 salvaged in\n"
	"part.\n";

#define PART 3

static bool to_salvage;

static int say_restored(struct dev *dev, const struct bow_info *info)
{
	if (info->kind == BOW_NONE)
		say("'%s' carries no bow log: nothing to restore",
		    dev_name(dev));
	else
		say("'%s' is restored: %llu bytes in %llu pieces",
		    dev_name(dev), (unsigned long long)info->backed_up,
		    (unsigned long long)info->entries);
	return 0;
}

static int salvage(struct dev *dev)
{
	struct bow_salvage done;

	if (bow_salvage(dev, stdout, UINT_MAX, &done))
		return -1;
	say("'%s' is salvaged: %llu bytes put back, %llu left as they are%s",
	    dev_name(dev), (unsigned long long)done.undone,
	    (unsigned long long)done.left,
	    done.unknown ? ", more may have been saved" : "");
	return done.left || done.unknown || done.block0 != BOW_BLOCK0_OLD ? PART
									  : 0;
}

static int restore(struct dev *dev)
{
	struct bow_info info;

	if (bow_probe(dev, &info))
		return -1;
	if (to_salvage && info.kind != BOW_NONE && info.kind != BOW_KEEPING)
		return salvage(dev);
	return bow_restore(dev) ? -1 : say_restored(dev, &info);
}

int cmd_restore(int argc, char **argv)
{
	const struct opt opts[] = {
		{ "salvage", 0, NULL, &to_salvage },
		{ 0 },
	};

	return offline_verb("restore", argc, argv, opts, DEV_WRITE, restore);
}
