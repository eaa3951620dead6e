// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device checks signatures with mbedtls' curve and big number functions
 * and reads public keys itself: mbedtls_pk_* would link its parsers of
 * encrypted private keys, ciphers and every hash, 150 KiB of them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

#include "err.h"
#include "verify.h"

/* ---- SHA-256 ------------------------------------------------------------- */

_Static_assert(sizeof(struct sha256) >= sizeof(mbedtls_sha256_context),
	       "struct sha256 is too small");

static mbedtls_sha256_context *context(struct sha256 *sha)
{
	return (mbedtls_sha256_context *)sha->opaque;
}

void sha256_start(struct sha256 *sha)
{
	mbedtls_sha256_init(context(sha));
	mbedtls_sha256_starts_ret(context(sha), 0);
}

void sha256_add(struct sha256 *sha, const void *data, size_t len)
{
	mbedtls_sha256_update_ret(context(sha), data, len);
}

void sha256_end(struct sha256 *sha, uint8_t hash[HASH_SIZE])
{
	mbedtls_sha256_finish_ret(context(sha), hash);
	mbedtls_sha256_free(context(sha));
}

void sha256(const void *data, size_t len, uint8_t hash[HASH_SIZE])
{
	struct sha256 sha;

	sha256_start(&sha);
	sha256_add(&sha, data, len);
	sha256_end(&sha, hash);
}

/* ---- public keys --------------------------------------------------------- */

#define PEM_MAX 8192 /* bytes of a key file */
#define RSA_MIN 256  /* bytes of the modulus */
#define RSA_MAX 1024

/* The two algorithms, as AlgorithmIdentifiers in DER (RFC 5480, RFC 3279). */
static const uint8_t p256_key[] = { 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
				    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
				    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t rsa_key[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a,
				   0x86, 0x48, 0x86, 0xf7, 0x0d,
				   0x01, 0x01, 0x01, 0x05, 0x00 };

/* What is signed with PKCS #1 v1.5 before the hash: DigestInfo of SHA-256. */
static const uint8_t digest_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
				       0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
				       0x01, 0x05, 0x00, 0x04, 0x20 };

struct signature {
	const uint8_t *bytes;
	size_t len;
	uint8_t hash[HASH_SIZE]; /* of what is signed */
};

static bool starts_with(const uint8_t *p, const uint8_t *end,
			const uint8_t *head, size_t len)
{
	return (size_t)(end - p) > len && !memcmp(p, head, len);
}

/* signature: SEQUENCE { INTEGER r, INTEGER s } and nothing behind it. */
static bool read_r_s(const struct signature *sig, mbedtls_mpi *r,
		     mbedtls_mpi *s)
{
	unsigned char *p = (unsigned char *)sig->bytes;
	const unsigned char *end = p + sig->len;
	size_t len;

	return !mbedtls_asn1_get_tag(&p, end, &len,
				     MBEDTLS_ASN1_CONSTRUCTED |
					     MBEDTLS_ASN1_SEQUENCE) &&
	       p + len == end && !mbedtls_asn1_get_mpi(&p, end, r) &&
	       !mbedtls_asn1_get_mpi(&p, end, s) && p == end;
}

/* 1 = signed by this key, 0 = not, -1 = not a usable key. */
static int check_p256(const uint8_t *point, size_t len,
		      const struct signature *sig)
{
	mbedtls_ecp_group group;
	mbedtls_ecp_point q;
	mbedtls_mpi r, s;
	int result = -1;

	mbedtls_ecp_group_init(&group);
	mbedtls_ecp_point_init(&q);
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	if (!mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) &&
	    !mbedtls_ecp_point_read_binary(&group, &q, point, len) &&
	    !mbedtls_ecp_check_pubkey(&group, &q))
		result = read_r_s(sig, &r, &s) &&
			 !mbedtls_ecdsa_verify(&group, sig->hash, HASH_SIZE, &q,
					       &r, &s);
	mbedtls_mpi_free(&s);
	mbedtls_mpi_free(&r);
	mbedtls_ecp_point_free(&q);
	mbedtls_ecp_group_free(&group);
	return result;
}

/*
 * The one right block for a hash, to be compared whole: nothing of what the
 * signature holds is parsed.
 */
static void rsa_block(uint8_t *block, size_t len, const uint8_t *hash)
{
	size_t tail = sizeof(digest_info) + HASH_SIZE;

	memset(block, 0xff, len);
	block[0] = 0;
	block[1] = 1;
	block[len - tail - 1] = 0;
	memcpy(block + len - tail, digest_info, sizeof(digest_info));
	memcpy(block + len - HASH_SIZE, hash, HASH_SIZE);
}

static bool rsa_matches(mbedtls_mpi *n, const mbedtls_mpi *e, mbedtls_mpi *x,
			const struct signature *sig)
{
	size_t len = mbedtls_mpi_size(n);
	uint8_t want[RSA_MAX], got[RSA_MAX];

	rsa_block(want, len, sig->hash);
	return sig->len == len &&
	       !mbedtls_mpi_read_binary(x, sig->bytes, sig->len) &&
	       mbedtls_mpi_cmp_mpi(x, n) < 0 &&
	       !mbedtls_mpi_exp_mod(x, x, e, n, NULL) &&
	       !mbedtls_mpi_write_binary(x, got, len) &&
	       !memcmp(got, want, len);
}

