#include "app/alert_log.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "base/log.h"

enum { ALERT_LOG_LINE_MAX = 1 << 20, ALERT_LOG_TAIL = 64 * 1024, ALERT_LOG_CATCH_UP = 100000 };

struct alert_log {
    char *path; /* NULL: standard output */
    int fd;
    atomic_bool reopen;
    int64_t last_id; /* of a file's last complete line; 0: none */
};

/* The number behind "id": in the last complete line. What follows the last newline is a torn line
 * and is cut off. */
static void alert_log_read_tail(struct alert_log *log)
{
    off_t size = lseek(log->fd, 0, SEEK_END);
    off_t from = size > ALERT_LOG_TAIL ? size - ALERT_LOG_TAIL : 0;
    char *tail = size > 0 ? calloc(1, ALERT_LOG_TAIL + 1) : NULL;
    if (tail == NULL) {
        return;
    }
    ssize_t len = pread(log->fd, tail, ALERT_LOG_TAIL, from);
    while (len > 0 && tail[len - 1] != '\n') {
        len--;
    }
    if (len > 0 || from == 0) {
        (void)!ftruncate(log->fd, from + (len > 0 ? len : 0));
    }
    ssize_t end = len;
    while (end > 0 && log->last_id == 0) {
        ssize_t start = end - 1;
        while (start > 0 && tail[start - 1] != '\n') {
            start--;
        }
        tail[end - 1] = '\0';
        const char *id = strstr(tail + start, "\"id\":");
        log->last_id = id == NULL ? 0 : strtoll(id + 5, NULL, 10);
        end = start;
    }
    free(tail);
}

static enum err alert_log_open_file(struct alert_log *log)
{
    log->fd = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log->fd < 0) {
        LOG(LOG_ERROR, "alert_log_not_opened", LOG_S("file", log->path),
            LOG_S("next", "check alert_log and its folder"));
        return ERR_IO;
    }
    return ERR_OK;
}

enum err alert_log_open(const char *path, struct alert_log **ret_log)
{
    struct alert_log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return ERR_NOMEM;
    }
    log->fd = STDOUT_FILENO;
    if (strcmp(path, "-") != 0) {
        log->path = strdup(path);
        enum err e = log->path == NULL ? ERR_NOMEM : alert_log_open_file(log);
        if (e != ERR_OK) {
            free(log->path);
            free(log);
            return e;
        }
        alert_log_read_tail(log);
    }
    *ret_log = log;
    return ERR_OK;
}

void alert_log_close(struct alert_log *log)
{
    if (log != NULL) {
        if (log->path != NULL && log->fd >= 0) {
            (void)close(log->fd);
        }
        free(log->path);
        free(log);
    }
}

void alert_log_reopen(struct alert_log *log)
{
    atomic_store(&log->reopen, true);
}

/* An object without its braces; empty for {}. */
static struct view members_of(struct view object)
{
    return object.len <= 2 ? (struct view){NULL, 0} : view_of(object.data + 1, object.len - 2);
}

void alert_log_write(struct alert_log *log, const struct ingest_event *e)
{
    if (log->path != NULL && atomic_exchange(&log->reopen, false)) {
        (void)close(log->fd);
        if (alert_log_open_file(log) != ERR_OK) {
            return;
        }
    }
    struct buf line;
    buf_init(&line, ALERT_LOG_LINE_MAX);
    struct emit_json j = emit_json_init(&line);
    emit_json_open(&j, '{');
    emit_json_key(&j, "ts");
    emit_json_time(&j, e->ts_us);
    emit_json_key(&j, "level");
    emit_json_str(&j, e->level);
    emit_json_key(&j, "event");
    emit_json_str(&j, e->kind);
    if (e->id != 0) {
        emit_json_key(&j, "id");
        emit_json_int(&j, e->id);
    }
    struct view members = members_of(e->json);
    if (members.len > 0) {
        buf_put_u8(&line, ',');
        buf_put_view(&line, members);
    }
    buf_put_str(&line, "}\n");
    if (buf_err(&line) == ERR_OK && write(log->fd, line.data, line.len) != (ssize_t)line.len) {
        LOG(LOG_ERROR, "alert_log_not_written", LOG_I("event", e->id),
            LOG_S("next", "check the disk and the reader"));
    }
    buf_fini(&line);
}

enum err alert_log_catch_up(struct alert_log *log, struct db *db)
{
    if (log->path == NULL || log->last_id == 0) {
        return ERR_OK;
    }
    struct db_params p = {0};
    db_int(&p, log->last_id);
    db_int(&p, ALERT_LOG_CATCH_UP);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT id, (extract(epoch FROM ts) * 1000000)::bigint, kind, body::text FROM events"
        " WHERE id > $1 ORDER BY id LIMIT $2",
        &p, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        struct view json = db_get_view(r, i, 3);
        alert_log_write(log, &(struct ingest_event){.id = db_get_int(r, i, 0),
                                                    .ts_us = db_get_int(r, i, 1),
                                                    .kind = db_get(r, i, 2),
                                                    .level = "info",
                                                    .json = json});
    }
    db_result_free(r);
    return e;
}
