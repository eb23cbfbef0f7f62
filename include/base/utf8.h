/*
 * utf8: RFC 3629. Overlong forms, surrogates and values above U+10FFFF are refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

bool utf8_valid(struct view v);
/* [MQTT-1.5.4-2]: valid, and without U+0000. */
bool utf8_valid_mqtt(struct view v);
/* Writes one to four bytes; returns how many, 0 for a value that is no scalar value. */
int utf8_put(uint32_t code, uint8_t ret_bytes[static 4]);
