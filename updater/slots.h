/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice of the slot to boot, as the U-Boot script in uboot-env/ makes it:
 * a pure function from facts to what happens. `bowline status` asks it what
 * the next boot will do; tests/uboot holds the script against it.
 *
 * How odd values read: BOOT_ORDER that is none of its four values is "A B";
 * bowline_phase idle; without a legal bowline_trial every phase is idle;
 * bowline_attempts 3. Attempts left that are not one digit are 0 for the slot
 * on trial in phase trial (no attempt is made that nobody could count down)
 * and 3 for any other.
 */
#ifndef BOWLINE_SLOTS_H
#define BOWLINE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* Variables as they stand in the environment; NULL = missing. */
struct slots_facts {
	const char *order;
	const char *left[2]; /* BOOT_A_LEFT, BOOT_B_LEFT */
	const char *phase;
	const char *trial;
	const char *attempts;
	bool loads[2];	  /* the kernel of A, of B can be loaded and started */
	bool store_works; /* U-Boot can store its environment */
};

enum slots_kind {
	SLOTS_STORE, /* the environment, with BOOT_slot_LEFT = left */
	SLOTS_TRY,   /* load the slot's kernel and start it, with args below */
};

struct slots_step {
	enum slots_kind kind;
	char slot;	 /* 'A' or 'B' */
	bool done;	 /* the store was made, the kernel started */
	uint8_t left;	 /* SLOTS_STORE */
	uint8_t attempt; /* SLOTS_TRY: bowline.attempt=, 0 = none */
	char failed;	 /* SLOTS_TRY: bowline.failed=, 0 = none */
	bool rescue;	 /* SLOTS_TRY: bowline.rescue=1 */
};

/* One turn a slot, a store before one of them, then both for rescue. */
#define SLOTS_MAX_STEPS 5

struct slots_outcome {
	unsigned int n;
	struct slots_step step[SLOTS_MAX_STEPS];
};

/*
 * Fills *out with what the next boot does, in order. At most one step is a
 * store. The last step is a SLOTS_TRY; if it is not done, no slot could be
 * booted and the device resets.
 */
void slots_choose(const struct slots_facts *facts, struct slots_outcome *out);

#endif
