/*
 * Health, metrics, and the pages. All of it without a token and without the database.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/internal.h"
#include "api/pages.h"
#include "base/clock.h"
#include "base/counter.h"

static void answer_health(struct api_request *r, bool good, const char *words, const char *why)
{
    if (r->media == API_MEDIA_JSON) {
        struct emit_json j = emit_json_init(&r->out);
        emit_json_open(&j, '{');
        emit_json_key(&j, "status");
        emit_json_str(&j, words);
        emit_json_key(&j, "reasons");
        emit_json_open(&j, '[');
        if (!good) {
            emit_json_str(&j, why);
        }
        emit_json_close(&j, ']');
        emit_json_close(&j, '}');
    } else {
        r->out_type = "text/plain; charset=utf-8";
        buf_printf(&r->out, "%s%s%s\n", words, good ? "" : ": ", good ? "" : why);
    }
    api_answer(r, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE);
}

void api_handle_livez(struct api_request *r, struct db *db)
{
    (void)db;
    answer_health(r, true, "ok", "");
}

void api_handle_readyz(struct api_request *r, struct db *db)
{
    (void)db;
    char why[512] = "";
    const struct api_hooks *hooks = &r->api->hooks;
    bool ready = hooks->ready(hooks->arg, why, sizeof(why));
    if (!ready) {
        api_header(r, "Retry-After", "1");
    }
    answer_health(r, ready, ready ? "ready" : "not ready", why);
}

/* ---- metrics
 * ------------------------------------------------------------------------------------- */

static int64_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;
    while (dir != NULL && readdir(dir) != NULL) {
        n++;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return n > 3 ? n - 3 : 0; /* without ".", ".." and the directory itself */
}

/* A field of /proc/self/stat, counted as proc(5) does; from 3 on, those behind the name. */
static int64_t stat_field(int field)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    for (int i = 2; at != NULL && i < field; i++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoll(at + 1, NULL, 10);
}

static int64_t start_time_s(void)
{
    int64_t ticks = sysconf(_SC_CLK_TCK);
    int64_t up_us = clock_mono_us() - stat_field(22) * CLOCK_SECOND_US / (ticks > 0 ? ticks : 100);
    return (clock_wall_us() - up_us) / CLOCK_SECOND_US;
}

static void process_metric(struct buf *out, const char *name, const char *type, const char *words,
                           double value)
{
    buf_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.17g\n", name, words,
               name, type, name, value);
}

void api_handle_metrics(struct api_request *r, struct db *db)
{
    (void)db;
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    double cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                   (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    counter_write_text(&r->out);
    process_metric(&r->out, "cpu_seconds_total", "counter", "CPU time used, user and system",
                   cpu_s);
    process_metric(&r->out, "resident_memory_bytes", "gauge", "resident memory",
                   (double)(stat_field(24) * sysconf(_SC_PAGESIZE)));
    process_metric(&r->out, "virtual_memory_bytes", "gauge", "virtual memory",
                   (double)stat_field(23));
    process_metric(&r->out, "open_fds", "gauge", "open file descriptors", (double)open_files());
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        process_metric(&r->out, "max_fds", "gauge", "most file descriptors allowed",
                       (double)files.rlim_cur);
    }
    process_metric(&r->out, "start_time_seconds", "gauge",
                   "start of the process, seconds since 1970", (double)start_time_s());
    buf_put_str(&r->out, "# HELP signalbox_build_info a constant 1 with the version\n"
                         "# TYPE signalbox_build_info gauge\n"
                         "signalbox_build_info{version=\"" SIGNALBOX_VERSION "\"} 1\n");
    r->out_type = api_media_type(API_MEDIA_TEXT);
    api_answer(r, MHD_HTTP_OK);
}

/* ---- pages
 * --------------------------------------------------------------------------------------- */

void api_handle_openapi_json(struct api_request *r, struct db *db)
{
    (void)db;
    buf_put_view(&r->out, buf_view(&r->api->openapi));
    api_answer(r, MHD_HTTP_OK);
}

void api_handle_openapi_yaml(struct api_request *r, struct db *db)
{
    (void)db;
    buf_put_view(&r->out, api_pages_file("openapi.yaml"));
    r->out_type = api_media_type(API_MEDIA_YAML);
    api_answer(r, MHD_HTTP_OK);
}

static void answer_page(struct api_request *r)
{
    r->out_type = api_media_type(API_MEDIA_HTML);
    api_header(r, "Content-Security-Policy",
               "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
               "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
               "frame-ancestors 'none'");
    api_header(r, "Referrer-Policy", "no-referrer");
    api_answer(r, MHD_HTTP_OK);
}

void api_handle_docs(struct api_request *r, struct db *db)
{
    (void)db;
    buf_put_view(&r->out, api_pages_file("docs.html"));
    answer_page(r);
}

void api_handle_docs_problem(struct api_request *r, struct db *db)
{
    (void)db;
    if (!problem_write_page(&r->out, r->names[0])) {
        api_fail(r, PROBLEM_NOT_FOUND, "there is no such kind of problem");
        return;
    }
    answer_page(r);
}

void api_handle_root(struct api_request *r, struct db *db)
{
    (void)db;
    api_header(r, "Location", "/docs");
    api_answer(r, MHD_HTTP_FOUND);
}
