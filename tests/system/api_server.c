/*
 * api_server: the HTTP interface on a real database, without devices and without the core, so that
 * what needs neither can be tested alone (see parts/api_contract.py).
 *
 *     system_api_server DATABASE_URL PORT [CA_CERT CA_KEY]
 *
 * It migrates, prints an admin token as "token TOKEN" and then "ready", and reads lines on standard
 * input: "event ID" publishes a row of the table events as the core would after a commit;
 * "final COMMAND" says that a command has ended; the end of input stops it. Commands are written as
 * queued and stay so; whatever else needs the core is answered with 503.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"

static struct db *core_db; /* used by one request at a time */
static int64_t next_command = 1;

static enum err write_command(struct api_op *op)
{
    struct db_params p = {0};
    db_int(&p, next_command);
    db_int(&p, op->device_id);
    db_text(&p, op->method);
    db_text(&p, op->params);
    db_text(&p, op->idempotency_key);
    enum err e = db_exec(core_db,
                         "WITH c AS (INSERT INTO commands (id, device_id, method, params, state, "
                         "origin, created_at, expires_at, idempotency_key) VALUES ($1, $2, $3, "
                         "$4::jsonb, 'queued', 'api', now(), now() + '1 hour', $5))"
                         " INSERT INTO command_history VALUES ($1, 1, 'queued', now(), 'created')",
                         &p, NULL);
    op->ret_id = next_command++;
    op->ret_state = "queued";
    return e;
}

static void submit(void *arg, struct api_op *op)
{
    (void)arg;
    op->status = op->kind == API_OP_COMMAND_CREATE ? write_command(op) : ERR_DB_DOWN;
    op->done(op);
}

static void revoked(void *arg, int32_t device_id, int64_t credential_id)
{
    (void)arg;
    (void)printf("revoked %d %lld\n", device_id, (long long)credential_id);
}

static bool ready(void *arg, char *ret_why, size_t size)
{
    (void)arg;
    (void)snprintf(ret_why, size, "%s", "");
    return db_alive(core_db);
}

static bool online(void *arg, int32_t device_id)
{
    (void)arg;
    return device_id % 2 == 0;
}

/* One request at a time asks. */
static int64_t work_order_id(void *arg)
{
    (void)arg;
    static int64_t next = 1000;
    return next++;
}

/* Its events stay pending: nobody announces them here. */
static void maintenance_changed(void *arg)
{
    (void)arg;
}

static int fail(const char *what, enum err e)
{
    printf("%s: %s\n", what, err_words(e));
    return 1;
}

static enum err make_token(struct db *db)
{
    char token[64];
    uint8_t hash[32];
    enum err e = auth_token_new("sba_", token, hash);
    if (e != ERR_OK) {
        return e;
    }
    struct db_params p = {0};
    db_bytes(&p, view_of(hash, sizeof(hash)));
    e = db_exec(db,
                "INSERT INTO api_tokens (name, hash, scopes) VALUES ('admin', $1::bytea, "
                "'{admin}') ON CONFLICT (name) DO UPDATE SET hash = excluded.hash",
                &p, NULL);
    printf("token %s\n", token);
    return e;
}

static void publish(struct api *api, int64_t id)
{
    struct db_params p = {0};
    db_int(&p, id);
    struct db_result *r = NULL;
    if (db_query(core_db,
                 "SELECT id, kind, coalesce(device_id, 0), body::text FROM events"
                 " WHERE id = $1",
                 &p, &r) != ERR_OK) {
        return;
    }
    for (int i = 0; i < db_rows(r); i++) {
        api_event(api, &(struct api_event){.id = db_get_int(r, i, 0),
                                           .kind = db_get(r, i, 1),
                                           .device_id = (int32_t)db_get_int(r, i, 2),
                                           .json = db_get_view(r, i, 3)});
    }
    db_result_free(r);
}

static void read_lines(struct api *api)
{
    char line[128];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        long long id = 0;
        if (sscanf(line, "event %lld", &id) == 1) {
            publish(api, id);
        } else if (sscanf(line, "final %lld", &id) == 1) {
            api_event(api, &(struct api_event){.id = INT64_MAX,
                                               .kind = "command.succeeded",
                                               .command_id = id,
                                               .command_final = true,
                                               .json = VIEW("{}")});
        }
    }
}

int main(int argc, char **argv)
{
    struct conf *conf = NULL;
    struct conf_error conf_error;
    struct store *store = NULL;
    struct api *api = NULL;
    struct store_migration_status status;
    if (argc < 3) {
        printf("usage: %s DATABASE_URL PORT [CA_CERT CA_KEY]\n", argv[0]);
        return 2;
    }
    char listen[64];
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%s", argv[2]);
    if (setenv("SIGNALBOX_DATABASE_URL", argv[1], 1) != 0 ||
        setenv("SIGNALBOX_HTTP_LISTEN", listen, 1) != 0 ||
        (argc > 4 && (setenv("SIGNALBOX_CA_CERT", argv[3], 1) != 0 ||
                      setenv("SIGNALBOX_CA_KEY", argv[4], 1) != 0)) ||
        conf_load(NULL, &conf, &conf_error) != ERR_OK) {
        return fail("settings", ERR_SYNTAX);
    }
    enum log_level level = LOG_WARN;
    (void)log_level_parse(view_str(conf->log_level), &level);
    log_setup(level, LOG_FORMAT_LOGFMT);
    enum err e = db_open(conf->database_url, "api_server", &core_db);
    e = e == ERR_OK ? store_migrate(core_db, &status) : e;
    if (e != ERR_OK) {
        return fail("database", e);
    }
    struct intern *metrics = intern_new(100000);
    struct catalog *catalog = catalog_new(conf, metrics);
    struct auth *auth = auth_new(conf, catalog);
    e = make_token(core_db);
    e = e == ERR_OK ? catalog_load(catalog, core_db) : e;
    e = e == ERR_OK ? auth_load(auth, core_db) : e;
    e = e == ERR_OK ? store_new(conf, &store) : e;
    const struct api_hooks hooks = {.submit = submit,
                                    .credential_revoked = revoked,
                                    .ready = ready,
                                    .online = online,
                                    .work_order_id = work_order_id,
                                    .maintenance_changed = maintenance_changed};
    e = e == ERR_OK ? api_new(conf, store, catalog, auth, &hooks, &api) : e;
    e = e == ERR_OK ? api_start(api) : e;
    if (e != ERR_OK) {
        return fail("start", e);
    }
    printf("port %d\nready\n", api_port(api));
    (void)fflush(stdout);
    read_lines(api);
    api_stop(api);
    store_stop(store);
    api_free(api);
    store_free(store);
    auth_free(auth);
    catalog_free(catalog);
    intern_free(metrics);
    db_close(core_db);
    conf_free(conf);
    printf("stopped\n");
    return 0;
}
