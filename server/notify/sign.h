/*
 * sign: the proof that a webhook comes from this server. HMAC-SHA256 (RFC 2104) under the channel's
 * secret over "<id>.<timestamp>.<body>", in base64, as the header of three names says it:
 *
 *     Webhook-Id: 4711   Webhook-Timestamp: 1790000000   Webhook-Signature: v1,<base64>
 *
 * A receiver computes the same, compares in constant time, refuses old timestamps, and drops an id
 * that it has seen. Pure.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { SIGN_TEXT_SIZE = 64 };

NODISCARD enum err sign_webhook(struct view secret, int64_t id, int64_t timestamp_s,
                                struct view body, char ret_text[static SIGN_TEXT_SIZE]);
