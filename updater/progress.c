// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

#define BAR_WIDTH  40
#define LEFT_AFTER 3 /* seconds until an estimate is worth showing */

static struct {
	const char *what;
	uint64_t total;
	unsigned int shown; /* percent last drawn, plus one */
	int terminal;
	time_t begun;
} step;

static unsigned int percent(uint64_t done)
{
	if (!step.total || done >= step.total)
		return 100;
	return done * 100.0 / step.total;
}

/* How long the rest takes if it goes on like this; too early, nothing. */
static void draw_left(unsigned int now)
{
	time_t took = time(NULL) - step.begun;

	if (took >= LEFT_AFTER && now && now < 100)
		fprintf(stderr, ", %lld s left ",
			(long long)took * (100 - now) / now);
	else
		fputs("              ", stderr);
}

static void draw_bar(unsigned int now)
{
	char bar[BAR_WIDTH + 1];
	unsigned int full = now * BAR_WIDTH / 100;

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = 0;
	fprintf(stderr, "\r%-24s [%s] %3u %%", step.what, bar, now);
	draw_left(now);
}

void progress_start(const char *what, uint64_t total)
{
	step.what = what;
	step.total = total;
	step.shown = 0;
	step.terminal = isatty(STDERR_FILENO);
	step.begun = time(NULL);
	progress_update(0);
}

void progress_update(uint64_t done)
{
	unsigned int now = percent(done);

	if (!step.terminal)
		now -= now % 10;
	if (step.shown == now + 1)
		return;
	step.shown = now + 1;
	if (step.terminal)
		draw_bar(now);
	else
		fprintf(stderr, "%s: %u %%\n", step.what, now);
}

void progress_end(void)
{
	progress_update(step.total);
	if (step.terminal)
		fputc('\n', stderr);
	step.shown = 0;
}

void progress_break(void)
{
	if (!step.terminal || !step.shown)
		return;
	fputc('\n', stderr);
	step.shown = 0;
}
