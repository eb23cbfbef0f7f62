/*
 * The way to a byte offset, found by walking the body again and keeping the last key or index of
 * each level. Only for error reports, so the reader itself keeps no path.
 */
#include <stdio.h>

#include "payload/json.h"

struct step {
    struct view key; /* .data == NULL: an index */
    uint32_t index;
};

struct pointer {
    char *text;
    size_t size;
    size_t len;
    bool cut;
};

/* Room for "..." is kept, and no UTF-8 sequence is split: the caller puts whole characters. */
static void pointer_put(struct pointer *out, const void *bytes, size_t len)
{
    if (out->cut || out->len + len + 4 > out->size) {
        out->cut = true;
        return;
    }
    memcpy(out->text + out->len, bytes, len);
    out->len += len;
}

static void pointer_put_key(struct pointer *out, struct view key)
{
    size_t i = 0;
    while (i < key.len) {
        size_t n = 1;
        while (i + n < key.len && (key.data[i + n] & 0xC0) == 0x80) {
            n++;
        }
        if (key.data[i] == '~') {
            pointer_put(out, "~0", 2);
        } else if (key.data[i] == '/') {
            pointer_put(out, "~1", 2);
        } else {
            pointer_put(out, key.data + i, n);
        }
        i += n;
    }
}

static void pointer_write(const struct step *steps, uint32_t count, char *ret_text, size_t size)
{
    struct pointer out = {.text = ret_text, .size = size};
    for (uint32_t i = 0; i < count; i++) {
        pointer_put(&out, "/", 1);
        if (steps[i].key.data != NULL) {
            pointer_put_key(&out, steps[i].key);
        } else {
            char index[16];
            int len = snprintf(index, sizeof(index), "%u", steps[i].index);
            pointer_put(&out, index, (size_t)len);
        }
    }
    if (out.cut) {
        memcpy(out.text + out.len, "...", 3);
        out.len += 3;
    }
    out.text[out.len] = '\0';
}

void payload_json_pointer(struct view body, size_t offset, char *ret_text, size_t size)
{
    struct step steps[PAYLOAD_DEPTH_MAX + 1];
    struct arena scratch;
    arena_init(&scratch, body.len * 2 + 4096);
    struct payload_json j;
    payload_json_init(&j, body, &scratch, PAYLOAD_DEPTH_MAX);
    uint32_t count = 0;
    for (;;) {
        uint32_t level = j.depth;
        struct payload_event ev = {0};
        enum payload_kind kind = payload_json_next(&j, &ev);
        bool close = kind == PAYLOAD_OBJECT_END || kind == PAYLOAD_ARRAY_END;
        bool between = kind == PAYLOAD_ERROR && !j.err_in_value;
        bool element = kind != PAYLOAD_END && !close && !between;
        if (element && level > 0) {
            steps[level - 1].key = ev.key;
            steps[level - 1].index++;
        }
        /* Without an element it is the container that is named. */
        count = element || level == 0 ? level : level - 1;
        if (kind <= PAYLOAD_END || ev.at >= offset) {
            break;
        }
        if (kind == PAYLOAD_OBJECT || kind == PAYLOAD_ARRAY) {
            steps[level] = (struct step){.index = UINT32_MAX}; /* the first element makes it 0 */
        }
    }
    pointer_write(steps, count, ret_text, size);
    arena_fini(&scratch);
}
