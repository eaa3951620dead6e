/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mbedtls for the device: SHA-256, and verifying what ECDSA on P-256 or RSA
 * signed, with keys from PEM or DER files. Nothing else is compiled, which is
 * what keeps the binary small. The host uses Debian's full library.
 */
#ifndef MBEDTLS_CONFIG_H
#define MBEDTLS_CONFIG_H

#define MBEDTLS_HAVE_ASM
#define MBEDTLS_FS_IO

#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C

#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_OID_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C

#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_NO_INTERNAL_RNG /* verifying has nothing to hide */
#define MBEDTLS_ECDSA_C
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21

#define MBEDTLS_ERROR_STRERROR_DUMMY

#include "mbedtls/check_config.h"

#endif
