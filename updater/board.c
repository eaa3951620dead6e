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

enum kind { K_TEXT, K_SECONDS, K_MIB, K_CHOICE, K_BUILD };

#define AT(field)	     offsetof(struct board, field)
#define TEXT(field)	     AT(field), K_TEXT, NULL
#define SECONDS(field)	     AT(field), K_SECONDS, NULL
#define MIB(field)	     AT(field), K_MIB, NULL
#define CHOICE(field, words) AT(field), K_CHOICE, words
#define BUILD		     0, K_BUILD, NULL /* read by the image builder only */
#define MOST_SECONDS	     86400
#define MOST_MIB	     (1u << 24) /* 16 TiB */

struct key {
	const char *name;
	size_t offset;
	enum kind kind;
	const char *legal;   /* of a CHOICE, joined by '|'; the index is kept */
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
	{ "HARDWARE_FILE", TEXT(hardware_file), "" },
	{ "KEYS", TEXT(keys), "/etc/bowline/keys" },
	{ "HEALTH", TEXT(health), "/etc/bowline/health.d" },
	{ "HEALTH_DEADLINE", SECONDS(health_deadline), "300" },
	{ "WATCHDOG", TEXT(watchdog), "" },
	{ "WATCHDOG_TIMEOUT", SECONDS(watchdog_timeout), "60" },
	{ "BOW_BLOCK_SIZE", CHOICE(bow_block_size, "512|1024|2048|4096"),
	  "4096" },
	{ "BOW_LOW_WATER", MIB(bow_low_water), "0" },
	{ "BOW_NO_SPACE", CHOICE(bow_no_space, "fail|release"), "fail" },
	{ "BOW_DAMAGED", CHOICE(bow_damaged, "salvage|keep|stop"), "salvage" },
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

static unsigned int *number(struct parser *p, const struct key *key)
{
	return (unsigned int *)((char *)p->board + key->offset);
}

static int set_number(struct parser *p, const struct key *key,
		      const char *value)
{
	bool seconds = key->kind == K_SECONDS;
	unsigned long most = seconds ? MOST_SECONDS : MOST_MIB, n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end || errno || n < seconds ||
	    n > most)
		return error("'%s' line %d: '%s=%s' is not a number of %s "
			     "from %d to %lu",
			     p->path, p->line, key->name, value,
			     seconds ? "seconds" : "MiB", seconds, most);
	*number(p, key) = n;
	return 0;
}

static int set_choice(struct parser *p, const struct key *key,
		      const char *value)
{
	const char *word = key->legal;

	for (unsigned int i = 0; *word; i++) {
		size_t len = strcspn(word, "|");

		if (len == strlen(value) && !strncmp(word, value, len)) {
			*number(p, key) = i;
			return 0;
		}
		word += len + (word[len] == '|');
	}
	return error("'%s' line %d: '%s=%s' is none of %s", p->path, p->line,
		     key->name, value, key->legal);
}

static int set_text(struct parser *p, const struct key *key, const char *value)
{
	if (strlen(value) >= BOARD_VALUE_MAX)
		return error("'%s' line %d: the value of '%s' is longer than "
			     "%d bytes",
			     p->path, p->line, key->name, BOARD_VALUE_MAX - 1);
	strcpy((char *)p->board + key->offset, value);
	return 0;
}

static int set(struct parser *p, const struct key *key, const char *value)
{
	switch (key->kind) {
	case K_SECONDS:
	case K_MIB:
		return set_number(p, key, value);
	case K_CHOICE:
		return set_choice(p, key, value);
	case K_BUILD:
		return 0;
	default:
		return set_text(p, key, value);
	}
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
