// SPDX-License-Identifier: GPL-2.0-or-later
/* The only file that includes libdevmapper. */
#include <libdevmapper.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dm.h"
#include "err.h"

/* The library's own lines would be a second line beside ours; keep the last. */
static char last_line[160];

static void keep_line(int level, const char *file, int line, int code,
		      const char *fmt, ...)
{
	va_list ap;

	if ((level & 7) > 3) /* syslog levels; 3 = errors */
		return;
	va_start(ap, fmt);
	vsnprintf(last_line, sizeof(last_line), fmt, ap);
	va_end(ap);
}

static struct dm_task *start(int type, const char *name)
{
	struct dm_task *task;

	last_line[0] = 0;
	dm_log_with_errno_init(keep_line);
	task = dm_task_create(type);
	if (task && name && !dm_task_set_name(task, name)) {
		dm_task_destroy(task);
		task = NULL;
	}
	return task;
}

static int failed(const char *what, const char *name)
{
	return error("cannot %s the device '%s'%s%s", what, name,
		     last_line[0] ? ": " : "", last_line);
}

static bool knows(struct dm_task *task, const char *target)
{
	struct dm_versions *v = dm_task_get_versions(task);

	while (v) {
		if (!strcmp(v->name, target))
			return true;
		if (!v->next)
			break;
		v = (struct dm_versions *)((char *)v + v->next);
	}
	return false;
}

int dm_require(const char *target)
{
	struct dm_task *task = start(DM_DEVICE_LIST_VERSIONS, NULL);
	bool run = task && dm_task_run(task);
	bool known = run && knows(task, target);

	if (task)
		dm_task_destroy(task);
	if (!run)
		return error("no device-mapper in this kernel: load 'dm-mod'");
	if (!known)
		return error("no kernel target '%s': load 'dm-%s'", target,
			     target);
	return 0;
}

static int simple(int type, const char *what, const char *name)
{
	struct dm_task *task = start(type, name);
	int r = task && dm_task_run(task) ? 0 : failed(what, name);

	if (task)
		dm_task_destroy(task);
	dm_task_update_nodes();
	return r;
}

static int load(int type, const char *what, const char *name,
		const struct dm_table *t)
{
	struct dm_task *task = start(type, name);
	int r = -1;

	if (task && (!t->read_only || dm_task_set_ro(task)) &&
	    dm_task_add_target(task, 0, t->sectors, t->target, t->params) &&
	    dm_task_run(task))
		r = 0;
	else
		failed(what, name);
	if (task)
		dm_task_destroy(task);
	dm_task_update_nodes(); /* without udev, /dev/mapper is the library's */
	return r;
}

int dm_make(const char *name, const struct dm_table *table)
{
	if (dm_require(table->target))
		return -1;
	return load(DM_DEVICE_CREATE, "make", name, table);
}

int dm_swap(const char *name, const struct dm_table *table)
{
	if (dm_require(table->target) ||
	    load(DM_DEVICE_RELOAD, "load a new table for", name, table))
		return -1;
	return simple(DM_DEVICE_RESUME, "resume", name);
}

int dm_drop(const char *name)
{
	return simple(DM_DEVICE_REMOVE, "remove", name);
}

static int take_status(struct dm_task *task, const char *name,
		       struct dm_state *state)
{
	struct dm_info info;
	uint64_t begin, length;
	char *target = NULL, *params = NULL;

	if (!dm_task_get_info(task, &info))
		return failed("examine", name);
	state->exists = info.exists;
	if (!info.exists)
		return 0;
	state->major = info.major;
	state->minor = info.minor;
	dm_get_next_target(task, NULL, &begin, &length, &target, &params);
	snprintf(state->target, sizeof(state->target), "%s",
		 target ? target : "");
	snprintf(state->status, sizeof(state->status), "%s",
		 params ? params : "");
	return 0;
}

int dm_look(const char *name, struct dm_state *state)
{
	struct dm_task *task = start(DM_DEVICE_STATUS, name);
	int r;

	memset(state, 0, sizeof(*state));
	if (task && dm_task_run(task))
		r = take_status(task, name, state);
	else
		r = failed("examine", name);
	if (task)
		dm_task_destroy(task);
	return r;
}
