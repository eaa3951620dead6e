// SPDX-License-Identifier: GPL-2.0-or-later
/* Hashes and signatures, with stock openssl on the other side. */
#include "capture.h"
#include "test.h"
#include "verify.h"

static const char text[] = "board=test\nversion=1\n";
#define TEXT_LEN (sizeof(text) - 1)

static void make_keys(void)
{
	run("mkdir ec rsa both none odd small && "
	    "openssl ecparam -name prime256v1 -genkey -noout -out ec.key && "
	    "openssl ecparam -name prime256v1 -genkey -noout -out ec2.key && "
	    "openssl ecparam -name secp384r1 -genkey -noout -out p384.key && "
	    "openssl genpkey -algorithm ed25519 -out ed.key && "
	    "openssl genrsa -out rsa.key 2048 2>/dev/null && "
	    "openssl genrsa -out weak.key 1024 2>/dev/null && "
	    "openssl ec -in ec.key -aes128 -passout pass:secret "
	    "  -out locked.key 2>/dev/null");
	run("for k in ec ec2 p384 ed rsa weak; do "
	    "openssl pkey -in $k.key -pubout -out $k.pub; done; "
	    "cp ec.pub ec/a.pem; cp rsa.pub rsa/a.pem; "
	    "cp ec2.pub both/a.pem; cp rsa.pub both/b.pem; cp ec.pub "
	    "both/c.pem; "
	    "cp p384.pub odd/a.pem; cp ed.pub odd/b.pem; cp weak.pub "
	    "odd/c.pem; "
	    "cp ec.pub odd/not-a-key; cp weak.pub small/a.pem; "
	    "mkdir both/folder.pem; echo junk >both/junk.pem");
	spill("text", text, TEXT_LEN);
}

static uint8_t *sign(const char *key, const char *options, size_t *len)
{
	run("openssl dgst %s -sign %s.key -out sig text", options, key);
	return (uint8_t *)slurp("sig", len);
}

/* Verifies on a copy that ends where its memory ends. */
static int verify(const char *folder, const void *sig, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, sig, len);
	capture_begin();
	r = verify_signature(folder, text, TEXT_LEN, copy, len);
	capture_end();
	free(copy);
	check(captured_errors() == (r ? 1 : 0));
	return r;
}

static void sha256_is_the_known_one(void)
{
	static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01,
				       0xcf, 0xea, 0x41, 0x41, 0x40, 0xde };
	uint8_t hash[HASH_SIZE], pieces[HASH_SIZE];
	struct sha256 sha;

	sha256("abc", 3, hash);
	check(!memcmp(hash, abc, sizeof(abc)));
	sha256_start(&sha);
	sha256_add(&sha, "a", 1);
	sha256_add(&sha, "", 0);
	sha256_add(&sha, "bc", 2);
	sha256_end(&sha, pieces);
	check(!memcmp(hash, pieces, HASH_SIZE));
}

static void what_openssl_signs_is_accepted(void)
{
	static const char *const keys[] = { "ec", "rsa" };

	for (int i = 0; i < 2; i++) {
		size_t len;
		uint8_t *sig = sign(keys[i], "-sha256", &len);

		check(!verify(keys[i], sig, len));
		check(!verify("both", sig, len));
		check(verify(keys[!i], sig, len));
		check(strstr(captured, "by none of the 1 trusted keys"));
		free(sig);
	}
}

static void what_we_sign_is_accepted_by_openssl(void)
{
	static const char *const keys[] = { "ec", "rsa" };
	uint8_t sig[SIGNATURE_MAX];
	char key[16];
	size_t len;

	for (int i = 0; i < 2; i++) {
		snprintf(key, sizeof(key), "%s.key", keys[i]);
		check(!sign_text(key, text, TEXT_LEN, sig, &len));
		spill("sig", sig, len);
		run("openssl dgst -sha256 -verify %s.pub -signature sig text "
		    ">/dev/null",
		    keys[i]);
		check(!verify(keys[i], sig, len));
	}
}

static void another_text_is_refused(void)
{
	size_t len;
	uint8_t *sig = sign("ec", "-sha256", &len);

	capture_begin();
	check(verify_signature("ec", text, TEXT_LEN - 1, sig, len));
	check(verify_signature("ec", "", 0, sig, len));
	capture_end();
	check(captured_errors() == 2);
	free(sig);
}

static void every_flipped_bit_is_refused(void)
{
	static const char *const keys[] = { "ec", "rsa" };

	for (int k = 0; k < 2; k++) {
		size_t len;
		uint8_t *sig = sign(keys[k], "-sha256", &len);

		for (size_t i = 0; i < 8 * len; i += k ? 7 : 1) {
			sig[i / 8] ^= 1 << i % 8;
			check(verify(keys[k], sig, len));
			sig[i / 8] ^= 1 << i % 8;
		}
		check(!verify(keys[k], sig, len));
		free(sig);
	}
}

