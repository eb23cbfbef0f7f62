/*
 * utf8: RFC 3629. Overlong forms, surrogates and values above U+10FFFF are refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

bool utf8_valid(struct view v);
/* Valid, and without U+0000, which PostgreSQL's text cannot hold. */
bool utf8_valid_text(struct view v);
/* A string of MQTT, section 1.5.4: without U+0000 [MQTT-1.5.4-2], and without the control
 * characters and non-characters that a receiver may refuse. */
bool utf8_valid_mqtt(struct view v);

/* Of any text its valid UTF-8, in place: a character that was cut at the end goes, other bytes that
 * are none become '?'. */
void utf8_clean(char *text);
/* Eight bytes at a time. Not 0: one of them is a control character or part of a sequence. */
static inline uint64_t utf8_suspects(uint64_t word)
{
    const uint64_t low = 0x0101010101010101ULL;
    uint64_t below_space =
        ~(word + low * (0x80 - 0x20)); /* no carry where it matters: beyond 0x7F */
    return (word | (word + low) | below_space) & low * 0x80;
}
/* Writes one to four bytes; returns how many, 0 for a value that is no scalar value. */
int utf8_put(uint32_t code, uint8_t ret_bytes[static 4]);
