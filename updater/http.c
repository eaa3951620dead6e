// SPDX-License-Identifier: GPL-2.0-or-later
/* The only file that includes libcurl. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "err.h"
#include "http.h"

#define CA_FOLDER   "/etc/ssl/certs"
#define REDIRECTS   5L
#define POLL_MS	    1000
#define PAUSE_MS    250	  /* after the first failure; doubled from then on */
#define PAUSE_MOST  60000 /* ms */
#define STATUS_OK   200
#define STATUS_PART 206

typedef unsigned long long ull;

/* What the server says of the file, in the headers of one answer. */
struct answer {
	char tag[128];	/* "ETag:", or "" */
	uint64_t first; /* "Content-Range:": the byte it begins with */
	uint64_t total; /* and of how many; or HTTP_UNKNOWN */
};

struct http {
	const char *url;
	struct stream_options options;
	CURLM *multi;
	CURL *easy; /* NULL between two transfers */
	char why[CURL_ERROR_SIZE];
	struct answer answer;
	bool body;   /* of this transfer has begun */
	bool paused; /* it waits for room in the buffer */
	bool over;   /* with this result */
	CURLcode result;
	const char *refused; /* the answer, for this; or NULL */
	bool changed;	     /* for good: it is another file now */
	char tag[128];	     /* of the first answer */
	uint64_t length;     /* of the file */
	uint64_t at;	     /* byte of the file that the buffer begins with */
	uint64_t pass;	     /* bytes of this transfer to be passed over */
	unsigned int failures;
	size_t from, n; /* what nobody has read yet */
	uint8_t buf[CURL_MAX_WRITE_SIZE];
};

/* ---- what the server answers --------------------------------------------- */

static const char *header_value(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n))
		return NULL;
	return line + n + strspn(line + n, " ");
}

/* A line, not ended by a NUL; of each answer, also of one that redirects. */
static size_t take_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	char line[256];
	const char *value;
	size_t len = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

	memcpy(line, bytes, len);
	line[len] = 0;
	line[strcspn(line, "\r\n")] = 0;
	if (!strncmp(line, "HTTP/", 5))
		*a = (struct answer){ .total = HTTP_UNKNOWN };
	value = header_value(line, len, "ETag:");
	if (value)
		snprintf(a->tag, sizeof(a->tag), "%s", value);
	value = header_value(line, len, "Content-Range:");
	if (value) {
		ull first, last, total;
		int got = sscanf(value, "bytes %llu-%llu/%llu", &first, &last,
				 &total);

		a->first = got >= 2 ? first : HTTP_UNKNOWN;
		a->total = got == 3 ? total : HTTP_UNKNOWN;
	}
	return n;
}

static int refuse(struct http *h, const char *why)
{
	h->refused = why;
	return -1;
}

/* Before its first byte: is this the file, and where in it are we? */
static int check_answer(struct http *h)
{
	struct answer *a = &h->answer;
	curl_off_t length = -1;
	long status = 0;

	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == STATUS_OK) {
		curl_easy_getinfo(h->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
				  &length);
		a->total = length < 0 ? HTTP_UNKNOWN : (uint64_t)length;
		h->pass = h->at;
	} else if (status != STATUS_PART || a->first != h->at) {
		return refuse(h, "it answers with something else");
	}
	if ((h->tag[0] && a->tag[0] && strcmp(h->tag, a->tag)) ||
	    (h->length != HTTP_UNKNOWN && a->total != HTTP_UNKNOWN &&
	     h->length != a->total)) {
		h->changed = true;
		return refuse(h, "it has changed");
	}
	if (a->total != HTTP_UNKNOWN)
		h->length = a->total;
	if (a->tag[0])
		strcpy(h->tag, a->tag);
	return 0;
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	struct http *h = arg;
	size_t pass = n;

	if (h->n) {
		h->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (!h->body && check_answer(h))
		return 0;
	h->body = true;
	if (pass > h->pass)
		pass = h->pass;
	h->pass -= pass;
	h->from = 0;
	h->n = n - pass;
	memcpy(h->buf, bytes + pass, n - pass);
	return n;
}

/* ---- one transfer -------------------------------------------------------- */

static void disconnect(struct http *h)
{
	if (h->easy) {
		curl_multi_remove_handle(h->multi, h->easy);
		curl_easy_cleanup(h->easy);
	}
	h->easy = NULL;
	h->n = 0;
}

static void set_options(struct http *h)
{
	const struct stream_options *o = &h->options;
	CURL *c = h->easy;

	curl_easy_setopt(c, CURLOPT_URL, h->url);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "bowline");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)o->timeout);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)o->timeout);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->why);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, &h->answer);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	if (o->ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, o->ca);
	else
		curl_easy_setopt(c, CURLOPT_CAPATH, CA_FOLDER);
}

