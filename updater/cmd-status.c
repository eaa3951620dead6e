// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bow.h"
#include "dm.h"
#include "err.h"
#include "live.h"
#include "machine.h"
#include "options.h"
#include "slots.h"
#include "verbs.h"

const char help_status[] =
	"say where the device is in the life of an update\n"
	"\n"
	"usage: bowline status [--json] [--board FILE]\n"
	"\n"
	"Reads the environment, the stage, the data device and the kernel's\n"
	"targets; writes nothing. The text is for people, --json for programs:\n"
	"one object with the same names.\n"
	"\n"
	"  --json         one line of JSON\n"
	"  --board FILE   the board file (/run/bowline/board.conf, then\n"
	"                 /etc/bowline/board.conf)\n"
	"\n"
	"Exit status: 0 said, 1 failed, 2 usage.\n";

struct printer {
	bool json;
	unsigned int n; /* fields so far */
};

static void quote(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('"');
}

static void put_text(struct printer *p, const char *name, const char *value)
{
	if (!p->json) {
		printf("%-14s %s\n", name, value[0] ? value : "-");
		return;
	}
	fputs(p->n++ ? ", " : "{", stdout);
	quote(name);
	fputs(": ", stdout);
	quote(value);
}

static void put_number(struct printer *p, const char *name, uint64_t value)
{
	if (!p->json) {
		printf("%-14s %" PRIu64 "\n", name, value);
		return;
	}
	printf("%s\"%s\": %" PRIu64, p->n++ ? ", " : "{", name, value);
}

static void put_slot(struct printer *p, const char *name, char slot)
{
	const char text[] = { slot, 0 };

	put_text(p, name, text);
}

static void put_env(struct printer *p, const struct env *env)
{
	put_text(p, "environment",
		 env->lost	? "lost"
		 : env->invalid ? env->raw_bad
				: "good");
	put_text(p, "phase", phase_name(env->phase));
	put_slot(p, "trial", env->trial);
	put_text(p, "update", env->update);
	put_text(p, "order", env->order);
	put_number(p, "left_a", env->left[0] - '0');
	put_number(p, "left_b", env->left[1] - '0');
	put_number(p, "attempts", env->attempts);
	put_text(p, "last", env->last);
}

static void put_stage(struct printer *p, const struct stage_record *rec)
{
	static const char *const names[] = { "empty", "staged", "merging" };

	put_text(p, "stage", names[rec->phase]);
	put_text(p, "staged_update", rec->id);
	put_number(p, "staged_bytes", rec->payload);
	put_number(p, "tried", rec->attempt);
	put_text(p, "reason", rec->reason);
}

static int put_log(struct printer *p, const char *path)
{
	static const char *const names[] = {
		[BOW_NONE] = "none",	       [BOW_LOG] = "whole",
		[BOW_RESTORING] = "restoring", [BOW_KEEPING] = "keeping",
		[BOW_DAMAGED] = "damaged",
	};
	struct dev *data = dev_open(path, DEV_READ);
	struct bow_info info;
	int r = -1;

	/* The kernel's target writes the log below the partition's cache. */
	if (data && !dev_drop_cache(data))
		r = bow_probe(data, &info);
	dev_close(data);
	if (r)
		return -1;
	put_text(p, "data_log", names[info.kind]);
	put_number(p, "data_saved", info.backed_up);
	return 0;
}

static const char *no_space_name(unsigned int policy)
{
	return policy == NO_SPACE_RELEASE ? "release" : "fail";
}

static const char *damaged_name(unsigned int policy)
{
	static const char *const names[] = { "salvage", "keep", "stop" };

	return names[policy];
}

/* The way back: what the board wants of it, and how it does in a trial. */
static int put_way_back(struct printer *p, const struct board *board,
			bool running)
{
	struct bow_status bow = { 0 };

	if (running && machine->bow_status(&bow))
		return -1;
	put_text(p, "no_space", no_space_name(board->bow_no_space));
	put_text(p, "damaged", damaged_name(board->bow_damaged));
	put_text(p, "room", bow.exists ? bow.space : "");
	put_number(p, "room_free", bow.free);
	put_number(p, "room_used", bow.backed_up);
	put_number(p, "room_low", (uint64_t)board->bow_low_water << 20);
	return 0;
}

/* Of an update under the root; what a failed merge needs stands in reason. */
static int put_merge(struct printer *p)
{
	struct merge_status merge;

	if (machine->merge_status(&merge))
		return -1;
	put_text(p, "merge", merge.phase);
	put_number(p, "merge_done", merge.done);
	put_number(p, "merge_total", merge.total);
	put_number(p, "merge_errors", merge.errors);
	put_text(p, "merge_reason",
		 strcmp(merge.reason, "-") ? merge.reason : "");
	return 0;
}

static int put_device(struct printer *p, const char *name, const char *device)
{
	struct dm_state dm;
	char text[sizeof(dm.target) + sizeof(dm.status) + 1];

	if (dm_look(device, &dm))
		return -1;
	snprintf(text, sizeof(text), "%s %s", dm.target, dm.status);
	put_text(p, name, dm.exists ? text : "");
	return 0;
}

/* What the boot script will do, if every kernel loads: "B attempt 2". */
static void put_next(struct printer *p, const struct env *env)
{
	const char left[2][2] = { { env->left[0] }, { env->left[1] } };
	const char trial[] = { env->trial, 0 };
	const char attempts[] = { '0' + env->attempts, 0 };
	const struct slots_facts facts = {
		.order = env->order,
		.left = { left[0], left[1] },
		.phase = phase_name(env->phase),
		.trial = trial,
		.attempts = attempts,
		.loads = { true, true },
		.store_works = true,
	};
	struct slots_outcome out;
	const struct slots_step *s;
	char text[32];
	int n;

	slots_choose(&facts, &out);
	s = &out.step[out.n - 1];
	n = snprintf(text, sizeof(text), "%c", s->slot);
	if (s->attempt)
		n += snprintf(text + n, sizeof(text) - n, " attempt %u",
			      s->attempt);
	if (s->rescue)
		snprintf(text + n, sizeof(text) - n, " rescue");
	put_text(p, "next_boot", text);
}

static int status(struct printer *p, struct boot *boot)
{
	bool running = boot->cmd.slot;

	put_text(p, "board", boot->board.name);
	put_slot(p, "slot", boot->cmd.slot);
	put_env(p, &boot->env);
	put_next(p, &boot->env);
	put_stage(p, &boot->rec);
	if (put_log(p, boot->board.data) ||
	    put_way_back(p, &boot->board, running) ||
	    (running && (put_merge(p) || put_device(p, "system", DM_SYSTEM) ||
			 put_device(p, "data", DM_DATA))))
		return -1;
	if (p->json)
		puts("}");
	return 0;
}

int cmd_status(int argc, char **argv)
{
	struct printer p = { 0 };
	const char *board = NULL;
	const struct opt opts[] = {
		{ "board", 0, &board, NULL },
		{ "json", 0, NULL, &p.json },
		{ 0 },
	};
	struct boot boot;

	if (options_parse("status", argc, argv, opts, "", NULL))
		return 2;
	if (live_load(&boot, board))
		return 1;
	return status(&p, &boot) ? 1 : 0;
}
