// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The superblock and directory of an update diff: what is valid is taken, each
 * way of being wrong is refused for its own reason, lookups find every block.
 */
#include "test.h"
#include "dm-update-dir.h"

#define FILE_BYTES  (64u << 10)
#define IMAGE_BYTES (100 * 4096 - 512)
#define DIR_OFFSET  40000
#define N	    6

struct sample {
	struct update_super super;
	struct update_dirent e[N];
	u64 file_bytes, image_bytes;
};

static void set(struct update_dirent *e, u64 dest, u64 src, u32 offset)
{
	e->dest_lo = cpu_to_le32((u32)dest);
	e->dest_hi = cpu_to_le16((u16)(dest >> 32));
	e->src_lo = cpu_to_le32((u32)src);
	e->src_hi = cpu_to_le16((u16)(src >> 32));
	e->offset = cpu_to_le32(offset);
}

/* Two chunks of 3 and 2 blocks, the last for the part of a block at the end. */
static struct sample good(void)
{
	struct sample s = { .file_bytes = FILE_BYTES,
			    .image_bytes = IMAGE_BYTES };

	memcpy(s.super.magic, UPDATE_MAGIC, 8);
	s.super.block_bits = 12;
	s.super.chunk_blocks = cpu_to_le32(3);
	strcpy(s.super.compression, "zstd");
	s.super.dir_offset = cpu_to_le64(DIR_OFFSET);
	s.super.dir_compressed_size = cpu_to_le64(90);
	s.super.dir_n = cpu_to_le64(N);
	set(&s.e[0], 0, 64, 0);
	set(&s.e[1], 1, 64, 2);
	set(&s.e[2], 7, 64, 2);
	set(&s.e[3], 98, 9001, 0);
	set(&s.e[4], 99, 9001, 1);
	set(&s.e[5], 100, 20001, 0);
	return s;
}

/* NULL if the sample is taken, else the reason. */
static const char *refusal(const struct sample *s, struct update_dir *dir)
{
	struct update_geometry g;
	struct update_dirent *entries;
	const char *why = NULL;

	if (update_super_parse(&s->super, s->file_bytes, s->image_bytes, &g,
			       &why))
		return why;
	entries = plat_alloc(sizeof(s->e));
	memcpy(entries, s->e, sizeof(s->e));
	if (update_dir_init(dir, &g, s->file_bytes, s->image_bytes, entries,
			    &why))
		plat_free(entries);
	return why;
}

static void a_valid_diff_is_taken(void)
{
	struct sample s = good();
	struct update_dir dir;

	check(!refusal(&s, &dir));
	check(dir.n == 5 && dir.n_chunks == 2);
	check(dir.chunks[0].src == 64 && dir.chunks[0].first == 0);
	check(dir.chunks[0].need == 3 * 4096);
	check(dir.chunks[1].src == 9001 && dir.chunks[1].first == 3);
	check(dir.chunks[1].need == 2 * 4096 - 512);
	check(update_chunk_packed(&dir, 0) == 9001 - 64);
	check(update_chunk_packed(&dir, 1) == 20001 - 9001);
	update_dir_exit(&dir);
}

static void every_block_is_found(void)
{
	static const u32 chunk_of[] = { 0, 0, 0, 1, 1 };
	struct sample s = good();
	struct update_dir dir;
	u32 i;

	check(!refusal(&s, &dir));
	for (u64 block = 0; block < 102; block++) {
		i = update_dir_find(&dir, block);
		check(i == dir.n || update_dir_dest(&dir, i) >= block);
		check(!i || update_dir_dest(&dir, i - 1) < block);
	}
	check(update_dir_find(&dir, ~0ull) == dir.n);
	for (i = 0; i < dir.n; i++)
		check(update_dir_chunk(&dir, i) == chunk_of[i]);
	check(update_dir_offset(&dir, 1) == 2 * 4096);
	update_dir_exit(&dir);
}

static void a_diff_of_nothing_is_taken(void)
{
	struct sample s = good();
	struct update_dir dir;

	s.super.dir_n = cpu_to_le64(1);
	s.super.dir_compressed_size = cpu_to_le64(16);
	set(&s.e[0], 0, 0, 0);
	check(!refusal(&s, &dir));
	check(dir.n == 0 && dir.n_chunks == 0);
	check(update_dir_find(&dir, 0) == 0);
	update_dir_exit(&dir);
}

/* ---- every way of being wrong ------------------------------------------- */

#define BREAK(name) static void name(struct sample *s)