static int connect_at(struct http *h, uint64_t at)
{
	char range[32];

	disconnect(h);
	h->at = at;
	h->pass = 0;
	h->why[0] = 0;
	h->refused = NULL;
	h->body = h->paused = h->over = false;
	h->answer = (struct answer){ .total = HTTP_UNKNOWN };
	h->easy = curl_easy_init();
	if (!h->easy)
		return error("out of memory for '%s'", h->url);
	set_options(h);
	snprintf(range, sizeof(range), "%llu-", (ull)at);
	if (at)
		curl_easy_setopt(h->easy, CURLOPT_RANGE, range);
	curl_multi_add_handle(h->multi, h->easy);
	return 0;
}

/* Until there are bytes, or the transfer is over. */
static void transfer(struct http *h)
{
	int running, left;
	CURLMsg *msg;

	while (!h->n && !h->over) {
		if (h->paused) {
			h->paused = false;
			curl_easy_pause(h->easy, CURLPAUSE_CONT);
		}
		curl_multi_perform(h->multi, &running);
		while ((msg = curl_multi_info_read(h->multi, &left)))
			if (msg->msg == CURLMSG_DONE) {
				h->over = true;
				h->result = msg->data.result;
			}
		if (!h->n && !h->over)
			curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL);
	}
}

/* ---- failures ------------------------------------------------------------ */

static bool whole(const struct http *h)
{
	if (h->length != HTTP_UNKNOWN)
		return h->at >= h->length;
	/* Headers that end too early look like a file without contents. */
	return h->result == CURLE_OK && h->body && !h->pass;
}

/* A range behind the end of a file whose length was not known. */
static bool behind_the_end(struct http *h)
{
	long status = 0;

	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
	return h->result == CURLE_HTTP_RETURNED_ERROR && status == 416;
}

static bool worth_a_retry(struct http *h)
{
	long status = 0;

	switch (h->result) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_OUT_OF_MEMORY:
		return false;
	case CURLE_HTTP_RETURNED_ERROR:
		curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
		return status >= 500 || status == 408 || status == 429;
	default:
		return !h->changed;
	}
}

static const char *reason(const struct http *h)
{
	if (h->refused)
		return h->refused;
	if (h->why[0])
		return h->why;
	return h->result == CURLE_OK ? "the transfer ended too early"
				     : curl_easy_strerror(h->result);
}

static void rest(unsigned int failures)
{
	unsigned int ms = PAUSE_MS;
	struct timespec t;

	while (--failures && ms < PAUSE_MOST)
		ms *= 2;
	if (ms > PAUSE_MOST)
		ms = PAUSE_MOST;
	t = (struct timespec){ ms / 1000, ms % 1000 * 1000000L };
	nanosleep(&t, NULL);
}

/* The transfer is over before its time. */
static int again(struct http *h)
{
	uint64_t at = h->at;

	if (!worth_a_retry(h))
		return error("cannot read '%s' at byte %llu: %s", h->url,
			     (ull)at, reason(h));
	if (h->failures++ == h->options.retries)
		return error("cannot read '%s' at byte %llu, tried %u times: "
			     "%s",
			     h->url, (ull)at, h->failures, reason(h));
	say("'%s' at byte %llu: %s; trying again", h->url, (ull)at, reason(h));
	rest(h->failures);
	return connect_at(h, at);
}

/* ---- the file ------------------------------------------------------------ */

struct http *http_open(const char *url, const struct stream_options *options)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h && !curl_global_init(CURL_GLOBAL_DEFAULT))
		h->multi = curl_multi_init();
	if (!h || !h->multi) {
		free(h);
		error("out of memory for '%s'", url);
		return NULL;
	}
	h->url = url;
	h->options = *options;
	h->length = HTTP_UNKNOWN;
	return h;
}

static size_t take(struct http *h, void *buf, size_t len)
{
	if (len > h->n)
		len = h->n;
	memcpy(buf, h->buf + h->from, len);
	h->from += len;
	h->n -= len;
	h->at += len;
	return len;
}

ssize_t http_read(struct http *h, uint64_t offset, void *buf, size_t len)
{
	if ((!h->easy || h->at != offset) && connect_at(h, offset))
		return -1;
	for (;;) {
		transfer(h);
		if (h->n) {
			h->failures = 0;
			return take(h, buf, len);
		}
		if (whole(h) || behind_the_end(h))
			return 0;
		if (again(h))
			return -1;
	}
}

uint64_t http_length(const struct http *h)
{
	return h->length;
}

void http_close(struct http *h)
{
	disconnect(h);
	curl_multi_cleanup(h->multi);
	curl_global_cleanup();
	free(h);
}
