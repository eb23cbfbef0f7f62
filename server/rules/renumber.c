#include "rules/inside.h"

static void renumber(struct engine_episodes *list, int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].alert_id == from) {
            list->items[i].alert_id = to;
        }
    }
}

void engine_renumber_alert(struct engine *e, int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < e->machine_count; i++) {
        renumber(&e->machines[i].episodes, from, to);
        renumber(&e->machines[i].told, from, to);
    }
}
