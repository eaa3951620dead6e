// SPDX-License-Identifier: GPL-2.0-or-later
#include "offline.h"

int offline_verb(const char *verb, int argc, char **argv,
		 const struct opt *opts, enum dev_mode mode,
		 int (*run)(struct dev *dev))
{
	const char *path;
	struct dev *dev;
	int r;

	if (options_parse(verb, argc, argv, opts, "DEV", &path))
		return 2;
	dev = dev_open(path, mode);
	r = dev ? run(dev) : -1;
	dev_close(dev);
	return r < 0 ? 1 : r;
}
