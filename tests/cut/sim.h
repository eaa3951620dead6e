/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device for the power-cut tests: disks with a volatile cache, an
 * environment with atomic stores, and a machine whose kernel does what the two
 * targets do. Every durable operation counts; when the count runs out, the
 * power is cut by a jump to sim_cut, in the middle of the program under test.
 */
#ifndef BOWLINE_SIM_H
#define BOWLINE_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot.h"
#include "env.h"
#include "io.h"
#include "machine.h"

enum sim_disk_id {
	SIM_SYSTEM,
	SIM_STAGE,
	SIM_DATA,
	SIM_BOOT_A,
	SIM_BOOT_B,
	SIM_DISKS
};

/* What becomes of writes that no flush has made durable. */
enum sim_loss {
	LOSE_ALL,
	LOSE_NONE,
	LOSE_TAIL,   /* the last is torn after its first half */
	LOSE_RANDOM, /* each sector by itself */
	SIM_LOSSES
};

extern jmp_buf sim_cut;
extern const struct io_ops sim_io;
extern const struct env_ops sim_env;
extern const struct machine sim_machine;

/* The name a board file gives a disk. */
const char *sim_name(enum sim_disk_id id);
/* A new disk of that size, zeros. */
void sim_make(enum sim_disk_id id, uint64_t size);
/* What a reader sees now. */
uint8_t *sim_bytes(enum sim_disk_id id);
/* So many bytes of it from byte at on, to be read, until the next call. */
struct dev *sim_part(enum sim_disk_id id, uint64_t at, uint64_t size);
/* Whatever was put into sim_bytes() so far is durable. */
void sim_settle(void);

/* Keeps and brings back the whole device: disks and environment. */
void sim_save(void);
void sim_load(void);

/* Cut at the n-th durable operation from now, counted from 1; 0 = never. */
void sim_cut_after(unsigned int n);
/* Durable operations since sim_load(). */
unsigned int sim_count(void);
/* One durable operation that is none of io's or env's (a kernel's write). */
void sim_tick(void);
/* After a cut: what was volatile is gone. */
void sim_power_on(enum sim_loss loss, unsigned int seed);

/* The environment, as U-Boot has it: NULL = missing. */
const char *sim_getenv(const char *name);
void sim_setenv(const char *name, const char *value);
unsigned int sim_env_stores(void);

/* What runs: set by the machine, reset by sim_power_on(). */
struct sim_running {
	bool root, data, bow, watchdog, rebooted, checked;
	struct bow_status status; /* of the bow target */
	enum system_mode mode;
	struct stage_record rec; /* of the update under the root */
};
extern struct sim_running sim_running;

/* The kernel's side, by the test: writes of a trial, of a merge. */
struct sim_kernel {
	bool (*enter_state_1)(void); /* false: it refuses */
	void (*release)(void);
	/* Copies some blocks; false when nothing is left. */
	bool (*merge)(const struct stage_record *rec);
};
extern struct sim_kernel sim_kernel;

#endif
