/*
 * order: the readings of a window in order of size, for quantiles.
 *
 * It follows its window: what came is put in, what left is taken out, in any order of coming and
 * going, also backwards after a roll-back. It says nothing that its points do not say, so it is no
 * part of the state. Values lie in sorted chunks of at most ORDER_CHUNK: a step costs a search, a
 * move inside a chunk and, for a rank, one addition for each chunk.
 *
 * Ownership: engine_order_fini() frees the chunks. Threads: one.
 * Memory:    8 to 32 bytes a reading.
 */
#pragma once

#include "rules/series.h"

enum { ORDER_CHUNK = 256 };

struct engine_order {
    struct order_chunk **chunks; /* none is empty */
    uint32_t *counts;            /* of each */
    uint32_t chunk_count, chunk_cap;
    uint64_t total;
    uint64_t from, to; /* the points of the series that are in it */
};

void engine_order_fini(struct engine_order *o);
/* Holds the points [from, to) of the series afterwards. */
NODISCARD enum err engine_order_follow(struct engine_order *o, const struct engine_series *s,
                                       uint64_t from, uint64_t to);
/* Before the series forgets the points from `end` on. */
void engine_order_cut(struct engine_order *o, const struct engine_series *s, uint64_t end);
/* The value with `rank` smaller ones, from 0. */
double engine_order_at(const struct engine_order *o, uint64_t rank);
/* PromQL's: between the two nearest ranks on a straight line. The window is not empty. */
double engine_order_quantile(const struct engine_order *o, double q);
/* The median of the distances from the median. */
double engine_order_mad(const struct engine_order *o);
