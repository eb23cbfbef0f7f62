/*
 * doctor: looks at everything a server needs and says what to do about what is wrong. Each check
 * adds one line; a check that needs another one's success is left out when that failed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "app/cli_server.h"
#include "app/cli_table.h"
#include "app/commands.h"
#include "auth/certificate.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/store.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };
static const char *const verdict_words[] = {"ok", "warn", "fail"};

struct doctor {
    const struct cli_call *call;
    json_t *lines;
    enum verdict worst;
    const struct conf *conf;
    struct db *db;
    bool database_down;
};

__attribute__((format(printf, 5, 6))) static void say(struct doctor *d, enum verdict v,
                                                      const char *check, const char *remedy,
                                                      const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    d->worst = v > d->worst ? v : d->worst;
    json_t *line = json_pack("{s:s, s:s, s:s, s:s?}", "verdict", verdict_words[v], "check", check,
                             "detail", text, "remedy", v == VERDICT_OK ? NULL : remedy);
    if (line != NULL) {
        (void)json_array_append_new(d->lines, line);
    }
    if (d->call->json) {
        return;
    }
    static const char *const colors[] = {"\x1b[32m", "\x1b[33m", "\x1b[31m"};
    bool color = cli_style_of(stdout).color;
    printf("%s%-4s%s  %-18s %s\n", color ? colors[v] : "", verdict_words[v], color ? "\x1b[0m" : "",
           check, text);
    if (v != VERDICT_OK && remedy != NULL) {
        printf("      %-18s -> %s\n", "", remedy);
    }
}

static void check_setting(struct doctor *d, const char *name, const char *wanted,
                          enum verdict otherwise, const char *remedy)
{
    struct db_result *rows = NULL;
    char sql[64];
    (void)snprintf(sql, sizeof(sql), "SHOW %s", name);
    if (db_query(d->db, sql, NULL, &rows) != ERR_OK) {
        say(d, VERDICT_WARN, name, "look at PostgreSQL's log", "cannot be read: %s",
            db_error(d->db));
        return;
    }
    const char *value = db_get(rows, 0, 0);
    bool good = strcmp(value, wanted) == 0;
    say(d, good ? VERDICT_OK : otherwise, name, remedy, "%s", value);
    db_result_free(rows);
}

static void check_version(struct doctor *d)
{
    struct db_result *rows = NULL;
    if (db_query(
            d->db,
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
            " current_database()",
            NULL, &rows) != ERR_OK) {
        say(d, VERDICT_FAIL, "database", "look at PostgreSQL's log", "%s", db_error(d->db));
        return;
    }
    bool good = db_get_int(rows, 0, 0) >= 150000;
    say(d, good ? VERDICT_OK : VERDICT_FAIL, "database", "use PostgreSQL 15 or newer",
        "PostgreSQL %s, database %s", db_get(rows, 0, 1), db_get(rows, 0, 2));
    db_result_free(rows);
}

static void check_migrations(struct doctor *d)
{
    struct store_migration_status s = {0};
    enum err e = store_migration_check(d->db, &s);
    bool current = e == ERR_OK && s.have == s.want;
    say(d, current ? VERDICT_OK : VERDICT_FAIL, "migrations", "run `signalbox migrate`",
        "%d of %d%s%s", s.have, s.want, s.problem[0] == '\0' ? "" : ": ", s.problem);
}

static void check_clock(struct doctor *d)
{
    struct db_result *rows = NULL;
    struct timex t = {0};
    int64_t before = clock_wall_us();
    if (d->db != NULL &&
        db_query(d->db, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", NULL,
                 &rows) == ERR_OK) {
        int64_t middle = before + (clock_wall_us() - before) / 2;
        long long off_ms = (long long)((db_get_int(rows, 0, 0) - middle) / 1000);
        bool good = off_ms > -1000 && off_ms < 1000;
        say(d, good ? VERDICT_OK : VERDICT_WARN, "clock",
            "synchronise the clocks of both hosts (chrony, systemd-timesyncd)",
            "the database's clock is %lld ms from this one", off_ms);
        db_result_free(rows);
    }
    int state = adjtimex(&t); /* reads only: modes is 0 */
    if (state >= 0) {
        bool synchronised = state != TIME_ERROR && (t.status & STA_UNSYNC) == 0;
        say(d, synchronised ? VERDICT_OK : VERDICT_WARN, "clock sync",
            "run a time daemon (chrony, systemd-timesyncd); in a container the host's counts",
            synchronised ? "the kernel's clock is synchronised"
                         : "the kernel does not know its clock as synchronised");
    }
}

