/*
 * progress: one line on stderr that is drawn again and again, when stderr is a terminal.
 *
 * Ownership: caller's storage. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet_progress {
    bool shown;
    int64_t drawn_us, started_us;
    uint64_t drawn_done;
    double rate; /* a second, smoothed */
};

enum { FLEET_PROGRESS_SIZE = 160 };

void fleet_progress_init(struct fleet_progress *p, int64_t now_us);
/* Draws at most five times a second. total 0: unknown, no bar and no end. */
void fleet_progress_draw(struct fleet_progress *p, uint64_t done, uint64_t total, int64_t now_us);
void fleet_progress_end(struct fleet_progress *p); /* clears the line */
/* The line itself: "[#####-----]  50 %  1,000 of 2,000  500/s  ETA 0:02". left_s below 0: no ETA.
 * Returns ret_text. */
char *fleet_progress_line(uint64_t done, uint64_t total, double rate, double left_s,
                          char ret_text[static FLEET_PROGRESS_SIZE]);
/* "1,234,567". Returns ret_text. */
char *fleet_progress_count(uint64_t n, char *ret_text, size_t size);
