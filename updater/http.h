/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file on a server, read at any byte; front to back it is one transfer. When
 * the link fails, or nothing comes for a while, the transfer is begun again at
 * the next byte, after a pause that grows; a server that knows no ranges sends
 * all of it again, and what was had is passed over. One byte more than before
 * ends a row of failures. Needs a bounded, small memory.
 */
#ifndef BOWLINE_HTTP_H
#define BOWLINE_HTTP_H

#include <sys/types.h>

#include "stream.h"

#define HTTP_UNKNOWN UINT64_MAX

struct http;

/* Does not ask the server yet. NULL after error(). */
struct http *http_open(const char *url, const struct stream_options *options);
/* At most len bytes from byte offset on; 0 at the end, -1 after error(). */
ssize_t http_read(struct http *h, uint64_t offset, void *buf, size_t len);
/* Of the file; HTTP_UNKNOWN when the server has not said, or not yet. */
uint64_t http_length(const struct http *h);
void http_close(struct http *h);

#endif