static void check_database(struct doctor *d)
{
    enum err e = db_open(d->conf->database_url, "signalbox-doctor", &d->db);
    if (e != ERR_OK) {
        d->db = NULL;
        d->database_down = true;
        say(d, VERDICT_FAIL, "database",
            "check database_url, that PostgreSQL runs, and that it lets this user in",
            "cannot be reached: %s", err_words(e));
        return;
    }
    check_version(d);
    check_setting(
        d, "fsync", "on", VERDICT_FAIL,
        "set fsync = on in postgresql.conf: without it a power cut loses what was acknowledged");
    check_setting(d, "full_page_writes", "on", VERDICT_FAIL,
                  "set full_page_writes = on in postgresql.conf");
    check_setting(d, "synchronous_commit", "on", VERDICT_FAIL,
                  "the server sets it for its sessions; a rule of the database forbids it");
    check_migrations(d);
}

static void check_certificate(struct doctor *d, const char *setting, const char *cert,
                              const char *key)
{
    struct auth_certificate_info info;
    char until[CLOCK_TEXT_SIZE];
    if (cert[0] == '\0') {
        return;
    }
    enum err e = auth_certificate_read(cert, &info);
    if (e != ERR_OK) {
        say(d, VERDICT_FAIL, setting, "check the path and who may read it", "%s: %s", cert,
            e == ERR_IO ? "cannot be read" : "no certificate in PEM");
        return;
    }
    (void)clock_format(info.not_after_us, until);
    int64_t now = clock_wall_us();
    bool expired = now >= info.not_after_us || now < info.not_before_us;
    bool soon = info.not_after_us - now < 30 * CLOCK_DAY_US;
    enum verdict v = expired ? VERDICT_FAIL : soon ? VERDICT_WARN : VERDICT_OK;
    say(d, v, setting, "issue a new one (`signalbox ca issue --server NAMES`) and restart",
        "%s is valid until %s", cert, until);
    if (key != NULL && key[0] != '\0' && (e = auth_certificate_pair(cert, key)) != ERR_OK) {
        say(d, VERDICT_FAIL, setting, "set the key that belongs to the certificate", "%s: %s", key,
            e == ERR_STATE ? "is not the certificate's key" : err_words(e));
    }
}

static void check_key_mode(struct doctor *d, const char *setting, const char *key)
{
    struct stat st;
    if (key[0] == '\0' || stat(key, &st) != 0) {
        return;
    }
    if ((st.st_mode & 0077) != 0) {
        say(d, VERDICT_WARN, setting, "chmod 600", "%s can be read by others (mode %03o)", key,
            (unsigned)st.st_mode & 0777);
    }
}

static void check_certificates(struct doctor *d)
{
    const struct conf *c = d->conf;
    if (c->device_tls_cert[0] == '\0') {
        say(d, VERDICT_FAIL, "device TLS",
            "run `signalbox init`, or set device_tls_cert and device_tls_key",
            "no certificate for the device listener");
    }
    check_certificate(d, "device_tls_cert", c->device_tls_cert, c->device_tls_key);
    check_certificate(d, "device_tls_ca", c->device_tls_ca, NULL);
    check_certificate(d, "ca_cert", c->ca_cert, c->ca_key);
    check_certificate(d, "http_tls_cert", c->http_tls_cert, c->http_tls_key);
    check_key_mode(d, "device_tls_key", c->device_tls_key);
    check_key_mode(d, "ca_key", c->ca_key);
    check_key_mode(d, "http_tls_key", c->http_tls_key);
}

static void check_descriptors(struct doctor *d)
{
    struct rlimit r;
    rlim_t need = (rlim_t)(d->conf->connections_max + d->conf->http_connections_max + 64);
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) {
        return;
    }
    enum verdict v = r.rlim_max < need   ? VERDICT_FAIL
                     : r.rlim_cur < need ? VERDICT_WARN
                                         : VERDICT_OK;
    say(d, v, "descriptors", "raise LimitNOFILE (systemd) or `ulimit -n`, or lower connections_max",
        "%llu allowed (at most %llu), %llu needed for connections_max and http_connections_max",
        (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max, (unsigned long long)need);
}