BREAK(no_magic)
{
	s->super.magic[7] = 1;
}
BREAK(version_1)
{
	s->super.version = 1;
}
BREAK(padding_0)
{
	s->super.pad0 = cpu_to_le16(1);
}
BREAK(padding_1)
{
	s->super.pad1 = cpu_to_le64(1);
}
BREAK(block_8)
{
	s->super.block_bits = 8;
}
BREAK(block_32)
{
	s->super.block_bits = 32;
}
BREAK(block_huge)
{
	s->super.block_bits = 31;
}
BREAK(block_255)
{
	s->super.block_bits = 255;
}
BREAK(chunk_empty)
{
	s->super.chunk_blocks = 0;
}
BREAK(chunk_huge)
{
	s->super.chunk_blocks = cpu_to_le32(1025);
}
BREAK(chunk_max)
{
	s->super.chunk_blocks = ~0u;
}
BREAK(other_compression)
{
	strcpy(s->super.compression, "lzo");
}
BREAK(empty_compression)
{
	s->super.compression[0] = 0;
}
BREAK(no_terminator)
{
	memset(s->super.compression, 'z', 16);
}
BREAK(dir_empty)
{
	s->super.dir_n = 0;
}
BREAK(dir_huge)
{
	s->super.dir_n = ~0ull;
}
BREAK(dir_above_limit)
{
	s->image_bytes = 1ull << 40;
	s->super.dir_n = cpu_to_le64((UPDATE_MAX_DIR / 16) + 1);
}
BREAK(dir_above_image)
{
	s->super.dir_n = cpu_to_le64(102);
}
BREAK(dir_in_super)
{
	s->super.dir_offset = cpu_to_le64(63);
}
BREAK(dir_past_end)
{
	s->super.dir_offset = cpu_to_le64(FILE_BYTES + 1);
}
BREAK(dir_wraps)
{
	s->super.dir_offset = ~0ull;
}
BREAK(dir_cut)
{
	s->super.dir_offset = cpu_to_le64(FILE_BYTES - 89);
}
BREAK(dir_size_wraps)
{
	s->super.dir_compressed_size = ~0ull;
}
BREAK(dir_size_0)
{
	s->super.dir_compressed_size = 0;
}
BREAK(dir_size_large)
{
	s->super.dir_compressed_size = cpu_to_le64(1121);
}
BREAK(dest_twice)
{
	set(&s->e[1], 0, 64, 2);
}
BREAK(dest_back)
{
	set(&s->e[3], 6, 9001, 0);
}
BREAK(dest_past_image)
{
	set(&s->e[4], 100, 9001, 1);
}
BREAK(dest_48_bits)
{
	set(&s->e[4], (1ull << 47) + 99, 9001, 1);
}
BREAK(sentinel_low)
{
	set(&s->e[5], 99, 20001, 0);
}
BREAK(sentinel_src_equal)
{
	set(&s->e[5], 100, 9001, 0);
}
BREAK(sentinel_src_low)
{
	set(&s->e[5], 100, 64, 0);
}
BREAK(sentinel_src_huge)
{
	set(&s->e[5], 100, (1ull << 48) - 1, 0);
}
BREAK(src_back)
{
	set(&s->e[3], 98, 63, 0);
}
BREAK(src_returns)
{
	set(&s->e[4], 99, 64, 1);
}
BREAK(src_in_super)
{
	for (int i = 0; i < 3; i++)
		s->e[i].src_lo = cpu_to_le32(63);
}
BREAK(chunk_too_long)
{
	set(&s->e[3], 98, 64 + 12288 + 96 + 1024 + 1, 0);
	set(&s->e[4], 99, 64 + 12288 + 96 + 1024 + 1, 1);
}
BREAK(chunk_past_end)
{
	s->file_bytes = 20000;
	s->super.dir_offset = cpu_to_le64(64);
	for (int i = 0; i < 3; i++)
		s->e[i].src_lo = cpu_to_le32(154);
}
BREAK(chunks_over_dir)
{
	s->super.dir_offset = cpu_to_le64(20000);
}
BREAK(dir_over_chunks)
{
	s->super.dir_offset = cpu_to_le64(64);
}
BREAK(offset_past_chunk)
{
	s->e[1].offset = cpu_to_le32(3);
}
BREAK(offset_huge)
{
	s->e[4].offset = ~0u;
}

