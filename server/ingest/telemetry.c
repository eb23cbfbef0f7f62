#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "ingest/internal.h"

/*
 * A telemetry message becomes rows of the open batch:
 *   1. each value is checked against the device's type; one bad value refuses the whole message,
 * with the field's name;
 *   2. each sample gets its time, flags and digest; one that may be stored already is a suspect for
 * the writer;
 *   3. samples are given to the device's rules, which run when the message is done (order.c); what
 * they say is written into the same batch;
 *   4. the newest values are remembered and written from time to time (flush.c).
 * Nothing is acknowledged here: the batch carries the ticket.
 */
enum { REJECTED_KEEP = 4096 };

void core_reject(struct ingest *in, struct ingest_message *m, enum err why, struct view pointer,
                 struct view detail)
{
    struct batch *b = core_batch(in);
    if (m->op != NULL) {
        (void)view_copy(pointer, m->op->pointer, sizeof(m->op->pointer));
        (void)view_copy(detail, m->op->detail, sizeof(m->op->detail));
    }
    batch_message(b, m->ticket, why, m->counts);
    struct batch_op *op = batch_op(b, "INSERT INTO rejected_messages (received_at, device, topic, "
                                      "reason, pointer, detail, payload, size)"
                                      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    batch_op_time(b, op, m->received_at_us);
    batch_op_text(b, op, m->name);
    batch_op_text(b, op, m->topic);
    batch_op_str(b, op, err_words(why));
    batch_op_text(b, op, pointer);
    batch_op_text(b, op, detail);
    batch_op_bytes(
        b, op, view_of(m->body.data, m->body.len < REJECTED_KEEP ? m->body.len : REJECTED_KEEP));
    batch_op_int(b, op, (int64_t)m->body.len);
    core_message_end(in, m);
}

/* ---- checks ---- */

struct refusal {
    enum err err;
    char pointer[160];
    char detail[200];
};

static bool refuse_range(struct refusal *why, const char *name, double v, const char *side,
                         double limit)
{
    why->err = ERR_RANGE;
    (void)snprintf(why->pointer, sizeof(why->pointer), "/%s", name);
    (void)snprintf(why->detail, sizeof(why->detail), "%g is %s of %g", v, side, limit);
    return false;
}

static bool value_allowed(const struct ingest *in, const struct device_type *type,
                          const struct sample_value *v, struct refusal *why)
{
    const struct metric_spec *spec = device_type_metric(type, v->metric);
    if (spec == NULL) {
        if (type->any_metric) {
            return true;
        }
        why->err = ERR_UNKNOWN_NAME;
        struct view name = intern_name(in->metrics, v->metric);
        (void)snprintf(why->pointer, sizeof(why->pointer), "/%.*s", VIEW_ARG(name));
        (void)snprintf(why->detail, sizeof(why->detail),
                       "metric %.*s is not declared by device type %.80s", VIEW_ARG(name),
                       type->name);
        return false;
    }
    if (v->kind != VALUE_NUMBER) {
        return true;
    }
    for (uint32_t i = 0; i < spec->missing_count; i++) {
        if (v->number == spec->missing[i]) {
            return true; /* the declared word for "no reading" lies outside the range on purpose */
        }
    }
    if (spec->has_min && v->number < spec->min) {
        return refuse_range(why, spec->name, v->number, "below the minimum", spec->min);
    }
    if (spec->has_max && v->number > spec->max) {
        return refuse_range(why, spec->name, v->number, "above the maximum", spec->max);
    }
    return true;
}

static bool message_allowed(const struct ingest *in, const struct core_device *cd,
                            const struct ingest_message *m, struct refusal *why)
{
    const struct device_type *type = cd->device->type;
    int64_t oldest_us = in->conf->retention_days > 0
                            ? in->tick_wall_us - in->conf->retention_days * CLOCK_DAY_US
                            : CLOCK_MIN_US;
    bool anything_goes = type->any_metric && type->metric_count == 0;
    for (const struct sample *s = m->samples.first; s != NULL; s = s->next) {
        if (s->ts_us != CLOCK_NONE && s->ts_us < oldest_us) {
            why->err = ERR_RANGE;
            (void)snprintf(why->pointer, sizeof(why->pointer), "/ts");
            (void)snprintf(why->detail, sizeof(why->detail),
                           "the time is older than retention_days");
            return false;
        }
        for (uint32_t i = 0; !anything_goes && i < s->count; i++) {
            if (!value_allowed(in, type, &s->values[i], why)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- shapes ---- */

static bool shape_is(const struct core_device *cd, const struct sample *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->values[i].kind != VALUE_NUMBER) {
            continue;
        }
        if (n == cd->shape_count || cd->shape_metrics[n] != s->values[i].metric) {
            return false;
        }
        n++;
    }
    return n == cd->shape_count;
}

static int32_t shape_new(struct ingest *in, struct view key)
{
    int32_t id = in->next_shape++;
    void *old = NULL;
    CHECK(map_put(&in->shapes, key, (void *)(intptr_t)id, &old) == ERR_OK);
    struct buf text;
    buf_init(&text, 1 << 20);
    for (size_t at = 0; at < key.len; at += sizeof(int32_t)) {
        int32_t metric = 0;
        memcpy(&metric, key.data + at, sizeof(metric));
        buf_printf(&text, "%c%d", at == 0 ? '{' : ',', metric);
    }
    buf_put_u8(&text, '}');
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(
        b, "INSERT INTO shapes (id, metrics) VALUES ($1, $2::int[]) ON CONFLICT DO NOTHING");
    batch_op_int(b, op, id);
    batch_op_text(b, op, buf_view(&text));
    buf_fini(&text);
    return id;
}

/* The number of the sample's set of numeric metrics; 0 when it has none. */
int32_t core_shape(struct ingest *in, struct core_device *cd, const struct sample *s)
{
    if (cd->shape != 0 && shape_is(cd, s)) {
        return cd->shape;
    }
    int32_t *metrics = malloc(((size_t)s->count + 1) * sizeof(*metrics));
    CHECK(metrics != NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->values[i].kind == VALUE_NUMBER) {
            metrics[n++] = s->values[i].metric;
        }
    }
    if (n == 0) {
        free(metrics);
        return 0;
    }
    struct view key = view_of(metrics, n * sizeof(*metrics));
    int32_t id = (int32_t)(intptr_t)map_get(&in->shapes, key);
    if (id == 0) {
        id = shape_new(in, key);
    }
    free(cd->shape_metrics);
    cd->shape_metrics = metrics;
    cd->shape_count = n;
    cd->shape = id;
    return id;
}

/* ---- newest values ---- */

static struct core_latest *latest_slot(struct core_device *cd, uint32_t at, int32_t metric)
{
    if (cd->latest_count == cd->latest_cap) {
        uint32_t cap = cd->latest_cap == 0 ? 8 : cd->latest_cap * 2;
        struct core_latest *grown = realloc(cd->latest, cap * sizeof(*grown));
        CHECK(grown != NULL);
        cd->latest = grown;
        cd->latest_cap = cap;
    }
    memmove(&cd->latest[at + 1], &cd->latest[at], (cd->latest_count - at) * sizeof(cd->latest[0]));
    cd->latest[at] = (struct core_latest){.metric = metric, .ts_us = CLOCK_NONE};
    cd->latest_count++;
    return &cd->latest[at];
}

static char *latest_extra(const struct sample_value *v)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    struct emit_json j = emit_json_init(&out);
    if (v->kind == VALUE_BOOL) {
        emit_json_bool(&j, v->number != 0.0);
    } else {
        emit_json_view(&j, v->text);
    }
    return buf_take_str(&out);
}

void core_latest_update(struct core_device *cd, const struct sample *s)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct sample_value *v = &s->values[i];
        while (at < cd->latest_count && cd->latest[at].metric < v->metric) {
            at++;
        }
        struct core_latest *l = at < cd->latest_count && cd->latest[at].metric == v->metric
                                    ? &cd->latest[at]
                                    : latest_slot(cd, at, v->metric);
        bool known = l->ts_us == s->ts_us && l->extra == NULL && v->kind == VALUE_NUMBER &&
                     l->value == v->number;
        if (known || (l->ts_us != CLOCK_NONE && s->ts_us < l->ts_us)) {
            continue;
        }
        l->ts_us = s->ts_us;
        l->dirty = true;
        if (l->extra != NULL) {
            free(l->extra);
            l->extra = NULL;
        }
        if (v->kind == VALUE_NUMBER) {
            l->value = v->number;
        } else {
            l->value = (double)NAN;
            l->extra = latest_extra(v);
        }
    }
}

