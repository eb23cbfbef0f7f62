#include <stdlib.h>
#include <string.h>

#include "session/private.h"

/*
 * Topic aliases, section 3.3.2.3.4, for one connection. Those of the client stand in a table that
 * costs nothing until it uses one. Towards the client the first few topics get one each, up to what
 * it allows, and keep it: a client that is sent many topics gains nothing from moving them about.
 */

enum { ALIAS_WORTH_BYTES = 4 }; /* an alias takes three */

struct alias_out {
    uint64_t hash;
    char *topic;
    uint16_t len;
};

enum err alias_in_resolve(struct session *s, struct mqtt_publish *m)
{
    uint16_t alias = m->props.topic_alias;
    char ***topics = &s->aliases_in.topics;
    if (alias > s->limits->aliases_max) {
        return ERR_RANGE;
    }
    if (m->topic.len == 0) {
        if (*topics == NULL || (*topics)[alias - 1] == NULL) {
            return ERR_NOT_FOUND;
        }
        m->topic = view_str((*topics)[alias - 1]);
        return ERR_OK;
    }
    if (m->topic.len > s->limits->alias_bytes_max) {
        return ERR_LIMIT;
    }
    if (*topics == NULL) {
        *topics = calloc(s->limits->aliases_max, sizeof(**topics));
    }
    char *copy = *topics == NULL ? NULL : strndup((const char *)m->topic.data, m->topic.len);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    free((*topics)[alias - 1]);
    (*topics)[alias - 1] = copy;
    return ERR_OK;
}

struct alias alias_out_find(const struct session *s, struct view topic)
{
    const struct aliases_out *a = &s->aliases_out;
    if (a->max == 0 || topic.len < ALIAS_WORTH_BYTES) {
        return (struct alias){0};
    }
    uint64_t hash = map_hash(topic);
    for (uint16_t i = 0; i < a->count; i++) {
        if (a->at[i].hash == hash && view_eq(view_of(a->at[i].topic, a->at[i].len), topic)) {
            return (struct alias){.number = (uint16_t)(i + 1), .known = true};
        }
    }
    return (struct alias){.number = a->count < a->max ? (uint16_t)(a->count + 1) : (uint16_t)0};
}

void alias_out_add(struct session *s, struct view topic)
{
    struct aliases_out *a = &s->aliases_out;
    if (a->at == NULL) {
        a->at = calloc(a->max, sizeof(*a->at));
    }
    char *copy = a->at == NULL ? NULL : malloc(topic.len);
    if (copy == NULL) {
        a->max = a->count; /* it works without */
        return;
    }
    memcpy(copy, topic.data, topic.len);
    a->at[a->count++] =
        (struct alias_out){.hash = map_hash(topic), .topic = copy, .len = (uint16_t)topic.len};
}

void alias_forget_all(struct session *s)
{
    char **topics = s->aliases_in.topics;
    for (uint32_t i = 0; topics != NULL && i < s->limits->aliases_max; i++) {
        free(topics[i]);
    }
    free(topics);
    s->aliases_in.topics = NULL;
    for (uint32_t i = 0; i < s->aliases_out.count; i++) {
        free(s->aliases_out.at[i].topic);
    }
    free(s->aliases_out.at);
    s->aliases_out = (struct aliases_out){0};
}
