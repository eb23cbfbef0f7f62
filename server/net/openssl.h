/*
 * openssl: its headers beside ours. OpenSSL has a type of the name ERR_STATE, which is one of our
 * error codes; nobody here uses the type.
 */
#pragma once

#define ERR_STATE openssl_err_state
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
