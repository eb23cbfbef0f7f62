#include <stdlib.h>

#include "base/patience.h"
#include "session/private.h"

/*
 * A device, its labels, its gateway or its type have changed: its sessions go on with what it may
 * do now. A session has a snapshot of its device, which is replaced here and nowhere else; then the
 * next publish and the next delivery are decided by the new one, and subscriptions that are not
 * allowed any more end.
 *
 * Who is told: of a device, the book on the home loop knows the few sessions; of a type, each loop
 * goes through its own. A session that is being attached looks once more when that is over, and so
 * does one whose claim was under way when its device changed.
 *
 * Memory is waited for: nobody tells it a second time.
 */

struct change {
    struct mail mail;
    struct sessions *all;
    struct session_ref ref; /* of one session, or only its loop */
    int32_t id;             /* of the device or type */
};

static void change_post(struct sessions *all, struct session_ref ref, int32_t id, mail_fn run)
{
    struct change *c = patient_calloc(sizeof(*c));
    *c = (struct change){.mail = {.run = run}, .all = all, .ref = ref, .id = id};
    session_post(all, ref.loop, &c->mail);
}

bool rights_refresh(struct session *s)
{
    const struct sessions_auth *auth = &s->home->all->auth;
    if (s->device == NULL) {
        return true;
    }
    if (auth->device != NULL) {
        struct device *now = auth->device(auth->arg, s->device->id);
        if (now == NULL) {
            session_expel(s, true);
            return false;
        }
        device_drop(s->device);
        s->device = now;
    }
    subscribe_check(s);
    return true;
}

static void refresh(struct session *s)
{
    bool settled =
        s->state == SESSION_READY || s->state == SESSION_DRAINING || s->state == SESSION_PARKED;
    if (settled && !s->asked) { /* the attach hook borrows the old snapshot until it answers */
        (void)!rights_refresh(s);
    }
}

/* ---- one device ---- */

static void changed_here(struct mail *m)
{
    struct change *c = CONTAINER_OF(m, struct change, mail);
    struct session *s = slots_get(&c->all->loops[c->ref.loop], c->ref);
    if (s != NULL && !atomic_load(&c->all->stopped)) {
        refresh(s);
    }
    free(c);
}

static void tell_holder(struct sessions *all, struct session_ref holder)
{
    change_post(all, holder, 0, changed_here);
}

static void changed_at_home(struct mail *m)
{
    struct change *c = CONTAINER_OF(m, struct change, mail);
    if (!atomic_load(&c->all->stopped)) {
        book_visit(c->all, c->id, tell_holder);
    }
    free(c);
}

void session_device_changed(struct sessions *all, int32_t device_id)
{
    change_post(all, (struct session_ref){.loop = SESSION_HOME}, device_id, changed_at_home);
}

/* ---- all devices of a type ---- */

static void type_changed_here(struct mail *m)
{
    struct change *c = CONTAINER_OF(m, struct change, mail);
    struct session_loop *l = &c->all->loops[c->ref.loop];
    for (uint32_t i = 0; i < l->slot_count && !atomic_load(&c->all->stopped); i++) {
        struct session *s = l->slots[i].session;
        if (s != NULL && s->device != NULL && s->device->type->id == c->id) {
            refresh(s);
        }
    }
    free(c);
}

void session_type_changed(struct sessions *all, int32_t type_id)
{
    for (uint32_t i = 0; i < all->loop_count; i++) {
        change_post(all, (struct session_ref){.loop = i}, type_id, type_changed_here);
    }
}
