/*
 * diff: two texts, line by line, as a unified diff with three lines of context, as patch(1) reads
 * it.
 *
 * Threads: any. Limits: DIFF_LINES_MAX lines that differ in each text; beyond it all of the one go
 * and all of the other come. Cost: the product of their numbers.
 */
#pragma once

#include "base/buf.h"

enum { DIFF_LINES_MAX = 4000 };

/* Nothing is written when the texts are the same. Names are for the two lines at the head. Errors
 * are those of the buf. */
void diff_unified(const char *from_name, struct view from, const char *to_name, struct view to,
                  struct buf *out);
