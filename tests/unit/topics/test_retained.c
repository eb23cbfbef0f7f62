#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "mqtt_naive.h"
#include "topics/retained.h"

struct found {
    int count;
    char topics[64][32];
};

static void on_found(void *arg, struct message *m)
{
    struct found *f = arg;
    cr_assert_lt(f->count, 64);
    (void)view_copy(message_topic(m), f->topics[f->count++], sizeof(f->topics[0]));
}

static struct found search(const struct retained *r, const char *filter, int64_t now_us)
{
    struct found f = {0};
    cr_assert_eq(retained_match(r, view_str(filter), now_us, on_found, &f), ERR_OK);
    return f;
}

static bool has(const struct found *f, const char *topic)
{
    for (int i = 0; i < f->count; i++) {
        if (strcmp(f->topics[i], topic) == 0) {
            return true;
        }
    }
    return false;
}

static enum err put(struct retained *r, const char *topic, const char *payload,
                    int64_t expires_at_us, bool *ret_removed)
{
    struct message *m = message_new(view_str(topic), NULL, view_str(payload));
    cr_assert_not_null(m);
    m->expires_at_us = expires_at_us;
    enum err e = retained_put(r, m, true, ret_removed);
    message_drop(m);
    return e;
}

static void keep(struct retained *r, const char *topic, const char *payload)
{
    bool removed = false;
    cr_assert_eq(put(r, topic, payload, CLOCK_NONE, &removed), ERR_OK);
    cr_assert_not(removed);
}

Test(retained, the_last_message_of_a_topic_is_kept_and_an_empty_one_deletes_it)
{
    struct retained r;
    cr_assert_eq(retained_init(&r, 10, 1 << 20), ERR_OK);
    keep(&r, "a/b", "1");
    keep(&r, "a/b", "22");
    keep(&r, "a/c", "3");
    cr_assert_eq(r.count, 2);
    struct message *m = retained_changed(&r);
    cr_assert(view_eq_str(message_payload(m), "22"), "a change is told once, as it is now");
    cr_assert(view_eq_str(message_topic(retained_changed(&r)), "a/c"));
    cr_assert_null(retained_changed(&r));
    bool removed = false;
    cr_assert_eq(put(&r, "a/b", "", CLOCK_NONE, &removed), ERR_OK);
    cr_assert(removed);
    cr_assert_eq(put(&r, "a/b", "", CLOCK_NONE, &removed), ERR_OK);
    cr_assert_not(removed);
    struct found f = search(&r, "#", 0);
    cr_assert(f.count == 1 && has(&f, "a/c"));
    cr_assert_eq(put(&r, "a/c", "", CLOCK_NONE, &removed), ERR_OK);
    cr_assert(r.count == 0 && r.bytes == 0 && r.topics.node_count == 0);
    retained_fini(&r);
}

Test(retained, what_was_deleted_before_it_was_told_is_not_told)
{
    struct retained r;
    bool removed = false;
    cr_assert_eq(retained_init(&r, 10, 1 << 20), ERR_OK);
    keep(&r, "a", "1");
    cr_assert_eq(put(&r, "a", "", CLOCK_NONE, &removed), ERR_OK);
    cr_assert(removed);
    cr_assert_null(retained_changed(&r));
    retained_fini(&r);
}

Test(retained, expired_messages_are_not_found_and_go_when_asked)
{
    struct retained r;
    bool removed = false;
    cr_assert_eq(retained_init(&r, 10, 1 << 20), ERR_OK);
    cr_assert_eq(put(&r, "a", "1", 100, &removed), ERR_OK);
    cr_assert_eq(put(&r, "b", "1", 200, &removed), ERR_OK);
    cr_assert_eq(put(&r, "c", "1", 100, &removed), ERR_OK);
    keep(&r, "c", "2"); /* without an expiry now */
    cr_assert_eq(search(&r, "+", 99).count, 3);
    struct found f = search(&r, "+", 100);
    cr_assert(f.count == 2 && !has(&f, "a"));
    struct found gone = {0};
    retained_expire(&r, 150, on_found, &gone);
    cr_assert(gone.count == 1 && has(&gone, "a"));
    retained_expire(&r, 1000, on_found, &gone);
    cr_assert(gone.count == 2 && has(&gone, "b") && r.count == 1);
    retained_fini(&r);
}

