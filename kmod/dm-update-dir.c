// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-dir.h"

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EINVAL;
}

static const struct {
	const char *name;
	enum update_compression compression;
} compressions[] = {
	{ "none", UPDATE_NONE },
	{ "zstd", UPDATE_ZSTD },
	{ "lz4", UPDATE_LZ4 },
};

u32 update_packed_limit(enum update_compression compression, u32 size)
{
	/* A little above what zstd and lz4 make of bytes they cannot shrink. */
	return compression == UPDATE_NONE ? size : size + (size >> 7) + 1024;
}

static int parse_compression(const struct update_super *super,
			     enum update_compression *compression,
			     const char **why)
{
	size_t i;

	if (memchr(super->compression, 0, sizeof(super->compression)))
		for (i = 0; i < sizeof(compressions) / sizeof(compressions[0]);
		     i++)
			if (!strcmp(super->compression, compressions[i].name)) {
				*compression = compressions[i].compression;
				return 0;
			}
	return refuse(why, "Unknown compression of the update diff");
}

static int check_identity(const struct update_super *super, const char **why)
{
	if (memcmp(super->magic, UPDATE_MAGIC, sizeof(super->magic)))
		return refuse(why, "Not an update diff");
	if (super->version != UPDATE_VERSION_0)
		return refuse(why, "Unknown version of the update diff");
	if (super->pad0 || super->pad1)
		return refuse(why, "Superblock padding is not zero");
	return 0;
}

static int parse_chunk(const struct update_super *super,
		       struct update_geometry *geometry, const char **why)
{
	u64 blocks = le32_to_cpu(super->chunk_blocks);

	if (super->block_bits < 9 || super->block_bits > 31)
		return refuse(why, "Block size out of range");
	if (!blocks || blocks << super->block_bits > UPDATE_MAX_CHUNK)
		return refuse(why, "Chunk size out of range");
	geometry->block_bits = super->block_bits;
	geometry->chunk_bytes = blocks << super->block_bits;
	return 0;
}

static u64 image_blocks(u64 image_bytes, u32 block_bits)
{
	return ((image_bytes - 1) >> block_bits) + 1;
}

static int parse_dir(const struct update_super *super, u64 file_bytes,
		     u64 image_bytes, struct update_geometry *geometry,
		     const char **why)
{
	u64 offset = le64_to_cpu(super->dir_offset);
	u64 packed = le64_to_cpu(super->dir_compressed_size);
	u64 n = le64_to_cpu(super->dir_n);

	if (!n || n > UPDATE_MAX_DIR / sizeof(struct update_dirent))
		return refuse(why, "Directory size out of range");
	if (n - 1 > image_blocks(image_bytes, geometry->block_bits))
		return refuse(why, "Directory has more blocks than the image");
	if (offset < sizeof(*super) || offset > file_bytes ||
	    packed > file_bytes - offset)
		return refuse(why, "Directory outside of the update diff");
	if (!packed ||
	    packed > update_packed_limit(geometry->compression,
					 n * sizeof(struct update_dirent)))
		return refuse(why, "Compressed directory size out of range");
	geometry->dir_offset = offset;
	geometry->dir_packed = packed;
	geometry->dir_n = n;
	return 0;
}

int update_super_parse(const struct update_super *super, u64 file_bytes,
		       u64 image_bytes, struct update_geometry *geometry,
		       const char **why)
{
	int r = check_identity(super, why);

	if (!r)
		r = parse_compression(super, &geometry->compression, why);
	if (!r)
		r = parse_chunk(super, geometry, why);
	if (!r)
		r = parse_dir(super, file_bytes, image_bytes, geometry, why);
	return r;
}

static u64 entry_dest(const struct update_dirent *entry)
{
	return (u64)le16_to_cpu(entry->dest_hi) << 32 |
	       le32_to_cpu(entry->dest_lo);
}

static u64 entry_src(const struct update_dirent *entry)
{
	return (u64)le16_to_cpu(entry->src_hi) << 32 |
	       le32_to_cpu(entry->src_lo);
}

/* All entries against the image, and against the one before. */
static int check_dests(const struct update_geometry *geometry, u64 image_bytes,
		       const struct update_dirent *entries, const char **why)
{
	u64 blocks = image_blocks(image_bytes, geometry->block_bits);
	u32 i;

	for (i = 1; i < geometry->dir_n; i++)
		if (entry_dest(&entries[i]) <= entry_dest(&entries[i - 1]))
			return refuse(why, "Directory is not in block order");
	if (i > 1 && entry_dest(&entries[i - 2]) >= blocks)
		return refuse(why, "Directory names a block past the image");
	return 0;
}

