#include "notify/digest.h"

#include <string.h>

#include "base/check.h"
#include "base/emit_json.h"

enum { DIGEST_ALERTS = 50, DIGEST_GROUPS = 50, DIGEST_DEVICES = 10 };

static const char *const events[] = {"firing", "resolved", "retracted", "escalated"};

struct group {
    const struct policy_row *first;
    int64_t count;
    const char *devices[DIGEST_DEVICES];
    uint32_t device_count;
};

static bool group_has(const struct group *g, const struct policy_row *row)
{
    return g->first->severity == row->severity && strcmp(g->first->event, row->event) == 0 &&
           strcmp(g->first->rule, row->rule) == 0;
}

static void group_add(struct group *g, const struct policy_row *row)
{
    g->count++;
    if (row->device != NULL && g->device_count < DIGEST_DEVICES) {
        g->devices[g->device_count++] = row->device->name;
    }
}

/* Gives how many groups there are; rows of further ones are counted in the totals only. */
static uint32_t gather(const struct policy_row *rows, uint32_t count,
                       struct group groups[static DIGEST_GROUPS])
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = 0;
        while (rows[i].reason == NULL && at < used && !group_has(&groups[at], &rows[i])) {
            at++;
        }
        if (rows[i].reason != NULL || at == DIGEST_GROUPS) {
            continue;
        }
        if (at == used) {
            groups[used++] = (struct group){.first = &rows[i]};
        }
        group_add(&groups[at], &rows[i]);
    }
    return used;
}

static void write_group(struct emit_json *j, const struct group *g)
{
    emit_json_open(j, '{');
    emit_json_key(j, "rule");
    emit_json_str(j, g->first->rule);
    emit_json_key(j, "severity");
    emit_json_str(j, severity_words(g->first->severity));
    emit_json_key(j, "event");
    emit_json_str(j, g->first->event);
    emit_json_key(j, "count");
    emit_json_int(j, g->count);
    emit_json_key(j, "devices");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < g->device_count; i++) {
        emit_json_str(j, g->devices[i]);
    }
    emit_json_close(j, ']');
    emit_json_close(j, '}');
}

static void write_totals(struct emit_json *j, const struct policy_row *rows, uint32_t count)
{
    int64_t totals[COUNT_OF(events)] = {0};
    int64_t all = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; rows[i].reason == NULL && k < COUNT_OF(events); k++) {
            totals[k] += strcmp(rows[i].event, events[k]) == 0;
        }
        all += rows[i].reason == NULL;
    }
    emit_json_key(j, "count");
    emit_json_int(j, all);
    for (size_t k = 0; k < COUNT_OF(events); k++) {
        emit_json_key(j, events[k]);
        emit_json_int(j, totals[k]);
    }
}

void digest_write(const struct policy_row *rows, uint32_t count, struct buf *out)
{
    struct group groups[DIGEST_GROUPS];
    uint32_t used = gather(rows, count, groups);
    struct emit_json j = emit_json_init(out);
    emit_json_open(&j, '{');
    write_totals(&j, rows, count);
    emit_json_key(&j, "groups");
    emit_json_open(&j, '[');
    for (uint32_t i = 0; i < used; i++) {
        write_group(&j, &groups[i]);
    }
    emit_json_close(&j, ']');
    emit_json_key(&j, "alerts");
    emit_json_open(&j, '[');
    uint32_t written = 0;
    int64_t more = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].reason == NULL && written < DIGEST_ALERTS) {
            written++;
            emit_json_raw(&j, rows[i].body);
        } else {
            more += rows[i].reason == NULL;
        }
    }
    emit_json_close(&j, ']');
    emit_json_key(&j, "more");
    emit_json_int(&j, more);
    emit_json_close(&j, '}');
}
