// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "verbs.h"

struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help; /* first line: the summary */
};

static const struct verb verbs[] = {
	{ "install", cmd_install, help_install },
	{ "status", cmd_status, help_status },
	{ "commit", cmd_commit, help_commit },
	{ "rollback", cmd_rollback, help_rollback },
	{ "health", cmd_health, help_health },
	{ "merge", cmd_merge, help_merge },
	{ "boot", cmd_boot, help_boot },
	{ "restore", cmd_restore, help_restore },
	{ "keep", cmd_keep, help_keep },
	{ "inspect", cmd_inspect, help_inspect },
	{ "info", cmd_info, help_info },
#ifdef HOST_VERBS
	{ "diff", cmd_diff, help_diff },
	{ "apply", cmd_apply, help_apply },
	{ "bundle", cmd_bundle, help_bundle },
#endif
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int overview(void)
{
	fputs("usage: bowline VERB [ARGUMENT...]\n\n"
	      "Safe updates for devices that boot with U-Boot.\n\n",
	      stdout);
	for (size_t i = 0; i < N_VERBS; i++)
		printf("  %-9s %.*s\n", verbs[i].name,
		       (int)strcspn(verbs[i].help, "\n"), verbs[i].help);
	fputs("\n'bowline VERB --help' tells the rest.\n", stdout);
	return 0;
}

static int wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return 1;
	return 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	if (wants_help(argc, argv)) {
		fputs(verb->help, stdout);
		return 0;
	}
	return verb->run(argc, argv);
}

/* A link to the program may have the name of the published tool for diffs. */
static const struct verb *find_tool(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "update-diff") ? NULL
							       : find("diff");
}

int main(int argc, char **argv)
{
	const struct verb *verb = argc ? find_tool(argv[0]) : NULL;

	if (verb)
		return run(verb, argc, argv);
	if (argc < 2) {
		fputs("bowline: missing argument 'VERB'; see "
		      "'bowline --help'\n",
		      stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return overview();
	verb = find(argv[1]);
	if (!verb) {
		fprintf(stderr,
			"bowline: unknown verb '%s'; see "
			"'bowline --help'\n",
			argv[1]);
		return 2;
	}
	return run(verb, argc - 1, argv + 1);
}
