/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hardware watchdog. Armed before the root is switched in a trial, fed by
 * 'bowline health', disarmed by the commit. An empty path means that the board
 * has none: the calls do nothing then.
 */
#ifndef BOWLINE_WATCHDOG_H
#define BOWLINE_WATCHDOG_H

/* Starts it; it stays armed though nobody holds it. 0, or -1 after error(). */
int watchdog_arm(const char *path, unsigned int seconds);
/* Takes it over to feed it: a descriptor, or -1 without a word. */
int watchdog_hold(const char *path);
void watchdog_feed(int fd);
/* Stops it; fd from watchdog_hold, or -1 to open it just for that. */
void watchdog_disarm(const char *path, int fd);
/* Whether the last reset of the machine was the watchdog's. */
int watchdog_fired(const char *path);

#endif
