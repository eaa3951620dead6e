// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bowline-format.h"
#include "bundle.h"
#include "dm.h"
#include "err.h"
#include "fsck.h"
#include "machine.h"
#include "watchdog.h"

#define MAPPER	    "/dev/mapper/"
#define BEGIN_MOUNT "/run/bowline-begin"

static int sectors_of(const char *path, uint64_t *sectors)
{
	struct dev *dev = dev_open(path, DEV_READ);

	if (!dev)
		return -1;
	*sectors = dev_size(dev) / BOWLINE_SECTOR;
	dev_close(dev);
	return 0;
}

/* ---- mounts ---- */

/* Tries every file system this kernel has for block devices. */
static int mount_any(const char *dev, const char *dir, unsigned long flags,
		     const char *options)
{
	FILE *f = fopen("/proc/filesystems", "re");
	char line[64], type[64];
	int r = -1;

	errno = ENODEV;
	while (f && r && fgets(line, sizeof(line), f))
		if (sscanf(line, "\t%63s", type) == 1)
			r = mount(dev, dir, type, flags | MS_SILENT, options);
	if (f)
		fclose(f);
	return r ? error_errno("cannot mount '%s' at '%s'", dev, dir) : 0;
}

static int make_dir(const char *dir)
{
	if (mkdir(dir, 0755) && errno != EEXIST)
		return error_errno("cannot make the folder '%s'", dir);
	return 0;
}

/* ---- the root ---- */

static int make_stage(const struct board *board, const struct stage_record *rec)
{
	char params[BOARD_VALUE_MAX + 32];
	const struct dm_table table = {
		.target = "linear",
		.sectors = bundle_padded(rec->payload) / BOWLINE_SECTOR,
		.params = params,
		.read_only = true,
	};
	struct dm_state now;

	if (dm_look(DM_STAGE, &now))
		return -1;
	if (now.exists)
		return 0;
	snprintf(params, sizeof(params), "%s %u", board->stage,
		 STAGE_PAYLOAD / BOWLINE_SECTOR);
	return dm_make(DM_STAGE, &table);
}

/* A record without a place for the progress is that of an older install. */
static void update_params(struct system_table *t, const struct board *board,
			  const struct stage_record *rec, enum system_mode mode)
{
	size_t room = sizeof(t->params);
	int n = snprintf(t->params, room, "%s " MAPPER DM_STAGE, board->system);

	if (mode == SYSTEM_TRIAL)
		snprintf(t->params + n, room - n, " 1 no_bg_update");
	else if (!rec->progress)
		snprintf(t->params + n, room - n, " 0");
	else
		snprintf(t->params + n, room - n, " 3 progress %s %" PRIu64,
			 board->stage, rec->progress / BOWLINE_SECTOR);
}

/*
 * A merge writes through the update target into the system device, which needs
 * no writable mapping: the root stays read-only from first to last.
 */
void machine_system_table(struct system_table *t, const struct board *board,
			  const struct stage_record *rec, uint64_t sectors,
			  enum system_mode mode)
{
	t->dm = (struct dm_table){ .target = "linear",
				   .params = t->params,
				   .sectors = sectors,
				   .read_only = true };
	if (mode == SYSTEM_PLAIN || !rec->payload) {
		snprintf(t->params, sizeof(t->params), "%s 0", board->system);
		return;
	}
	t->dm.target = "update";
	t->dm.sectors = (rec->image + BOWLINE_SECTOR - 1) / BOWLINE_SECTOR;
	update_params(t, board, rec, mode);
}

/* And the device of the stage, which an update's table names. */
static int system_table(struct system_table *t, const struct board *board,
			const struct stage_record *rec, enum system_mode mode)
{
	uint64_t sectors;

	if (sectors_of(board->system, &sectors))
		return -1;
	machine_system_table(t, board, rec, sectors, mode);
	return mode == SYSTEM_PLAIN || !rec->payload ? 0
						     : make_stage(board, rec);
}

