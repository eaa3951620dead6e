// SPDX-License-Identifier: GPL-2.0-or-later
/* What people are told about a bow log. */
#include <stdarg.h>
#include <string.h>

#include "bow-chain.h"
#include "err.h"

typedef unsigned long long ull;

/* ---- inspect ----------------------------------------------------------------
 */

static void show_log(FILE *to, const struct log_block *b)
{
	static const char *const tails[] = {
		[BOW_TAIL_NONE] = "none (published writer)",
		[BOW_TAIL_WHOLE] = "good",
		[BOW_TAIL_TORN] = "of two writes, entries proven",
		[BOW_TAIL_OTHER] = "of what was there before",
	};

	fprintf(to,
		"log block %u: block size %u, %u entries, live block 0 at "
		"sector %llu, checksum %s\n",
		b->log.sequence, b->log.block_size, b->log.count,
		(ull)b->log.sector0, b->fault ? "WRONG" : tails[b->log.tail]);
}

static void show_beyond(FILE *to, uint32_t first, uint32_t n)
{
	if (n == 1)
		fprintf(to,
			"  entry %u never took effect: the power failed before "
			"its backup was whole\n",
			first);
	else if (n)
		fprintf(to,
			"  entries %u to %u never took effect: the power failed "
			"before their backups were whole\n",
			first, first + n - 1);
}

static void show_entry(FILE *to, struct chain *c, const struct log_block *b,
		       uint32_t i)
{
	static const char *const words[] = {
		[V_UNCHECKED] = "not checked",
		[V_GOOD] = "checksum good",
		[V_MOVE] = "the live block 0 moved",
		[V_NONE] = "no checksum",
		[V_BAD] = "checksum WRONG",
		[V_IDLE] = "checksum WRONG, but it never took effect",
	};
	enum verdict verdict = chain_mark(c, b, i)->verdict;
	struct bow_step step;

	bow_log_entry(&b->log, i, &step);
	fprintf(to, "  entry %u: %u bytes of sector %llu at %llu, %s\n", i,
		step.size, (ull)step.source, (ull)step.dest,
		verdict == V_NONSENSE ? bow_log_check(&b->log, i, &step)
				      : words[verdict]);
}

static void show_verdict(FILE *to, const struct bow_info *info)
{
	switch (info->kind) {
	case BOW_NONE:
		fputs("no log\n", to);
		return;
	case BOW_KEEPING:
		fputs("a commit was cut short: 'bowline keep' finishes it\n",
		      to);
		return;
	case BOW_DAMAGED:
		fprintf(to, "damaged: %s\n", info->reason);
		return;
	default:
		fprintf(to,
			"%s: %u log blocks, %llu entries, %llu bytes backed "
			"up\n",
			info->kind == BOW_LOG ? "a good log"
					      : "a restore was cut short",
			info->logs, (ull)info->entries, (ull)info->backed_up);
	}
}

int bow_inspect(struct dev *dev, FILE *to, struct bow_info *info)
{
	struct chain c = { .dev = dev, .info = info, .check_data = true };
	int err = chain_load(&c);

	for (uint32_t l = 0; !err && l < c.n_logs; l++) {
		show_log(to, &c.logs[l]);
		if (info->kind == BOW_KEEPING)
			break;
		if (!l)
			show_beyond(to, c.limit, c.beyond);
		for (uint32_t i = c.logs[l].log.count; i--;)
			show_entry(to, &c, &c.logs[l], i);
	}
	if (!err)
		show_verdict(to, info);
	chain_free(&c);
	return err;
}

/* ---- salvage ------------------------------------------------------------- */

struct report {
	struct chain *c;
	FILE *to;
	unsigned int lines;
	struct bow_salvage *result;
};

__attribute__((format(printf, 2, 3))) static void line(struct report *r,
						       const char *fmt, ...)
{
	va_list ap;

	if (!r->lines)
		return;
	if (!--r->lines) {
		fputs("and more\n", r->to);
		return;
	}
	va_start(ap, fmt);
	vfprintf(r->to, fmt, ap);
	va_end(ap);
}

/* The entry with this mark. */
static const struct log_block *entry_of(struct chain *c, uint32_t mark,
					uint32_t *i)
{
	const struct log_block *b = c->logs;

	while (mark - b->first >= b->log.count)
		b++;
	*i = b->log.count - 1 - (mark - b->first);
	return b;
}

