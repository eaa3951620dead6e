// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One thread reads both images and gathers changed blocks into chunks; the
 * others compress them. The chunks wait in a ring and are written in the order
 * in which they were filled, so the file does not depend on the scheduling.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff-codec.h"
#include "diff-image.h"
#include "diff.h"
#include "err.h"
#include "outfile.h"
#include "progress.h"

#define PIECE	      (1u << 20) /* bytes of an image read at once, at least */
#define SAME_LOOKBACK 64 /* blocks of a chunk searched for an equal one */

/* ---- making ------------------------------------------------------------- */

enum job_state { JOB_FREE, JOB_READY, JOB_BUSY, JOB_DONE, JOB_FAILED };

struct job {
	enum job_state state;
	uint8_t *raw;
	uint32_t blocks; /* filled in raw */
	uint64_t *sums;	 /* one a block, to find equal ones */
	uint32_t first;	 /* its entries: first <= i < end */
	uint32_t end;
	uint8_t *packed;
	size_t packed_size;
};

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *jobs;
	unsigned int n;
	unsigned int head; /* being filled */
	unsigned int work; /* next to compress */
	unsigned int tail; /* next to write */
	int stop;
};

struct maker {
	const struct diff_options *options;
	uint32_t block_bits;
	struct image old, new;
	const char *out;
	struct outfile file;
	uint64_t pos;  /* bytes written to it */
	uint64_t size; /* of the whole file */
	struct update_dirent *entries;
	uint32_t n, room;
	pthread_t *threads;
	unsigned int n_threads;
	struct ring ring;
	uint8_t *last_block; /* zeros behind the image's end */
};

