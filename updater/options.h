/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of a verb: long options, some with a one-letter twin, and
 * named positional arguments.
 */
#ifndef BOWLINE_OPTIONS_H
#define BOWLINE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct opt {
	const char *name;  /* without the dashes; NULL ends the list */
	char letter;	   /* or 0 */
	const char **text; /* takes a value; points into argv */
	bool *flag;	   /* or takes none */
};

/*
 * positional: names in the order they must come, all required, one space
 * between ("OLD NEW", "DEV", ""); args gets one pointer each. Returns 0, or 2
 * after usage_error().
 */
int options_parse(const char *verb, int argc, char **argv,
		  const struct opt *opts, const char *positional,
		  const char **args);

/*
 * A size in bytes: decimal digits, and K, M or G for 2^10, 2^20, 2^30. False if
 * it is nothing like that, or 2^63 bytes or more.
 */
bool option_size(const char *text, uint64_t *size);

#endif
