#include "api/events.h"
#include "api/handlers.h"
#include "api/internal.h"

/* Where to start: Last-Event-ID, which a client that reconnects sends by itself, before ?since=.
 * *ret_since < 0: from now. */
static bool read_since(struct api_request *r, int64_t *ret_since)
{
    const char *header = api_request_header(r, "Last-Event-ID");
    struct view text =
        header != NULL && header[0] != '\0' ? view_str(header) : api_query_get(&r->query, "since");
    *ret_since = -1;
    if (text.len > 0 && (api_int_parse(text, ret_since) != ERR_OK || *ret_since < 0)) {
        api_fail(r, PROBLEM_BAD_REQUEST, "Last-Event-ID and since must be the id of an event");
        return false;
    }
    return true;
}

void api_handle_events_open(struct api_request *r, struct db *db)
{
    (void)db;
    int64_t since = 0;
    struct view name = api_query_get(&r->query, "device");
    struct view select = api_query_get(&r->query, "select");
    if (!read_since(r, &since)) {
        return;
    }
    int32_t device_id = 0;
    if (name.data != NULL) {
        struct device *d = api_device(r, name);
        if (d == NULL) {
            return;
        }
        device_id = d->id;
        device_drop(d);
    }
    struct rule_selector *selector = NULL;
    struct rule_error error = {0};
    if (select.len > 0 && rule_selector_parse(select, &selector, &error) != ERR_OK) {
        api_fail(r, PROBLEM_BAD_REQUEST, "select, column %d: %s", error.column, error.detail);
        return;
    }
    api_header(r, "X-Accel-Buffering", "no"); /* a proxy must not wait for more */
    api_events_open(r->api->events, r, since, device_id, api_query_get(&r->query, "kind"),
                    selector);
}
