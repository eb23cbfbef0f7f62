/*
 * crew: the devices of one run: their identities, their clients, one loop, signals, and the common
 * result.
 *
 * Ownership: fleet_crew_init() to fleet_crew_fini(); members are owned by the crew and do not move
 * after fleet_crew_open(). Threads:   one. Errors:    sentences for the user on stderr; the
 * functions then give false.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "base/emit_json.h"
#include "base/map.h"
#include "fleet/client.h"
#include "fleet/options.h"
#include "fleet/token.h"

/* Where credentials come from; the first that is set. */
struct fleet_identity {
    const char *certs_dir;   /* DIR/<name>.crt and DIR/<name>.key, or both in DIR/<name>.pem */
    const char *tokens_file; /* CSV: name,token */
    const char *token;       /* of the only device */
    const char *secret;
};

struct fleet_member {
    struct fleet_client client;
    struct fleet_crew *crew;
    void *arg;
    uint32_t index;
    char *name;
    char *token;
    char *cert_file, *key_file;
    uint8_t refused; /* the reason with which the server turned it away; 0: it did not */
    bool gone;       /* will not connect again */
};

struct fleet_crew {
    struct fleet_options options;
    struct fleet_identity identity;
    uv_loop_t uv;
    struct fleet_net net;
    struct fleet_client_conf conf;
    struct fleet_member *members;
    uint32_t count, cap;
    struct map tokens; /* of tokens_file: name -> text */
    uv_signal_t on_int, on_term;
    bool interrupted;
    uint32_t refused, gone;
    char last_lost[200];
};

NODISCARD bool fleet_crew_init(struct fleet_crew *w, const struct fleet_options *o,
                               const struct fleet_identity *identity,
                               const struct fleet_client_events *events);
void fleet_crew_fini(struct fleet_crew *w);
NODISCARD bool fleet_crew_add(struct fleet_crew *w, const char *name);
/* Clients for all members; their arg is the member. */
NODISCARD bool fleet_crew_open(struct fleet_crew *w);
void fleet_crew_start(
    struct fleet_crew *w); /* connects them, options.connects_per_second at a time */
void fleet_crew_stop(struct fleet_crew *w); /* then the loop runs out of work, when the caller's
                                               handles are closed */
struct fleet_client_counts fleet_crew_counts(const struct fleet_crew *w);
/* For the events `refused` and `lost`: tell the user, once for each kind and not for each of ten
 * thousand devices. */
void fleet_crew_note_refused(struct fleet_member *m, uint8_t reason);
void fleet_crew_note_lost(struct fleet_member *m, const char *why);
void fleet_crew_emit(const struct fleet_crew *w,
                     struct emit_json *j); /* the common members of the result */
