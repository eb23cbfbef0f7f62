/*
 * What becomes of an attempt that found no receiver.
 */
#include <criterion/criterion.h>

#include "notify/internal.h"

static enum outcome outcome_of(bool refused, bool allowed, CURLcode code)
{
    struct channel channel = {.kind = CHANNEL_WEBHOOK, .url = "https://example.com/"};
    struct sender sender = {.channel = &channel};
    struct notify notify = {0};
    struct delivery d = {
        .notify = &notify, .sender = &sender, .refused = refused, .allowed = allowed};
    struct list active;
    list_init(&notify.ended);
    list_init(&active);
    list_push_back(&active, &d.link);
    curl_failed(&d, code);
    cr_expect(list_empty(&active) && notify.ended.next == &d.link);
    cr_expect_neq(d.detail[0], '\0');
    return d.outcome;
}

Test(delivery, fails_for_good_only_when_no_address_was_allowed)
{
    cr_expect_eq(outcome_of(true, false, CURLE_COULDNT_CONNECT), OUTCOME_FAILED);
    cr_expect_eq(outcome_of(true, true, CURLE_COULDNT_CONNECT), OUTCOME_RETRY,
                 "one refused, one down: that one may come back");
    cr_expect_eq(outcome_of(false, true, CURLE_COULDNT_CONNECT), OUTCOME_RETRY);
    cr_expect_eq(outcome_of(false, false, CURLE_COULDNT_RESOLVE_HOST), OUTCOME_RETRY);
}
