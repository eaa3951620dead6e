// SPDX-License-Identifier: GPL-2.0-or-later
/* updater/err.c and updater/progress.c without a word. */
#include "err.h"
#include "progress.h"

int error(const char *fmt, ...)
{
	return -1;
}

int error_errno(const char *fmt, ...)
{
	return -1;
}

void say(const char *fmt, ...)
{
}

void progress_start(const char *what, uint64_t total)
{
}

void progress_update(uint64_t done)
{
}

void progress_end(void)
{
}

void progress_break(void)
{
}

/* The tool takes a MiB for each look at a device. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1:malloc_context_size=4";
}
