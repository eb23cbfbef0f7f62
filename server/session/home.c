#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/private.h"

/* What the home loop is told of a session: at once from its own sessions, by mail from others. */

struct home_mail {
    struct mail mail;
    struct sessions *all;
    struct device *device; /* held */
    int64_t number, expiry_us;
    bool resumed;
    char client_id[];
};

static bool on_home(const struct session *s)
{
    return s->home->index == SESSION_HOME;
}

static struct home_mail *home_mail_new(const struct session *s, const char *client_id, mail_fn run)
{
    size_t len = strlen(client_id);
    struct home_mail *m = calloc(1, sizeof(*m) + len + 1);
    if (m != NULL) {
        m->mail.run = run;
        m->all = s->home->all;
        m->number = s->kept->number;
        memcpy(m->client_id, client_id, len);
    }
    return m;
}

static void tell_opened(struct sessions *all, const struct session_opened *o)
{
    if (!atomic_load(&all->stopped)) {
        all->hooks.opened(all->hooks.arg, o);
    }
}

static void opened_at_home(struct mail *mail)
{
    struct home_mail *m = CONTAINER_OF(mail, struct home_mail, mail);
    tell_opened(m->all, &(struct session_opened){.number = m->number,
                                                 .device = m->device,
                                                 .client_id = m->client_id,
                                                 .expiry_us = m->expiry_us,
                                                 .resumed = m->resumed});
    device_drop(m->device);
    free(m);
}

enum err home_opened(const struct session *s)
{
    struct sessions *all = s->home->all;
    if (all->hooks.opened == NULL) {
        return ERR_OK;
    }
    if (on_home(s)) {
        tell_opened(all, &(struct session_opened){.number = s->kept->number,
                                                  .device = s->device,
                                                  .client_id = s->client_id,
                                                  .expiry_us = s->wanted_expiry_us,
                                                  .resumed = s->present});
        return ERR_OK;
    }
    struct home_mail *m = home_mail_new(s, s->client_id, opened_at_home);
    if (m == NULL) {
        return ERR_NOMEM;
    }
    if (s->device != NULL) {
        device_hold(s->device);
        m->device = s->device;
    }
    m->expiry_us = s->wanted_expiry_us;
    m->resumed = s->present;
    session_post(all, SESSION_HOME, &m->mail);
    return ERR_OK;
}

static void tell_parted(struct sessions *all, int64_t number, int64_t expiry_us)
{
    if (!atomic_load(&all->stopped)) {
        all->hooks.parted(all->hooks.arg, number, expiry_us);
    }
}

static void parted_at_home(struct mail *mail)
{
    struct home_mail *m = CONTAINER_OF(mail, struct home_mail, mail);
    tell_parted(m->all, m->number, m->expiry_us);
    free(m);
}

void home_parted(const struct session *s)
{
    struct sessions *all = s->home->all;
    if (all->hooks.parted == NULL) {
        return;
    }
    if (on_home(s)) {
        tell_parted(all, s->kept->number, s->kept->expiry_us);
        return;
    }
    struct home_mail *m = home_mail_new(s, "", parted_at_home);
    if (m == NULL) {
        LOG(LOG_ERROR, "parted_lost", LOG_S("why", "out of memory"),
            LOG_S("effect", "after a restart the session is kept for too long"));
        return;
    }
    m->expiry_us = s->kept->expiry_us;
    session_post(all, SESSION_HOME, &m->mail);
}
