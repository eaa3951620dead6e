// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "env.h"
#include "err.h"

#define TEXT(field)   offsetof(struct board, field), 0
#define NUMBER(field) offsetof(struct board, field), 1
#define BUILD	      0, 2 /* read by the image builder only */

struct key {
	const char *name;
	size_t offset;
	int kind;
	const char *initial; /* NULL: the key must be there */
};

/* docs/PORTING.md has the same table; a test holds them equal. */
static const struct key keys[] = {
	{ "BOARD", TEXT(name), NULL },
	{ "SYSTEM", TEXT(system), NULL },
	{ "STAGE", TEXT(stage), NULL },
	{ "DATA", TEXT(data), NULL },
	{ "BOOT_A", TEXT(boot[0]), NULL },
	{ "BOOT_B", TEXT(boot[1]), NULL },
	{ "DATA_MOUNT", TEXT(data_mount), "/data" },
	{ "ENV_CONFIG", TEXT(env_config), "/etc/fw_env.config" },
	{ "ENV_DEFAULT", TEXT(env_default), "/etc/u-boot-initial-env" },
	{ "VERSION_FILE", TEXT(version_file), "/etc/os-release" },
	{ "KEYS", TEXT(keys), "/etc/bowline/keys" },
	{ "HEALTH", TEXT(health), "/etc/bowline/health.d" },
	{ "HEALTH_DEADLINE", NUMBER(health_deadline), "300" },
	{ "WATCHDOG", TEXT(watchdog), "" },
	{ "WATCHDOG_TIMEOUT", NUMBER(watchdog_timeout), "60" },
	{ "ARCH", BUILD, "" },
	{ "CARD_PARTS", BUILD, "" },
	{ "CARD_SIZE", BUILD, "" },
	{ "CONSOLE", BUILD, "" },
	{ "DISK_PARTS", BUILD, "" },
	{ "DISK_SIZE", BUILD, "" },
	{ "ENV_DEVICE", BUILD, "" },
	{ "ENV_OFFSET", BUILD, "" },
	{ "ENV_OFFSET_REDUND", BUILD, "" },
	{ "ENV_SIZE", BUILD, "" },
	{ "KERNEL_FLAVOUR", BUILD, "" },
	{ "KERNEL_LOAD", BUILD, "" },
	{ "MODULES", BUILD, "" },
	{ "QEMU", BUILD, "" },
	{ "SIZE_BOOT", BUILD, "" },
	{ "SIZE_DATA", BUILD, "" },
	{ "SIZE_STAGE", BUILD, "" },
	{ "SIZE_SYSTEM", BUILD, "" },
	{ "UBOOT_DEFCONFIG", BUILD, "" },
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

struct parser {
	struct board *board;
	const char *path;
	int line;
	bool seen[N_KEYS];
};

static int set_number(struct parser *p, const struct key *key,
		      const char *value)
{
	unsigned int *to = (unsigned int *)((char *)p->board + key->offset);
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end || errno || !n ||
	    n > 86400)
		return error("'%s' line %d: '%s=%s' is not a number of "
			     "seconds from 1 to 86400",
			     p->path, p->line, key->name, value);
	*to = n;
	return 0;
}

static int set(struct parser *p, const struct key *key, const char *value)
{
	if (key->kind == 1)
		return set_number(p, key, value);
	if (strlen(value) >= BOARD_VALUE_MAX && key->kind == 0)
		return error("'%s' line %d: the value of '%s' is longer than "
			     "%d bytes",
			     p->path, p->line, key->name, BOARD_VALUE_MAX - 1);
	if (key->kind == 0)
		strcpy((char *)p->board + key->offset, value);
	return 0;
}

/* Values may stand in double quotes, as a shell reads them. */
static char *unquote(char *value)
{
	size_t len = strlen(value);

	if (len < 2 || value[0] != '"' || value[len - 1] != '"')
		return value;
	value[len - 1] = 0;
	return value + 1;
}

static int parse_line(struct parser *p, char *line)
{
	char *equals;

	line[strcspn(line, "\r\n")] = 0;
	if (!line[0] || line[0] == '#')
		return 0;
	equals = strchr(line, '=');
	if (!equals)
		return error("'%s' line %d: '%s' is not KEY=value", p->path,
			     p->line, line);
	*equals = 0;
	for (size_t i = 0; i < N_KEYS; i++) {
		if (strcmp(keys[i].name, line))
			continue;
		if (p->seen[i])
			return error("'%s' line %d: '%s' is given twice",
				     p->path, p->line, line);
		p->seen[i] = true;
		return set(p, &keys[i], unquote(equals + 1));
	}
	return error("'%s' line %d: unknown key '%s'", p->path, p->line, line);
}

static int fill_defaults(struct parser *p)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		if (p->seen[i])
			continue;
		if (!keys[i].initial)
			return error("'%s' lacks the key '%s'", p->path,
				     keys[i].name);
		if (set(p, &keys[i], keys[i].initial))
			return -1;
	}
	return 0;
}

static int parse(struct board *board, const char *path)
{
	struct parser p = { .board = board, .path = path };
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int r = 0;

	if (!f)
		return error_errno("cannot open the board file '%s'", path);
	while (!r && getline(&line, &room, f) >= 0) {
		p.line++;
		r = parse_line(&p, line);
	}
	if (!r && ferror(f))
		r = error_errno("cannot read the board file '%s'", path);
	free(line);
	fclose(f);
	return r ? -1 : fill_defaults(&p);
}

static const char *find(void)
{
	const char *path = getenv("BOWLINE_BOARD");

	if (path)
		return path;
	if (!access("/run/bowline/board.conf", F_OK))
		return "/run/bowline/board.conf";
	return "/etc/bowline/board.conf";
}

int board_load(struct board *board, const char *path)
{
	memset(board, 0, sizeof(*board));
	if (parse(board, path ? path : find()))
		return -1;
	env_use_ubootenv(board->env_config, board->env_default);
	return 0;
}

const char *board_key(unsigned int i)
{
	return i < N_KEYS ? keys[i].name : NULL;
}
