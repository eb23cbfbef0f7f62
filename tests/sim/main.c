/*
 * sim: runs seeds of the deterministic simulator. See README.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

static const struct {
    const char *name;
    const char *words;
} mutants[MUTANT_COUNT] = {
#define MUTANT_ROW(id, name, words) {name, words},
    MUTANT_LIST(MUTANT_ROW)
#undef MUTANT_ROW
};

static void usage(void)
{
    (void)puts("usage: sim [--seeds N] [--from S] [--seconds V] [--mutant NAME]\n"
               "       sim --seed S [--verbose] [--seconds V] [--mutant NAME]\n"
               "  --seeds N     runs N seeds (100), from --from (1) on\n"
               "  --seed S      runs one seed twice and compares the hashes of the two event logs\n"
               "  --seconds V   virtual seconds with faults; else the seed decides\n"
               "  --tail N      lines of the log to print when an invariant is broken (40)\n"
               "  --verbose     prints the event log\n"
               "  --no-spool    no seed has a spool\n"
               "  --mutant NAME breaks the fakes on purpose; the run must find it:");
    for (int i = 1; i < MUTANT_COUNT; i++) {
        (void)printf("      %-20s %s\n", mutants[i].name, mutants[i].words);
    }
}

static double real_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum sim_mutant mutant_of(const char *name)
{
    for (int i = 0; i < MUTANT_COUNT; i++) {
        if (strcmp(name, mutants[i].name) == 0) {
            return (enum sim_mutant)i;
        }
    }
    (void)fprintf(stderr, "unknown mutant %s\n", name);
    exit(2);
}

static int run_one(uint64_t seed, struct sim_options *options)
{
    sim_run(seed, options);
    const struct sim *s = sim_get();
    uint64_t hash = s->log_hash;
    (void)printf("seed %llu: %lld messages, %lld rows, %lld alerts, %lld commands, %lld crashes, "
                 "%lld stops, %lld times down, %lld hangs, %lld lost commits, %lld cuts; %.1f s, "
                 "%llu lines\n",
                 (unsigned long long)seed, (long long)s->count.messages, (long long)s->count.rows,
                 (long long)s->count.alerts, (long long)s->count.commands,
                 (long long)s->count.crashes, (long long)s->count.stops, (long long)s->count.downs,
                 (long long)s->count.hangs, (long long)s->count.lost, (long long)s->count.cuts,
                 (double)s->now_us / 1e6, (unsigned long long)s->log_lines);
    options->verbose = false;
    sim_run(seed, options);
    (void)printf("log %016llx, again %016llx\n", (unsigned long long)hash,
                 (unsigned long long)s->log_hash);
    return hash == s->log_hash ? 0 : 1;
}

static int run_many(uint64_t from, uint64_t seeds, const struct sim_options *options)
{
    double began = real_seconds();
    double simulated = 0;
    int64_t messages = 0;
    int64_t alerts = 0;
    int64_t commands = 0;
    int64_t lives = 0;
    uint64_t hash = 0;
    const struct sim *s = sim_get();
    for (uint64_t i = 0; i < seeds; i++) {
        sim_run(from + i, options);
        simulated += (double)s->now_us / 1e6;
        messages += s->count.messages;
        alerts += s->count.alerts;
        commands += s->count.commands;
        lives += s->lives;
        hash = hash * 31 + s->log_hash;
    }
    double took = real_seconds() - began;
    (void)printf(
        "%llu seeds from %llu in %.1f s: %.0f seeds/s, %.0f simulated seconds a second\n"
        "%lld messages, %lld alerts, %lld commands, %lld lives of the server; log %016llx\n",
        (unsigned long long)seeds, (unsigned long long)from, took, (double)seeds / took,
        simulated / took, (long long)messages, (long long)alerts, (long long)commands,
        (long long)lives, (unsigned long long)hash);
    return 0;
}

int main(int argc, char **argv)
{
    struct sim_options options = {.tail = 40};
    uint64_t seeds = 100;
    uint64_t from = 1;
    uint64_t seed = 0;
    bool one = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--no-spool") == 0) {
            options.no_spool = true;
            continue;
        }
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--from") == 0) {
            from = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(value, NULL, 10);
            one = true;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options.seconds = strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--tail") == 0) {
            options.tail = (int)strtoll(value, NULL, 10);
        } else if (strcmp(argv[i], "--mutant") == 0) {
            options.mutant = mutant_of(value);
        } else {
            usage();
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
        i++;
    }
    heap_start();
    return one ? run_one(seed, &options) : run_many(from, seeds, &options);
}
