// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "live.h"
#include "machine.h"
#include "options.h"
#include "verbs.h"
#include "watchdog.h"

const char help_health[] =
	"run the health checks of a trial, then commit or reboot\n"
	"\n"
	"usage: bowline health [OPTION...]\n"
	"\n"
	"For the start-up scripts of a system, once, in the background. In a\n"
	"trial: feeds the watchdog, runs every executable in the folder of checks\n"
	"in the order of their names; all exit 0: commits, follows the merge to\n"
	"its end. One that fails, or the deadline: notes the reason and reboots,\n"
	"which ends the attempt. After a commit: goes on with the merge. Without\n"
	"an update in play: nothing.\n"
	"\n"
	"  --wait-commit      after the checks wait until somebody commits\n"
	"  --deadline SECONDS give up after that long (HEALTH_DEADLINE)\n"
	"  --no-reboot        exit 1 where a reboot would follow\n"
	"  --board FILE       the board file (/run/bowline/board.conf, then\n"
	"                     /etc/bowline/board.conf)\n"
	"\n"
	"Exit status: 0 kept or nothing to do, 1 failed, 2 usage.\n";

#define POLL_US	     100000
#define LOOK_SECONDS 2

struct health {
	struct boot boot;
	const char *board;
	time_t deadline; /* of the monotonic clock */
	time_t next_look;
	char room[16]; /* as it was then */
	int watchdog;
	bool wait_commit, reboot;
};

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/*
 * Is there room to save what the trial overwrites? The record on the stage says
 * when there was not, for whoever wonders later why data was not restored.
 */
static void watch_room(struct health *h)
{
	struct stage_record *rec = &h->boot.rec;
	const char *reason = "";
	struct bow_status bow;

	if (machine->bow_status(&bow) || !bow.exists ||
	    !strcmp(bow.space, h->room))
		return;
	strcpy(h->room, bow.space);
	if (!strcmp(bow.space, "released"))
		reason = ROOM_RELEASED;
	else if (!strcmp(bow.space, "full"))
		reason = "no room to save data";
	else if (!strcmp(bow.space, "low"))
		reason = "little room to save data";
	if (!reason[0] && !rec->reason[0])
		return;
	say("room for the way back: %s, %llu bytes are free", bow.space,
	    (unsigned long long)bow.free);
	snprintf(rec->reason, sizeof(rec->reason), "%s", reason);
	if (stage_note(h->boot.board.stage, rec))
		error("the state of the room could not be noted on the stage");
}

/* One turn of every loop: false when the time is over. */
static bool tick(struct health *h)
{
	watchdog_feed(h->watchdog);
	if (now() >= h->next_look) {
		h->next_look = now() + LOOK_SECONDS;
		watch_room(h);
	}
	usleep(POLL_US);
	return now() < h->deadline;
}

/* The reason of a failure, and behind it what was said of the room. */
static void add_room(const struct health *h, struct stage_record *rec,
		     const char *reason)
{
	const char *room = h->boot.rec.reason;

	if (room[0])
		snprintf(rec->reason, sizeof(rec->reason), "%.26s; %.35s", room,
			 reason);
	else
		snprintf(rec->reason, sizeof(rec->reason), "%s", reason);
}

/* The attempt is over: its reason onto the stage, then away. */
static int give_up(struct health *h, const char *reason)
{
	struct stage_record rec = h->boot.rec;

	error("the attempt failed: %s", reason);
	watch_room(h);
	add_room(h, &rec, reason);
	if (stage_note(h->boot.board.stage, &rec))
		error("the reason could not be noted on the stage");
	if (h->reboot)
		machine->reboot();
	return 1;
}

static pid_t start(const char *path)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setpgid(0, 0);
	execl(path, path, NULL);
	_exit(127);
}

