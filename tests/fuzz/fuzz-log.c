// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One block of the bow log, any bytes. The block lies in memory of exactly its
 * size, so that a read beyond it is seen.
 */
#include "fuzz.h"
#include "dm-bow-log.h"

#define SECTORS 4096

static void check_entries(const struct bow_log *log)
{
	struct bow_step step;

	for (u32 i = 0; i < log->count; i++) {
		bow_log_entry(log, i, &step);
		if (bow_log_check(log, i, &step))
			continue;
		must(step.size && step.size % log->block_size == 0);
		must(step.source + step.size / 512 <= SECTORS);
		must(step.dest && step.dest + step.size / 512 <= SECTORS);
	}
}

static void check_header(const struct bow_log *log)
{
	u32 size = log->block_size;

	must(size >= BOW_BLOCK_MIN && size <= BOW_BLOCK_MAX);
	must(log->header_size + log->count * BOW_ENTRY_SIZE <= size - 4);
	must(log->sector0 && log->sector0 + size / 512 <= SECTORS);
}

/* A block that we sealed is whole, whatever is in it. */
static void check_sealed(const struct bow_log *log, u8 *block)
{
	u32 used = log->header_size + log->count * BOW_ENTRY_SIZE;
	struct bow_log again;
	const char *why;

	if ((log->header_size != BOW_HEADER_SIZE &&
	     log->header_size != BOW_HEADER_LONG) ||
	    !log->count)
		return;
	memset(block + used, 0, log->block_size - used);
	bow_log_seal(block);
	must(!bow_log_header(&again, block, SECTORS, &why));
	bow_log_block(&again, block);
	if (bow_log_tail(&again, block))
		must(again.tail == BOW_TAIL_WHOLE);
}

static void judge(struct bow_log *log, const uint8_t *data, size_t size)
{
	struct bow_log first = *log;
	u8 *block;

	if (size < log->block_size)
		return;
	block = malloc(log->block_size);
	memcpy(block, data, log->block_size);
	bow_log_block(log, block);
	check_header(log);
	check_entries(log);
	must(log->block_size == first.block_size);
	must(log->sequence == first.sequence);
	check_sealed(&first, block);
	free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bow_log log;
	const char *why = NULL;
	u8 *head;

	if (size < BOW_HEAD || size > BOW_BLOCK_MAX)
		return 0;
	head = malloc(BOW_HEAD);
	memcpy(head, data, BOW_HEAD);
	bow_log_is(head);
	if (bow_log_header(&log, head, SECTORS, &why)) {
		must(why);
	} else {
		must(!why);
		check_header(&log);
		judge(&log, data, size);
	}
	free(head);
	return 0;
}
