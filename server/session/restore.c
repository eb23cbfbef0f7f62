#include <stdlib.h>
#include <string.h>

#include "session/private.h"

/*
 * Sessions that outlived the server before are parked on the home loop before it listens, as if
 * their connections had just gone. A client that comes back finds its session there, on whichever
 * loop it arrives.
 */

static enum err restore_kept(struct session *s, const struct session_stored *from)
{
    struct kept *k = s->kept;
    k->number = from->number;
    k->expiry_us = from->expiry_us;
    k->announced = true;
    for (uint32_t i = 0; i < from->received_count; i++) {
        if (ids_add(&k->received, from->received[i]) != ERR_OK ||
            ids_add(&k->routed, from->received[i]) != ERR_OK) {
            return ERR_NOMEM;
        }
    }
    return subscribe_restore(s, from->filters, from->filter_count);
}

enum err sessions_restore(struct sessions *all, const struct session_stored *from)
{
    struct session *s = session_new(&all->loops[SESSION_HOME], from->device == NULL);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    if (from->device != NULL) {
        device_hold(from->device);
        s->device = from->device;
    }
    s->state = SESSION_CHECKING; /* from where it may be parked */
    s->granted = true;
    s->client_id = strdup(from->client_id);
    s->kept = kept_new();
    enum err e = s->client_id == NULL || s->kept == NULL ? ERR_NOMEM : restore_kept(s, from);
    if (e == ERR_OK) {
        e = book_restore(s, from->number);
    }
    if (e != ERR_OK) {
        session_free(s);
        return e;
    }
    session_park(s, from->expires_at_us);
    subscribe_check(s); /* the server may have died between a change and what follows from it */
    return ERR_OK;
}
