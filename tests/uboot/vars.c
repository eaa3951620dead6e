// SPDX-License-Identifier: GPL-2.0-or-later
/* Prints the table of vars.h: name, values, default, meaning, by tabs. */
#include <stdio.h>

#include "vars.h"

#define ROW(id, name, values, initial, meaning) \
	puts(name "\t" values "\t" initial "\t" meaning);

int main(void)
{
	BOWLINE_VARS(ROW)
	return 0;
}
