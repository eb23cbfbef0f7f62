/*
 * ca: X.509 building blocks of the local CA. Private to auth and its tests.
 *
 * Ownership: what is returned is the caller's.
 */
#pragma once

#include "auth/auth.h"
#include "auth/openssl.h"

enum { CA_NAMES_MAX = 32, CA_NAME_MAX = 255, CA_COMMON_NAME_MAX = 64 /* X.520, ub-common-name */ };

struct ca_names {
    int count;
    char names[CA_NAMES_MAX][CA_NAME_MAX + 1];
};

/* "a,b,::1": at least one; trimmed of spaces. ERR_RANGE: empty, too long, too many, or with bytes
 * no name has. */
NODISCARD enum err ca_names_parse(const char *text, struct ca_names *ret_names);
NODISCARD enum err ca_serial_set(X509 *cert); /* 128 random bits; RFC 5280, 4.1.2.2 */
NODISCARD enum err ca_validity_set(X509 *cert, int days, const X509 *issuer);
NODISCARD enum err ca_extension_add(X509 *cert, X509 *issuer, int nid, const char *value);
/* Signs with the digest that suits the key. */
NODISCARD enum err ca_sign(X509 *cert, EVP_PKEY *key);
NODISCARD enum err ca_key_new(EVP_PKEY **ret_key); /* P-256 */
/* The CSR's key after its signature was verified. ERR_UNSUPPORTED: a weak or unknown kind of key.
 */
NODISCARD enum err ca_csr_key(const char *csr_pem, EVP_PKEY **ret_key);
/* ERR_STATE: not a pair. ca_load() also asks for a CA's certificate. */
NODISCARD enum err ca_read_pair(const char *cert_file, const char *key_file, X509 **ret_cert,
                                EVP_PKEY **ret_key);
NODISCARD enum err ca_load(const char *cert_file, const char *key_file, X509 **ret_cert,
                           EVP_PKEY **ret_key);
/* PEM texts; NULL: out of memory. */
char *ca_pem_certificates(X509 *cert, X509 *issuer);
char *ca_pem_key(EVP_PKEY *key);
