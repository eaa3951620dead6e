// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "http.h"
#include "stream.h"

#define PASS_OVER (16u << 10) /* bytes read at once that nobody wants */
#define SECOND	  1000000000ull
#define BURST	  (SECOND / 4) /* what a pause may be made up for at once */

typedef unsigned long long ull;

static bool is_url(const char *path)
{
	return !strncasecmp(path, "http://", 7) ||
	       !strncasecmp(path, "https://", 8);
}

int stream_open(struct stream *s, const char *path,
		const struct stream_options *options)
{
	static const struct stream_options usual = {
		.retries = STREAM_RETRIES,
		.timeout = STREAM_TIMEOUT,
	};

	if (!options)
		options = &usual;
	*s = (struct stream){ .name = path, .fd = -1, .rate = options->rate };
	if (is_url(path)) {
		s->http = http_open(path, options);
		return s->http ? 0 : -1;
	}
	if (!strcmp(path, "-")) {
		s->name = "standard input";
		s->fd = STDIN_FILENO;
		return 0;
	}
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	return s->fd < 0 ? error_errno("cannot open '%s'", path) : 0;
}

void stream_close(struct stream *s)
{
	if (s->http)
		http_close(s->http);
	if (s->fd > STDIN_FILENO)
		close(s->fd);
}

/* ---- reading ------------------------------------------------------------- */

/* 0 at the end, -1 after error(). */
static ssize_t read_some(struct stream *s, void *buf, size_t len)
{
	ssize_t n;

	if (s->http)
		return http_read(s->http, s->offset, buf, len);
	do {
		n = read(s->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? error_errno("cannot read '%s'", s->name) : n;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* Waits until so many bytes more are due. */
static void pay(struct stream *s, size_t len)
{
	uint64_t t = now(), due;

	if (s->since + s->paid + BURST < t) {
		s->since = t - BURST;
		s->paid = 0;
	}
	s->paid += len * SECOND / s->rate;
	due = s->since + s->paid;
	while (due > t) {
		const struct timespec wait = { (due - t) / SECOND,
					       (due - t) % SECOND };

		nanosleep(&wait, NULL);
		t = now();
	}
}

int stream_read(struct stream *s, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		size_t want = s->rate && len > PASS_OVER ? PASS_OVER : len;
		ssize_t n = read_some(s, p, want);

		if (n < 0)
			return -1;
		if (!n)
			return error("'%s' is not a whole bundle: it ends at "
				     "byte %llu",
				     s->name, (ull)s->offset);
		if (s->rate)
			pay(s, n);
		p += n;
		len -= n;
		s->offset += n;
	}
	return 0;
}

/* ---- places -------------------------------------------------------------- */

bool stream_again(const struct stream *s)
{
	return s->http;
}

int stream_seek(struct stream *s, uint64_t to)
{
	static char buf[PASS_OVER];

	if (s->http || to == s->offset ||
	    lseek(s->fd, to - s->offset, SEEK_CUR) >= 0) {
		s->offset = to;
		return 0;
	}
	while (s->offset < to) {
		uint64_t left = to - s->offset;

		if (stream_read(s, buf, left < PASS_OVER ? left : PASS_OVER))
			return -1;
	}
	return 0;
}

static uint64_t length_of(struct stream *s)
{
	struct stat st;

	if (s->http)
		return http_length(s->http);
	if (s->fd == STDIN_FILENO || fstat(s->fd, &st) || !S_ISREG(st.st_mode))
		return HTTP_UNKNOWN;
	return st.st_size;
}

int stream_check_length(struct stream *s, uint64_t length)
{
	uint64_t has = length_of(s);

	if (has == length || has == HTTP_UNKNOWN)
		return 0;
	return error("'%s' is not a whole bundle: it has %llu bytes, its "
		     "manifest says %llu",
		     s->name, (ull)has, (ull)length);
}

int stream_expect_end(struct stream *s)
{
	ssize_t n;
	char c;

	if (length_of(s) == s->offset)
		return 0;
	n = read_some(s, &c, 1);
	if (n > 0)
		return error("'%s' goes on after the end of the bundle at byte "
			     "%llu",
			     s->name, (ull)s->offset);
	return n;
}
