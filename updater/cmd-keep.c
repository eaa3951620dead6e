// SPDX-License-Identifier: GPL-2.0-or-later
#include "bow.h"
#include "err.h"
#include "offline.h"
#include "verbs.h"

const char help_keep[] =
	"finish a commit: keep a data device as the trial left it\n"
	"\n"
	"usage: bowline keep [--salvage] DEV\n"
	"\n"
	"DEV is a block device that is not in use, or an image file. Puts the\n"
	"live contents of its first block back in place, which removes the bow\n"
	"log; all that was changed since the log began stays. There is no way\n"
	"back afterwards. Power may fail at any moment: run it again. Without a\n"
	"log there is nothing to do.\n"
	"\n"
	"  --salvage   of a log that does not add up, take the first block that\n"
	"              is most likely the right one\n"
	"\n"
	"Exit status: 0 kept or no log, 1 failed, 2 usage, 3 kept, but not the\n"
	"first block.\n";

#define PART 3

static bool to_salvage;

static int drop(struct dev *dev)
{
	struct bow_salvage done;

	if (bow_drop(dev, &done))
		return -1;
	if (done.block0 == BOW_BLOCK0_LIVE)
		say("'%s' is kept as it is", dev_name(dev));
	else
		say("'%s' is kept as it is, but its first block is %s",
		    dev_name(dev),
		    done.block0 == BOW_BLOCK0_OLD ? "the old one" : "lost");
	return done.block0 == BOW_BLOCK0_LIVE ? 0 : PART;
}

/* Only the newest log block is looked at, unless it is to be salvaged. */
static int keep(struct dev *dev)
{
	int log = bow_is_there(dev);
	struct bow_info info;

	if (log < 0 || (to_salvage && bow_probe(dev, &info)))
		return -1;
	if (to_salvage && info.kind == BOW_DAMAGED)
		return drop(dev);
	if (bow_keep(dev))
		return -1;
	if (!log)
		say("'%s' carries no bow log: nothing to finish",
		    dev_name(dev));
	else
		say("'%s' is kept as it is", dev_name(dev));
	return 0;
}

int cmd_keep(int argc, char **argv)
{
	const struct opt opts[] = {
		{ "salvage", 0, NULL, &to_salvage },
		{ 0 },
	};

	return offline_verb("keep", argc, argv, opts, DEV_WRITE, keep);
}
