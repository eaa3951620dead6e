// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The environment on a device, through libubootenv: the only file that
 * includes it. The library opens both copies, picks the valid newer one, and
 * writes the other; fw_setenv of Debian is the same code with the same lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <libuboot.h> /* wants size_t before it */

#include "env.h"
#include "err.h"
#include "vars.h"

static const char *config_file = "/etc/fw_env.config";
static const char *default_file = "/etc/u-boot-initial-env";

static struct uboot_ctx *start(void)
{
	struct uboot_ctx *ctx;

	if (libuboot_initialize(&ctx, NULL)) {
		error("out of memory for the environment");
		return NULL;
	}
	if (libuboot_read_config(ctx, config_file)) {
		error("cannot use '%s' as the configuration of the "
		      "environment",
		      config_file);
		libuboot_exit(ctx);
		return NULL;
	}
	return ctx;
}

static int ubootenv_load(void (*get)(void *arg, const char *name,
				     const char *value),
			 void *arg)
{
	static const char *const names[] = {
#define VAR_NAME(id, name, values, initial, meaning) name,
		BOWLINE_VARS(VAR_NAME)
#undef VAR_NAME
	};
	struct uboot_ctx *ctx = start();
	int lost;

	if (!ctx)
		return -1;
	lost = libuboot_open(ctx) < 0;
	for (int i = 0; !lost && i < VAR_COUNT; i++) {
		char *value = libuboot_get_env(ctx, names[i]);

		if (value)
			get(arg, names[i], value);
		free(value);
	}
	if (!lost)
		libuboot_close(ctx);
	libuboot_exit(ctx);
	return lost;
}

/* Opens what is stored, or starts again from the file of defaults. */
static int open_or_renew(struct uboot_ctx *ctx)
{
	int r = libuboot_open(ctx);

	if (r >= 0)
		return 0;
	if (r == -EBUSY || r == -EACCES || r == -EPERM)
		return error("cannot open the environment named in '%s'",
			     config_file);
	if (libuboot_load_file(ctx, default_file))
		return error("no copy of the environment is readable and the "
			     "defaults in '%s' are not either",
			     default_file);
	return 0;
}

static int set(struct uboot_ctx *ctx, const struct env_pair *pair)
{
	return libuboot_set_env(ctx, pair->name,
				pair->value[0] ? pair->value : NULL);
}

static int ubootenv_store(const struct env_pair *pairs, size_t n)
{
	struct uboot_ctx *ctx = start();
	int r = -1;

	if (!ctx)
		return -1;
	if (open_or_renew(ctx))
		goto exit_ctx;
	for (size_t i = 0; i < n; i++)
		if (set(ctx, &pairs[i])) {
			error("the environment does not take '%s=%s'",
			      pairs[i].name, pairs[i].value);
			goto close_ctx;
		}
	r = libuboot_env_store(ctx);
	if (r)
		r = error("cannot store the environment named in '%s'",
			  config_file);
close_ctx:
	libuboot_close(ctx);
exit_ctx:
	libuboot_exit(ctx);
	return r;
}

static const struct env_ops ubootenv = { ubootenv_load, ubootenv_store };

const struct env_ops *env_backend = &ubootenv;

void env_use_ubootenv(const char *config, const char *defaults)
{
	config_file = config;
	default_file = defaults;
}
