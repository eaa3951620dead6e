/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signatures by a key that never leaves its PKCS #11 token. */
#ifndef BOWLINE_SIGN_TOKEN_H
#define BOWLINE_SIGN_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is the name of a key one of such a token, "pkcs11:..."? */
bool is_token(const char *key);
/*
 * Has the program openssl sign the text with its pkcs11 engine. signature has
 * room for SIGNATURE_MAX bytes. 0, or -1 after error().
 */
int token_sign(const char *uri, const void *text, size_t len,
	       uint8_t *signature, size_t *signature_len);

#endif
