// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "diff-tool.h"
#include "err.h"
#include "sign-token.h"
#include "verify.h"

bool is_token(const char *key)
{
	return !strncmp(key, "pkcs11:", 7);
}

/* The part behind '?' may hold the PIN, which is nobody's to read. */
static int no_signature(const char *uri)
{
	return error("cannot sign with '%.*s': openssl, asked for its pkcs11 "
		     "engine, made no signature; see 'bowline bundle --help'",
		     (int)strcspn(uri, "?"), uri);
}

static int sign(const char *uri, FILE *in, uint8_t *signature, size_t *len)
{
	const char *const argv[] = { "openssl", "dgst",	  "-sha256",
				     "-engine", "pkcs11", "-keyform",
				     "engine",	"-sign",  uri,
				     NULL };
	struct tool tool;
	bool whole;

	if (tool_begin(&tool, argv, in))
		return error("cannot start openssl to sign with a token");
	*len = fread(signature, 1, SIGNATURE_MAX, tool.out);
	whole = fgetc(tool.out) == EOF;
	return tool_end(&tool) || !*len || !whole ? no_signature(uri) : 0;
}

int token_sign(const char *uri, const void *text, size_t len,
	       uint8_t *signature, size_t *signature_len)
{
	FILE *in = tmpfile();
	int r;

	if (!in)
		return error_errno("cannot make a file for openssl to sign");
	if (fwrite(text, 1, len, in) != len || fflush(in) ||
	    fseek(in, 0, SEEK_SET))
		r = error_errno("cannot write a file for openssl to sign");
	else
		r = sign(uri, in, signature, signature_len);
	fclose(in);
	return r;
}
