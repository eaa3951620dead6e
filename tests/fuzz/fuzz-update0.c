// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Superblock and directory of an update diff of format 0, any bytes: 4 bytes of
 * how large file and image are, the superblock, the unpacked directory. What is
 * taken has to be safe to follow.
 */
#include "fuzz.h"
#include "dm-update-dir.h"

static void follow(const struct update_dir *dir, u64 file, u64 image)
{
	u64 blocks = ((image - 1) >> dir->block_bits) + 1;

	for (u32 i = 0; i < dir->n; i++) {
		u32 c = update_dir_chunk(dir, i);

		must(c < dir->n_chunks);
		must(update_dir_dest(dir, i) < blocks);
		must(update_dir_offset(dir, i) < dir->chunks[c].need);
		must(update_dir_find(dir, update_dir_dest(dir, i)) == i);
	}
	for (u32 c = 0; c < dir->n_chunks; c++) {
		must(dir->chunks[c].need <= dir->chunk_bytes);
		must(update_chunk_packed(dir, c));
		must(dir->chunks[c].src + update_chunk_packed(dir, c) <= file);
	}
}

/* As a reader does: so many entries as the superblock says, or none. */
static void judge(const struct update_geometry *g, u64 file, u64 image,
		  const uint8_t *data, size_t size)
{
	size_t want = (size_t)g->dir_n * sizeof(struct update_dirent);
	struct update_dirent *entries;
	const char *why = NULL;
	struct update_dir dir;

	if (size < want)
		return;
	entries = plat_alloc(want);
	memcpy(entries, data, want);
	if (update_dir_init(&dir, g, file, image, entries, &why)) {
		must(why);
		plat_free(entries);
		return;
	}
	must(!why);
	follow(&dir, file, image);
	update_dir_exit(&dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct update_geometry g;
	struct update_super super;
	const char *why = NULL;
	u64 file, image;

	if (size < 4 + sizeof(super))
		return 0;
	file = (data[0] | data[1] << 8) * 16ull;
	image = 1 + ((data[2] | data[3] << 8) * 512ull);
	memcpy(&super, data + 4, sizeof(super));
	if (update_super_parse(&super, file, image, &g, &why))
		must(why);
	else
		judge(&g, file, image, data + 4 + sizeof(super),
		      size - 4 - sizeof(super));
	return 0;
}