static const struct {
	void (*apply)(struct sample *s);
	const char *why;
} breakages[] = {
	{ no_magic, "Not an update diff" },
	{ version_1, "Unknown version of the update diff" },
	{ padding_0, "Superblock padding is not zero" },
	{ padding_1, "Superblock padding is not zero" },
	{ block_8, "Block size out of range" },
	{ block_32, "Block size out of range" },
	{ block_255, "Block size out of range" },
	{ block_huge, "Chunk size out of range" },
	{ chunk_empty, "Chunk size out of range" },
	{ chunk_huge, "Chunk size out of range" },
	{ chunk_max, "Chunk size out of range" },
	{ other_compression, "Unknown compression of the update diff" },
	{ empty_compression, "Unknown compression of the update diff" },
	{ no_terminator, "Unknown compression of the update diff" },
	{ dir_empty, "Directory size out of range" },
	{ dir_huge, "Directory size out of range" },
	{ dir_above_limit, "Directory size out of range" },
	{ dir_above_image, "Directory has more blocks than the image" },
	{ dir_in_super, "Directory outside of the update diff" },
	{ dir_past_end, "Directory outside of the update diff" },
	{ dir_wraps, "Directory outside of the update diff" },
	{ dir_cut, "Directory outside of the update diff" },
	{ dir_size_wraps, "Directory outside of the update diff" },
	{ dir_size_0, "Compressed directory size out of range" },
	{ dir_size_large, "Compressed directory size out of range" },
	{ dest_twice, "Directory is not in block order" },
	{ dest_back, "Directory is not in block order" },
	{ sentinel_low, "Directory is not in block order" },
	{ dest_48_bits, "Directory is not in block order" },
	{ sentinel_src_equal, "Chunks are not in file order" },
	{ sentinel_src_low, "Chunks are not in file order" },
	{ sentinel_src_huge, "Compressed chunk is too large" },
	{ src_back, "Chunks are not in file order" },
	{ src_returns, "Chunks are not in file order" },
	{ src_in_super, "Chunk outside of the update diff" },
	{ chunk_too_long, "Compressed chunk is too large" },
	{ chunk_past_end, "Chunk outside of the update diff" },
	{ chunks_over_dir, "Chunks overlap the directory" },
	{ dir_over_chunks, "Chunks overlap the directory" },
	{ offset_past_chunk, "Directory points past a chunk" },
	{ offset_huge, "Directory points past a chunk" },
};

static void each_fault_is_refused_for_its_reason(void)
{
	for (size_t i = 0; i < sizeof(breakages) / sizeof(breakages[0]); i++) {
		struct sample s = good();
		struct update_dir dir;
		const char *why;

		breakages[i].apply(&s);
		why = refusal(&s, &dir);
		if (!why)
			update_dir_exit(&dir);
		if (!why || strcmp(why, breakages[i].why))
			printf("row %zu: %s, not %s\n", i, why ? why : "taken",
			       breakages[i].why);
		check(why && !strcmp(why, breakages[i].why));
	}
}

static void a_block_past_the_image_is_refused(void)
{
	struct sample s = good();
	struct update_dir dir;
	const char *why;

	dest_past_image(&s);
	set(&s.e[5], 101, 20001, 0);
	why = refusal(&s, &dir);
	check(why && !strcmp(why, "Directory names a block past the image"));
}

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 16;
}

/* What is taken must be safe to follow; the checkers watch the accesses. */
static void follow(const struct update_dir *dir, const struct sample *s)
{
	for (u32 i = 0; i < dir->n; i++) {
		u32 c = update_dir_chunk(dir, i);

		check(c < dir->n_chunks);
		check(update_dir_dest(dir, i) < 100);
		check(update_dir_offset(dir, i) < dir->chunks[c].need);
		check(dir->chunks[c].need <= dir->chunk_bytes);
		check(dir->chunks[c].src + update_chunk_packed(dir, c) <=
		      s->file_bytes);
	}
}

static void random_damage_is_survived(void)
{
	u64 state = 1, taken = 0;

	for (int round = 0; round < 300000; round++) {
		struct sample s = good();
		struct update_dir dir;
		u8 *bytes = (u8 *)&s;
		u64 flips = 1 + next_random(&state) % 3;

		while (flips--)
			bytes[next_random(&state) %
			      (sizeof(s.super) + sizeof(s.e))] ^=
				1u << next_random(&state) % 8;
		/* As the reader does: no more entries than were decompressed.
		 */
		if (le64_to_cpu(s.super.dir_n) > N || refusal(&s, &dir))
			continue;
		follow(&dir, &s);
		update_dir_exit(&dir);
		taken++;
	}
	check(taken > 1000);
}

static const struct test tests[] = {
	{ "a valid diff is taken", a_valid_diff_is_taken },
	{ "every block is found", every_block_is_found },
	{ "a diff of nothing is taken", a_diff_of_nothing_is_taken },
	{ "each fault is refused for its reason",
	  each_fault_is_refused_for_its_reason },
	{ "a block past the image is refused",
	  a_block_past_the_image_is_refused },
	{ "random damage is survived", random_damage_is_survived },
};

int main(void)
{
	return RUN_TESTS(tests);
}