static int real_mount_system(const struct board *board,
			     const struct stage_record *rec,
			     enum system_mode mode, const char *sysroot)
{
	struct system_table table;

	if (system_table(&table, board, rec, mode) ||
	    dm_make(DM_SYSTEM, &table.dm) || make_dir(sysroot))
		return -1;
	return mount_any(MAPPER DM_SYSTEM, sysroot, MS_RDONLY, NULL);
}

static int real_swap_system(const struct board *board,
			    const struct stage_record *rec,
			    enum system_mode mode)
{
	struct system_table table;

	if (system_table(&table, board, rec, mode) ||
	    dm_swap(DM_SYSTEM, &table.dm))
		return -1;
	return mode == SYSTEM_PLAIN && rec->payload ? dm_drop(DM_STAGE) : 0;
}

/* ---- data ---- */

static int bow_state(const char *state)
{
	char path[PATH_MAX];
	struct dm_state dm;
	int fd, r = 0;

	if (dm_look(DM_DATA, &dm))
		return -1;
	if (!dm.exists || strcmp(dm.target, "bow"))
		return error("there is no device '" DM_DATA "' with the target "
			     "'bow'");
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/bow/state", dm.major,
		 dm.minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, state, strlen(state)) < 0)
		r = error_errno("cannot set '%s' to state %s", path, state);
	if (fd >= 0)
		close(fd);
	return r;
}

void machine_bow_table(struct bow_table *t, const struct board *board,
		       uint64_t sectors, unsigned int logical)
{
	char options[3][32] = { "", "", "" };
	unsigned int size = 512u << board->bow_block_size, n = 1;

	while (size > 512 && sectors * BOWLINE_SECTOR % size)
		size /= 2;
	if (size < logical)
		size = logical;
	snprintf(options[0], sizeof(options[0]), " block_size:%u", size);
	if (board->bow_low_water)
		snprintf(options[n++], sizeof(options[0]), " low_water:%llu",
			 (unsigned long long)board->bow_low_water << 20);
	if (board->bow_no_space == NO_SPACE_RELEASE)
		snprintf(options[n++], sizeof(options[0]), " no_space:release");
	t->block_size = size;
	t->dm = (struct dm_table){ "bow", sectors, t->params, false };
	snprintf(t->params, sizeof(t->params), "%s %u%s%s%s", board->data, n,
		 options[0], options[1], options[2]);
}

int machine_bow_status(struct bow_status *s, const char *line)
{
	strcpy(s->space, "ok");
	if (sscanf(line,
		   "%u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %15s",
		   &s->state, &s->free, &s->backed_up, &s->logs, &s->errors,
		   s->space) < 5)
		return error("the target 'bow' says '%s', not STATE FREE "
			     "SAVED LOGS ERRORS",
			     line);
	s->exists = true;
	return 0;
}

static int real_bow_status(struct bow_status *status)
{
	struct dm_state dm;

	memset(status, 0, sizeof(*status));
	if (dm_look(DM_DATA, &dm))
		return -1;
	if (!dm.exists || strcmp(dm.target, "bow"))
		return 0;
	return machine_bow_status(status, dm.status);
}

/* ---- the file system when state 1 begins ---- */

/* Tells bow which blocks are free. */
static int trim(int root)
{
	struct fstrim_range all = { .len = UINT64_MAX };

	return ioctl(root, FITRIM, &all);
}

/* Makes F2FS write a checkpoint: it needs a change to do so, but no space. */
static int checkpoint(int root)
{
	const struct timespec read_now[] = { { .tv_nsec = UTIME_NOW },
					     { .tv_nsec = UTIME_OMIT } };

	return futimens(root, read_now) || syncfs(root);
}

static int with_root(const char *dir, int (*act)(int root))
{
	int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? -1 : act(root);

	if (root >= 0)
		close(root);
	return r;
}

