/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The harness of the unit tests: check(), and a main() that prints one line a
 * test and a count. A test is a function named in the TESTS list of its file.
 * With TEST=PART in the environment only those run whose names have that part.
 */
#ifndef BOWLINE_TEST_H
#define BOWLINE_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failed;

#define check(cond)                                                   \
	do {                                                          \
		if (!(cond)) {                                        \
			printf("%s:%d: check failed: %s\n", __FILE__, \
			       __LINE__, #cond);                      \
			test_failed = 1;                              \
		}                                                     \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

static inline int run_tests(const struct test *tests, size_t n)
{
	const char *only = getenv("TEST");
	int passed = 0, failed = 0;

	for (size_t i = 0; i < n; i++) {
		if (only && !strstr(tests[i].name, only))
			continue;
		test_failed = 0;
		tests[i].run();
		printf("%s %s\n", test_failed ? "FAIL" : "ok  ", tests[i].name);
		fflush(stdout);
		if (test_failed)
			failed++;
		else
			passed++;
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}

#define RUN_TESTS(tests) run_tests(tests, sizeof(tests) / sizeof((tests)[0]))

#endif
