// SPDX-License-Identifier: GPL-2.0-or-later
#include "manifest.h"

/* ---- text that never overflows its buffer -------------------------------- */

struct text {
	char *buf;
	size_t cap;
	size_t len; /* that the whole text takes */
};

static void put(struct text *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++, t->len++)
		if (t->len < t->cap)
			t->buf[t->len] = s[i];
}

static void put_str(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void put_number(struct text *t, u64 n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = '0' + n % 10;
		n /= 10;
	} while (n);
	put(t, digits + at, sizeof(digits) - at);
}

static void put_hash(struct text *t, const u8 *hash)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < MANIFEST_HASH_SIZE; i++) {
		put(t, &hex[hash[i] >> 4], 1);
		put(t, &hex[hash[i] & 15], 1);
	}
}

/* ---- names and versions -------------------------------------------------- */

static const char *const names[PAYLOAD_KINDS] = {
	[PAYLOAD_DIFF] = "diff",
	[PAYLOAD_BOOT] = "boot",
};

const char *payload_title(enum payload_kind kind)
{
	return kind == PAYLOAD_BOOT ? "boot image" : names[kind];
}

const char *payload_name(enum payload_kind kind)
{
	return names[kind];
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
}

bool board_name_valid(const char *name)
{
	size_t n = 0;

	while (is_name_char(name[n]))
		n++;
	return n && n < MANIFEST_NAME_MAX && !name[n];
}

/* The name before the next comma, or the end; its length. */
static size_t name_length(const char *list)
{
	size_t n = 0;

	while (is_name_char(list[n]))
		n++;
	return list[n] && list[n] != ',' ? 0 : n;
}

bool hardware_valid(const char *list)
{
	size_t n = strlen(list);

	if (n >= MANIFEST_LIST_MAX)
		return false;
	while ((n = name_length(list)) && list[n])
		list += n + 1;
	return n;
}