static u32 count_chunks(const struct update_dirent *entries, u32 n)
{
	u32 i, chunks = 0;

	for (i = 0; i < n; i++)
		if (!i || entry_src(&entries[i]) != entry_src(&entries[i - 1]))
			chunks++;
	return chunks;
}

/* Bytes of its block that entry @i has to give: the last may be a part. */
static u32 entry_bytes(const struct update_dirent *entry, u32 block_bits,
		       u64 image_bytes)
{
	u64 left = image_bytes - (entry_dest(entry) << block_bits);

	return left >> block_bits ? 1u << block_bits : left;
}

static int fill_chunks(struct update_dir *dir, u64 image_bytes,
		       const char **why)
{
	u32 blocks = dir->chunk_bytes >> dir->block_bits;
	struct update_chunk *chunk = dir->chunks;
	u32 i, end;

	for (i = 0; i < dir->n; i++) {
		const struct update_dirent *entry = &dir->entries[i];

		if (i && entry_src(entry) != entry_src(entry - 1)) {
			chunk++;
			chunk->first = i;
		}
		chunk->src = entry_src(entry);
		if (le32_to_cpu(entry->offset) >= blocks)
			return refuse(why, "Directory points past a chunk");
		end = update_dir_offset(dir, i) +
		      entry_bytes(entry, dir->block_bits, image_bytes);
		if (end > chunk->need)
			chunk->need = end;
	}
	chunk = &dir->chunks[dir->n_chunks];
	chunk->src = entry_src(&dir->entries[dir->n]);
	chunk->first = dir->n;
	return 0;
}

/* Chunks against the file, the superblock, the directory and each other. */
static int check_chunks(const struct update_dir *dir,
			const struct update_geometry *geometry, u64 file_bytes,
			const char **why)
{
	u32 limit = update_packed_limit(dir->compression, dir->chunk_bytes);
	u64 begin = dir->chunks[0].src;
	u64 end = dir->chunks[dir->n_chunks].src;
	u32 c;

	for (c = 0; c < dir->n_chunks; c++) {
		const struct update_chunk *chunk = &dir->chunks[c];

		if (chunk[1].src <= chunk->src)
			return refuse(why, "Chunks are not in file order");
		if (chunk[1].src - chunk->src > limit)
			return refuse(why, "Compressed chunk is too large");
	}
	if (begin < sizeof(struct update_super) || end > file_bytes)
		return refuse(why, "Chunk outside of the update diff");
	if (begin < geometry->dir_offset + geometry->dir_packed &&
	    geometry->dir_offset < end)
		return refuse(why, "Chunks overlap the directory");
	return 0;
}

int update_dir_init(struct update_dir *dir,
		    const struct update_geometry *geometry, u64 file_bytes,
		    u64 image_bytes, const struct update_dirent *entries,
		    const char **why)
{
	int r = check_dests(geometry, image_bytes, entries, why);

	if (r)
		return r;
	memset(dir, 0, sizeof(*dir));
	dir->block_bits = geometry->block_bits;
	dir->chunk_bytes = geometry->chunk_bytes;
	dir->compression = geometry->compression;
	dir->n = geometry->dir_n - 1;
	dir->entries = entries;
	dir->n_chunks = count_chunks(entries, dir->n);
	dir->chunks = plat_alloc((dir->n_chunks + 1) * sizeof(*dir->chunks));
	if (!dir->chunks) {
		*why = "Not enough memory for the directory";
		return -ENOMEM;
	}
	r = fill_chunks(dir, image_bytes, why);
	if (!r && dir->n)
		r = check_chunks(dir, geometry, file_bytes, why);
	if (r) {
		plat_free(dir->chunks);
		memset(dir, 0, sizeof(*dir));
	}
	return r;
}

void update_dir_exit(struct update_dir *dir)
{
	plat_free(dir->chunks);
	plat_free((void *)dir->entries);
	memset(dir, 0, sizeof(*dir));
}

u64 update_dir_dest(const struct update_dir *dir, u32 i)
{
	return entry_dest(&dir->entries[i]);
}

u32 update_dir_offset(const struct update_dir *dir, u32 i)
{
	return le32_to_cpu(dir->entries[i].offset) << dir->block_bits;
}

u32 update_dir_find(const struct update_dir *dir, u64 block)
{
	u32 low = 0, high = dir->n;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (update_dir_dest(dir, middle) < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

u32 update_dir_chunk(const struct update_dir *dir, u32 i)
{
	u32 low = 0, high = dir->n_chunks;

	/* chunks[low].first <= i < chunks[high].first */
	while (high - low > 1) {
		u32 middle = low + (high - low) / 2;

		if (dir->chunks[middle].first <= i)
			low = middle;
		else
			high = middle;
	}
	return low;
}

u32 update_chunk_packed(const struct update_dir *dir, u32 c)
{
	return dir->chunks[c + 1].src - dir->chunks[c].src;
}
