/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board file: KEY=value lines, '#' comments. An unknown key, a key given
 * twice or a missing one is an error that names the line. The table of keys
 * is in docs/PORTING.md. Keys that only the image builder reads are known to
 * the parser and skipped.
 */
#ifndef BOWLINE_BOARD_H
#define BOWLINE_BOARD_H

#include <stddef.h>

#define BOARD_VALUE_MAX 256

struct board {
	char name[BOARD_VALUE_MAX];	    /* BOARD */
	char system[BOARD_VALUE_MAX];	    /* SYSTEM: device or file */
	char stage[BOARD_VALUE_MAX];	    /* STAGE */
	char data[BOARD_VALUE_MAX];	    /* DATA */
	char boot[2][BOARD_VALUE_MAX];	    /* BOOT_A, BOOT_B */
	char data_mount[BOARD_VALUE_MAX];   /* DATA_MOUNT, "/data" */
	char env_config[BOARD_VALUE_MAX];   /* ENV_CONFIG, /etc/fw_env.config */
	char env_default[BOARD_VALUE_MAX];  /* ENV_DEFAULT */
	char version_file[BOARD_VALUE_MAX]; /* VERSION_FILE: IMAGE_VERSION=N */
	char hardware_file[BOARD_VALUE_MAX]; /* HARDWARE_FILE, or "" */
	char keys[BOARD_VALUE_MAX];	     /* KEYS: folder of *.pem */
	char health[BOARD_VALUE_MAX];	     /* HEALTH: folder of checks */
	char watchdog[BOARD_VALUE_MAX];	     /* WATCHDOG: device, or "" */
	unsigned int watchdog_timeout;	     /* seconds */
	unsigned int health_deadline;	     /* seconds */
	unsigned int bow_block_size;	     /* 0 to 3: 512 << it bytes */
	unsigned int bow_low_water;	     /* MiB; 0: no event */
	unsigned int bow_no_space;	     /* enum board_no_space */
	unsigned int bow_damaged;	     /* enum board_damaged */
};

/* What happens to writes of a trial when there is no room to save. */
enum board_no_space { NO_SPACE_FAIL, NO_SPACE_RELEASE };

/* What happens to a data log that does not add up. */
enum board_damaged { DAMAGED_SALVAGE, DAMAGED_KEEP, DAMAGED_STOP };

/*
 * path NULL: $BOWLINE_BOARD, /run/bowline/board.conf, /etc/bowline/board.conf,
 * the first that exists. Sets the environment backend to the board's. 0, or
 * -1 after error().
 */
int board_load(struct board *board, const char *path);

/* The name of the i-th key, NULL after the last: for the documentation test. */
const char *board_key(unsigned int i);

#endif
