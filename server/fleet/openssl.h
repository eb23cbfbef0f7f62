/*
 * openssl: its headers beside ours. OpenSSL has a type of the name ERR_STATE, which is one of our
 * error codes.
 */
#pragma once

#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