Test(retained, limits_refuse_what_is_new_and_let_the_rest_be)
{
    struct retained r;
    bool removed = false;
    cr_assert_eq(retained_init(&r, 2, 1 << 20), ERR_OK);
    keep(&r, "a", "1");
    keep(&r, "b", "1");
    cr_assert_eq(put(&r, "c", "1", CLOCK_NONE, &removed), ERR_QUOTA);
    keep(&r, "a", "2");
    cr_assert_eq(put(&r, "a", "", CLOCK_NONE, &removed), ERR_OK);
    keep(&r, "c", "1");
    retained_fini(&r);

    cr_assert_eq(retained_init(&r, 100, 2 * (int64_t)sizeof(struct message) + 100), ERR_OK);
    char big[200];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    cr_assert_eq(put(&r, "a", big, CLOCK_NONE, &removed), ERR_QUOTA);
    cr_assert(r.count == 0 && r.topics.node_count == 0);
    big[90] = '\0';
    keep(&r, "a", big);
    keep(&r, "a", big); /* in the place of the old one */
    cr_assert_eq(put(&r, "b", big, CLOCK_NONE, &removed), ERR_QUOTA);
    retained_fini(&r);
}

Test(retained, filters_find_what_trying_each_topic_finds)
{
    static const char *const topics[] = {"a",      "a/",
                                         "/a",     "a/b",
                                         "a/b/c",  "a/b/c/d",
                                         "b",      "b/a",
                                         "/",      "//",
                                         "$SYS",   "$SYS/a",
                                         "a/$SYS", "x/y/z",
                                         "x//z",   "x/y",
                                         "x/yy",   "xx/y",
                                         "a/bb/c", "a//c",
                                         "$x/y/z", "long/topic/of/five/levels"};
    static const char *const filters[] = {"#",      "+",       "a",         "a/#",
                                          "a/+",    "+/+",     "/#",        "/+",
                                          "+/#",    "+/+/#",   "$SYS/#",    "$SYS",
                                          "$SYS/+", "a/+/c",   "a/+/c/#",   "x/+/z",
                                          "+/y/+",  "x/y/z/#", "none/#",    "none",
                                          "+/a",    "a/b/c/+", "a/b/+/d",   "//",
                                          "+//",    "//#",     "+/+/+/+/+", "$x/+/z",
                                          "a/$SYS", "+/$SYS",  "long/#",    "+/topic/+/five/#"};
    struct retained r;
    cr_assert_eq(retained_init(&r, 100, 1 << 20), ERR_OK);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        keep(&r, topics[i], "1");
    }
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        struct found f = search(&r, filters[i], 0);
        int expected = 0;
        for (size_t k = 0; k < sizeof(topics) / sizeof(topics[0]); k++) {
            bool matches = mqtt_naive_matches(view_str(filters[i]), view_str(topics[k]));
            expected += matches;
            cr_expect_eq(has(&f, topics[k]), matches, "%s on %s", filters[i], topics[k]);
        }
        cr_expect_eq(f.count, expected, "%s finds each once", filters[i]);
    }
    retained_fini(&r);
}

Test(retained, a_hundred_thousand_topics_come_and_go)
{
    enum { COUNT = 100000 };
    struct retained r;
    bool removed = false;
    cr_assert_eq(retained_init(&r, COUNT, 1LL << 30), ERR_OK);
    char topic[32];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof(topic), "site/%d/meter/%d", i % 500, i);
        keep(&r, topic, "on");
    }
    struct found f = search(&r, "site/+/meter/77777", 0);
    cr_assert(f.count == 1 && has(&f, "site/277/meter/77777"));
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof(topic), "site/%d/meter/%d", i % 500, i);
        cr_assert_eq(put(&r, topic, "", CLOCK_NONE, &removed), ERR_OK);
    }
    cr_assert(r.count == 0 && r.bytes == 0 && r.topics.node_count == 0);
    retained_fini(&r);
}
