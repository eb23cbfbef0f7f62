#include "mqtt/connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/counter.h"
#include "base/log.h"
#include "session/private.h"

/*
 * CONNECT is checked in this order: form, version, client identifier, authentication method,
 * credential, will. The first thing wrong is the answer, and the connection ends with it.
 */

struct refusal {
    enum mqtt_reason reason; /* MQTT_SUCCESS: none */
    const char *detail;
};

static const struct refusal fine = {.reason = MQTT_SUCCESS};

enum packet_end connect_refuse(struct session *s, enum mqtt_version version,
                               enum mqtt_reason reason, const char *detail)
{
    const struct mqtt_connack m = {.reason = reason};
    struct buf *out = session_out(s);
    size_t start = out->len;
    (void)!mqtt_connack_encode(out, version, &m);
    if (out->len - start > s->client_packet_max) {
        out->len = start; /* [MQTT-3.1.2-24]: closed without a word */
    }
    session_end(s, SESSION_CLOSE_REFUSED, detail);
    return PACKET_ENDED;
}

/* Not complete and never will be: the version is known if enough has come. */
enum packet_end connect_too_large(struct session *s, struct view bytes)
{
    size_t head = 1;
    while (head < bytes.len && head < 5 && (bytes.data[head] & 0x80u) != 0) {
        head++;
    }
    struct view body = view_skip(bytes, head < bytes.len ? head + 1 : bytes.len);
    if (body.len >= 7 && mqtt_connect_answer_version(body) == MQTT_50) {
        return connect_refuse(s, MQTT_50, MQTT_PACKET_TOO_LARGE, "larger than allowed");
    }
    session_end(s, SESSION_CLOSE_TOO_LARGE, "before authentication");
    return PACKET_ENDED;
}

/* What is no CONNECT is closed without a word [MQTT-3.1.4-1]: 3.1.1 has none, and in 5.0 whoever
 * cannot write one will not read the answer either. */
static enum packet_end refuse_form(struct session *s, enum err e, struct view body)
{
    enum mqtt_version version = mqtt_connect_answer_version(body);
    if (e == ERR_UNSUPPORTED) {
        return connect_refuse(s, version, MQTT_UNSUPPORTED_VERSION, "protocol version");
    }
    counter_add(COUNTER_PROTOCOL_ERRORS, 1);
    if (version == MQTT_50 && e == ERR_LIMIT) {
        return connect_refuse(s, version, MQTT_PACKET_TOO_LARGE, err_words(e));
    }
    session_end(s, SESSION_CLOSE_REFUSED, err_words(e));
    return PACKET_ENDED;
}

static enum err assign_client_id(struct session *s)
{
    uint16_t r[8];
    if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r)) {
        return ERR_IO;
    }
    s->assigned_id = true;
    return asprintf(&s->client_id, "auto-%04x%04x-%04x-%04x-%04x-%04x%04x%04x", r[0], r[1], r[2],
                    r[3], r[4], r[5], r[6], r[7]) < 0
               ? ERR_NOMEM
               : ERR_OK;
}

static struct refusal take_client_id(struct session *s, const struct mqtt_connect *m)
{
    if (m->client_id.len == 0) {
        if (m->version == MQTT_311 && !m->clean_start) {
            /* [MQTT-3.1.3-8] */
            return (struct refusal){MQTT_CLIENT_ID_NOT_VALID, "empty without clean session"};
        }
        return assign_client_id(s) == ERR_OK
                   ? fine
                   : (struct refusal){MQTT_SERVER_UNAVAILABLE, "out of memory"};
    }
    if (m->client_id.len > s->limits->client_id_max) {
        return (struct refusal){MQTT_CLIENT_ID_NOT_VALID, "client identifier too long"};
    }
    s->client_id = strndup((const char *)m->client_id.data, m->client_id.len);
    return s->client_id != NULL ? fine : (struct refusal){MQTT_SERVER_UNAVAILABLE, "out of memory"};
}

static struct refusal refuse_credential(enum err e, enum mqtt_reason reason, const char *detail)
{
    if (e == ERR_NOMEM || e == ERR_DB_DOWN || e == ERR_TIMEOUT) {
        return (struct refusal){MQTT_SERVER_UNAVAILABLE, err_words(e)};
    }
    return (struct refusal){reason, detail};
}