static void another_length_is_refused(void)
{
	static const char *const keys[] = { "ec", "rsa" };
	uint8_t longer[SIGNATURE_MAX + 2] = { 0 };

	for (int k = 0; k < 2; k++) {
		size_t len;
		uint8_t *sig = sign(keys[k], "-sha256", &len);

		for (size_t n = 0; n < len; n++)
			check(verify(keys[k], sig, n));
		memcpy(longer, sig, len);
		check(verify(keys[k], longer, len + 1));
		check(verify(keys[k], longer, sizeof(longer)));
		memmove(longer + 1, sig, len);
		longer[0] = 0;
		check(verify(keys[k], longer, len + 1));
		free(sig);
	}
}

static void nonsense_is_refused(void)
{
	static const uint8_t zero_r_s[] = { 0x30, 6, 2, 1, 0, 2, 1, 0 };
	static const uint8_t one_r_s[] = { 0x30, 6, 2, 1, 1, 2, 1, 1 };
	uint8_t bytes[256];

	check(verify("both", zero_r_s, sizeof(zero_r_s)));
	check(verify("both", one_r_s, sizeof(one_r_s)));
	memset(bytes, 0, sizeof(bytes));
	check(verify("both", bytes, sizeof(bytes)));
	bytes[255] = 1;
	check(verify("both", bytes, sizeof(bytes)));
	memset(bytes, 0xff, sizeof(bytes));
	check(verify("both", bytes, sizeof(bytes)));
}

static void other_schemes_are_refused(void)
{
	size_t len;
	uint8_t *sig = sign("rsa", "-sha1", &len);

	check(verify("rsa", sig, len));
	free(sig);
	sig = sign("rsa", "-sha256 -sigopt rsa_padding_mode:pss", &len);
	check(verify("rsa", sig, len));
	free(sig);
	sig = sign("ec", "-sha384", &len);
	check(verify("ec", sig, len));
	free(sig);
}

static void unfit_keys_are_not_trusted(void)
{
	size_t len;
	uint8_t *sig = sign("weak", "-sha256", &len);

	check(verify("small", sig, len));
	check(strstr(captured, "'a.pem' there is not a usable public key"));
	free(sig);
	sig = sign("p384", "-sha256", &len);
	check(verify("odd", sig, len));
	check(strstr(captured, "none of the 0 trusted keys"));
	free(sig);
	sig = sign("ec", "-sha256", &len);
	check(verify("odd", sig, len)); /* only *.pem is a key */
	check(verify("none", sig, len));
	check(strstr(captured, "there is no trusted key (*.pem) in 'none'"));
	check(verify("missing", sig, len));
	check(strstr(captured, "cannot open the folder of trusted keys"));
	free(sig);
}

/* Damaged key files: whatever is left of them never trusts another key. */
static void damaged_keys_are_harmless(void)
{
	static const char *const keys[] = { "ec2", "rsa" };
	size_t sig_len;
	uint8_t *sig = sign("ec", "-sha256", &sig_len);

	run("mkdir damaged");
	for (int k = 0; k < 2; k++) {
		char path[16];
		size_t len;
		char *pem;

		snprintf(path, sizeof(path), "%s.pub", keys[k]);
		pem = slurp(path, &len);
		for (size_t n = 0; n < len; n++) {
			spill("damaged/a.pem", pem, n);
			check(verify("damaged", sig, sig_len));
		}
		for (size_t i = 0; i < len; i++) {
			pem[i] ^= 1 << i % 7;
			spill("damaged/a.pem", pem, len);
			check(verify("damaged", sig, sig_len));
			pem[i] ^= 1 << i % 7;
		}
		free(pem);
	}
	free(sig);
}

static void a_key_that_cannot_sign_is_refused(void)
{
	static const struct {
		const char *key, *message;
	} bad[] = {
		{ "missing", "cannot read the key 'missing'" },
		{ "locked.key", "'locked.key' is encrypted" },
		{ "text", "'text' is not a private key" },
		{ "ec.pub", "'ec.pub' is not a private key" },
		{ "p384.key", "'p384.key' is neither ECDSA P-256 nor RSA" },
		{ "weak.key", "'weak.key' is neither ECDSA P-256 nor RSA" },
		{ "ed.key", "'ed.key' is not a private key" },
	};
	uint8_t sig[SIGNATURE_MAX];
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		capture_begin();
		check(sign_text(bad[i].key, text, TEXT_LEN, sig, &len) == -1);
		capture_end();
		check(captured_errors() == 1);
		if (!strstr(captured, bad[i].message)) {
			printf("%s: %s", bad[i].key, captured);
			check(!"the message");
		}
	}
}

static const struct test tests[] = {
	{ "sha-256 is the known one", sha256_is_the_known_one },
	{ "what openssl signs is accepted", what_openssl_signs_is_accepted },
	{ "what we sign is accepted by openssl",
	  what_we_sign_is_accepted_by_openssl },
	{ "another text is refused", another_text_is_refused },
	{ "every flipped bit is refused", every_flipped_bit_is_refused },
	{ "another length is refused", another_length_is_refused },
	{ "nonsense is refused", nonsense_is_refused },
	{ "other schemes are refused", other_schemes_are_refused },
	{ "unfit keys are not trusted", unfit_keys_are_not_trusted },
	{ "damaged keys are harmless", damaged_keys_are_harmless },
	{ "a key that cannot sign is refused",
	  a_key_that_cannot_sign_is_refused },
};

int main(void)
{
	enter_folder();
	make_keys();
	return RUN_TESTS(tests);
}
