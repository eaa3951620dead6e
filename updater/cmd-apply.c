// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply.h"
#include "diff.h"
#include "err.h"
#include "options.h"
#include "outfile.h"
#include "verbs.h"

const char help_apply[] =
	"make the new image from the old one and a diff\n"
	"\n"
	"usage: bowline apply OLD DIFF -o NEW\n"
	"       bowline apply --in-place OLD DIFF [--progress FILE [--offset "
	"N]]\n"
	"       bowline apply --check OLD DIFF\n"
	"\n"
	"Does in user space what the update target does in the kernel: OLD is\n"
	"the system image that DIFF was made for, a file or a block device.\n"
	"\n"
	"  -o, --output NEW   the new image; replaced only when it is complete\n"
	"  --in-place         change OLD into the new image; called again after\n"
	"                     an interruption, it goes on\n"
	"  --progress FILE    with --in-place: where progress and saved bytes\n"
	"                     are kept, a device or a file, made if it is not\n"
	"                     there; needed for a diff of format 1\n"
	"  --offset N         where in FILE, in bytes, a multiple of 4096 (0)\n"
	"  --check            write nothing: prove that DIFF gives the new "
	"image,\n"
	"                     and that OLD can be changed in place in its "
	"order,\n"
	"                     whenever the power fails\n"
	"\n"
	"A diff of format 0 does not say how long the new image is, nor which\n"
	"old image it is for: NEW is as long as OLD, and it cannot be checked.\n"
	"\n"
	"Exit status: 0 done, 1 failed and NEW is as it was, 2 usage.\n";

struct command {
	const char *old, *diff, *out, *progress;
	uint64_t offset;
	bool in_place, check;
	struct dev *diff_dev; /* open while a diff of format 1 is read */
	struct v1_reader rd;
};

/* ---- to another file ----------------------------------------------------- */

static int resize(const char *path, uint64_t size)
{
	if (truncate(path, size))
		return error_errno("cannot make '%s' %llu bytes long", path,
				   (unsigned long long)size);
	return 0;
}

static int write_image(struct command *c, struct dev *old, struct dev *image)
{
	return c->diff_dev ? apply_to(&c->rd, old, image)
			   : diff_apply(old, c->diff, image);
}

/* The output as a device, of the new image's size. */
static int fill_output(struct command *c, struct dev *old,
		       const struct outfile *file)
{
	uint64_t size = c->diff_dev ? c->rd.dir.g.new_size : dev_size(old);
	struct dev *image;
	int r;

	if (resize(file->growing, size))
		return -1;
	image = dev_open(file->growing, DEV_WRITE);
	r = image ? write_image(c, old, image) : -1;
	dev_close(image);
	return r;
}

static int to_output(struct command *c)
{
	struct dev *old = dev_open(c->old, DEV_READ);
	struct outfile file;
	int r = -1;

	if (old && (!c->diff_dev || !apply_base(&c->rd, old)) &&
	    !outfile_begin(&file, c->out))
		r = outfile_end(&file, fill_output(c, old, &file));
	dev_close(old);
	return r;
}

/* ---- in place ------------------------------------------------------------ */

/* Of a file; 0 of one that is not there. A device cannot grow: UINT64_MAX. */
static uint64_t file_size(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return 0;
	return S_ISREG(st.st_mode) ? (uint64_t)st.st_size : UINT64_MAX;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) || stat(b, &y))
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A file that is there is at least so long, or made. */
static int make_room(const char *path, uint64_t size)
{
	int fd;

	if (file_size(path) >= size)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_errno("cannot create '%s'", path);
	close(fd);
	return resize(path, size);
}

static int check_old(struct command *c)
{
	struct dev *old = dev_open(c->old, DEV_READ);
	int r = old ? apply_base(&c->rd, old) : -1;

	dev_close(old);
	return r;
}

static int merge(struct command *c)
{
	struct dev *system = dev_open(c->old, DEV_WRITE);
	struct dev *stage = system ? dev_open(c->progress, DEV_WRITE) : NULL;
	int r = stage ? apply_in_place(&c->rd, system, stage, c->offset) : -1;

	dev_close(stage);
	dev_close(system);
	return r;
}

/*
 * Files that are too short, or not there, are made longer. If there are such,
 * no merge was begun: then OLD is looked at before anything is changed.
 */