static void check_disk_at(struct doctor *d, const char *what, const char *path)
{
    struct statvfs s;
    if (statvfs(path, &s) != 0 || s.f_blocks == 0) {
        return;
    }
    unsigned long long free_mib = (unsigned long long)s.f_bavail * s.f_frsize / 1048576ULL;
    unsigned long long percent = (unsigned long long)s.f_bavail * 100 / s.f_blocks;
    enum verdict v = free_mib < 256                    ? VERDICT_FAIL
                     : percent < 10 || free_mib < 2048 ? VERDICT_WARN
                                                       : VERDICT_OK;
    say(d, v, what, "make room, or set retention_days", "%llu MiB (%llu %%) free at %s", free_mib,
        percent, path);
}

/* The data directory is told to privileged users only, and means something on the same host only.
 */
static void check_disk(struct doctor *d)
{
    struct db_result *rows = NULL;
    if (d->db != NULL &&
        db_query(d->db, "SELECT setting FROM pg_settings WHERE name = 'data_directory'", NULL,
                 &rows) == ERR_OK &&
        db_rows(rows) == 1 && access(db_get(rows, 0, 0), F_OK) == 0) {
        check_disk_at(d, "database disk", db_get(rows, 0, 0));
    }
    db_result_free(rows);
    check_disk_at(d, "disk", ".");
}

/* The server's own answer. It may not run yet: that is no fault of the installation. */
static void check_ready(struct doctor *d, enum verdict when_down)
{
    char url[320];
    struct http_client *client = NULL;
    struct http_response response = {0};
    cli_listen_url(d->conf, url, sizeof(url));
    const struct http_client_options options = {.url = url, .unverified = true, .timeout_s = 5};
    const struct http_request request = {.method = "GET", .path = "/readyz"};
    if (http_client_new(&options, &client) != ERR_OK) {
        return;
    }
    if (http_client_send(client, &request, &response) != ERR_OK) {
        say(d, when_down, "server", "start it: `signalbox serve`", "%s does not answer: %s", url,
            http_client_error(client));
    } else {
        int shown = response.body.len > 200 ? 200 : (int)response.body.len;
        bool ready = response.status == 200;
        struct buf clean;
        buf_init(&clean, 4096);
        char *body = strndup((const char *)response.body.data, (size_t)shown);
        cli_text_clean(&clean, body == NULL ? "" : body, 0);
        free(body);
        body = buf_take_str(&clean);
        say(d, ready ? VERDICT_OK : VERDICT_FAIL, "server", "its answer and its log say why",
            "%s/readyz: %ld %s", url, response.status, ready || body == NULL ? "" : body);
        free(body);
    }
    http_response_fini(&response);
    http_client_free(client);
}

static int doctor(const struct cli_call *c)
{
    struct doctor d = {.call = c, .lines = json_array()};
    struct conf *conf = NULL;
    const char *file = cli_config_file(c);
    int code = cli_load_conf(c, &conf);
    d.conf = conf;
    if (code != CLI_OK) {
        say(&d, VERDICT_FAIL, "settings",
            "correct the line; `signalbox check-config --sample` shows every setting",
            "%s has a mistake", file == NULL ? "the environment" : file);
    } else if (cli_flag(c, "ready")) {
        check_ready(&d, VERDICT_FAIL);
    } else {
        say(&d, VERDICT_OK, "settings", NULL, "%s",
            file == NULL ? "defaults and environment" : file);
        check_database(&d);
        check_certificates(&d);
        check_descriptors(&d);
        check_clock(&d);
        check_disk(&d);
        check_ready(&d, VERDICT_WARN);
    }
    if (c->json) {
        json_t *all = json_pack("{s:s, s:O}", "verdict", verdict_words[d.worst], "items", d.lines);
        cli_print_json(all);
        json_decref(all);
    }
    json_decref(d.lines);
    db_close(d.db);
    conf_free(conf);
    return d.worst != VERDICT_FAIL ? CLI_OK : d.database_down ? CLI_UNREACHABLE : CLI_FAILED;
}

int cli_doctor(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"ready", 0, NULL, "only ask the running server whether it is ready (for health checks)"},
        {0},
    };
    static const struct cli_command commands[] = {
        {.arguments = "",
         .words = "Checks settings, database, certificates, limits, clock and disk, and says what "
                  "to do. Exit code 0: no line\n"
                  "says fail; 1: one does; 3: the database cannot be reached.",
         .examples = "  signalbox doctor --config /etc/signalbox/signalbox.yaml\n  signalbox "
                     "doctor --ready\n",
         .uses = CLI_USES_CONFIG | CLI_USES_OUTPUT,
         .options = options,
         .run = doctor},
        {0},
    };
    return cli_run("doctor", "", commands, argc, argv);
}