static uint64_t sum_block(const uint8_t *block, uint32_t size)
{
	uint64_t sum = 0xcbf29ce484222325u, word;

	for (uint32_t i = 0; i < size; i += sizeof(word)) {
		memcpy(&word, block + i, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3u;
		sum ^= sum >> 29;
	}
	return sum;
}

static int write_out(struct maker *m, const void *data, size_t len)
{
	if (outfile_write(&m->file, m->pos, data, len))
		return -1;
	m->pos += len;
	return 0;
}

/* A thread without memory for a packer fails its jobs. */
static void compress_job(struct maker *m, struct packer *packer,
			 struct job *job)
{
	struct ring *ring = &m->ring;

	job->state = JOB_BUSY;
	pthread_mutex_unlock(&ring->lock);
	if (packer)
		job->packed_size = pack(packer, job->packed, job->raw,
					(size_t)job->blocks << m->block_bits);
	else
		error("out of memory for a thread");
	pthread_mutex_lock(&ring->lock);
	job->state = job->packed_size ? JOB_DONE : JOB_FAILED;
	pthread_cond_broadcast(&ring->changed);
}

static void *worker(void *arg)
{
	struct maker *m = arg;
	struct ring *ring = &m->ring;
	struct packer *packer = packer_new(m->options);

	pthread_mutex_lock(&ring->lock);
	while (!ring->stop) {
		struct job *job = &ring->jobs[ring->work];

		if (job->state != JOB_READY) {
			pthread_cond_wait(&ring->changed, &ring->lock);
			continue;
		}
		ring->work = (ring->work + 1) % ring->n;
		compress_job(m, packer, job);
	}
	pthread_mutex_unlock(&ring->lock);
	packer_free(packer);
	return NULL;
}

static enum job_state wait_done(struct ring *ring, struct job *job)
{
	enum job_state state;

	pthread_mutex_lock(&ring->lock);
	while (job->state == JOB_READY || job->state == JOB_BUSY)
		pthread_cond_wait(&ring->changed, &ring->lock);
	state = job->state;
	pthread_mutex_unlock(&ring->lock);
	return state;
}

static void set_src(struct update_dirent *entry, uint64_t src)
{
	entry->src_lo = cpu_to_le32((uint32_t)src);
	entry->src_hi = cpu_to_le16((uint16_t)(src >> 32));
}

/* Writes the oldest chunk; only now is its place in the file known. */
static int write_tail(struct maker *m)
{
	struct ring *ring = &m->ring;
	struct job *job = &ring->jobs[ring->tail];

	if (wait_done(ring, job) == JOB_FAILED)
		return -1;
	for (uint32_t i = job->first; i < job->end; i++)
		set_src(&m->entries[i], m->pos);
	if (write_out(m, job->packed, job->packed_size))
		return -1;
	job->state = JOB_FREE;
	job->blocks = 0;
	ring->tail = (ring->tail + 1) % ring->n;
	return 0;
}

/* Hands the chunk being filled to the workers, and takes the next one. */
static int submit_head(struct maker *m)
{
	struct ring *ring = &m->ring;
	struct job *job = &ring->jobs[ring->head];

	job->end = m->n;
	pthread_mutex_lock(&ring->lock);
	job->state = JOB_READY;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
	ring->head = (ring->head + 1) % ring->n;
	return ring->head == ring->tail ? write_tail(m) : 0;
}

/* Writes every chunk that is under way. */
static int drain(struct maker *m)
{
	struct ring *ring = &m->ring;

	if (ring->jobs[ring->head].blocks && submit_head(m))
		return -1;
	while (ring->tail != ring->head)
		if (write_tail(m))
			return -1;
	return 0;
}

/* The place of an equal block among the last of the chunk, or -1. */
static int64_t find_same(const struct maker *m, const struct job *job,
			 const uint8_t *block, uint64_t sum)
{
	uint32_t size = m->options->block_size, i = job->blocks;

	for (; i-- && job->blocks - i <= SAME_LOOKBACK;)
		if (job->sums[i] == sum &&
		    !memcmp(job->raw + (size_t)i * size, block, size))
			return i;
	return -1;
}

static int add_entry(struct maker *m, uint64_t dest, uint32_t offset)
{
	struct update_dirent *entry;

	if ((m->n + 1) * sizeof(*entry) > UPDATE_MAX_DIR)
		return error("more than %u blocks differ: use a larger "
			     "--block-size",
			     m->n);
	if (m->n == m->room) {
		m->room = m->room ? 2 * m->room : 4096;
		entry = realloc(m->entries, m->room * sizeof(*entry));
		if (!entry)
			return error("out of memory for the directory");
		m->entries = entry;
	}
	entry = &m->entries[m->n++];
	entry->dest_lo = cpu_to_le32((uint32_t)dest);
	entry->dest_hi = cpu_to_le16((uint16_t)(dest >> 32));
	entry->offset = cpu_to_le32(offset);
	set_src(entry, m->pos);
	return 0;
}

static int add_block(struct maker *m, uint64_t dest, const uint8_t *block)
{
	const struct diff_options *o = m->options;
	struct job *job = &m->ring.jobs[m->ring.head];
	uint64_t sum = sum_block(block, o->block_size);
	int64_t same = find_same(m, job, block, sum);

	if (same >= 0)
		return add_entry(m, dest, same);
	if (job->blocks == o->chunk_size / o->block_size) {
		if (submit_head(m))
			return -1;
		job = &m->ring.jobs[m->ring.head];
	}
	if (!job->blocks)
		job->first = m->n;
	memcpy(job->raw + (size_t)job->blocks * o->block_size, block,
	       o->block_size);
	job->sums[job->blocks] = sum;
	return add_entry(m, dest, job->blocks++);
}

static size_t left_at(uint64_t size, uint64_t offset, size_t most)
{
	if (offset >= size)
		return 0;
	return size - offset < most ? size - offset : most;
}

/* Is the new block what the old image has there? Both may end inside of it. */
static bool is_same(const struct maker *m, uint64_t at, size_t len)
{
	return left_at(m->old.size, at, len) == len &&
	       !memcmp(m->new.bytes + at, m->old.bytes + at, len);
}

/* Compares the blocks of @len bytes at @offset, the last padded with zeros. */
static int add_piece(struct maker *m, uint64_t offset, size_t len)
{
	uint32_t size = m->options->block_size;
	size_t bytes;

	for (uint64_t at = offset; at < offset + len; at += bytes) {
		const uint8_t *block = m->new.bytes + at;

		bytes = left_at(offset + len, at, size);
		if (is_same(m, at, bytes))
			continue;
		if (bytes < size)
			block = memcpy(m->last_block, block, bytes);
		if (add_block(m, at >> m->block_bits, block))
			return -1;
	}
	return 0;
}

static int compare(struct maker *m)
{
	size_t piece =
		m->options->block_size > PIECE ? m->options->block_size : PIECE;
	size_t len;
	int r = 0;

	m->last_block = calloc(1, m->options->block_size);
	if (!m->last_block)
		return error("out of memory comparing the images");
	progress_start("comparing", m->new.size);
	for (uint64_t at = 0; !r && at < m->new.size; at += len) {
		len = left_at(m->new.size, at, piece);
		if (!image_hole(&m->old, at, len) ||
		    !image_hole(&m->new, at, len))
			r = add_piece(m, at, len);
		progress_update(at + len);
	}
	free(m->last_block);
	if (r)
		return -1;
	progress_end();
	return drain(m);
}

/* The sentinel: past the last block, at the end of the last chunk. */
static int add_sentinel(struct maker *m)
{
	uint64_t size = m->new.size;

	return add_entry(m, ((size - 1) >> m->block_bits) + 1, 0);
}

static int write_directory(struct maker *m, struct update_super *super)
{
	size_t size = m->n * sizeof(*m->entries), packed = 0;
	struct packer *packer = packer_new(m->options);
	void *to = malloc(pack_bound(size));
	int r = -1;

	if (to && packer)
		packed = pack(packer, to, m->entries, size);
	else
		error("out of memory for the directory");
	super->dir_offset = cpu_to_le64(m->pos);
	super->dir_compressed_size = cpu_to_le64((uint64_t)packed);
	super->dir_n = cpu_to_le64((uint64_t)m->n);
	if (packed)
		r = write_out(m, to, packed);
	free(to);
	packer_free(packer);
	return r;
}

static const char *compression_name(enum update_compression compression)
{
	switch (compression) {
	case UPDATE_NONE:
		return "none";
	case UPDATE_ZSTD:
		return "zstd";
	case UPDATE_LZ4:
		return "lz4";
	}
	return "";
}

static void fill_super(const struct maker *m, struct update_super *super)
{
	const struct diff_options *o = m->options;

	memset(super, 0, sizeof(*super));
	memcpy(super->magic, UPDATE_MAGIC, sizeof(super->magic));
	super->version = UPDATE_VERSION_0;
	super->block_bits = m->block_bits;
	super->chunk_blocks = cpu_to_le32(o->chunk_size / o->block_size);
	strcpy(super->compression, compression_name(o->compression));
}

/* The superblock goes last: without it the file is no diff. */
static int write_file(struct maker *m)
{
	static const uint8_t zeros[DIFF_PADDING];
	struct update_super super;

	fill_super(m, &super);
	m->pos = sizeof(super);
	if (compare(m) || add_sentinel(m) || write_directory(m, &super))
		return -1;
	if (m->pos % DIFF_PADDING &&
	    write_out(m, zeros, DIFF_PADDING - m->pos % DIFF_PADDING))
		return -1;
	m->size = m->pos;
	m->pos = 0;
	return write_out(m, &super, sizeof(super));
}

static void free_jobs(struct ring *ring)
{
	for (unsigned int i = 0; ring->jobs && i < ring->n; i++) {
		free(ring->jobs[i].raw);
		free(ring->jobs[i].sums);
		free(ring->jobs[i].packed);
	}
	free(ring->jobs);
}

static int make_jobs(struct maker *m, unsigned int n)
{
	const struct diff_options *o = m->options;
	struct ring *ring = &m->ring;

	ring->n = n;
	ring->jobs = calloc(n, sizeof(*ring->jobs));
	for (unsigned int i = 0; ring->jobs && i < n; i++) {
		struct job *job = &ring->jobs[i];

		job->raw = malloc(o->chunk_size);
		job->sums = calloc(o->chunk_size / o->block_size,
				   sizeof(*job->sums));
		job->packed = malloc(pack_bound(o->chunk_size));
		if (!job->raw || !job->sums || !job->packed)
			return -1;
	}
	return ring->jobs ? 0 : -1;
}

static void stop_workers(struct maker *m)
{
	pthread_mutex_lock(&m->ring.lock);
	m->ring.stop = 1;
	pthread_cond_broadcast(&m->ring.changed);
	pthread_mutex_unlock(&m->ring.lock);
	while (m->n_threads)
		pthread_join(m->threads[--m->n_threads], NULL);
	free(m->threads);
	free_jobs(&m->ring);
}

static int start_workers(struct maker *m)
{
	unsigned int n = m->options->threads;

	if (!n)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_mutex_init(&m->ring.lock, NULL);
	pthread_cond_init(&m->ring.changed, NULL);
	m->threads = calloc(n, sizeof(*m->threads));
	if (!m->threads || make_jobs(m, 4 * n))
		return error("out of memory for %u threads", n);
	while (m->n_threads < n)
		if (pthread_create(&m->threads[m->n_threads++], NULL, worker,
				   m)) {
			m->n_threads--;
			return error("cannot start thread %u", m->n_threads);
		}
	return 0;
}

int diff_check_out(const char *out, const char *old, const char *new)
{
	struct stat st, other;

	if (stat(out, &st))
		return 0;
	for (int i = 0; i < 2; i++)
		if (!stat(i ? new : old, &other) && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino)
			return error("'%s' is both image and diff", out);
	return 0;
}

static int make_file(struct maker *m)
{
	int r = -1;

	if (outfile_begin(&m->file, m->out))
		return -1;
	if (!start_workers(m))
		r = write_file(m);
	stop_workers(m);
	return outfile_end(&m->file, r);
}

static int make_between(struct maker *m, struct diff_result *result)
{
	int r;

	m->block_bits = __builtin_ctz(m->options->block_size);
	r = make_file(m);
	result->blocks = ((m->new.size - 1) >> m->block_bits) + 1;
	result->changed = m->n ? m->n - 1 : 0;
	result->size = m->size;
	free(m->entries);
	return r;
}

int diff_make(const char *old, const char *new, const char *out,
	      const struct diff_options *options, struct diff_result *result)
{
	struct maker m = { .options = options, .out = out };
	int r = -1;

	if (diff_check_out(out, old, new))
		return -1;
	if (!image_open(&m.old, old) && !image_open(&m.new, new) &&
	    !image_filled(&m.new))
		r = make_between(&m, result);
	image_close(&m.new);
	image_close(&m.old);
	return r;
}

/* ---- reading ------------------------------------------------------------ */

struct reader {
	struct dev *dev;
	struct update_dir dir;
	struct dev *old, *image;
	uint32_t loaded; /* the chunk in raw */
	uint8_t *raw, *packed;
};

/* Exactly @size bytes are wanted, or at least @size where @most is larger. */
static int unpack_whole(struct reader *rd, enum update_compression compression,
			void *to, size_t size, size_t most, const void *from,
			size_t len)
{
	size_t n = unpack(compression, dev_name(rd->dev), to, most, from, len);

	if (n >= size)
		return 0;
	return n ? error("'%s': %zu bytes decompressed, expected %zu",
			 dev_name(rd->dev), n, size)
		 : -1;
}

static int load_chunk(struct reader *rd, uint32_t c)
{
	const struct update_chunk *chunk = &rd->dir.chunks[c];
	uint32_t len = update_chunk_packed(&rd->dir, c);

	if (rd->loaded == c)
		return 0;
	rd->loaded = UINT32_MAX;
	if (dev_read(rd->dev, chunk->src, rd->packed, len) ||
	    unpack_whole(rd, rd->dir.compression, rd->raw, chunk->need,
			 rd->dir.chunk_bytes, rd->packed, len))
		return error("'%s': chunk %u at byte %llu is bad",
			     dev_name(rd->dev), c,
			     (unsigned long long)chunk->src);
	rd->loaded = c;
	return 0;
}

static struct update_dirent *load_entries(struct reader *rd,
					  const struct update_geometry *g)
{
	size_t size = g->dir_n * sizeof(struct update_dirent);
	struct update_dirent *entries = plat_alloc(size);
	void *packed = malloc(g->dir_packed);
	int r;

	if (!packed || !entries)
		r = error("out of memory for the directory of '%s'",
			  dev_name(rd->dev));
	else
		r = dev_read(rd->dev, g->dir_offset, packed, g->dir_packed);
	if (!r)
		r = unpack_whole(rd, g->compression, entries, size, size,
				 packed, g->dir_packed);
	free(packed);
	if (r) {
		plat_free(entries);
		return NULL;
	}
	return entries;
}

static int load_directory(struct reader *rd)
{
	uint64_t file = dev_size(rd->dev), image = dev_size(rd->image);
	struct update_geometry g;
	struct update_super super;
	struct update_dirent *entries;
	const char *why;

	if (dev_read(rd->dev, 0, &super, sizeof(super)))
		return -1;
	if (update_super_parse(&super, file, image, &g, &why))
		return error("'%s': %s", dev_name(rd->dev), why);
	entries = load_entries(rd, &g);
	if (!entries)
		return -1;
	if (update_dir_init(&rd->dir, &g, file, image, entries, &why)) {
		plat_free(entries);
		return error("'%s': %s", dev_name(rd->dev), why);
	}
	return 0;
}

/* What is not in the diff, from byte @from to @to. */
static int copy_old(struct reader *rd, uint64_t from, uint64_t to)
{
	uint8_t *piece;
	int r = 0;

	if (rd->old == rd->image)
		return 0;
	piece = malloc(PIECE);
	if (!piece)
		return error("out of memory");
	while (!r && from < to) {
		size_t len = to - from < PIECE ? to - from : PIECE;

		r = dev_read(rd->old, from, piece, len);
		if (!r)
			r = dev_write(rd->image, from, piece, len);
		from += len;
	}
	free(piece);
	return r;
}

static int apply_entry(struct reader *rd, uint32_t i)
{
	uint32_t size = 1u << rd->dir.block_bits;
	uint64_t at = update_dir_dest(&rd->dir, i) << rd->dir.block_bits;

	if (load_chunk(rd, update_dir_chunk(&rd->dir, i)))
		return -1;
	return dev_write(rd->image, at,
			 rd->raw + update_dir_offset(&rd->dir, i),
			 left_at(dev_size(rd->image), at, size));
}

static int apply_all(struct reader *rd)
{
	uint64_t done = 0;

	for (uint32_t i = 0; i < rd->dir.n; i++) {
		uint64_t at = update_dir_dest(&rd->dir, i)
			      << rd->dir.block_bits;

		if (copy_old(rd, done, at) || apply_entry(rd, i))
			return -1;
		done = at + left_at(dev_size(rd->image), at,
				    1u << rd->dir.block_bits);
	}
	if (copy_old(rd, done, dev_size(rd->image)))
		return -1;
	return dev_flush(rd->image);
}

static int apply_opened(struct reader *rd)
{
	int r;

	if (!dev_size(rd->image))
		return error("'%s' is empty", dev_name(rd->image));
	if (load_directory(rd))
		return -1;
	rd->raw = malloc(rd->dir.chunk_bytes);
	rd->packed = malloc(
		update_packed_limit(rd->dir.compression, rd->dir.chunk_bytes));
	if (rd->raw && rd->packed)
		r = apply_all(rd);
	else
		r = error("out of memory for a chunk");
	free(rd->packed);
	free(rd->raw);
	update_dir_exit(&rd->dir);
	return r;
}

int diff_apply(struct dev *old, const char *path, struct dev *image)
{
	struct reader rd = { .old = old, .image = image, .loaded = UINT32_MAX };
	int r;

	rd.dev = dev_open(path, DEV_READ);
	if (!rd.dev)
		return -1;
	r = apply_opened(&rd);
	dev_close(rd.dev);
	return r;
}
