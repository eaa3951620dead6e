// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "verbs.h"

#define MAX_OPTS 16
#define FIRST	 256 /* values of long options, beyond any letter */

struct tables {
	struct option longs[MAX_OPTS + 1];
	char shorts[2 * MAX_OPTS + 2];
	unsigned int n;
};

static void build(struct tables *t, const struct opt *opts)
{
	char *s = t->shorts;

	memset(t, 0, sizeof(*t));
	*s++ = ':';
	for (; opts[t->n].name && t->n < MAX_OPTS; t->n++) {
		const struct opt *o = &opts[t->n];

		t->longs[t->n] = (struct option){
			.name = o->name,
			.has_arg = o->text ? required_argument : no_argument,
			.val = FIRST + t->n,
		};
		if (!o->letter)
			continue;
		*s++ = o->letter;
		if (o->text)
			*s++ = ':';
	}
}

static const struct opt *found(const struct tables *t, const struct opt *opts,
			       int c)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (c == (int)(FIRST + i) ||
		    (opts[i].letter && c == opts[i].letter))
			return &opts[i];
	return NULL;
}

static int take_positional(const char *verb, int argc, char **argv,
			   const char *names, const char **args)
{
	int i = optind;

	while (*names) {
		size_t len = strcspn(names, " ");

		if (i == argc)
			return usage_error(verb, "missing argument '%.*s'",
					   (int)len, names);
		*args++ = argv[i++];
		names += len + (names[len] == ' ');
	}
	if (i < argc)
		return usage_error(verb, "unknown argument '%s'", argv[i]);
	return 0;
}

int options_parse(const char *verb, int argc, char **argv,
		  const struct opt *opts, const char *positional,
		  const char **args)
{
	struct tables t;
	int c;

	build(&t, opts);
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
		const struct opt *o = found(&t, opts, c);

		if (!o && c == ':')
			return usage_error(verb, "option '%s' needs a value",
					   argv[optind - 1]);
		if (!o)
			return usage_error(verb, "unknown option '%s'",
					   argv[optind - 1]);
		if (o->text)
			*o->text = optarg;
		else
			*o->flag = true;
	}
	return take_positional(verb, argc, argv, positional, args);
}

bool option_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMG";
	unsigned int shift = 0;
	const char *unit;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*size = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unit - units + 1);
		end++;
	}
	if (errno || *end || *size >= 1ull << (63 - shift))
		return false;
	*size <<= shift;
	return true;
}
