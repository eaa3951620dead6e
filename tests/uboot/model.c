// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prints what slots.c says of each case on standard input. A case is one line
 * of nine fields separated by tabs: BOOT_ORDER, BOOT_A_LEFT, BOOT_B_LEFT,
 * bowline_phase, bowline_trial, bowline_attempts ("%" = missing), then 1 or 0
 * for: A loads, B loads, the store works. The answer is one line, its steps
 * separated by "; ":
 *
 *   store SLOT LEFT ok|failed
 *   try ok|failed ARGUMENTS OF THE KERNEL
 */
#include <stdio.h>
#include <string.h>

#include "slots.h"

#define FIELDS 9

static const char *text(const char *field)
{
	return strcmp(field, "%") ? field : NULL;
}

static void print_try(const struct slots_step *step)
{
	printf("bowline.slot=%c", step->slot);
	if (step->attempt)
		printf(" bowline.attempt=%u", step->attempt);
	if (step->failed)
		printf(" bowline.failed=%c", step->failed);
	if (step->rescue)
		printf(" bowline.rescue=1");
}

static void print(const struct slots_outcome *out)
{
	for (unsigned int i = 0; i < out->n; i++) {
		const struct slots_step *step = &out->step[i];
		const char *done = step->done ? "ok" : "failed";

		if (i)
			printf("; ");
		if (step->kind == SLOTS_STORE) {
			printf("store %c %u %s", step->slot, step->left, done);
		} else {
			printf("try %s ", done);
			print_try(step);
		}
	}
	putchar('\n');
}

int main(void)
{
	char line[4096], *rest, *field[FIELDS];

	while (fgets(line, sizeof(line), stdin)) {
		struct slots_outcome out;

		line[strcspn(line, "\n")] = 0;
		rest = line;
		for (int i = 0; i < FIELDS; i++) {
			field[i] = strsep(&rest, "\t");
			if (!field[i]) {
				fprintf(stderr, "model: short line\n");
				return 1;
			}
		}
		slots_choose(
			&(struct slots_facts){
				.order = text(field[0]),
				.left = { text(field[1]), text(field[2]) },
				.phase = text(field[3]),
				.trial = text(field[4]),
				.attempts = text(field[5]),
				.loads = { *field[6] == '1', *field[7] == '1' },
				.store_works = *field[8] == '1',
			},
			&out);
		print(&out);
	}
	return 0;
}
