#include <stdlib.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "base/log.h"
#include "notify/digest.h"
#include "notify/internal.h"
#include "notify/policy.h"
#include "store/query_outbox.h"

/*
 * Happy path: the rows of a channel that wait are read with what speaks against them, the policy
 * gives its verdicts, and these are written with the digest in one statement. So each row has its
 * verdict once, and a crash in between changes nothing.
 *
 * The verdict is of the moment when the channel's window ends, not of the alert's: a gateway that
 * is found to be down two seconds after its devices keeps them quiet as well.
 */
enum { ROWS_MAX = 20000, SILENCES_MAX = 1000, CAUSES_MAX = 10000, VERDICTS_MAX = 64 << 20 };

struct judging {
    struct db_result *result;
    struct policy_row *rows;
    uint32_t count;
    struct silence **silences;
    uint32_t silence_count;
    struct policy_cause *causes;
    uint32_t cause_count;
};

static void judging_free(struct judging *j)
{
    for (uint32_t i = 0; i < j->count; i++) {
        device_drop(j->rows[i].device);
    }
    for (uint32_t i = 0; i < j->silence_count; i++) {
        silence_free(j->silences[i]);
    }
    for (uint32_t i = 0; i < j->cause_count; i++) {
        device_drop(j->causes[i].device);
    }
    free(j->rows);
    free(j->silences);
    free(j->causes);
    db_result_free(j->result);
}

static const char *text_or_null(const struct db_result *r, int row, int column)
{
    return db_is_null(r, row, column) ? NULL : db_get(r, row, column);
}

static enum err load_rows(struct notify *n, const char *name, const struct channel *c,
                          struct judging *j)
{
    int64_t within_us = c == NULL || c->flapping_max == 0 ? 0 : c->flapping_within_us;
    enum err e = store_outbox_unjudged(n->db, name, within_us, ROWS_MAX, &j->result);
    if (e != ERR_OK) {
        return e;
    }
    const struct db_result *r = j->result;
    j->rows = calloc((size_t)db_rows(r) + 1, sizeof(*j->rows));
    if (j->rows == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < db_rows(r); i++) {
        struct policy_row *row = &j->rows[j->count++];
        *row = (struct policy_row){.id = db_get_int(r, i, 0),
                                   .event = db_get(r, i, 1),
                                   .alert_id = db_get_int(r, i, 2),
                                   .rule = db_get(r, i, 4),
                                   .severity = SEVERITY_INFO,
                                   .shelved_by = text_or_null(r, i, 6),
                                   .work_order = db_get_int(r, i, 7),
                                   .gateway_alert = db_get_int(r, i, 8),
                                   .firings = db_get_int(r, i, 9),
                                   .firing_reason = text_or_null(r, i, 10),
                                   .body = db_get_view(r, i, 11)};
        row->device = catalog_device_by_id(n->catalog, (int32_t)db_get_int(r, i, 3));
        (void)severity_parse(db_get_view(r, i, 5), &row->severity);
    }
    return ERR_OK;
}

static enum err load_causes(struct notify *n, struct judging *j, const struct silence *s)
{
    struct db_result *r = NULL;
    enum err e = store_outbox_causes(n->db, s->while_rule, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r) && j->cause_count < CAUSES_MAX; i++) {
        struct device *d = catalog_device_by_id(n->catalog, (int32_t)db_get_int(r, i, 1));
        if (d != NULL) {
            j->causes[j->cause_count++] =
                (struct policy_cause){.silence = s, .device = d, .alert_id = db_get_int(r, i, 0)};
        }
    }
    db_result_free(r);
    return e;
}

static enum err load_silences(struct notify *n, int64_t now_us, struct judging *j)
{
    struct db_result *r = NULL;
    j->silences = calloc(SILENCES_MAX, sizeof(struct silence *));
    j->causes = calloc(CAUSES_MAX, sizeof(*j->causes));
    if (j->silences == NULL || j->causes == NULL) {
        return ERR_NOMEM;
    }
    enum err e = store_outbox_silences(n->db, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r) && j->silence_count < SILENCES_MAX; i++) {
        struct silence *s = NULL;
        struct channel_error why;
        if (silence_read(db_get_view(r, i, 1), now_us, &s, &why) != ERR_OK) {
            LOG(LOG_WARN, "silence_not_read", LOG_I("id", db_get_int(r, i, 0)),
                LOG_S("field", why.pointer), LOG_S("why", why.detail));
            continue;
        }
        s->id = db_get_int(r, i, 0);
        j->silences[j->silence_count++] = s;
        if (s->while_rule != NULL && silence_is_active(s, now_us)) {
            e = load_causes(n, j, s);
        }
    }
    db_result_free(r);
    return e;
}

static void write_verdicts(const struct judging *j, struct buf *out)
{
    struct emit_json w = emit_json_init(out);
    emit_json_open(&w, '[');
    for (uint32_t i = 0; i < j->count; i++) {
        const struct policy_row *row = &j->rows[i];
        emit_json_open(&w, '{');
        emit_json_key(&w, "id");
        emit_json_int(&w, row->id);
        emit_json_key(&w, "reason");
        emit_json_str(&w, row->reason);
        emit_json_key(&w, "detail");
        emit_json_str(&w, row->reason == NULL ? NULL : row->detail);
        emit_json_close(&w, '}');
    }
    emit_json_close(&w, ']');
    buf_put_u8(out, 0);
}

static enum err store_verdicts(struct notify *n, const char *name, const struct policy *p,
                               struct judging *j)
{
    struct buf verdicts;
    struct buf digest;
    buf_init(&verdicts, VERDICTS_MAX);
    buf_init(&digest, VERDICTS_MAX);
    uint32_t told = policy_judge(p, j->rows, j->count);
    write_verdicts(j, &verdicts);
    bool is_digest = policy_is_digest(p, told);
    if (is_digest) {
        digest_write(j->rows, j->count, &digest);
        buf_put_u8(&digest, 0);
    }
    enum err e = buf_err(&verdicts) != ERR_OK ? buf_err(&verdicts) : buf_err(&digest);
    if (e == ERR_OK) {
        e = store_outbox_judged(n->db, name, (const char *)verdicts.data,
                                is_digest ? (const char *)digest.data : NULL);
    }
    if (e == ERR_OK) {
        counter_add(COUNTER_NOTIFICATIONS_SUPPRESSED, j->count - told);
    }
    buf_fini(&verdicts);
    buf_fini(&digest);
    return e;
}

enum err judge_channel_rows(struct notify *n, const char *name, const struct channel *channel)
{
    struct judging j = {0};
    struct policy p = {.now_us = clock_wall_us(), .channel = channel};
    enum err e = load_rows(n, name, channel, &j);
    if (e == ERR_OK && j.count > 0 && channel != NULL) {
        e = load_silences(n, p.now_us, &j);
    }
    if (e == ERR_OK && channel != NULL && channel->rate_max > 0) {
        e = store_outbox_told(n->db, name, channel->rate_per_us, &p.told);
    }
    p.silences = j.silences;
    p.silence_count = j.silence_count;
    p.causes = j.causes;
    p.cause_count = j.cause_count;
    if (e == ERR_OK && j.count > 0) {
        e = store_verdicts(n, name, &p, &j);
    }
    judging_free(&j);
    return e;
}
