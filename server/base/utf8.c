#include "base/utf8.h"

#include <string.h>

/* Length of the well-formed sequence at p, 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0xC2 || lead > 0xF4) {
        return 0;
    }
    size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (left < len) {
        return 0;
    }
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

bool utf8_valid(struct view v)
{
    const uint8_t *p = v.data;
    size_t left = v.len;
    while (left > 0) {
        while (left >= 8) {
            uint64_t word;
            memcpy(&word, p, sizeof(word));
            if ((word & 0x8080808080808080ULL) != 0) {
                break;
            }
            p += 8;
            left -= 8;
        }
        while (left > 0 && *p < 0x80) {
            p++;
            left--;
        }
        if (left == 0) {
            break;
        }
        size_t len = utf8_sequence(p, left);
        if (len == 0) {
            return false;
        }
        p += len;
        left -= len;
    }
    return true;
}

bool utf8_valid_mqtt(struct view v)
{
    return (v.len == 0 || memchr(v.data, 0, v.len) == NULL) && utf8_valid(v);
}

int utf8_put(uint32_t code, uint8_t ret_bytes[static 4])
{
    if (code < 0x80) {
        ret_bytes[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        ret_bytes[0] = (uint8_t)(0xC0 | code >> 6);
        ret_bytes[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code >= 0xD800 && code <= 0xDFFF) {
        return 0;
    }
    if (code < 0x10000) {
        ret_bytes[0] = (uint8_t)(0xE0 | code >> 12);
        ret_bytes[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        ret_bytes[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    if (code > 0x10FFFF) {
        return 0;
    }
    ret_bytes[0] = (uint8_t)(0xF0 | code >> 18);
    ret_bytes[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    ret_bytes[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    ret_bytes[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}
