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

bool utf8_valid_text(struct view v)
{
    return (v.len == 0 || memchr(v.data, 0, v.len) == NULL) && utf8_valid(v);
}

/* Of a well-formed sequence: is it U+0000 to U+001F, U+007F to U+009F or a non-character? */
static bool is_refused(const uint8_t *p, size_t len)
{
    switch (len) {
    case 1:
        return p[0] < 0x20 || p[0] == 0x7F;
    case 2:
        return p[0] == 0xC2 && p[1] < 0xA0;
    case 3: /* U+FDD0 to U+FDEF; U+FFFE, U+FFFF */
        return p[0] == 0xEF &&
               ((p[1] == 0xB7 && p[2] >= 0x90 && p[2] <= 0xAF) || (p[1] == 0xBF && p[2] >= 0xBE));
    default: /* the last two of each plane */
        return (p[1] & 0x0F) == 0x0F && p[2] == 0xBF && p[3] >= 0xBE;
    }
}

static bool is_plain(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return utf8_suspects(word) == 0;
}

bool utf8_valid_mqtt(struct view v)
{
    const uint8_t *p = v.data;
    size_t left = v.len;
    while (left > 0) {
        size_t len = sizeof(uint64_t);
        if (left < len || !is_plain(p)) {
            len = *p < 0x80 ? 1 : utf8_sequence(p, left);
            if (len == 0 || is_refused(p, len)) {
                return false;
            }
        }
        p += len;
        left -= len;
    }
    return true;
}

/* Is what is left the beginning of a character, and no more? */
static bool is_cut(const uint8_t *p, size_t left)
{
    size_t len = p[0] < 0xC2 || p[0] > 0xF4 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < left && i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return false;
        }
    }
    return left < len;
}

void utf8_clean(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text);
    while (left > 0) {
        size_t len = *p < 0x80 ? 1 : utf8_sequence(p, left);
        if (len == 0 && is_cut(p, left)) {
            *p = 0;
            return;
        }
        if (len == 0) {
            *p = '?';
            len = 1;
        }
        p += len;
        left -= len;
    }
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
