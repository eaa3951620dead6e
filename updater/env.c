// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "env.h"
#include "err.h"
#include "vars.h"

struct var {
	const char *name;
	const char *values;
	const char *initial;
};

static const struct var vars[VAR_COUNT] = {
#define VAR_ROW(id, name, values, initial, meaning) { name, values, initial },
	BOWLINE_VARS(VAR_ROW)
#undef VAR_ROW
};

static const char *const phase_names[] = { "idle", "trial", "commit",
					   "rollback" };

const char *phase_name(enum phase phase)
{
	return phase_names[phase];
}

static bool all_in(const char *value, const char *set, size_t len)
{
	return strlen(value) == len && strspn(value, set) == len;
}

static bool printable(const char *value)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < len; i++)
		if (value[i] < ' ' || value[i] > '~')
			return false;
	return len <= BOWLINE_TEXT_MAX;
}

/* Whether value is exactly the alternative [alt, alt + len) of a table row. */
static bool is_alternative(const char *value, const char *alt, size_t len)
{
	if (len == 5 && !strncmp(alt, "hex16", len))
		return all_in(value, "0123456789abcdef", UPDATE_ID_LEN);
	if (len == 4 && !strncmp(alt, "text", len))
		return printable(value);
	if (len == 3 && alt[1] == '-')
		return value[0] >= alt[0] && value[0] <= alt[2] && !value[1];
	return strlen(value) == len && !strncmp(value, alt, len);
}

static bool legal(const struct var *var, const char *value)
{
	for (const char *alt = var->values; *alt;) {
		size_t len = strcspn(alt, "|");

		if (is_alternative(value, alt, len))
			return true;
		alt += len + (alt[len] == '|');
	}
	return false;
}

struct texts {
	char value[VAR_COUNT][ENV_VALUE_MAX];
	bool set[VAR_COUNT];
};

static void take(void *arg, const char *name, const char *value)
{
	struct texts *texts = arg;

	for (int i = 0; i < VAR_COUNT; i++) {
		if (strcmp(vars[i].name, name))
			continue;
		texts->set[i] = true;
		/* Whatever is cut off here was too long to be legal. */
		snprintf(texts->value[i], ENV_VALUE_MAX, "%s", value);
	}
}

/* The value of a variable, or what it reads as when missing or nonsense. */
static const char *text_of(struct env *env, const struct texts *texts, int i,
			   const char *if_bad)
{
	if (!texts->set[i])
		return vars[i].initial;
	if (legal(&vars[i], texts->value[i]))
		return texts->value[i];
	if (!env->invalid)
		snprintf(env->raw_bad, sizeof(env->raw_bad), "%.30s=%.90s",
			 vars[i].name, texts->value[i]);
	env->invalid = true;
	return if_bad;
}

static enum phase phase_of(const char *text)
{
	int i = 0;

	while (strcmp(phase_names[i], text))
		i++;
	return i;
}

static void read_left(struct env *env, const struct texts *texts, char slot)
{
	bool tried = env->phase == PHASE_TRIAL && env->trial == slot;
	int i = slot == 'A' ? VAR_BOOT_A_LEFT : VAR_BOOT_B_LEFT;
	const char *text = text_of(env, texts, i, tried ? "0" : "3");

	if (tried && !texts->set[i])
		text = "0"; /* as the boot script reads it */
	env->left[slot_index(slot)] = text[0];
}

static void parse(struct env *env, const struct texts *texts)
{
	strcpy(env->order, text_of(env, texts, VAR_BOOT_ORDER, "A B"));
	env->phase = phase_of(text_of(env, texts, VAR_PHASE, "idle"));
	env->trial = text_of(env, texts, VAR_TRIAL, "")[0];
	strcpy(env->update, text_of(env, texts, VAR_UPDATE, ""));
	env->attempts = text_of(env, texts, VAR_ATTEMPTS, "3")[0] - '0';
	snprintf(env->last, sizeof(env->last), "%s",
		 text_of(env, texts, VAR_LAST, ""));
	read_left(env, texts, 'A');
	read_left(env, texts, 'B');
}