static bool rsa_usable(const mbedtls_mpi *n, const mbedtls_mpi *e)
{
	size_t len = mbedtls_mpi_size(n);

	return len >= RSA_MIN && len <= RSA_MAX && n->s > 0 && e->s > 0 &&
	       mbedtls_mpi_get_bit(n, 0) && mbedtls_mpi_get_bit(e, 0) &&
	       mbedtls_mpi_cmp_int(e, 3) >= 0 && mbedtls_mpi_size(e) <= 8;
}

/* key: SEQUENCE { INTEGER n, INTEGER e } */
static int check_rsa(const uint8_t *key, size_t key_len,
		     const struct signature *sig)
{
	unsigned char *p = (unsigned char *)key;
	const unsigned char *end = p + key_len;
	mbedtls_mpi n, e, x;
	int result = -1;
	size_t len;

	mbedtls_mpi_init(&n);
	mbedtls_mpi_init(&e);
	mbedtls_mpi_init(&x);
	if (!mbedtls_asn1_get_tag(&p, end, &len,
				  MBEDTLS_ASN1_CONSTRUCTED |
					  MBEDTLS_ASN1_SEQUENCE) &&
	    p + len == end && !mbedtls_asn1_get_mpi(&p, end, &n) &&
	    !mbedtls_asn1_get_mpi(&p, end, &e) && p == end &&
	    rsa_usable(&n, &e))
		result = rsa_matches(&n, &e, &x, sig);
	mbedtls_mpi_free(&x);
	mbedtls_mpi_free(&e);
	mbedtls_mpi_free(&n);
	return result;
}

/* der: SubjectPublicKeyInfo. Returns as check_p256(). */
static int check_key(const uint8_t *der, size_t der_len,
		     const struct signature *sig)
{
	unsigned char *p = (unsigned char *)der;
	const unsigned char *end = p + der_len;
	bool p256;
	size_t len;

	if (mbedtls_asn1_get_tag(&p, end, &len,
				 MBEDTLS_ASN1_CONSTRUCTED |
					 MBEDTLS_ASN1_SEQUENCE) ||
	    p + len != end)
		return -1;
	p256 = starts_with(p, end, p256_key, sizeof(p256_key));
	if (!p256 && !starts_with(p, end, rsa_key, sizeof(rsa_key)))
		return -1;
	p += p256 ? sizeof(p256_key) : sizeof(rsa_key);
	/* A bit string of whole bytes: the first says how many bits are not. */
	if (mbedtls_asn1_get_tag(&p, end, &len, MBEDTLS_ASN1_BIT_STRING) ||
	    p + len != end || len < 2 || *p)
		return -1;
	return p256 ? check_p256(p + 1, len - 1, sig)
		    : check_rsa(p + 1, len - 1, sig);
}

/* Bytes read, at most room; -1 with errno. */
static ssize_t read_small_file(int folder, const char *name, char *buf,
			       size_t room)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, room);
	close(fd);
	return n;
}

#define DAY 86400

/*
 * The second from which on the key is not trusted, by the line "Not-After:
 * YYYY-MM-DD" before the key, in UTC, that day included. 0: there is none, -1:
 * it is no such day.
 */
static time_t expiry(const char *pem)
{
	static const char name[] = "Not-After:";
	const char *line = strstr(pem, name);
	struct tm day = { 0 }, same;
	char rest;
	time_t t;

	if (!line)
		return 0;
	if ((line != pem && line[-1] != '\n') ||
	    sscanf(line + sizeof(name) - 1, " %4d-%2d-%2d%c", &day.tm_year,
		   &day.tm_mon, &day.tm_mday, &rest) != 4 ||
	    !strchr("\r\n", rest) || day.tm_year < 1970)
		return -1;
	day.tm_year -= 1900;
	day.tm_mon--;
	same = day;
	t = timegm(&same);
	return same.tm_mon == day.tm_mon && same.tm_mday == day.tm_mday
		       ? t + DAY
		       : -1;
}

#define EXPIRED 2 /* signed by this key, too late */

static int check_key_file(int folder, const char *name,
			  const struct signature *sig)
{
	static const char head[] = "-----BEGIN PUBLIC KEY-----";
	static const char tail[] = "-----END PUBLIC KEY-----";
	char pem[PEM_MAX + 1];
	ssize_t n = read_small_file(folder, name, pem, PEM_MAX);
	char *from, *to;
	uint8_t der[PEM_MAX];
	size_t len;
	time_t end;
	int r;

	if (n < 0)
		return -1;
	pem[n] = 0;
	from = strstr(pem, head);
	to = from ? strstr(from, tail) : NULL;
	if (!to)
		return -1;
	*from = 0; /* what is before the key ends here */
	end = expiry(pem);
	from += sizeof(head) - 1;
	if (end < 0 || mbedtls_base64_decode(der, sizeof(der), &len,
					     (uint8_t *)from, to - from))
		return -1;
	r = check_key(der, len, sig);
	return r == 1 && end && time(NULL) >= end ? EXPIRED : r;
}

