#include "fleet/crew.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "fleet/csv.h"

enum { REFUSALS_TOLD = 5 };

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    struct fleet_crew *w = handle->data;
    w->interrupted = true;
}

static void free_tokens(struct fleet_crew *w)
{
    MAP_FOREACH (slot, &w->tokens) {
        free(slot->value);
    }
    map_fini(&w->tokens);
}

static enum err keep_token(struct fleet_crew *w, const struct fleet_csv_row *row)
{
    if (row->count < 2 || row->cells[0].len == 0 || row->cells[1].len == 0) {
        return ERR_SYNTAX;
    }
    char *token = strndup((const char *)row->cells[1].data, row->cells[1].len);
    if (token == NULL) {
        return ERR_NOMEM;
    }
    void *old = NULL;
    enum err e = map_put(&w->tokens, row->cells[0], token, &old);
    free(e == ERR_OK ? old : token);
    return e;
}

static bool read_tokens(struct fleet_crew *w, const char *path)
{
    struct fleet_csv *csv = NULL;
    if (fleet_csv_open(path, &csv) != ERR_OK) {
        (void)fprintf(stderr, "--tokens: cannot open %s\n", path);
        return false;
    }
    enum err e = ERR_OK;
    struct fleet_csv_row row;
    while (e == ERR_OK && (e = fleet_csv_next(csv, &row)) == ERR_OK) {
        bool header = row.count >= 2 && view_eq_str(row.cells[0], "name") &&
                      view_eq_str(row.cells[1], "token");
        e = header ? ERR_OK : keep_token(w, &row);
    }
    if (e != ERR_NOT_FOUND) {
        (void)fprintf(stderr, "%s:%llu: each line is name,token: %s\n", path,
                      (unsigned long long)fleet_csv_line(csv), err_words(e));
    }
    fleet_csv_close(csv);
    return e == ERR_NOT_FOUND;
}

bool fleet_crew_init(struct fleet_crew *w, const struct fleet_options *o,
                     const struct fleet_identity *identity,
                     const struct fleet_client_events *events)
{
    *w = (struct fleet_crew){.options = *o, .identity = *identity};
    map_init(&w->tokens);
    if (identity->certs_dir == NULL && identity->tokens_file == NULL && identity->token == NULL &&
        identity->secret == NULL) {
        (void)fprintf(stderr, "say who the devices are: --secret, --tokens, --token or --certs\n");
        return false;
    }
    if (identity->tokens_file != NULL && !read_tokens(w, identity->tokens_file)) {
        free_tokens(w);
        return false;
    }
    char why[300] = "";
    struct fleet_target target = fleet_options_target(o);
    CHECK(uv_loop_init(&w->uv) == 0);
    if (fleet_net_init(&w->net, &w->uv, &target, why, sizeof(why)) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", why);
        (void)uv_loop_close(&w->uv);
        free_tokens(w);
        return false;
    }
    w->conf = fleet_options_conf(o, &w->net, events);
    (void)signal(SIGPIPE, SIG_IGN);
    CHECK(uv_signal_init(&w->uv, &w->on_int) == 0 && uv_signal_init(&w->uv, &w->on_term) == 0);
    w->on_int.data = w;
    w->on_term.data = w;
    CHECK(uv_signal_start(&w->on_int, on_signal, SIGINT) == 0 &&
          uv_signal_start(&w->on_term, on_signal, SIGTERM) == 0);
    uv_unref((uv_handle_t *)&w->on_int);
    uv_unref((uv_handle_t *)&w->on_term);
    return true;
}

void fleet_crew_fini(struct fleet_crew *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct fleet_member *m = &w->members[i];
        if (m->client.slots != NULL) {
            fleet_client_fini(&m->client);
        }
        free(m->name);
        free(m->token);
        free(m->cert_file);
        free(m->key_file);
    }
    free(w->members);
    free_tokens(w);
    fleet_net_fini(&w->net);
    uv_close((uv_handle_t *)&w->on_int, NULL);
    uv_close((uv_handle_t *)&w->on_term, NULL);
    (void)uv_run(&w->uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&w->uv) == 0);
}

static bool find_certificate(struct fleet_member *m, const char *dir)
{
    static const char *const forms[][2] = {{".crt", ".key"}, {".pem", ".pem"}, {".pem", ".key"}};
    char path[2][512];
    for (size_t f = 0; f < COUNT_OF(forms); f++) {
        bool there = true;
        for (size_t i = 0; i < 2; i++) {
            (void)snprintf(path[i], sizeof(path[i]), "%s/%s%s", dir, m->name, forms[f][i]);
            there = there && access(path[i], R_OK) == 0;
        }
        if (there) {
            m->cert_file = strdup(path[0]);
            m->key_file = strdup(path[1]);
            return m->cert_file != NULL && m->key_file != NULL;
        }
    }
    (void)fprintf(stderr, "--certs: neither %s/%s.crt and .key nor .pem can be read\n", dir,
                  m->name);
    return false;
}

