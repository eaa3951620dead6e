/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hashes and signatures. verify.c is the only file that includes mbedtls.
 *
 * A signature is what "openssl dgst -sha256 -sign key.pem" makes: ECDSA over
 * P-256 in DER, or RSA (PKCS #1 v1.5, 2048 to 8192 bits), over SHA-256.
 */
#ifndef BOWLINE_VERIFY_H
#define BOWLINE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE     32
#define SIGNATURE_MAX 1024 /* bytes: RSA of 8192 bits */

struct sha256 {
	uint64_t opaque[16];
};

void sha256_start(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *data, size_t len);
void sha256_end(struct sha256 *sha, uint8_t hash[HASH_SIZE]);
void sha256(const void *data, size_t len, uint8_t hash[HASH_SIZE]);

/*
 * Is the signature one over text by any public key in folder/ *.pem? A key
 * file that cannot be used, or whose Not-After is past by this machine's clock,
 * is skipped, so that it cannot stand in the way of the others. 0, or -1 after
 * error().
 */
int verify_signature(const char *folder, const void *text, size_t len,
		     const void *signature, size_t signature_len);

/* The same without a word: does a key in the folder vouch for the text? */
bool signature_trusted(const char *folder, const void *text, size_t len,
		       const void *signature, size_t signature_len);

/*
 * Signs text with the private key in a PEM file (not encrypted). signature has
 * room for SIGNATURE_MAX bytes. 0, or -1 after error().
 */
int sign_text(const char *key_file, const void *text, size_t len,
	      void *signature, size_t *signature_len);

#endif
