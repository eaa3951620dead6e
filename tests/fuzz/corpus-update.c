// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * corpus-update DIR: writes the part of corpus/ that is made of diffs: small
 * random ones of format 1 into DIR/update1, by tests/unit/v1-random.h, and a
 * diff of format 0 into DIR/update0.
 */
#include <stdio.h>

#include "update1.h"
#include "v1-random.h"

#define N_DIFFS 24

static FILE *create(const char *folder, const char *kind, unsigned int i)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/made-%u", folder, kind, i);
	f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

static void write_pages(FILE *f, struct v1_writer *w)
{
	size_t len;
	u8 *page;

	fputc(w->n_pages, f);
	for (u32 i = 0; (page = v1_page(w, i, &len)); i++) {
		fputc(len, f);
		fputc(len >> 8, f);
		fwrite(page, 1, len, f);
		free(page);
	}
}

static void write_diff(FILE *f, struct v1_writer *w, u32 i)
{
	u64 chunks = le64_to_cpu(w->super.dir_offset) - UPDATE1_SUPER_SIZE;

	fwrite(w->file, 1, UPDATE1_HEAD, f);
	fputc(i % 8 & ~KEEP_PLACES, f);
	fputc(i * 3, f);
	write_pages(f, w);
	fwrite(w->file + UPDATE1_SUPER_SIZE, 1, chunks, f);
}

/* The old image is the fuzzer's own, so that of the pair is that one, too. */
static void fill_as_fuzzer(struct v1_pair *p)
{
	u64 word = 1;

	for (u64 i = 0; i < p->old_size; i++) {
		word = word * 6364136223846793005u + 1442695040888963407u;
		p->old[i] = word >> 40;
	}
}

static void make_1(const char *folder, u32 i)
{
	struct v1_shape shape = { .block_bits = 9,
				  .chunk_blocks = 2,
				  .most_blocks = 12,
				  .real = true,
				  .fill = fill_as_fuzzer };
	FILE *f = create(folder, "update1", i);
	struct v1_pair p;

	v1_random_pair(&p, 100 + i, &shape);
	p.w.page = i % 2 ? 3 : 100;
	v1_end(&p.w);
	write_diff(f, &p.w, i);
	v1_pair_free(&p);
	fclose(f);
}

static void put_entry(FILE *f, u32 dest, u32 src, u32 offset)
{
	struct update_dirent e = { .dest_lo = cpu_to_le32(dest),
				   .src_lo = cpu_to_le32(src),
				   .offset = cpu_to_le32(offset) };

	fwrite(&e, 1, sizeof(e), f);
}

static void make_0(const char *folder)
{
	static const u8 sizes[4] = { 0, 16, 200, 0 };
	struct update_super super = {
		.block_bits = 9,
		.chunk_blocks = cpu_to_le32(3),
		.compression = "zstd",
		.dir_offset = cpu_to_le64(40000ull),
		.dir_compressed_size = cpu_to_le64(90ull),
		.dir_n = cpu_to_le64(5ull),
	};
	FILE *f = create(folder, "update0", 0);

	memcpy(super.magic, UPDATE_MAGIC, sizeof(super.magic));
	fwrite(sizes, 1, sizeof(sizes), f);
	fwrite(&super, 1, sizeof(super), f);
	put_entry(f, 0, 64, 0);
	put_entry(f, 1, 64, 2);
	put_entry(f, 7, 64, 2);
	put_entry(f, 150, 900, 1);
	put_entry(f, 201, 1700, 0);
	fclose(f);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: corpus-update DIR\n");
		return 2;
	}
	for (u32 i = 0; i < N_DIFFS; i++)
		make_1(argv[1], i);
	make_0(argv[1]);
	return 0;
}