/* ---- rows ---- */

/* Among the samples before this message, `before` of them in all: two equal readings of one message
 * are two. The newest first. */
static int64_t recent_time(const struct core_device *cd, int32_t digest, uint16_t packet_id,
                           uint32_t before)
{
    uint32_t added = cd->recent_next - before;
    uint32_t known = added >= CORE_RECENT_MAX ? 0 : CORE_RECENT_MAX - added;
    for (uint32_t i = 1; cd->recent != NULL && packet_id != 0 && i <= known && i <= before; i++) {
        const struct core_recent *r = &cd->recent[(before - i) % CORE_RECENT_MAX];
        if (r->packet_id == packet_id && r->digest == digest) {
            return r->ts_us;
        }
    }
    return CLOCK_NONE;
}

static void recent_add(struct core_device *cd, int64_t ts_us, int32_t digest, uint16_t packet_id)
{
    if (packet_id == 0) {
        return; /* QoS 0 is never sent again */
    }
    if (cd->recent == NULL) {
        cd->recent = calloc(CORE_RECENT_MAX, sizeof(*cd->recent));
        if (cd->recent == NULL) {
            return;
        }
    }
    cd->recent[cd->recent_next++ % CORE_RECENT_MAX] =
        (struct core_recent){.ts_us = ts_us, .digest = digest, .packet_id = packet_id};
}

