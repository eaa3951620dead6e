// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prints a table of the documentation from the code: tables NAME. test_docs.py
 * compares it with the page.
 */
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "state.h"
#include "vars.h"

static void values(const char *text, char *to)
{
	for (; *text; text++)
		to += *text == '|' ? sprintf(to, "`, `")
				   : sprintf(to, "%c", *text);
}

static int variables(void)
{
	puts("| variable | values | default | meaning |\n|---|---|---|---|");
#define ROW(id, name, legal, initial, meaning)                                \
	{                                                                     \
		char text[128] = "";                                          \
		values(legal, text);                                          \
		printf("| `%s` | `%s` | %s%s%s | %s |\n", name, text,         \
		       initial[0] ? "`" : "", initial, initial[0] ? "`" : "", \
		       meaning);                                              \
	}
	BOWLINE_VARS(ROW)
#undef ROW
	return 0;
}

static void facts(unsigned int bits)
{
	const char *between = "";

	for (size_t g = 0; g < sizeof(fact_groups) / sizeof(fact_groups[0]);
	     g++) {
		unsigned int own = bits & fact_groups[g];

		for (unsigned int bit = 1; bit; bit <<= 1)
			if (own & bit) {
				printf("%s%s", between, fact_name(bit));
				between = "/";
			}
		if (own)
			between = ", ";
	}
	if (!bits)
		printf("any other");
}

static int decision(void)
{
	puts("| # | facts | what it is | steps |\n|---|---|---|---|");
	for (unsigned int i = 0; i < decision_rows; i++) {
		const struct row *row = &decision_table[i];

		printf("| %u | ", i + 1);
		facts(row->facts);
		printf(" | %s |", row->why);
		for (const enum step *s = row->plan; *s != STEP_END; s++)
			printf(" %s", step_name(*s));
		puts(" |");
	}
	return 0;
}

static int keys(void)
{
	for (unsigned int i = 0; board_key(i); i++)
		puts(board_key(i));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "variables"))
		return variables();
	if (argc == 2 && !strcmp(argv[1], "decision"))
		return decision();
	if (argc == 2 && !strcmp(argv[1], "keys"))
		return keys();
	fprintf(stderr, "usage: tables variables|decision|keys\n");
	return 2;
}
