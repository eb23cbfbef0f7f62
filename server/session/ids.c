#include "session/ids.h"

#include <stdlib.h>
#include <string.h>

void ids_fini(struct ids *s)
{
    free(s->at);
    *s = (struct ids){0};
}

/* Where id is or would be. */
static uint32_t ids_place(const struct ids *s, uint16_t id)
{
    uint32_t low = 0;
    uint32_t high = s->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (s->at[mid] < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

bool ids_has(const struct ids *s, uint16_t id)
{
    uint32_t i = ids_place(s, id);
    return i < s->count && s->at[i] == id;
}

enum err ids_add(struct ids *s, uint16_t id)
{
    uint32_t i = ids_place(s, id);
    if (i < s->count && s->at[i] == id) {
        return ERR_OK;
    }
    if (s->count == s->cap) {
        uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
        uint16_t *at = realloc(s->at, cap * sizeof(*at));
        if (at == NULL) {
            return ERR_NOMEM;
        }
        s->at = at;
        s->cap = cap;
    }
    memmove(s->at + i + 1, s->at + i, (s->count - i) * sizeof(*s->at));
    s->at[i] = id;
    s->count++;
    return ERR_OK;
}

bool ids_remove(struct ids *s, uint16_t id)
{
    uint32_t i = ids_place(s, id);
    if (i == s->count || s->at[i] != id) {
        return false;
    }
    s->count--;
    memmove(s->at + i, s->at + i + 1, (s->count - i) * sizeof(*s->at));
    if (s->count == 0) {
        ids_fini(s);
    }
    return true;
}