static bool find_token(struct fleet_crew *w, struct fleet_member *m)
{
    const struct fleet_identity *who = &w->identity;
    if (who->tokens_file != NULL) {
        const char *token = map_get(&w->tokens, view_str(m->name));
        if (token == NULL) {
            (void)fprintf(stderr, "--tokens: %s has no token for %s\n", who->tokens_file, m->name);
            return false;
        }
        m->token = strdup(token);
        return m->token != NULL;
    }
    if (who->token != NULL) {
        if (m->index > 0) {
            (void)fprintf(
                stderr,
                "--token is for one device, but there are more; use --tokens or --secret\n");
            return false;
        }
        m->token = strdup(who->token);
        return m->token != NULL;
    }
    m->token = malloc(FLEET_TOKEN_SIZE);
    if (m->token == NULL ||
        fleet_token(view_str(who->secret), view_str(m->name), m->token) != ERR_OK) {
        (void)fprintf(stderr, "--secret must not be empty\n");
        return false;
    }
    return true;
}

bool fleet_crew_add(struct fleet_crew *w, const char *name)
{
    if (w->count == w->cap) {
        uint32_t cap = w->cap == 0 ? 64 : w->cap * 2;
        struct fleet_member *more = realloc(w->members, cap * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        w->members = more;
        w->cap = cap;
    }
    struct fleet_member *m = &w->members[w->count];
    *m = (struct fleet_member){.crew = w, .index = w->count, .name = strdup(name)};
    w->count++;
    if (m->name == NULL) {
        return false;
    }
    return w->identity.certs_dir != NULL ? find_certificate(m, w->identity.certs_dir)
                                         : find_token(w, m);
}

bool fleet_crew_open(struct fleet_crew *w)
{
    uint64_t most = fleet_raise_files();
    if (most < w->count) {
        (void)fprintf(stderr, "%u devices need more open files than the limit allows (%llu)\n",
                      w->count, (unsigned long long)most);
        return false;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct fleet_member *m = &w->members[i];
        if (fleet_client_init(&m->client, &w->conf, fleet_random_mix(w->options.seed, i)) !=
            ERR_OK) {
            (void)fprintf(stderr, "out of memory\n");
            return false;
        }
        m->client.arg = m;
        m->client.version = fleet_options_version(&w->options, i);
        m->client.client_id = m->name;
        m->client.user_name = m->token;
        m->client.cert_file = m->cert_file;
        m->client.key_file = m->key_file;
    }
    return true;
}

void fleet_crew_start(struct fleet_crew *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        uint64_t after_ms = (uint64_t)i * 1000 / w->options.connects_per_second;
        fleet_client_start(&w->members[i].client, (uint32_t)after_ms);
    }
}

void fleet_crew_stop(struct fleet_crew *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->members[i].client.slots != NULL) {
            fleet_client_stop(&w->members[i].client);
        }
    }
}

struct fleet_client_counts fleet_crew_counts(const struct fleet_crew *w)
{
    struct fleet_client_counts sum = {0};
    for (uint32_t i = 0; i < w->count; i++) {
        const struct fleet_client_counts *c = &w->members[i].client.counts;
        sum.published += c->published;
        sum.resent += c->resent;
        sum.acked += c->acked;
        sum.refused += c->refused;
        sum.unordered += c->unordered;
        sum.stray += c->stray;
        sum.connects += c->connects;
        sum.resumed += c->resumed;
        sum.losts += c->losts;
    }
    return sum;
}

void fleet_crew_note_refused(struct fleet_member *m, uint8_t reason)
{
    struct fleet_crew *w = m->crew;
    m->refused = reason;
    m->gone = true;
    w->refused++;
    w->gone++;
    if (w->refused <= REFUSALS_TOLD) {
        (void)fprintf(stderr, "%s: the server says: %s\n", m->name, mqtt_reason_words(reason));
    } else if (w->refused == REFUSALS_TOLD + 1) {
        (void)fprintf(stderr, "more devices are turned away; see the result\n");
    }
}

void fleet_crew_note_lost(struct fleet_member *m, const char *why)
{
    struct fleet_crew *w = m->crew;
    if (m->client.state == FLEET_CLIENT_STOPPED) {
        m->gone = true;
        w->gone++;
    }
    if (strcmp(w->last_lost, why) != 0) {
        (void)fprintf(stderr, "%s: %s; %s\n", m->name, why,
                      w->conf.stay_down ? "giving up" : "connecting again");
        (void)snprintf(w->last_lost, sizeof(w->last_lost), "%s", why);
    }
}

static void emit_count(struct emit_json *j, const char *key, uint64_t n)
{
    emit_json_key(j, key);
    emit_json_int(j, (int64_t)n);
}

void fleet_crew_emit(const struct fleet_crew *w, struct emit_json *j)
{
    struct fleet_client_counts sum = fleet_crew_counts(w);
    emit_count(j, "devices", w->count);
    emit_count(j, "acknowledged", sum.acked);
    emit_count(j, "refused", sum.refused);
    emit_count(j, "resent", sum.resent);
    emit_count(j, "unordered_acks", sum.unordered);
    emit_count(j, "connects", sum.connects);
    emit_count(j, "lost_connections", sum.losts);
    emit_json_key(j, "refused_devices");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->members[i].refused != 0) {
            emit_json_str(j, w->members[i].name);
        }
    }
    emit_json_close(j, ']');
}
