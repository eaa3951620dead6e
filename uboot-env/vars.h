/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one definition of the variables in the U-Boot environment through which
 * the boot script, the initramfs, the running system and people steer the
 * slots. C uses it through the macro below; tests hold bowline.env (defaults,
 * script) and the table in docs/DESIGN.md against it.
 *
 * VAR(ID, NAME, VALUES, DEFAULT, MEANING)
 *
 *   VALUES	alternatives joined by '|', exact and case-sensitive; an
 *		alternative "x-y" is one character in that range; "hex16" is 16
 *		lower case hexadecimal digits; "text" is printable ASCII, at
 *		most BOWLINE_TEXT_MAX characters
 *   DEFAULT	how a missing variable reads, and what the default environment
 *		stores; "" = none, and the default environment has no such line
 *   MEANING	one line, for people
 *
 * What an illegal value reads as depends on who meets it where (a nonsense
 * attempt count of the slot on trial is 0, of any other slot the default):
 * see slots.h.
 */
#ifndef BOWLINE_VARS_H
#define BOWLINE_VARS_H

#define BOWLINE_TEXT_MAX 120

#define BOWLINE_VARS(VAR)                                                   \
	VAR(BOOT_ORDER, "BOOT_ORDER", "A B|B A|A|B", "A B",                 \
	    "slots, first choice first")                                    \
	VAR(BOOT_A_LEFT, "BOOT_A_LEFT", "0-9", "3",                         \
	    "attempts left for slot A; 0 = do not boot it")                 \
	VAR(BOOT_B_LEFT, "BOOT_B_LEFT", "0-9", "3",                         \
	    "attempts left for slot B; 0 = do not boot it")                 \
	VAR(PHASE, "bowline_phase", "idle|trial|commit|rollback", "idle",   \
	    "where the device is in the life of an update")                 \
	VAR(TRIAL, "bowline_trial", "A|B", "", "the slot on trial")         \
	VAR(UPDATE, "bowline_update", "hex16", "",                          \
	    "identity of the staged update, from the hash of its manifest") \
	VAR(ATTEMPTS, "bowline_attempts", "1-9", "3",                       \
	    "how many attempts the next trial gets")                        \
	VAR(LAST, "bowline_last", "text", "", "what became of the last update")

/* VAR_BOOT_ORDER ... VAR_LAST, VAR_COUNT: indices in the table's order. */
enum bowline_var {
#define BOWLINE_VAR_ENUM(id, name, values, initial, meaning) VAR_##id,
	BOWLINE_VARS(BOWLINE_VAR_ENUM)
#undef BOWLINE_VAR_ENUM
		VAR_COUNT
};

#endif
