/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a bundle, front to back: of a file, of standard input ("-"), or
 * of a server (http:// and https://), where a link that dies is taken up again
 * at the byte where it stopped. Calls return 0, or -1 after error().
 */
#ifndef BOWLINE_STREAM_H
#define BOWLINE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_RETRIES 20
#define STREAM_TIMEOUT 30

struct stream_options {
	uint64_t rate;	      /* bytes a second, 0 = as fast as it goes */
	unsigned int retries; /* of a server, one after the other in vain */
	unsigned int timeout; /* seconds without a byte from it */
	const char *ca;	      /* certificates to trust, NULL = the system's */
};

struct stream {
	const char *name;
	int fd;		   /* of a file or a pipe */
	struct http *http; /* or of a server */
	uint64_t offset;   /* of the next byte */
	uint64_t rate;
	uint64_t paid; /* bytes read since "since", in nanoseconds */
	uint64_t since;
};

/* options NULL: the defaults of `bowline install`. */
int stream_open(struct stream *s, const char *path,
		const struct stream_options *options);
/* len bytes, or an error that names where the bundle ended. */
int stream_read(struct stream *s, void *buf, size_t len);
/* To byte "to", which lies ahead unless stream_again(). */
int stream_seek(struct stream *s, uint64_t to);
/* May what arrived damaged be asked for again? A link is not to be trusted. */
bool stream_again(const struct stream *s);
/* When the length can be known beforehand, is it this one? */
int stream_check_length(struct stream *s, uint64_t length);
int stream_expect_end(struct stream *s);
void stream_close(struct stream *s);

#endif
