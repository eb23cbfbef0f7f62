/*
 * mqtt_bytes: MQTT packets written by hand, so that no test proves our decoder with our encoder.
 * Shares no code with server/mqtt. The notation:
 *
 *     30 0a            bytes in hexadecimal, spaces as you like
 *     'text'           the bytes of the text
 *     <text>           the same with its length in two bytes in front
 *     { … }            what is inside, with its length as a variable byte integer in front
 *
 * "30 { <a/b> { 23 0001 } 'hello' }" is a PUBLISH with a topic alias.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MQTT_BYTES_MAX = 8192, MQTT_BYTES_DEPTH_MAX = 8 };

struct mqtt_bytes {
    size_t len;
    uint8_t at[MQTT_BYTES_MAX];
};

static inline void mqtt_bytes_die(const char *why, const char *where)
{
    fprintf(stderr, "mqtt_bytes: %s at: %s\n", why, where);
    abort();
}

static inline void mqtt_bytes_u8(struct mqtt_bytes *b, unsigned v)
{
    if (b->len == MQTT_BYTES_MAX) {
        mqtt_bytes_die("too long", "");
    }
    b->at[b->len++] = (uint8_t)v;
}

static inline int mqtt_bytes_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Puts the length of everything after `from` in front of it. */
static inline void mqtt_bytes_close(struct mqtt_bytes *b, size_t from)
{
    size_t len = b->len - from;
    uint8_t front[4];
    size_t n = 0;
    size_t left = len;
    do {
        front[n] = (uint8_t)(left % 128);
        left /= 128;
        front[n] = (uint8_t)(front[n] + (left > 0 ? 128 : 0));
        n++;
    } while (left > 0);
    if (b->len + n > MQTT_BYTES_MAX) {
        mqtt_bytes_die("too long", "");
    }
    memmove(b->at + from + n, b->at + from, len);
    memcpy(b->at + from, front, n);
    b->len += n;
}

static inline const char *mqtt_bytes_text(struct mqtt_bytes *b, const char *p)
{
    char end = *p == '<' ? '>' : '\'';
    const char *stop = strchr(p + 1, end);
    if (stop == NULL) {
        mqtt_bytes_die("text does not end", p);
        return p;
    }
    size_t len = (size_t)(stop - p - 1);
    if (end == '>') {
        mqtt_bytes_u8(b, (unsigned)(len / 256));
        mqtt_bytes_u8(b, (unsigned)(len % 256));
    }
    for (size_t i = 0; i < len; i++) {
        mqtt_bytes_u8(b, (unsigned char)p[1 + i]);
    }
    return stop + 1;
}

/* Appends; a wrong notation ends the program. */
static inline void mqtt_bytes_add(struct mqtt_bytes *b, const char *text)
{
    size_t open[MQTT_BYTES_DEPTH_MAX];
    size_t depth = 0;
    for (const char *p = text; *p != '\0';) {
        if (*p == ' ') {
            p++;
        } else if (*p == '\'' || *p == '<') {
            p = mqtt_bytes_text(b, p);
        } else if (*p == '{' && depth < MQTT_BYTES_DEPTH_MAX) {
            open[depth++] = b->len;
            p++;
        } else if (*p == '}' && depth > 0) {
            mqtt_bytes_close(b, open[--depth]);
            p++;
        } else {
            int high = mqtt_bytes_digit(p[0]);
            int low = high < 0 ? -1 : mqtt_bytes_digit(p[1]);
            if (low < 0) {
                mqtt_bytes_die("neither hexadecimal nor text", p);
            }
            mqtt_bytes_u8(b, (unsigned)(high * 16 + low));
            p += 2;
        }
    }
    if (depth != 0) {
        mqtt_bytes_die("'}' is missing", text);
    }
}

static inline struct mqtt_bytes mqtt_bytes_of(const char *text)
{
    struct mqtt_bytes b;
    b.len = 0;
    mqtt_bytes_add(&b, text);
    return b;
}