int env_read(struct env *env)
{
	struct texts texts = { 0 };
	int r = env_backend->load(take, &texts);

	if (r < 0)
		return -1;
	memset(env, 0, sizeof(*env));
	env->lost = r;
	parse(env, &texts);
	return 0;
}

struct expect {
	const struct env_pair *pairs;
	size_t n;
	bool seen[VAR_COUNT];
	const char *wrong;
};

static void compare(void *arg, const char *name, const char *value)
{
	struct expect *e = arg;

	for (size_t i = 0; i < e->n; i++) {
		if (strcmp(e->pairs[i].name, name))
			continue;
		e->seen[i] = true;
		if (strcmp(e->pairs[i].value, value))
			e->wrong = name;
	}
}

/* After a store: every value as written, every removed variable gone. */
static int read_back(const struct env_pair *pairs, size_t n)
{
	struct expect e = { .pairs = pairs, .n = n };

	if (env_backend->load(compare, &e))
		return error("the environment cannot be read back after the "
			     "store");
	for (size_t i = 0; i < n; i++)
		if (pairs[i].value[0] && !e.seen[i])
			e.wrong = pairs[i].name;
	if (e.wrong)
		return error("the environment store did not take: '%s' is not "
			     "what was written",
			     e.wrong);
	return 0;
}

/*
 * The one place that stores: all variables of a transition in one write, then
 * read back, because the library does not say whether its write arrived.
 */
static int store(struct env *env, const struct env_pair *pairs, size_t n)
{
	if (env_backend->store(pairs, n) || read_back(pairs, n))
		return -1;
	return env_read(env);
}

static const char *order_first(char slot)
{
	return slot == 'A' ? "A B" : "B A";
}

static const char *left_name(char slot)
{
	return vars[slot == 'A' ? VAR_BOOT_A_LEFT : VAR_BOOT_B_LEFT].name;
}

static int store_update(struct env *env, enum phase phase, char slot,
			const char *id)
{
	char left[] = { '0' + env->attempts, 0 }, trial[] = { slot, 0 };
	const struct env_pair pairs[] = {
		{ vars[VAR_PHASE].name, phase_name(phase) },
		{ vars[VAR_TRIAL].name, trial },
		{ vars[VAR_UPDATE].name, id },
		{ vars[VAR_BOOT_ORDER].name, order_first(slot) },
		{ left_name(slot), left },
	};

	return store(env, pairs, sizeof(pairs) / sizeof(pairs[0]));
}

int env_store_trial(struct env *env, char slot, const char *id)
{
	return store_update(env, PHASE_TRIAL, slot, id);
}

int env_store_commit(struct env *env, char slot, const char *id)
{
	return store_update(env, PHASE_COMMIT, slot, id);
}

int env_store_rollback(struct env *env, const char *last)
{
	const struct env_pair pairs[] = {
		{ vars[VAR_PHASE].name, "rollback" },
		{ vars[VAR_LAST].name, last },
	};

	return store(env, pairs, sizeof(pairs) / sizeof(pairs[0]));
}

int env_store_undone(struct env *env, char base, const char *last)
{
	const struct env_pair pairs[] = {
		{ vars[VAR_PHASE].name, "idle" },
		{ vars[VAR_TRIAL].name, "" },
		{ vars[VAR_UPDATE].name, "" },
		{ vars[VAR_LAST].name, last },
		{ vars[VAR_BOOT_ORDER].name, order_first(base) },
		{ left_name(other_slot(base)), "0" },
	};

	return store(env, pairs, sizeof(pairs) / sizeof(pairs[0]));
}

int env_store_last(struct env *env, const char *last)
{
	const struct env_pair pair = { vars[VAR_LAST].name, last };

	return store(env, &pair, 1);
}

int env_store_idle(struct env *env, const char *last)
{
	const struct env_pair pairs[] = {
		{ vars[VAR_PHASE].name, "idle" },
		{ vars[VAR_TRIAL].name, "" },
		{ vars[VAR_UPDATE].name, "" },
		{ vars[VAR_LAST].name, last },
	};

	return store(env, pairs, sizeof(pairs) / sizeof(pairs[0]));
}