/* Mounts the bow device, acts, unmounts. */
static int visit(const char *options, const char *what, int (*act)(int root))
{
	int r = 0;

	if (make_dir(BEGIN_MOUNT) ||
	    mount_any(MAPPER DM_DATA, BEGIN_MOUNT, MS_NOATIME, options))
		return -1;
	if (with_root(BEGIN_MOUNT, act))
		r = error_errno("cannot %s the file system of '%s'", what,
				MAPPER DM_DATA);
	if (umount(BEGIN_MOUNT))
		r = error_errno("cannot unmount '%s'", BEGIN_MOUNT);
	return r;
}

/*
 * F2FS does not trim what its checkpoint says is trimmed, and takes what was
 * fsynced after its checkpoint from free space, which no restore puts back.
 */
static int begin_state_1(bool f2fs)
{
	const char *options = f2fs ? "nodiscard" : NULL;

	if ((f2fs && visit(options, "sync", checkpoint)) ||
	    visit(options, "trim", trim) || bow_state("1"))
		return -1;
	return f2fs ? visit(options, "sync", checkpoint) : 0;
}

static int make_bow(const struct board *board)
{
	const char *type = fsck_type(board->data);
	struct dev *data = dev_open(board->data, DEV_READ);
	struct bow_table table;

	if (!data)
		return -1;
	machine_bow_table(&table, board, dev_size(data) / BOWLINE_SECTOR,
			  dev_sector(data));
	dev_close(data);
	if (table.block_size != 512u << board->bow_block_size)
		say("'%s' takes blocks of %u bytes, not %u", board->data,
		    table.block_size, 512u << board->bow_block_size);
	if (dm_make(DM_DATA, &table.dm))
		return -1;
	return begin_state_1(type && !strcmp(type, "f2fs"));
}

static int real_mount_data(const struct board *board, const char *sysroot,
			   bool bow)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s%s", sysroot, board->data_mount);
	if (bow && make_bow(board))
		return -1;
	return mount_any(bow ? MAPPER DM_DATA : board->data, dir, MS_NOATIME,
			 NULL);
}

static int real_check_data(const struct board *board, const char *sysroot)
{
	return fsck_run(board->data, sysroot);
}

static int real_release_data(void)
{
	return bow_state("2");
}

/* ---- the rest ---- */

int machine_merge_status(struct merge_status *s, const char *line)
{
	if (sscanf(line, "%" SCNu64 " %" SCNu64 " %*u %15s %" SCNu64 " %31s",
		   &s->done, &s->total, s->phase, &s->errors, s->reason) != 5)
		return error("the target 'update' says '%s', not DONE TOTAL "
			     "BYTES PHASE ERRORS REASON",
			     line);
	s->exists = true;
	return 0;
}

static int real_merge_status(struct merge_status *status)
{
	struct dm_state dm;

	memset(status, 0, sizeof(*status));
	if (dm_look(DM_SYSTEM, &dm))
		return -1;
	if (!dm.exists)
		return error("there is no device '" DM_SYSTEM "'");
	if (strcmp(dm.target, "update"))
		return 0;
	return machine_merge_status(status, dm.status);
}

static int real_arm_watchdog(const struct board *board)
{
	return watchdog_arm(board->watchdog, board->watchdog_timeout);
}

static bool real_watchdog_fired(const struct board *board)
{
	return watchdog_fired(board->watchdog);
}

static int real_reboot(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	return error_errno("cannot reboot");
}

const struct machine machine_real = {
	.mount_system = real_mount_system,
	.mount_data = real_mount_data,
	.swap_system = real_swap_system,
	.check_data = real_check_data,
	.bow_status = real_bow_status,
	.release_data = real_release_data,
	.merge_status = real_merge_status,
	.arm_watchdog = real_arm_watchdog,
	.watchdog_fired = real_watchdog_fired,
	.reboot = real_reboot,
};

const struct machine *machine = &machine_real;
