/*
 * openssl: its headers beside ours. OpenSSL has a type of the name ERR_STATE, which is one of our
 * error codes; it is renamed while its headers are read.
 */
#pragma once

#define ERR_STATE openssl_err_state
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#undef ERR_STATE