/* Tries the certificate, if there is one. */
static struct refusal by_certificate(struct session *s, struct auth_identity *ret_identity)
{
    const struct sessions *all = s->home->all;
    struct buf der;
    buf_init(&der, SESSION_CERTIFICATE_MAX);
    enum err e = all->io->certificate(s->conn, &der);
    if (e == ERR_NOT_FOUND) {
        buf_fini(&der);
        return fine;
    }
    if (e == ERR_OK) {
        e = all->auth.certificate(all->auth.arg, buf_view(&der), ret_identity);
    }
    buf_fini(&der);
    return e == ERR_OK ? fine : refuse_credential(e, MQTT_NOT_AUTHORIZED, "client certificate");
}

/* A certificate or a token as user name; of both, both must hold and name the same device. */
static struct refusal identify(struct session *s, const struct mqtt_connect *m)
{
    const struct sessions *all = s->home->all;
    struct auth_identity cert = {0};
    struct auth_identity token = {0};
    if (s->open_listener) {
        return fine;
    }
    struct refusal r = by_certificate(s, &cert);
    if (r.reason == MQTT_SUCCESS && m->has_user_name && m->user_name.len > 0) {
        enum err e = all->auth.token(all->auth.arg, m->user_name, &token);
        r = e == ERR_OK ? fine : refuse_credential(e, MQTT_BAD_USER_OR_PASSWORD, "token");
    }
    if (r.reason == MQTT_SUCCESS && cert.device == NULL && token.device == NULL) {
        r = (struct refusal){m->version == MQTT_50 ? MQTT_BAD_USER_OR_PASSWORD
                                                   : MQTT_NOT_AUTHORIZED,
                             "no credential"};
    }
    if (r.reason == MQTT_SUCCESS && cert.device != NULL && token.device != NULL &&
        cert.device->id != token.device->id) {
        r = (struct refusal){MQTT_NOT_AUTHORIZED, "certificate and token of different devices"};
    }
    if (r.reason != MQTT_SUCCESS) {
        device_drop(cert.device);
        device_drop(token.device);
        return r;
    }
    struct auth_identity *used = cert.device != NULL ? &cert : &token;
    s->device = used->device;
    s->credential_id = used->credential_id;
    if (used == &cert) {
        device_drop(token.device);
    }
    return fine;
}

static struct refusal take_will(struct session *s, const struct mqtt_connect *m)
{
    switch ((int)will_take(s, m)) {
    case ERR_OK:
        return fine;
    case ERR_DENIED:
        return (struct refusal){MQTT_NOT_AUTHORIZED, "topic of the will"};
    case ERR_TYPE:
        return (struct refusal){MQTT_PAYLOAD_FORMAT_INVALID, "payload of the will"};
    default:
        return (struct refusal){MQTT_SERVER_UNAVAILABLE, "out of memory"};
    }
}

