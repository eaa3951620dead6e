// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "cmdline.h"
#include "install.h"
#include "options.h"
#include "verbs.h"

const char help_install[] =
	"check a bundle, write it, and start its trial with the next boot\n"
	"\n"
	"usage: bowline install [OPTION...] BUNDLE\n"
	"\n"
	"BUNDLE is a file that 'bowline bundle' made, its URL (http:// or\n"
	"https://), or '-' for standard input. Checked before anything is\n"
	"written: that no other update is under way, the signature by a\n"
	"trusted key, the board and its hardware revision, the version, the\n"
	"sizes of the partitions, and that the system partition holds the\n"
	"image from which the update was made. Each piece is checked before\n"
	"it is written, and all of it is read back from the medium. Then one\n"
	"store of the environment makes the other slot the one to try at the\n"
	"next boot.\n"
	"\n"
	"A link that dies is taken up again at the byte where it stopped.\n"
	"Called again, after a reboot perhaps, install begins with the first\n"
	"piece that is not there yet.\n"
	"\n"
	"A bundle without a kernel takes the running slot's along. The same\n"
	"version may be installed again; an older one is refused.\n"
	"\n"
	"  --board FILE        the board file, instead of $BOWLINE_BOARD,\n"
	"                      /run/bowline/board.conf or\n"
	"                      /etc/bowline/board.conf\n"
	"  --allow-downgrade   permit a version older than the running one;\n"
	"                      the bundle's least version still holds\n"
	"  --rate BYTES        read no more in a second; K, M or G may\n"
	"                      follow\n"
	"  --retries N         give a link up after so many failures without\n"
	"                      a byte between them (20)\n"
	"  --timeout SECONDS   without a byte, that is a failure (30)\n"
	"  --ca FILE           certificates to trust for https, instead of\n"
	"                      those in /etc/ssl/certs\n"
	"\n"
	"Exit status: 0 the trial begins with the next boot; 1 refused or\n"
	"failed, and the next boot is as if nothing had been done; 2 wrong\n"
	"usage.\n";

#define MOST_RATE (1ull << 40)

static int number(const char *name, const char *text, uint64_t least,
		  uint64_t most, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || *n < least ||
	    *n > most)
		return usage_error("install",
				   "--%s is '%s', expected %llu to %llu", name,
				   text, (unsigned long long)least,
				   (unsigned long long)most);
	return 0;
}

static int read_rate(const char *text, uint64_t *rate)
{
	if (option_size(text, rate) && *rate && *rate <= MOST_RATE)
		return 0;
	return usage_error("install",
			   "--rate is '%s', expected bytes a second, 1 to "
			   "1024G",
			   text);
}

struct texts {
	const char *rate, *retries, *timeout;
};

static int read_numbers(const struct texts *t, struct stream_options *o)
{
	uint64_t retries = STREAM_RETRIES, timeout = STREAM_TIMEOUT;

	if ((t->rate && read_rate(t->rate, &o->rate)) ||
	    (t->retries &&
	     number("retries", t->retries, 0, 1000000, &retries)) ||
	    (t->timeout && number("timeout", t->timeout, 1, 86400, &timeout)))
		return 2;
	o->retries = retries;
	o->timeout = timeout;
	return 0;
}

int cmd_install(int argc, char **argv)
{
	const char *board_file = NULL, *bundle;
	struct install_options options = { 0 };
	struct texts texts = { 0 };
	const struct opt opts[] = {
		{ "board", 0, &board_file, NULL },
		{ "allow-downgrade", 0, NULL, &options.allow_downgrade },
		{ "rate", 0, &texts.rate, NULL },
		{ "retries", 0, &texts.retries, NULL },
		{ "timeout", 0, &texts.timeout, NULL },
		{ "ca", 0, &options.stream.ca, NULL },
		{ 0 },
	};
	struct cmdline cmd;
	struct board board;

	if (options_parse("install", argc, argv, opts, "BUNDLE", &bundle) ||
	    read_numbers(&texts, &options.stream))
		return 2;
	if (board_load(&board, board_file))
		return 1;
	cmdline_running(&cmd);
	return install_bundle(&board, cmd.slot, bundle, &options) ? 1 : 0;
}
