// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bowline apply on diffs of format 1 of any contents (update1.h). What is taken
 * has to be safe to follow; and if the order is proven and the diff can be
 * applied, a merge in place that is cut once gives the same image.
 */
#include <zstd.h>

#include "fuzz.h"
#include "apply.h"
#include "memdev.h"
#include "update1.h"
#include "verify.h"

#define MOST_BYTES 65536 /* of an image or a save area that is tried */

struct file {
	uint8_t *at;
	size_t len;
};

static void append(struct file *f, const void *bytes, size_t len)
{
	f->at = realloc(f->at, f->len + len + 1);
	if (len)
		memcpy(f->at + f->len, bytes, len);
	f->len += len;
}

/* Takes @len bytes of the input; NULL: there are not so many. */
static const uint8_t *take(const uint8_t **data, size_t *size, size_t len)
{
	const uint8_t *bytes = *data;

	if (len > *size)
		return NULL;
	*data += len;
	*size -= len;
	return bytes;
}

static void append_page(struct file *f, const uint8_t *contents, size_t len)
{
	uint8_t frame[ZSTD_COMPRESSBOUND(65536)];
	size_t n = ZSTD_compress(frame, sizeof(frame), contents, len, 1);
	struct update1_page page = { cpu_to_le32((u32)n),
				     cpu_to_le32((u32)len) };

	append(f, &page, sizeof(page));
	append(f, frame, n);
}

static void append_pages(struct file *f, const uint8_t **data, size_t *size)
{
	const uint8_t *count = take(data, size, 1);

	for (unsigned int i = 0; count && i < *count; i++) {
		const uint8_t *head = take(data, size, 2);
		size_t len = head ? head[0] | head[1] << 8 : 0;
		const uint8_t *page = take(data, size, len);

		if (!page)
			return;
		append_page(f, page, len);
	}
}

static void seal(struct file *f, u64 chunks, uint8_t switches)
{
	struct update1_super *super = (void *)f->at;
	u64 dir_at = UPDATE1_SUPER_SIZE + chunks;

	if (!(switches & KEEP_PLACES)) {
		super->dir_offset = cpu_to_le64(dir_at);
		super->dir_size = cpu_to_le64((u64)f->len - dir_at);
		super->file_size = cpu_to_le64((u64)f->len);
		super->incompat &= cpu_to_le64(UPDATE1_FEATURES);
	}
	super->dir_crc =
		cpu_to_le32(plat_crc32c(~0u, f->at + dir_at, f->len - dir_at));
	super->crc = cpu_to_le32(
		plat_crc32c(~0u, super, offsetof(struct update1_super, crc)));
}

/* The file that the input describes; the superblock's identity is given. */
static struct file build(const uint8_t *data, size_t size, uint8_t *switches,
			 uint8_t *cut)
{
	const uint8_t *head = take(&data, &size, UPDATE1_HEAD + 2);
	struct update1_super super = { 0 };
	struct file f = { 0 }, pages = { 0 };

	if (!head)
		return f;
	memcpy(&super, head, UPDATE1_HEAD);
	memcpy(super.magic, UPDATE_MAGIC, sizeof(super.magic));
	super.version = UPDATE_VERSION_1;
	super.zero0 = 0;
	*switches = head[UPDATE1_HEAD];
	*cut = head[UPDATE1_HEAD + 1];
	append(&f, &super, sizeof(super));
	append_pages(&pages, &data, &size);
	append(&f, data, size);
	append(&f, pages.at, pages.len);
	free(pages.at);
	seal(&f, size, *switches);
	return f;
}

/* ---- for the kernel target ------------------------------------------------
 */

/*
 * With KEEP, a folder, in the environment: what has come so far, as files
 * N.diff, N.old and N.new, the last only if the diff gives an image.
 */
static void keep_file(unsigned int n, const char *name, const void *bytes,
		      size_t len)
{
	char path[4096];
	FILE *to;

	snprintf(path, sizeof(path), "%s/%u.%s", getenv("KEEP"), n, name);
	to = fopen(path, "w");
	must(to && fwrite(bytes, 1, len, to) == len);
	must(!fclose(to));
}

static void keep(struct dev *diff, const struct update1_geometry *g,
		 struct dev *old, struct dev *image, bool applied)
{
	static unsigned int n;

	if (!getenv("KEEP"))
		return;
	keep_file(n, "diff", memdev_data(diff), dev_size(diff));
	keep_file(n, "old", memdev_data(old), dev_size(old));
	keep_file(n++, applied ? "new" : "bad", memdev_data(image),
		  g->new_size);
}

/* ---- what has to hold ---------------------------------------------------- */