/* The sample's time when the device gave none: that of its first delivery if this is a redelivery,
 * else that of its message, later by a microsecond for each sample before it, so that two equal
 * readings stay two. `at` is its place in the message, `before` as for recent_time(). */
static int64_t server_time(struct core_device *cd, const struct ingest_message *m, int32_t digest,
                           uint32_t at, uint32_t before, bool *ret_again)
{
    int64_t again_us = m->dup ? recent_time(cd, digest, m->packet_id, before) : CLOCK_NONE;
    if (again_us != CLOCK_NONE) {
        *ret_again = true;
        return again_us;
    }
    /* What is in the spool, or has a key, may have come before: always the same time. */
    bool timed = m->spooled || m->timed;
    *ret_again = timed;
    int64_t ts_us = timed ? m->received_at_us + at : cd->last_received_us;
    recent_add(cd, ts_us, digest, m->packet_id);
    return ts_us;
}

static bool row_rules(struct ingest *in, struct core_device *cd, const struct sample *s,
                      struct batch_row *row)
{
    int64_t lateness_us =
        cd->engine == NULL ? in->conf->lateness_us : engine_lateness_us(cd->engine);
    bool newest = cd->watermark_us == CLOCK_NONE || s->ts_us > cd->watermark_us;
    bool late = !newest && s->ts_us < cd->watermark_us - lateness_us;
    bool suspect = !newest;
    if (cd->engine != NULL && !late) {
        late = !core_order_take(in, cd, s, row->received_at_us);
    }
    if (late) {
        row->flags |= SAMPLE_LATE;
        counter_add(COUNTER_SAMPLES_LATE, 1);
    }
    if (newest) {
        cd->watermark_us = s->ts_us;
    }
    core_latest_update(cd, s);
    return suspect;
}

/* at: the sample's place in its message. recent_before: cd->recent_next when the message began. */
static void row_add(struct ingest *in, struct core_device *cd, const struct ingest_message *m,
                    struct sample *s, uint32_t at, uint32_t recent_before)
{
    cd->last_received_us =
        m->received_at_us > cd->last_received_us ? m->received_at_us : cd->last_received_us + 1;
    struct batch_row row = {.device_id = cd->id,
                            .digest = sample_digest(s),
                            .received_at_us = cd->last_received_us,
                            .sample = s,
                            .metrics = in->metrics};
    bool suspect = m->dup;
    if (s->ts_us == CLOCK_NONE) {
        bool again = false;
        s->ts_us = server_time(cd, m, row.digest, at, recent_before, &again);
        row.flags = SAMPLE_SERVER_TS | (int32_t)((uint32_t)m->packet_id << 16);
        suspect = suspect || again;
    }
    row.ts_us = s->ts_us;
    row.shape = core_shape(in, cd, s);
    if (s->ts_us > in->tick_wall_us + in->conf->skew_max_us) {
        /* From the future: kept, never the newest value, no rule sees it. Its day has no partition
         * yet. */
        row.flags |= SAMPLE_CLOCK;
        counter_add(COUNTER_SAMPLES_CLOCK, 1);
        suspect = true;
    } else {
        core_partition_need(in, s->ts_us);
        suspect = row_rules(in, cd, s, &row) || suspect;
    }
    batch_row_add(core_batch(in), &row, suspect);
}

void core_telemetry(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    struct refusal why = {.err = ERR_OK};
    if (!message_allowed(in, cd, m, &why)) {
        core_reject(in, m, why.err, view_str(why.pointer), view_str(why.detail));
        return;
    }
    batch_message(core_batch(in), m->ticket, ERR_OK, m->counts);
    if (!m->spooled && !m->timed && m->received_at_us <= cd->last_received_us) {
        /* Before it is kept for the spool: read back from there it must get the same time. */
        m->received_at_us = cd->last_received_us + 1;
    }
    spooling_keep(in, m);
    uint32_t recent_before = cd->recent_next;
    uint32_t at = 0;
    for (struct sample *s = m->samples.first; s != NULL; s = s->next) {
        row_add(in, cd, m, s, at++, recent_before);
    }
    cd->last_seen_us = in->tick_wall_us;
    core_batch_touch(in, cd);
    core_dirty(in, cd);
    core_message_end(in, m);
}
