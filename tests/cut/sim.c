// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sim.h"

#define SECTOR	    512
#define MAX_PENDING 4096
#define MAX_VARS    16

struct dev {
	const char *name;
	uint64_t size;
	uint8_t *now, *durable, *saved;
};

static struct dev disks[SIM_DISKS] = {
	{ .name = "sim-system" }, { .name = "sim-stage" },
	{ .name = "sim-data" },	  { .name = "sim-boot-a" },
	{ .name = "sim-boot-b" },
};

/* Writes since the last flush of their disk, oldest first. */
static struct pending {
	struct dev *dev;
	uint64_t offset;
	size_t len;
	uint8_t *bytes;
} pending[MAX_PENDING];
static unsigned int n_pending;

static struct var {
	char name[32], value[ENV_VALUE_MAX];
} vars[MAX_VARS], saved_vars[MAX_VARS];

static unsigned int left, counted, stores;
jmp_buf sim_cut;
struct sim_running sim_running;
struct sim_kernel sim_kernel;

const char *sim_name(enum sim_disk_id id)
{
	return disks[id].name;
}

void sim_make(enum sim_disk_id id, uint64_t size)
{
	struct dev *d = &disks[id];

	d->size = size;
	d->now = calloc(1, size);
	d->durable = calloc(1, size);
	d->saved = calloc(1, size);
}

uint8_t *sim_bytes(enum sim_disk_id id)
{
	return disks[id].now;
}

struct dev *sim_part(enum sim_disk_id id, uint64_t at, uint64_t size)
{
	static struct dev part;

	part = (struct dev){ .name = disks[id].name,
			     .size = size,
			     .now = disks[id].now + at };
	return &part;
}

static void drop_pending(void)
{
	while (n_pending)
		free(pending[--n_pending].bytes);
}

void sim_settle(void)
{
	drop_pending();
	for (int i = 0; i < SIM_DISKS; i++)
		memcpy(disks[i].durable, disks[i].now, disks[i].size);
}

void sim_save(void)
{
	for (int i = 0; i < SIM_DISKS; i++)
		memcpy(disks[i].saved, disks[i].durable, disks[i].size);
	memcpy(saved_vars, vars, sizeof(vars));
}

void sim_load(void)
{
	drop_pending();
	for (int i = 0; i < SIM_DISKS; i++) {
		memcpy(disks[i].durable, disks[i].saved, disks[i].size);
		memcpy(disks[i].now, disks[i].saved, disks[i].size);
	}
	memcpy(vars, saved_vars, sizeof(vars));
	memset(&sim_running, 0, sizeof(sim_running));
	left = counted = stores = 0;
}

/* ---- the power ---- */

void sim_cut_after(unsigned int n)
{
	left = n;
}

unsigned int sim_count(void)
{
	return counted;
}

void sim_tick(void)
{
	counted++;
	if (left && !--left)
		longjmp(sim_cut, 1);
}

static void land(const struct pending *p, enum sim_loss loss, bool last,
		 unsigned int *seed)
{
	for (size_t at = 0; at < p->len; at += SECTOR) {
		size_t len = p->len - at < SECTOR ? p->len - at : SECTOR;

		if (loss == LOSE_ALL ||
		    (loss == LOSE_TAIL && last && at * 2 >= p->len))
			continue;
		if (loss == LOSE_RANDOM && rand_r(seed) & 1024)
			continue;
		memcpy(p->dev->durable + p->offset + at, p->bytes + at, len);
	}
}

void sim_power_on(enum sim_loss loss, unsigned int seed)
{
	for (unsigned int i = 0; i < n_pending; i++)
		land(&pending[i], loss, i + 1 == n_pending, &seed);
	drop_pending();
	for (int i = 0; i < SIM_DISKS; i++)
		memcpy(disks[i].now, disks[i].durable, disks[i].size);
	memset(&sim_running, 0, sizeof(sim_running));
}

/* ---- struct io_ops ---- */

static struct dev *sim_open(const char *path, enum dev_mode mode)
{
	for (int i = 0; i < SIM_DISKS; i++)
		if (!strcmp(disks[i].name, path))
			return &disks[i];
	error("no simulated disk '%s'", path);
	return NULL;
}

static int sim_read(struct dev *dev, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, dev->now + offset, len);
	return 0;
}

static int sim_write(struct dev *dev, uint64_t offset, const void *buf,
		     size_t len)
{
	struct pending *p = &pending[n_pending];

	if (n_pending == MAX_PENDING)
		return error("more writes between two flushes than foreseen");
	*p = (struct pending){ dev, offset, len, malloc(len) };
	memcpy(p->bytes, buf, len);
	n_pending++;
	memcpy(dev->now + offset, buf, len);
	sim_tick();
	return 0;
}

