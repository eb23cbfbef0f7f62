/*
 * openssl: its headers beside ours. OpenSSL has a type of the name ERR_STATE, which is one of our
 * error codes; it is renamed while its headers are read. Include this instead of <openssl/…>.
 */
#pragma once

#define ERR_STATE openssl_err_state
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