static void follow(const struct update1_dir *dir)
{
	u64 blocks = (dir->g.new_size + (1 << dir->g.block_bits) - 1) >>
		     dir->g.block_bits;
	struct update1_extent e;
	struct update1_save s;
	u64 end = 0;

	for (u32 i = 0; i < dir->g.n_extents; i++) {
		update1_extent(dir, i, &e);
		must(e.dest >= end && e.blocks && e.dest + e.blocks <= blocks);
		must(e.epoch < dir->g.n_epochs);
		must(update1_find(dir, e.dest) == i);
		must(e.kind != UPDATE1_IS_COPY ||
		     e.src + update1_extent_bytes(dir, &e) <= dir->g.old_size);
		must(e.kind != UPDATE1_IS_DATA ||
		     e.src + e.stored <= dir->g.file_size);
		end = e.dest + e.blocks;
	}
	for (u32 i = 0; i < dir->g.n_saves; i++) {
		update1_save(dir, i, &s);
		must(update1_find_save(dir, s.old) == i);
		must(s.epoch <= s.last && s.last < dir->g.n_epochs);
		must(s.room + s.blocks <= dir->g.save_blocks);
	}
}

/* The headers of all chunks get the checksum that they have. */
static void seal_chunks(struct v1_reader *rd, uint8_t *file)
{
	for (u32 i = 0; i < rd->dir.g.n_extents; i++) {
		struct update1_extent e;
		__le16 size;
		__le32 crc;

		update1_extent(&rd->dir, i, &e);
		if (e.kind != UPDATE1_IS_DATA || e.stored < 6)
			continue;
		memcpy(&size, file + e.src + 4, sizeof(size));
		if (le16_to_cpu(size) < 6 || le16_to_cpu(size) > e.stored)
			continue;
		crc = cpu_to_le32(plat_crc32c(~0u, file + e.src + 4,
					      le16_to_cpu(size) - 4));
		memcpy(file + e.src, &crc, sizeof(crc));
	}
}

/* A device of @size bytes and whole sectors, with the same contents always. */
static struct dev *device(u64 size, bool noise)
{
	u64 whole = (size + 511) / 512 * 512, word = 1;
	uint8_t *bytes = calloc(1, whole);
	struct dev *dev;

	for (u64 i = 0; noise && i < size; i++) {
		word = word * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = word >> 40;
	}
	dev = memdev_new(bytes, whole, 512);
	free(bytes);
	return dev;
}

/* A file: it ends anywhere. */
static struct dev *empty_file(u64 size)
{
	uint8_t *zeros = calloc(1, size);
	struct dev *dev = memdev_new(zeros, size, 1);

	free(zeros);
	return dev;
}

static u64 larger_image(const struct update1_geometry *g)
{
	return g->old_size > g->new_size ? g->old_size : g->new_size;
}

static struct dev *old_image(const struct update1_geometry *g)
{
	struct dev *dev = device(larger_image(g), true);

	memset(memdev_data(dev) + g->old_size, 0, dev_size(dev) - g->old_size);
	memdev_settle(dev);
	return dev;
}

/* A merge that is cut once ends with @image. */
static void merge(struct v1_reader *rd, struct dev *image, uint8_t switches,
		  uint8_t cut)
{
	const struct update1_geometry *g = &rd->dir.g;
	struct dev *system = old_image(g);
	struct dev *stage = device(update1_progress_size(g), false);

	memdev_cut(switches & CUT_STAGE ? stage : system, cut);
	if (apply_in_place(rd, system, stage, 0)) {
		memdev_reboot(system, cut);
		memdev_reboot(stage, cut / 3);
		memdev_cut(system, 0);
		memdev_cut(stage, 0);
		must(!apply_in_place(rd, system, stage, 0));
	}
	must(!memcmp(memdev_data(system), memdev_data(image), g->new_size));
	memdev_free(system);
	memdev_free(stage);
}

static void apply(struct v1_reader *rd, struct dev *diff, uint8_t switches,
		  uint8_t cut)
{
	struct update1_geometry *g = &rd->dir.g;
	bool ordered = !apply_check_order(rd);
	struct dev *old = old_image(g), *image = empty_file(g->new_size);
	bool applied;

	/* Whatever images these are: they are the right ones. */
	sha256(memdev_data(old), g->old_size, g->old_sha256);
	apply_to(rd, old, image);
	sha256(memdev_data(image), g->new_size, g->new_sha256);
	applied = !apply_to(rd, old, image);
	keep(diff, g, old, image, applied && ordered);
	if (applied && ordered)
		merge(rd, image, switches, cut);
	memdev_free(old);
	memdev_free(image);
}

static bool small(const struct update1_geometry *g)
{
	return larger_image(g) <= MOST_BYTES &&
	       update1_progress_size(g) <= MOST_BYTES + 8192;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t switches = 0, cut = 0;
	struct file f = build(data, size, &switches, &cut);
	struct v1_reader rd;
	struct dev *dev;

	if (!f.at)
		return 0;
	io = &memdev_ops;
	dev = memdev_new(f.at, f.len, 512);
	free(f.at);
	if (!v1_open(&rd, dev)) {
		follow(&rd.dir);
		if (!(switches & KEEP_SUMS))
			seal_chunks(&rd, memdev_data(dev));
		if (small(&rd.dir.g))
			apply(&rd, dev, switches, cut);
		v1_close(&rd);
	}
	memdev_free(dev);
	return 0;
}
