/*
 * Credentials of a device. A token or a private key is shown once, in the answer that made it; the
 * database has its hash only.
 */
#include <stdlib.h>

#include "api/devices.h"
#include "api/handlers.h"
#include "api/internal.h"
#include "base/clock.h"
#include "store/query_devices.h"

enum { CERTIFICATE_DAYS = 365, CERTIFICATE_DAYS_MAX = 3650 };

void api_handle_credentials_list(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_credential_list(db, d->id, &rows);
    device_drop(d);
    if (e != ERR_OK) {
        api_fail_err(r, e, "credentials");
        return;
    }
    api_answer_rows(r, rows, db_rows(rows), 'k');
}

struct wish {
    const char *kind;
    const char *token;
    const char *csr;
    int64_t days; /* 0: not given */
};

static bool read_wish(struct api_request *r, const json_t *body, struct wish *ret_wish)
{
    struct api_fields f = api_fields_init(body, "", r->errors);
    api_fields_only(&f, "kind token csr days");
    struct wish w = {
        .kind = api_field_text(&f, "kind", json_object_get(body, "csr") == NULL),
        .token = api_field_text(&f, "token", false),
        .csr = api_field_text(&f, "csr", false),
    };
    w.kind = w.kind == NULL && w.csr != NULL ? "certificate" : w.kind;
    bool certificate = w.kind != NULL && strcmp(w.kind, "certificate") == 0;
    if (w.kind != NULL && !certificate && strcmp(w.kind, "token") != 0) {
        api_field_error(&f, "kind", "must be token or certificate");
    }
    if (w.token != NULL && (certificate || !api_token_fits(view_str(w.token)))) {
        api_field_error(&f, "token",
                        certificate ? "belongs to the kind token"
                                    : "must have 20 to 256 printable characters without blanks");
    }
    if (w.csr != NULL && !certificate) {
        api_field_error(&f, "csr", "belongs to the kind certificate");
    }
    const json_t *days = api_field(&f, "days", API_INTEGER, false);
    if (days != NULL) {
        w.days = json_integer_value(days);
        if (w.days < 1 || w.days > CERTIFICATE_DAYS_MAX) {
            api_field_error(&f, "days", "must be from 1 to %d", CERTIFICATE_DAYS_MAX);
        }
    }
    *ret_wish = w;
    return !api_invalid(r);
}

static enum err keep(struct api_request *r, struct db *db, const struct store_credential *c,
                     int64_t *ret_id)
{
    enum err e = store_credential_create(db, c, r->bearer.name, ret_id);
    return e == ERR_OK ? auth_refresh_device(r->api->auth, db, c->device_id) : e;
}

static void make_token(struct api_request *r, struct db *db, const struct device *d,
                       const struct wish *w)
{
    char token[64];
    uint8_t hash[32];
    enum err made = w->token != NULL ? auth_hash(view_str(w->token), hash)
                                     : auth_token_new("sbd_", token, hash);
    if (made != ERR_OK) {
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    struct store_credential c = {
        .device_id = d->id,
        .device = d->name,
        .kind = "token",
        .hash = view_of(hash, sizeof(hash)),
        .not_before_us = CLOCK_NONE,
        .not_after_us = w->days == 0 ? CLOCK_NONE : clock_wall_us() + w->days * CLOCK_DAY_US,
    };
    int64_t id = 0;
    enum err e = keep(r, db, &c, &id);
    if (e == ERR_EXISTS) {
        api_fail(r, PROBLEM_CONFLICT, "this token is in use or was in use before");
        return;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "credential");
        return;
    }
    struct emit_json j = emit_json_init(&r->out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "id");
    emit_json_int(&j, id);
    emit_json_key(&j, "kind");
    emit_json_str(&j, "token");
    emit_json_key(&j, "token");
    emit_json_str(&j, w->token != NULL ? w->token : token);
    emit_json_key(&j, "not_after");
    emit_json_time(&j, c.not_after_us);
    emit_json_close(&j, '}');
    api_answer(r, MHD_HTTP_CREATED);
}

static void answer_certificate(struct api_request *r, const struct auth_issued *issued, int64_t id)
{
    struct emit_json j = emit_json_init(&r->out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "id");
    emit_json_int(&j, id);
    emit_json_key(&j, "kind");
    emit_json_str(&j, "certificate");
    emit_json_key(&j, "certificate");
    emit_json_str(&j, issued->certificate);
    if (issued->private_key != NULL) {
        emit_json_key(&j, "private_key");
        emit_json_str(&j, issued->private_key);
    }
    emit_json_key(&j, "serial");
    emit_json_str(&j, issued->serial);
    emit_json_key(&j, "not_before");
    emit_json_time(&j, issued->not_before_us);
    emit_json_key(&j, "not_after");
    emit_json_time(&j, issued->not_after_us);
    emit_json_close(&j, '}');
    api_answer(r, MHD_HTTP_CREATED);
}

static void make_certificate(struct api_request *r, struct db *db, const struct device *d,
                             const struct wish *w)
{
    const struct conf *conf = r->api->conf;
    if (conf->ca_cert[0] == '\0' || conf->ca_key[0] == '\0') {
        api_fail(r, PROBLEM_CONFLICT,
                 "this server issues no certificates: ca_cert and ca_key are not set");
        return;
    }
    struct auth_issued issued;
    int days = w->days == 0 ? CERTIFICATE_DAYS : (int)w->days;
    enum err e = auth_ca_issue(conf->ca_cert, conf->ca_key, d->name, AUTH_USAGE_CLIENT, w->csr,
                               days, &issued);
    if (e != ERR_OK) {
        if (w->csr != NULL && e != ERR_NOMEM && e != ERR_IO && e != ERR_EXPIRED) {
            api_errors_add(r->errors, "/csr",
                           "is no signing request in PEM whose signature is good");
            api_refuse(r);
        } else {
            api_fail_err(r, e, "certificate");
        }
        return;
    }
    struct store_credential c = {
        .device_id = d->id,
        .device = d->name,
        .kind = "certificate",
        .hash = view_of(issued.hash, sizeof(issued.hash)),
        .serial = issued.serial,
        .not_before_us = issued.not_before_us,
        .not_after_us = issued.not_after_us,
    };
    int64_t id = 0;
    e = keep(r, db, &c, &id);
    if (e == ERR_OK) {
        answer_certificate(r, &issued, id);
    } else {
        api_fail_err(r, e, "credential");
    }
    auth_issued_fini(&issued);
}

void api_handle_credentials_create(struct api_request *r, struct db *db)
{
    struct wish w;
    struct device *d = api_device(r, r->names[0]);
    const json_t *body = d == NULL ? NULL : api_body(r);
    if (body != NULL && read_wish(r, body, &w)) {
        if (strcmp(w.kind, "token") == 0) {
            make_token(r, db, d, &w);
        } else {
            make_certificate(r, db, d, &w);
        }
    }
    device_drop(d);
}

void api_handle_credential_delete(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL || !api_param_id(r, r->names[1], &id)) {
        device_drop(d);
        return;
    }
    enum err e = store_credential_revoke(db, d->id, d->name, id, r->bearer.name);
    if (e == ERR_OK) {
        e = auth_refresh_device(r->api->auth, db, d->id);
    }
    if (e == ERR_OK) {
        r->api->hooks.credential_revoked(r->api->hooks.arg, d->id, id);
        api_answer(r, MHD_HTTP_NO_CONTENT);
    } else {
        api_fail_err(r, e, "such credential that is not revoked yet");
    }
    device_drop(d);
}
