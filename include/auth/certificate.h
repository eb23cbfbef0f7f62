/*
 * certificate: what a PEM file holds, for people: `signalbox ca show`, `signalbox doctor`.
 *
 * Errors: ERR_IO, ERR_MALFORMED. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct auth_certificate_info {
    char subject[256], issuer[256]; /* RFC 2253, cut */
    char names[512];                /* DNS and IP alternative names, by commas, cut */
    char serial[80];                /* hexadecimal */
    char fingerprint[65];           /* SHA-256, hexadecimal */
    int64_t not_before_us, not_after_us;
    bool is_ca;
};

/* The first certificate of the file. */
NODISCARD enum err auth_certificate_read(const char *file, struct auth_certificate_info *ret_info);
/* ERR_STATE: they are not a pair. */
NODISCARD enum err auth_certificate_pair(const char *cert_file, const char *key_file);