static void take_terms(struct session *s, const struct mqtt_connect *m)
{
    const struct conf *conf = s->home->all->conf;
    const struct mqtt_props *p = &m->props;
    int64_t max_s = s->limits->keep_alive_max_us / CLOCK_SECOND_US;
    int64_t keep_alive_s = m->keep_alive_s;
    /* 3.1.1 has no way to say so: a device is cut off by our time, a suite by its own. */
    bool as_it_says = s->open_listener && m->version == MQTT_311;
    if (!as_it_says && (keep_alive_s == 0 || keep_alive_s > max_s)) {
        keep_alive_s = max_s;
        s->server_keep_alive_s = (uint16_t)max_s;
    }
    s->keep_alive_ms = (uint32_t)(keep_alive_s * 1500); /* [MQTT-3.1.2-22] */
    s->clean_start = m->clean_start;
    s->problem_info = !mqtt_has(p, MQTT_PROP_REQUEST_PROBLEM_INFO) || p->request_problem_info != 0;
    s->client_receive_maximum =
        mqtt_has(p, MQTT_PROP_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
    s->client_packet_max =
        mqtt_has(p, MQTT_PROP_MAXIMUM_PACKET_SIZE) ? p->maximum_packet_size : UINT32_MAX;
    uint16_t aliases = mqtt_has(p, MQTT_PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
    s->aliases_out.max = aliases < SESSION_OUT_ALIASES_MAX ? aliases : SESSION_OUT_ALIASES_MAX;
    if (m->version == MQTT_311) {
        s->wanted_expiry_us = m->clean_start ? 0 : conf->session_expiry_max_us;
        return;
    }
    int64_t wanted_us =
        mqtt_has(p, MQTT_PROP_SESSION_EXPIRY) ? p->session_expiry_s * CLOCK_SECOND_US : 0;
    int64_t most_us = s->limits->session_expiry_max_us;
    s->wanted_expiry_us = wanted_us > most_us ? most_us : wanted_us;
    s->expiry_capped = wanted_us != s->wanted_expiry_us;
}

static void log_refused(const struct session *s, const char *detail)
{
    char peer[NET_PEER_WORDS];
    counter_add(COUNTER_AUTH_REFUSED, 1);
    LOG(LOG_WARN, "auth_refused", LOG_S("peer", s->home->all->io->peer(s->conn, peer)),
        LOG_S("client_id", s->client_id == NULL ? "" : s->client_id), LOG_S("why", detail));
}

/* Two devices with one credential that take each other over, or one that comes back at once. */
static struct refusal check_flapping(struct session *s)
{
    if (s->device == NULL ||
        flapping_take(&s->home->flapping, s->device->id, s->home->all->conf->connects_per_device,
                      session_now_us(s))) {
        return fine;
    }
    char peer[NET_PEER_WORDS];
    LOG(LOG_WARN, "connects_too_often", LOG_S("device", s->device->name),
        LOG_S("client_id", s->client_id), LOG_S("peer", s->home->all->io->peer(s->conn, peer)));
    return (struct refusal){MQTT_QUOTA_EXCEEDED, "connects too often"};
}

enum packet_end connect_received(struct session *s, const struct mqtt_frame *f)
{
    struct mqtt_connect m;
    enum err e = mqtt_connect_decode(f->body, &s->limits->mqtt, &m);
    if (e != ERR_OK) {
        return refuse_form(s, e, f->body);
    }
    s->version = (uint8_t)m.version;
    s->packet_at_us = session_now_us(s);
    take_terms(s, &m);
    struct refusal r = take_client_id(s, &m);
    if (r.reason == MQTT_SUCCESS && mqtt_has(&m.props, MQTT_PROP_AUTH_METHOD)) {
        r = (struct refusal){MQTT_BAD_AUTH_METHOD, "enhanced authentication"};
    }
    if (r.reason == MQTT_SUCCESS) {
        r = identify(s, &m);
        if (r.reason != MQTT_SUCCESS) {
            log_refused(s, r.detail);
        }
    }
    if (r.reason == MQTT_SUCCESS) {
        r = check_flapping(s);
    }
    if (r.reason == MQTT_SUCCESS) {
        r = take_will(s, &m);
    }
    if (r.reason == MQTT_SUCCESS) {
        s->kept = kept_new();
        if (s->kept == NULL || book_claim(s) != ERR_OK) {
            r = (struct refusal){MQTT_SERVER_UNAVAILABLE, "out of memory"};
        }
    }
    if (r.reason != MQTT_SUCCESS) {
        return connect_refuse(s, m.version, r.reason, r.detail);
    }
    session_move(s, SESSION_CHECKING);
    return PACKET_TAKEN;
}

/* What is not said is available: QoS 2, retained messages, wildcards, identifiers, sharing. */
static void connack_terms(const struct session *s, struct mqtt_props *p)
{
    const struct session_limits *l = s->limits;
    if (s->expiry_capped) {
        MQTT_SET(p, SESSION_EXPIRY, session_expiry_s,
                 (uint32_t)(s->wanted_expiry_us / CLOCK_SECOND_US));
    }
    if (l->receive_maximum < UINT16_MAX) {
        MQTT_SET(p, RECEIVE_MAXIMUM, receive_maximum, l->receive_maximum);
    }
    if (l->packet_max < UINT32_MAX) {
        MQTT_SET(p, MAXIMUM_PACKET_SIZE, maximum_packet_size, l->packet_max);
    }
    if (s->assigned_id) {
        MQTT_SET(p, ASSIGNED_CLIENT_ID, assigned_client_id, view_str(s->client_id));
    }
    MQTT_SET(p, TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, l->aliases_max);
    if (s->server_keep_alive_s != 0) {
        MQTT_SET(p, SERVER_KEEP_ALIVE, server_keep_alive_s, s->server_keep_alive_s);
    }
}

enum err connect_accept(struct session *s)
{
    struct buf *out = session_out(s);
    size_t start = out->len;
    struct mqtt_connack m = {.session_present = s->present, .reason = MQTT_SUCCESS};
    if (s->version == MQTT_50) {
        connack_terms(s, &m.props);
    }
    enum err e = mqtt_connack_encode(out, (enum mqtt_version)s->version, &m);
    if (e == ERR_OK && out->len - start > s->client_packet_max) {
        out->len = start; /* [MQTT-3.1.2-24]; the terms cannot be left out */
        return ERR_LIMIT;
    }
    return e;
}
