/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors as sentences: what failed first, the subject in single quotes, both
 * values where they differ; lower case, one line, no full stop.
 */
#ifndef BOWLINE_ERR_H
#define BOWLINE_ERR_H

/* Prints "bowline: <message>" to standard error; always returns -1. */
int error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with ": <strerror(errno)>" at the end. */
int error_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line on standard output (the console, at boot): "bowline: <message>". */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