static int make_rooms(struct command *c)
{
	const struct update1_geometry *g = &c->rd.dir.g;
	uint64_t image = g->old_size > g->new_size ? g->old_size : g->new_size;
	uint64_t stage = c->offset + update1_progress_size(g);

	if (file_size(c->old) >= image && file_size(c->progress) >= stage)
		return 0;
	if (check_old(c) || make_room(c->progress, stage))
		return -1;
	return make_room(c->old, image);
}

/* A file gets the length of the new image; a device keeps its own. */
static int merge_sized(struct command *c)
{
	if (same_file(c->progress, c->old) || same_file(c->progress, c->diff))
		return error("'%s' cannot keep the progress: it is the %s",
			     c->progress,
			     same_file(c->progress, c->old) ? "image" : "diff");
	if (make_rooms(c) || merge(c))
		return -1;
	return file_size(c->old) == UINT64_MAX
		       ? 0
		       : resize(c->old, c->rd.dir.g.new_size);
}

static int in_place(struct command *c)
{
	struct dev *system;
	int r;

	if (c->diff_dev) {
		if (!c->progress)
			return error("'%s' is of format 1: --in-place needs "
				     "--progress FILE",
				     c->diff);
		return merge_sized(c);
	}
	system = dev_open(c->old, DEV_WRITE);
	r = system ? diff_apply(system, c->diff, system) : -1;
	dev_close(system);
	return r;
}

/* ---- a proof ------------------------------------------------------------- */

static int check(struct command *c)
{
	const struct update1_geometry *g = &c->rd.dir.g;
	struct dev *old;
	int r = -1;

	if (!c->diff_dev)
		return error("'%s' is of format 0, which cannot be checked",
			     c->diff);
	old = dev_open(c->old, DEV_READ);
	if (old && !apply_base(&c->rd, old) && !apply_check_order(&c->rd))
		r = apply_to(&c->rd, old, NULL);
	dev_close(old);
	if (!r)
		say("'%s': right: %llu blocks in %u extents and %u epochs, "
		    "%u saves",
		    c->diff, (unsigned long long)g->changed, g->n_extents,
		    g->n_epochs, g->n_saves);
	return r;
}

/* ---- the command line ---------------------------------------------------- */

static int run(struct command *c)
{
	if (c->check)
		return check(c);
	return c->in_place ? in_place(c) : to_output(c);
}

static int run_opened(struct command *c, struct dev *dev)
{
	int format = v1_format(dev), r;

	if (format < 0)
		return -1;
	if (format == 0)
		return run(c);
	if (v1_open(&c->rd, dev))
		return -1;
	c->diff_dev = dev;
	r = run(c);
	v1_close(&c->rd);
	return r;
}

static int parse_offset(const char *text, uint64_t *offset)
{
	char *end;

	errno = 0;
	*offset = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || *offset % 4096 ||
	    *offset > INT64_MAX)
		return usage_error("apply",
				   "--offset is '%s', expected a multiple of "
				   "4096",
				   text);
	return 0;
}

static int parse(struct command *c, int argc, char **argv)
{
	const char *offset = "0", *args[2];
	const struct opt opts[] = {
		{ "output", 'o', &c->out, NULL },
		{ "in-place", 0, NULL, &c->in_place },
		{ "check", 0, NULL, &c->check },
		{ "progress", 0, &c->progress, NULL },
		{ "offset", 0, &offset, NULL },
		{ 0 },
	};

	if (options_parse("apply", argc, argv, opts, "OLD DIFF", args))
		return 2;
	c->old = args[0];
	c->diff = args[1];
	if (!!c->out + c->in_place + c->check != 1)
		return usage_error("apply", "expected one of --output, "
					    "--in-place and --check");
	if (c->progress && !c->in_place)
		return usage_error("apply", "--progress is for --in-place");
	return parse_offset(offset, &c->offset);
}

int cmd_apply(int argc, char **argv)
{
	struct command c = { 0 };
	struct dev *dev;
	int r;

	if (parse(&c, argc, argv))
		return 2;
	dev = dev_open(c.diff, DEV_READ);
	r = dev ? run_opened(&c, dev) : -1;
	dev_close(dev);
	return r ? 1 : 0;
}
