#include "fleet/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 30, EVERY_US = 200000 };

char *fleet_progress_count(uint64_t n, char *ret_text, size_t size)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    size_t at = 0;
    for (int i = 0; i < len && at + 2 < size; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            ret_text[at++] = ',';
        }
        ret_text[at++] = digits[i];
    }
    ret_text[at] = '\0';
    return ret_text;
}

char *fleet_progress_line(uint64_t done, uint64_t total, double rate, double left_s,
                          char ret_text[static FLEET_PROGRESS_SIZE])
{
    char now[32];
    char all[32];
    char speed[32];
    (void)fleet_progress_count(done, now, sizeof(now));
    (void)fleet_progress_count(total, all, sizeof(all));
    (void)fleet_progress_count((uint64_t)(rate < 0 ? 0 : rate), speed, sizeof(speed));
    if (total == 0) {
        (void)snprintf(ret_text, FLEET_PROGRESS_SIZE, "%s acknowledged  %s/s", now, speed);
        return ret_text;
    }
    char bar[BAR + 1];
    uint64_t filled = done >= total ? BAR : done * BAR / total;
    memset(bar, '-', BAR);
    memset(bar, '#', filled);
    bar[BAR] = '\0';
    char eta[32] = "";
    if (left_s >= 0 && left_s < 360000) {
        unsigned s = (unsigned)(left_s + 0.5);
        (void)snprintf(eta, sizeof(eta), s >= 3600 ? "  ETA %u:%02u:%02u" : "  ETA %u:%02u",
                       s >= 3600 ? s / 3600 : s / 60, s >= 3600 ? s / 60 % 60 : s % 60, s % 60);
    }
    (void)snprintf(ret_text, FLEET_PROGRESS_SIZE, "[%s] %3u %%  %s of %s  %s/s%s", bar,
                   (unsigned)(done >= total ? 100 : done * 100 / total), now, all, speed, eta);
    return ret_text;
}

void fleet_progress_init(struct fleet_progress *p, int64_t now_us)
{
    *p = (struct fleet_progress){
        .shown = isatty(STDERR_FILENO) == 1, .drawn_us = now_us, .started_us = now_us};
}

void fleet_progress_draw(struct fleet_progress *p, uint64_t done, uint64_t total, int64_t now_us)
{
    if (!p->shown || now_us - p->drawn_us < EVERY_US) {
        return;
    }
    double recent = (double)(done - p->drawn_done) * 1e6 / (double)(now_us - p->drawn_us);
    p->rate = p->drawn_done == 0 ? recent : p->rate * 0.8 + recent * 0.2;
    p->drawn_us = now_us;
    p->drawn_done = done;
    char line[FLEET_PROGRESS_SIZE];
    double left_s = p->rate > 0 && total > done ? (double)(total - done) / p->rate : -1;
    (void)fprintf(stderr, "\r%s\033[K", fleet_progress_line(done, total, p->rate, left_s, line));
    (void)fflush(stderr);
}

void fleet_progress_end(struct fleet_progress *p)
{
    if (p->shown) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
    }
}