/* 0 passed; else why not, in text. */
static int run_check(struct health *h, const char *path, const char *name,
		     char *text, size_t room)
{
	pid_t pid = start(path);
	int status;

	if (pid < 0) {
		snprintf(text, room, "health %.40s: cannot start", name);
		return -1;
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		if (!tick(h)) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			snprintf(text, room, "deadline in health %.30s", name);
			return -1;
		}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	snprintf(text, room, "health %.40s: %s %d", name,
		 WIFEXITED(status) ? "exit" : "signal",
		 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return -1;
}

static int executable(const char *dir, const char *name, char *path)
{
	struct stat st;

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return name[0] != '.' && !stat(path, &st) && S_ISREG(st.st_mode) &&
	       st.st_mode & 0111;
}

static int run_checks(struct health *h, char *text, size_t room)
{
	const char *dir = h->boot.board.health;
	char path[PATH_MAX];
	struct dirent **list;
	int n = scandir(dir, &list, NULL, alphasort), r = 0;

	if (n < 0) {
		snprintf(text, room, "no folder of health checks");
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (!r && executable(dir, list[i]->d_name, path)) {
			r = run_check(h, path, list[i]->d_name, text, room);
			say("health check %s: %s", list[i]->d_name,
			    r ? "failed" : "passed");
		}
		free(list[i]);
	}
	free(list);
	return r;
}

/* Until the environment says that somebody decided; 0 = committed. */
static int wait_commit(struct health *h, char *text, size_t room)
{
	while (env_read(&h->boot.env) || h->boot.env.phase == PHASE_TRIAL)
		if (!tick(h)) {
			snprintf(text, room, "deadline: nobody committed");
			return -1;
		}
	if (h->boot.env.phase != PHASE_ROLLBACK)
		return 0;
	snprintf(text, room, "requested");
	return -1;
}

static int finish(struct health *h)
{
	if (h->watchdog >= 0)
		watchdog_disarm(h->boot.board.watchdog, h->watchdog);
	/* Whoever committed may have merged it to its end as well. */
	if (live_load(&h->boot, h->board))
		return 1;
	if (h->boot.env.phase == PHASE_IDLE)
		return 0;
	if (live_commit(&h->boot))
		return 1;
	say("update %s is committed", h->boot.env.update);
	return live_merge(&h->boot, true) ? 1 : 0;
}

static int try(struct health *h)
{
	char text[64];

	h->watchdog = watchdog_hold(h->boot.board.watchdog);
	h->deadline += now();
	if (run_checks(h, text, sizeof(text)) ||
	    (h->wait_commit && wait_commit(h, text, sizeof(text))))
		return give_up(h, text);
	if (h->boot.env.phase == PHASE_TRIAL && live_commit(&h->boot))
		return give_up(h, "the commit failed");
	return finish(h);
}

static int set_deadline(struct health *h, const char *text)
{
	char *end;
	unsigned long n;

	h->deadline = h->boot.board.health_deadline;
	if (!text)
		return 0;
	n = strtoul(text, &end, 10);
	if (!n || *end || *text == '-' || n > 86400)
		return usage_error(
			"health",
			"--deadline is '%s', not seconds from 1 to 86400",
			text);
	h->deadline = n;
	return 0;
}

int cmd_health(int argc, char **argv)
{
	const char *board = NULL, *deadline = NULL;
	bool no_reboot = false, wait = false;
	const struct opt opts[] = {
		{ "board", 0, &board, NULL },
		{ "deadline", 0, &deadline, NULL },
		{ "no-reboot", 0, NULL, &no_reboot },
		{ "wait-commit", 0, NULL, &wait },
		{ 0 },
	};
	static struct health h = { .watchdog = -1 };

	if (options_parse("health", argc, argv, opts, "", NULL))
		return 2;
	if (live_load(&h.boot, board))
		return 1;
	if (set_deadline(&h, deadline))
		return 2;
	h.board = board;
	h.wait_commit = wait;
	h.reboot = !no_reboot;
	if (h.boot.env.phase == PHASE_COMMIT)
		return finish(&h);
	if (h.boot.env.phase == PHASE_TRIAL && live_on_trial(&h.boot))
		return try(&h);
	say("no update is on trial: nothing to check");
	return 0;
}
