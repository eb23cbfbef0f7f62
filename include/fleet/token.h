/*
 * token: the credential of a simulated device, derived from one secret and its name, so that the
 * import file and the simulator agree without sharing a list.
 *
 * Threads: any.
 */
#pragma once

#include "base/err.h"
#include "base/view.h"

enum { FLEET_TOKEN_SIZE = 4 + 64 + 1 };

/* "sbd_" and HMAC-SHA256(secret, name) in lower-case hexadecimal. ERR_RANGE: the secret is empty.
 */
NODISCARD enum err fleet_token(struct view secret, struct view name,
                               char ret_token[static FLEET_TOKEN_SIZE]);