static void why_left(struct report *r, uint32_t mark)
{
	const struct log_block *b;
	uint32_t i;

	if (mark == LEFT_FOR_SPACE >> 32) {
		fputs("there is no room to undo them safely\n", r->to);
		return;
	}
	b = entry_of(r->c, mark, &i);
	fprintf(r->to, "log block %u, entry %u: %s\n", b->log.sequence, i,
		r->c->marks[mark].verdict != V_BAD
			? "the backup has no checksum"
		: b->proven ? "the backup is not what was saved"
			    : "the backup is not what was saved, or the entry "
			      "not what was written, then other sectors are "
			      "not known");
}

static bool proven(struct report *r, uint32_t mark)
{
	uint32_t i;

	return entry_of(r->c, mark, &i)->proven;
}

static void report_left(struct report *r)
{
	struct chain *c = r->c;
	struct extmap_range range;
	uint64_t pos = 0;

	for (; extmap_next(&c->left, pos, &range);
	     pos = range.start + range.len) {
		r->result->left += range.len * BOWLINE_SECTOR;
		if (range.from >> 32 != LEFT_FOR_SPACE >> 32)
			r->result->unknown += !proven(r, range.from >> 32);
		line(r, "sectors %llu to %llu stay as they are: ",
		     (ull)range.start, (ull)range.start + range.len - 1);
		if (r->lines)
			why_left(r, range.from >> 32);
	}
}

static void report_nonsense(struct report *r)
{
	struct bow_step step;

	for (uint32_t m = 0; m < r->c->n_marks; m++) {
		const struct log_block *b;
		uint32_t i;

		if (r->c->marks[m].verdict != V_NONSENSE)
			continue;
		r->result->unknown++;
		b = entry_of(r->c, m, &i);
		bow_log_entry(&b->log, i, &step);
		line(r,
		     "log block %u, entry %u: %s; what it saved is not known\n",
		     b->log.sequence, i, bow_log_check(&b->log, i, &step));
	}
}

static void report_blocks(struct report *r)
{
	struct chain *c = r->c;
	uint32_t oldest = c->n_logs ? c->logs[c->n_logs - 1].log.sequence : 0;

	for (uint32_t l = 0; l < c->n_logs; l++) {
		const struct log_block *b = &c->logs[l];

		if (!b->fault)
			continue;
		line(r,
		     "log block %u: %s; each entry stands by its own "
		     "checksum\n",
		     b->log.sequence, b->fault);
		r->result->unknown += b->log.tail == BOW_TAIL_NONE;
	}
	if (!c->known) {
		r->result->unknown++;
		line(r, "%s; what the log saved is not known\n",
		     c->info->reason);
	} else if (!c->complete && oldest) {
		r->result->unknown += oldest;
		line(r,
		     "log blocks 0 to %u cannot be found; what they saved is "
		     "not known\n",
		     oldest - 1);
	}
}

/* Do some sectors stay as they are for this entry? */
static bool decides(struct chain *c, uint32_t mark, const struct bow_step *step)
{
	uint64_t end = step->source + step->size / BOWLINE_SECTOR;
	struct extmap_range range;
	uint64_t pos = step->source;

	for (; extmap_next(&c->left, pos, &range) && range.start < end;
	     pos = range.start + range.len)
		if (range.from >> 32 == mark)
			return true;
	return false;
}

/*
 * An entry that is wrong, and not needed for the sectors it names, may be wrong
 * in just that.
 */
static void report_doubts(struct report *r)
{
	struct bow_step step;

	for (uint32_t m = 0; m < r->c->n_marks; m++) {
		const struct log_block *b;
		uint32_t i;

		if (r->c->marks[m].verdict != V_BAD)
			continue;
		b = entry_of(r->c, m, &i);
		bow_log_entry(&b->log, i, &step);
		if (!i || b->proven || decides(r->c, m, &step))
			continue;
		r->result->unknown++;
		line(r,
		     "log block %u, entry %u: the backup is not what was "
		     "saved, or the entry not what was written; then other "
		     "sectors than it names are not known\n",
		     b->log.sequence, i);
	}
}

static void report_block0(struct report *r)
{
	if (r->result->block0 == BOW_BLOCK0_LIVE)
		line(r, "block 0 is as the trial left it: what it was is not "
			"known\n");
	else if (r->result->block0 == BOW_BLOCK0_LOST)
		line(r, "block 0 is lost: nothing is known of it\n");
}

void chain_report(struct chain *c, FILE *to, unsigned int lines,
		  struct bow_salvage *result)
{
	struct report r = { c, to, lines, result };

	report_blocks(&r);
	report_nonsense(&r);
	report_left(&r);
	report_doubts(&r);
	report_block0(&r);
}
