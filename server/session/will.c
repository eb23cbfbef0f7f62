#include "base/counter.h"
#include "base/log.h"
#include "session/private.h"

/*
 * A will waits with its connection. When that ends otherwise than by a plain DISCONNECT, the will
 * is published as if the client had done it: to ingest on a topic of the device API, else to the
 * router, which keeps the delay (section 3.1.3.2.2).
 */

enum err will_take(struct session *s, const struct mqtt_connect *m)
{
    const struct mqtt_will *w = &m->will;
    const struct mqtt_props *p = &w->props;
    if (!m->has_will) {
        return ERR_OK;
    }
    if (access_of_publish(s, w->topic) == ACCESS_DENIED) {
        return ERR_DENIED;
    }
    const struct mqtt_publish published = {.payload = w->payload, .props = *p};
    enum err e = mqtt_publish_check_payload(&published);
    if (e != ERR_OK) {
        return e;
    }
    struct message *message = message_new(w->topic, p, w->payload);
    if (message == NULL) {
        return ERR_NOMEM;
    }
    message->qos = w->qos;
    message->retain = w->retain;
    s->will = (struct will){
        .message = message,
        .delay_us = mqtt_has(p, MQTT_PROP_WILL_DELAY) ? p->will_delay_s * CLOCK_SECOND_US : 0,
        .expiry_us = mqtt_has(p, MQTT_PROP_MESSAGE_EXPIRY) ? p->message_expiry_s * CLOCK_SECOND_US
                                                           : CLOCK_NONE,
    };
    return ERR_OK;
}

void will_forget(struct session *s)
{
    message_drop(s->will.message);
    s->will = (struct will){0};
}

/* There is nobody to acknowledge it to, so it is as good as QoS 0. */
static void send_to_ingest(struct session *s)
{
    static const struct mqtt_props none = {0};
    const struct session_hooks *h = &s->home->all->hooks;
    const struct session_publish p = {
        .topic = message_topic(s->will.message),
        .payload = message_payload(s->will.message),
        .received_at_us = clock_wall_us(),
        .props = &none,
    };
    counter_message_received(1);
    enum err e = h->publish(h->arg, s, &p, NULL);
    if (e != ERR_OK) {
        counter_message_received(-1);
        LOG(LOG_WARN, "will_not_taken", LOG_S("client_id", s->client_id),
            LOG_S("why", err_words(e)));
    }
}

void will_send(struct session *s, bool persistent)
{
    const struct session_hooks *h = &s->home->all->hooks;
    struct will will = s->will;
    if (will.message == NULL) {
        return;
    }
    if (access_publish(s->device, message_topic(will.message)) == ACCESS_DEVICE_API) {
        send_to_ingest(s);
    } else if (h->will != NULL) {
        int64_t longest_us = persistent ? s->kept->expiry_us : 0;
        const struct session_will w = {
            .number = s->kept->number,
            .device = s->device,
            .message = message_hold(will.message),
            .delay_us = will.delay_us < longest_us ? will.delay_us : longest_us,
            .expiry_us = will.expiry_us,
        };
        h->will(h->arg, &w);
    }
    will_forget(s);
}