bool hardware_listed(const char *list, const char *revision)
{
	size_t len = strlen(revision), n;

	if (!strcmp(list, MANIFEST_ANY))
		return true;
	while ((n = name_length(list))) {
		if (n == len && !memcmp(list, revision, n))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

bool version_valid(const char *version)
{
	size_t n;

	for (n = 0; version[n]; n++)
		if (!is_digit(version[n]) &&
		    (version[n] != '.' || !n || !is_digit(version[n - 1])))
			return false;
	return n && n < MANIFEST_NAME_MAX && is_digit(version[n - 1]);
}

/* The next number of a version without its leading zeros; "" after the last. */
static size_t next_number(const char **version, const char **digits)
{
	const char *p = *version;
	size_t n = 0;

	while (*p == '0')
		p++;
	while (is_digit(p[n]))
		n++;
	*digits = p;
	*version = p + n + (p[n] == '.');
	return n;
}

int version_compare(const char *a, const char *b)
{
	int diff = 0;

	while (!diff && (*a || *b)) {
		const char *x, *y;
		size_t n = next_number(&a, &x);
		size_t m = next_number(&b, &y);

		if (n != m)
			diff = n < m ? -1 : 1;
		else
			diff = memcmp(x, y, n);
	}
	return diff;
}

/* ---- parsing ------------------------------------------------------------- */

struct parser {
	const char *p, *end;
	unsigned int line;
	const char *value; /* of the line that expect() took */
	size_t len;
	struct text message;
};

/* "problem 'subject'", of which unprintable characters become '?'. */
static int quote(struct parser *ps, const char *problem, const char *subject,
		 size_t len)
{
	struct text *t = &ps->message;

	put_str(t, problem);
	put_str(t, " '");
	for (size_t i = 0; i < len && i < 40; i++)
		put(t, subject[i] < 32 || subject[i] > 126 ? "?" : subject + i,
		    1);
	put_str(t, "'");
	return -1;
}

static void put_line_number(struct parser *ps)
{
	put_str(&ps->message, "line ");
	put_number(&ps->message, ps->line);
	put_str(&ps->message, ": ");
}

static int refuse(struct parser *ps, const char *problem, const char *subject,
		  size_t len)
{
	put_line_number(ps);
	return quote(ps, problem, subject, len);
}

static int refuse_value(struct parser *ps, const char *problem)
{
	return refuse(ps, problem, ps->value, ps->len);
}

/* Is the next line one of this key? */
static bool next_is(const struct parser *ps, const char *key)
{
	size_t n = strlen(key);

	return (size_t)(ps->end - ps->p) > n && !memcmp(ps->p, key, n) &&
	       ps->p[n] == '=';
}

/* Takes the next line, which must be "key=..."; value and len are set. */
static int expect(struct parser *ps, const char *key)
{
	const char *nl = memchr(ps->p, '\n', ps->end - ps->p);

	ps->line++;
	if (ps->p == ps->end)
		return refuse(ps, "the text ends before key", key, strlen(key));
	if (!nl)
		return refuse(ps, "no line feed ends", ps->p, ps->end - ps->p);
	if (!next_is(ps, key)) {
		put_line_number(ps);
		quote(ps, "expected key", key, strlen(key));
		return quote(ps, ", found", ps->p, nl - ps->p);
	}
	ps->value = ps->p + strlen(key) + 1;
	ps->len = nl - ps->value;
	ps->p = nl + 1;
	return 0;
}

static int expect_name(struct parser *ps, const char *key, char *name,
		       size_t room, bool (*valid)(const char *),
		       const char *problem)
{
	if (expect(ps, key))
		return -1;
	if (ps->len >= room || memchr(ps->value, 0, ps->len))
		return refuse_value(ps, problem);
	memcpy(name, ps->value, ps->len);
	name[ps->len] = 0;
	return valid(name) ? 0 : refuse_value(ps, problem);
}

/* Decimal, without leading zeros, from least to most. */
static int expect_number(struct parser *ps, const char *key, u64 least,
			 u64 most, u64 *number)
{
	u64 n = 0;

	if (expect(ps, key))
		return -1;
	if (!ps->len || (ps->len > 1 && ps->value[0] == '0'))
		return refuse_value(ps, "not a number");
	for (size_t i = 0; i < ps->len; i++) {
		if (!is_digit(ps->value[i]))
			return refuse_value(ps, "not a number");
		n = n * 10 + (ps->value[i] - '0');
		if (n > most)
			return refuse_value(ps, "too large:");
	}
	if (n < least)
		return refuse_value(ps, "too small:");
	*number = n;
	return 0;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int expect_hash(struct parser *ps, const char *key, u8 *hash)
{
	if (expect(ps, key))
		return -1;
	if (ps->len != 2 * MANIFEST_HASH_SIZE)
		return refuse_value(ps, "not 64 hex digits:");
	for (size_t i = 0; i < MANIFEST_HASH_SIZE; i++) {
		int high = hex_digit(ps->value[2 * i]);
		int low = hex_digit(ps->value[2 * i + 1]);

		if (high < 0 || low < 0)
			return refuse_value(ps, "not 64 hex digits:");
		hash[i] = high << 4 | low;
	}
	return 0;
}

/* "piece-size", at most "most", and a "piece" for each of p->size bytes. */
static int parse_pieces(struct parser *ps, u32 most, struct payload *p)
{
	u64 piece_size, n;

	if (expect_number(ps, "piece-size", MANIFEST_PIECE_LEAST, most,
			  &piece_size))
		return -1;
	if (piece_size & (piece_size - 1))
		return refuse_value(ps, "not a power of two:");
	n = (p->size + piece_size - 1) / piece_size;
	/* The text must be able to hold them before memory is spent on them. */
	if (n > (size_t)(ps->end - ps->p) / (2 * MANIFEST_HASH_SIZE))
		return refuse_value(ps, "fewer pieces than the size needs with "
					"a piece size of");
	p->piece_size = piece_size;
	p->piece = plat_alloc(n * sizeof(*p->piece));
	if (!p->piece)
		return refuse_value(ps, "no memory for pieces of");
	for (p->n_pieces = 0; p->n_pieces < n; p->n_pieces++)
		if (expect_hash(ps, "piece", p->piece[p->n_pieces]))
			return -1;
	return 0;
}

/* The lines after "payload=KIND". */
static int parse_payload(struct parser *ps, enum payload_kind kind,
			 struct payload *p)
{
	if (expect_number(ps, "size", 1, MANIFEST_SIZE_MAX, &p->size))
		return -1;
	if (kind == PAYLOAD_DIFF &&
	    expect_number(ps, "room", MANIFEST_ROOM_LEAST, MANIFEST_SIZE_MAX,
			  &p->room))
		return -1;
	return parse_pieces(ps, MANIFEST_PIECE, p);
}

static int parse_payloads(struct parser *ps, struct manifest *m)
{
	int last = -1;

	while (ps->p < ps->end) {
		int kind = last + 1;

		if (expect(ps, "payload"))
			return -1;
		while (kind < PAYLOAD_KINDS &&
		       (strlen(names[kind]) != ps->len ||
			memcmp(names[kind], ps->value, ps->len)))
			kind++;
		if (kind == PAYLOAD_KINDS)
			return refuse_value(ps, "unknown, repeated or "
						"misplaced payload");
		if (parse_payload(ps, kind, &m->payload[kind]))
			return -1;
		last = kind;
	}
	/* Says so in the words of a missing line when there was none. */
	if (last < 0)
		return expect(ps, "payload");
	if (!m->target_size == !m->payload[PAYLOAD_DIFF].size)
		return 0;
	put_line_number(ps);
	put_str(&ps->message, "a diff and a target-size go together");
	return -1;
}

static int parse_images(struct parser *ps, struct manifest *m)
{
	if (expect_number(ps, "source-size", 0, MANIFEST_SIZE_MAX,
			  &m->source.size) ||
	    expect_hash(ps, "source-sha256", m->source_hash))
		return -1;
	if (m->source.size && parse_pieces(ps, MANIFEST_RANGE, &m->source))
		return -1;
	return expect_number(ps, "target-size", 0, MANIFEST_SIZE_MAX,
			     &m->target_size) ||
	       expect_hash(ps, "target-sha256", m->target_hash);
}

static int parse(struct parser *ps, struct manifest *m)
{
	u64 format;

	if (expect_number(ps, "bowline-manifest", 0, MANIFEST_SIZE_MAX,
			  &format))
		return -1;
	if (format != MANIFEST_FORMAT)
		return refuse_value(ps, "unknown manifest format");
	if (expect_name(ps, "board", m->board, MANIFEST_NAME_MAX,
			board_name_valid, "not a board name:") ||
	    expect_name(ps, "hardware", m->hardware, MANIFEST_LIST_MAX,
			hardware_valid, "not a list of names:") ||
	    expect_name(ps, "version", m->version, MANIFEST_NAME_MAX,
			version_valid, "not a version:") ||
	    expect_name(ps, "min-version", m->min_version, MANIFEST_NAME_MAX,
			version_valid, "not a version:") ||
	    parse_images(ps, m))
		return -1;
	return parse_payloads(ps, m);
}

int manifest_parse(struct manifest *m, const char *text, size_t len,
		   char *message)
{
	struct parser ps = {
		.p = text,
		.end = text + len,
		.message = { message, MANIFEST_MESSAGE - 1, 0 },
	};
	int err;

	memset(m, 0, sizeof(*m));
	err = parse(&ps, m);
	if (err)
		manifest_free(m);
	message[ps.message.len < MANIFEST_MESSAGE ? ps.message.len
						  : MANIFEST_MESSAGE - 1] = 0;
	return err;
}

void manifest_free(struct manifest *m)
{
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		plat_free(m->payload[kind].piece);
	plat_free(m->source.piece);
	memset(m, 0, sizeof(*m));
}

/* ---- formatting ---------------------------------------------------------- */

static void put_line(struct text *t, const char *key, const char *value)
{
	put_str(t, key);
	put_str(t, "=");
	put_str(t, value);
	put_str(t, "\n");
}

static void put_number_line(struct text *t, const char *key, u64 number)
{
	put_str(t, key);
	put_str(t, "=");
	put_number(t, number);
	put_str(t, "\n");
}

static void put_hash_line(struct text *t, const char *key, const u8 *hash)
{
	put_str(t, key);
	put_str(t, "=");
	put_hash(t, hash);
	put_str(t, "\n");
}

static void put_pieces(struct text *t, const struct payload *p)
{
	put_number_line(t, "piece-size", p->piece_size);
	for (u32 i = 0; i < p->n_pieces; i++)
		put_hash_line(t, "piece", p->piece[i]);
}

static void put_payload(struct text *t, enum payload_kind kind,
			const struct payload *p)
{
	put_line(t, "payload", names[kind]);
	put_number_line(t, "size", p->size);
	if (kind == PAYLOAD_DIFF)
		put_number_line(t, "room", p->room);
	put_pieces(t, p);
}

size_t manifest_format(const struct manifest *m, char *buf, size_t cap)
{
	struct text t = { buf, cap, 0 };

	put_number_line(&t, "bowline-manifest", MANIFEST_FORMAT);
	put_line(&t, "board", m->board);
	put_line(&t, "hardware", m->hardware);
	put_line(&t, "version", m->version);
	put_line(&t, "min-version", m->min_version);
	put_number_line(&t, "source-size", m->source.size);
	put_hash_line(&t, "source-sha256", m->source_hash);
	if (m->source.size)
		put_pieces(&t, &m->source);
	put_number_line(&t, "target-size", m->target_size);
	put_hash_line(&t, "target-sha256", m->target_hash);
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		if (m->payload[kind].size)
			put_payload(&t, kind, &m->payload[kind]);
	return t.len;
}
