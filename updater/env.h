/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The U-Boot environment, strictly read, and its four transitions. Each
 * transition is ONE store of the environment with all its variables, read
 * back and compared. The variables are defined in uboot-env/vars.h.
 *
 * The environment itself is reached through struct env_ops (libubootenv on a
 * device, a simulated store in the power-cut tests).
 */
#ifndef BOWLINE_ENV_H
#define BOWLINE_ENV_H

#include <stdbool.h>
#include <stddef.h>

#define ENV_VALUE_MAX                                                       \
	128		 /* bytes of a value with its NUL; longer = invalid \
			  */
#define UPDATE_ID_LEN 16 /* hex digits of an update's identity */

enum phase { PHASE_IDLE, PHASE_TRIAL, PHASE_COMMIT, PHASE_ROLLBACK };

struct env {
	bool lost;    /* no copy of the environment could be read */
	bool invalid; /* some value is none of its legal ones */
	char raw_bad[ENV_VALUE_MAX]; /* "NAME=value" of the first such */

	char order[4]; /* "A B", "B A", "A" or "B" */
	char left[2];  /* attempts left of A and B: '0' to '9' */
	enum phase phase;
	char trial;			/* 'A', 'B' or 0 */
	char update[UPDATE_ID_LEN + 1]; /* or "" */
	unsigned int attempts;		/* 1 to 9 */
	char last[ENV_VALUE_MAX];
};

struct env_pair {
	const char *name;
	const char *value;
};

struct env_ops {
	/*
	 * Calls get(name, value) for every variable of vars.h that is set.
	 * Returns 0, 1 when no copy is readable, or -1 after error().
	 */
	int (*load)(void (*get)(void *arg, const char *name, const char *value),
		    void *arg);
	/*
	 * Stores all pairs in one write of the redundant environment, durable
	 * on return; a value "" removes the variable; an unreadable
	 * environment is made anew from its default.
	 */
	int (*store)(const struct env_pair *pairs, size_t n);
};

extern const struct env_ops *env_backend;

/* Chooses libubootenv with a fw_env.config and the file of defaults. */
void env_use_ubootenv(const char *config, const char *defaults);

/* 0, or -1 after error(). A lost environment reads as defaults, lost = 1. */
int env_read(struct env *env);

/*
 * The transitions. They update *env as well. 0, or -1 after error(): then the
 * old environment holds. id: UPDATE_ID_LEN hex digits. last: what bowline_last
 * says from then on.
 *
 * trial, commit: the slot of the update comes first in BOOT_ORDER and has all
 * its attempts. rollback: the decision to undo. undone: idle again, the slot
 * base first and the other one closed (LEFT 0), for its kernel belongs to a
 * system that is gone. idle: no update in play, the slots stay as they are.
 */
int env_store_trial(struct env *env, char slot, const char *id);
int env_store_commit(struct env *env, char slot, const char *id);
int env_store_rollback(struct env *env, const char *last);
int env_store_undone(struct env *env, char base, const char *last);
int env_store_idle(struct env *env, const char *last);
/* Nothing but bowline_last. */
int env_store_last(struct env *env, const char *last);

const char *phase_name(enum phase phase);
static inline char other_slot(char slot)
{
	return slot == 'A' ? 'B' : 'A';
}
static inline int slot_index(char slot)
{
	return slot == 'B';
}

#endif