static int sim_flush(struct dev *dev)
{
	unsigned int kept = 0, seed = 0;

	sim_tick();
	for (unsigned int i = 0; i < n_pending; i++) {
		if (pending[i].dev != dev) {
			pending[kept++] = pending[i];
			continue;
		}
		land(&pending[i], LOSE_NONE, false, &seed);
		free(pending[i].bytes);
	}
	n_pending = kept;
	return 0;
}

static int sim_drop_cache(struct dev *dev)
{
	return 0;
}

static uint64_t sim_size(struct dev *dev)
{
	return dev->size;
}

static const char *sim_dev_name(struct dev *dev)
{
	return dev->name;
}

static unsigned int sim_sector(struct dev *dev)
{
	return SECTOR;
}

static void sim_close(struct dev *dev)
{
}

const struct io_ops sim_io = {
	.open = sim_open,
	.read = sim_read,
	.write = sim_write,
	.flush = sim_flush,
	.drop_cache = sim_drop_cache,
	.size = sim_size,
	.name = sim_dev_name,
	.sector = sim_sector,
	.close = sim_close,
};

/* ---- struct env_ops ---- */

const char *sim_getenv(const char *name)
{
	for (int i = 0; i < MAX_VARS; i++)
		if (vars[i].name[0] && !strcmp(vars[i].name, name))
			return vars[i].value;
	return NULL;
}

void sim_setenv(const char *name, const char *value)
{
	struct var *to = NULL;

	for (int i = 0; i < MAX_VARS; i++)
		if (!strcmp(vars[i].name, name))
			to = &vars[i];
	for (int i = 0; !to && i < MAX_VARS; i++)
		if (!vars[i].name[0])
			to = &vars[i];
	memset(to, 0, sizeof(*to));
	if (!value || !value[0])
		return;
	snprintf(to->name, sizeof(to->name), "%s", name);
	snprintf(to->value, sizeof(to->value), "%s", value);
}

unsigned int sim_env_stores(void)
{
	return stores;
}

static int sim_env_load(void (*get)(void *arg, const char *name,
				    const char *value),
			void *arg)
{
	for (int i = 0; i < MAX_VARS; i++)
		if (vars[i].name[0])
			get(arg, vars[i].name, vars[i].value);
	return 0;
}

static int sim_env_store(const struct env_pair *pairs, size_t n)
{
	sim_tick();
	stores++;
	for (size_t i = 0; i < n; i++)
		sim_setenv(pairs[i].name, pairs[i].value);
	return 0;
}

const struct env_ops sim_env = { sim_env_load, sim_env_store };

/* ---- struct machine ---- */

static int mount_system(const struct board *board,
			const struct stage_record *rec, enum system_mode mode,
			const char *sysroot)
{
	sim_running.root = true;
	sim_running.mode = mode;
	sim_running.rec = *rec;
	return 0;
}

static int mount_data(const struct board *board, const char *sysroot, bool bow)
{
	if (bow && !sim_kernel.enter_state_1())
		return -1;
	sim_running.data = true;
	sim_running.bow = bow;
	return 0;
}

static int swap_system(const struct board *board,
		       const struct stage_record *rec, enum system_mode mode)
{
	sim_running.mode = mode;
	sim_running.rec = *rec;
	return 0;
}

static int check_data(const struct board *board, const char *sysroot)
{
	sim_tick();
	sim_running.checked = true;
	return 0;
}

static int bow_status(struct bow_status *status)
{
	*status = sim_running.status;
	return 0;
}

static int release_data(void)
{
	sim_kernel.release();
	sim_running.bow = false;
	return 0;
}

static int merge_status(struct merge_status *status)
{
	*status = (struct merge_status){
		.exists = true,
		.done = !sim_kernel.merge(&sim_running.rec),
		.total = 1,
		.phase = "running",
		.reason = "-",
	};
	return 0;
}

static int arm_watchdog(const struct board *board)
{
	sim_running.watchdog = true;
	return 0;
}

static bool watchdog_fired(const struct board *board)
{
	return false;
}

static int sim_reboot(void)
{
	sim_running.rebooted = true;
	return 0;
}

const struct machine sim_machine = {
	.mount_system = mount_system,
	.mount_data = mount_data,
	.swap_system = swap_system,
	.check_data = check_data,
	.bow_status = bow_status,
	.release_data = release_data,
	.merge_status = merge_status,
	.arm_watchdog = arm_watchdog,
	.watchdog_fired = watchdog_fired,
	.reboot = sim_reboot,
};