static bool is_pem(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, ".pem");
}

struct tally {
	unsigned int keys; /* usable ones that did not sign it */
	unsigned int bad;
	char bad_name[64];     /* of the last bad one */
	char expired_name[64]; /* one that signed it, or "" */
};

/* 1 = a key in the folder has signed it, 0 = none, -1 = no folder, errno. */
static int try_keys(const char *folder, const struct signature *sig,
		    struct tally *tally)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return -1;
	while (result != 1 && (entry = readdir(dir))) {
		if (!is_pem(entry->d_name))
			continue;
		result = check_key_file(dirfd(dir), entry->d_name, sig);
		tally->keys += result == 0;
		if (result == EXPIRED)
			snprintf(tally->expired_name,
				 sizeof(tally->expired_name), "%.60s",
				 entry->d_name);
		if (result < 0) {
			tally->bad++;
			snprintf(tally->bad_name, sizeof(tally->bad_name),
				 "%.60s", entry->d_name);
		}
	}
	closedir(dir);
	return result == 1;
}

bool signature_trusted(const char *folder, const void *text, size_t len,
		       const void *signature, size_t signature_len)
{
	struct signature sig = { .bytes = signature, .len = signature_len };
	struct tally tally = { 0 };

	sha256(text, len, sig.hash);
	return try_keys(folder, &sig, &tally) == 1;
}

int verify_signature(const char *folder, const void *text, size_t len,
		     const void *signature, size_t signature_len)
{
	struct signature sig = { .bytes = signature, .len = signature_len };
	struct tally tally = { 0 };
	int result;

	sha256(text, len, sig.hash);
	result = try_keys(folder, &sig, &tally);
	if (result < 0)
		return error_errno("cannot open the folder of trusted keys "
				   "'%s'",
				   folder);
	if (result)
		return 0;
	if (tally.expired_name[0])
		return error("the signature is by the key '%s' in '%s', which "
			     "is not trusted any more: its Not-After is past",
			     tally.expired_name, folder);
	if (tally.bad)
		return error("the signature is by none of the %u trusted keys "
			     "in '%s', and '%s' there is not a usable public "
			     "key",
			     tally.keys, folder, tally.bad_name);
	if (!tally.keys)
		return error("there is no trusted key (*.pem) in '%s'", folder);
	return error("the signature is by none of the %u trusted keys in '%s'",
		     tally.keys, folder);
}

/* ---- signing, on the build machine --------------------------------------- */

/* mbedtls' random source, for the blinding and the nonce of ECDSA. */
static int random_bytes(void *arg, unsigned char *buf, size_t len)
{
	while (len) {
		ssize_t n = getrandom(buf, len, 0);

		if (n < 0 && errno != EINTR)
			return MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE;
		if (n > 0) {
			buf += n;
			len -= n;
		}
	}
	return 0;
}

static bool can_be_verified(const mbedtls_pk_context *key)
{
	size_t bits = mbedtls_pk_get_bitlen(key);

	if (mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA)
		return bits >= 8 * RSA_MIN && bits <= 8 * RSA_MAX;
	return mbedtls_pk_get_type(key) == MBEDTLS_PK_ECKEY &&
	       mbedtls_pk_ec(*key)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

static int sign_with(mbedtls_pk_context *key, const char *key_file,
		     const uint8_t *hash, void *signature,
		     size_t *signature_len)
{
	if (!can_be_verified(key))
		return error("the key in '%s' is neither ECDSA P-256 nor RSA "
			     "of 2048 to 8192 bits",
			     key_file);
	if (mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, HASH_SIZE, signature,
			    signature_len, random_bytes, NULL))
		return error("cannot sign with the key in '%s'", key_file);
	return 0;
}

int sign_text(const char *key_file, const void *text, size_t len,
	      void *signature, size_t *signature_len)
{
	char pem[2 * PEM_MAX + 1];
	ssize_t n = read_small_file(AT_FDCWD, key_file, pem, sizeof(pem) - 1);
	uint8_t hash[HASH_SIZE];
	mbedtls_pk_context key;
	int r;

	if (n < 0)
		return error_errno("cannot read the key '%s'", key_file);
	pem[n] = 0;
	sha256(text, len, hash);
	mbedtls_pk_init(&key);
	r = mbedtls_pk_parse_key(&key, (uint8_t *)pem, n + 1, NULL, 0);
	explicit_bzero(pem, sizeof(pem));
	if (r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
		r = error("the key '%s' is encrypted: sign with openssl, see "
			  "'bowline bundle --help'",
			  key_file);
	else if (r)
		r = error("'%s' is not a private key in PEM", key_file);
	else
		r = sign_with(&key, key_file, hash, signature, signature_len);
	mbedtls_pk_free(&key);
	return r;
}
