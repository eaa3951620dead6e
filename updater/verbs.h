/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs. One file a verb, cmd-VERB.c, with one function and one manual.
 *
 * cmd_VERB(argc, argv): argv[0] is the verb. Options are parsed by
 * options.h; "--help" is answered by main() from the verb's help text before
 * the function runs. Returns the exit status: 0 done, 1 failed (one line of
 * error() said why, nothing changed), 2 wrong usage (use usage_error()).
 */
#ifndef BOWLINE_VERBS_H
#define BOWLINE_VERBS_H

#define VERB(name)                             \
	int cmd_##name(int argc, char **argv); \
	extern const char help_##name[];

VERB(apply)
VERB(boot)
VERB(bundle)
VERB(commit)
VERB(diff)
VERB(health)
VERB(info)
VERB(inspect)
VERB(install)
VERB(keep)
VERB(merge)
VERB(restore)
VERB(rollback)
VERB(status)

/* "bowline: VERB: <message>; see 'bowline VERB --help'"; returns 2. */
int usage_error(const char *verb, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
