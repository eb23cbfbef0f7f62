#include "mqtt/topic.h"
#include "mqtt_naive.h"
#include "support.h"

Test(topic, names)
{
    static const struct {
        const char *topic;
        bool valid;
    } rows[] = {
        {"a", true},
        {"/", true},
        {"//", true},
        {"/finance", true},
        {"a b", true},
        {"$SYS/x", true},
        {"ACCOUNTS", true},
        {"", false},
        {"+", false},
        {"#", false},
        {"a/+", false},
        {"sport+", false},
        {"sport/#", false},
        {"\xC3\xA9", true},
        {"\xC3", false},
        {"\xED\xA0\x80", false},
        {"\xC0\xAF", false},
        {"\xF4\x90\x80\x80", false},
        {"\xEF\xBB\xBF", true},
        {"$share/g/a", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(mqtt_topic_name_valid(view_str(rows[i].topic)), rows[i].valid, "%s",
                     rows[i].topic);
    }
    cr_expect_not(mqtt_topic_name_valid(VIEW("a\0b")));
    static uint8_t big[65536];
    memset(big, 'a', sizeof(big));
    cr_expect(mqtt_topic_name_valid(view_of(big, 65535)));
    cr_expect_not(mqtt_topic_name_valid(view_of(big, 65536)));
    cr_expect_not(mqtt_filter_valid(view_of(big, 65536)));
}

Test(topic, filters)
{
    static const struct {
        const char *filter;
        bool valid;
    } rows[] = {
        {"a", true},
        {"/", true},
        {"#", true},
        {"+", true},
        {"+/+", true},
        {"/+", true},
        {"+/", true},
        {"/#", true},
        {"sport/tennis/#", true},
        {"sport/tennis#", false},
        {"sport/tennis/#/ranking", false},
        {"+/tennis/#", true},
        {"sport+", false},
        {"sport/+/player1", true},
        {"+a", false},
        {"a+/b", false},
        {"a/+b", false},
        {"##", false},
        {"#/", false},
        {"#/#", false},
        {"++", false},
        {"a/#b", false},
        {"", false},
        {"$SYS/#", true},
        {"$share", true},
        {"$shared/#", true},
        {"$share/", false},
        {"$share/g", false},
        {"$share/g/", false},
        {"$share//a", false},
        {"$share/g/a", true},
        {"$share/g//", true},
        {"$share/g/#", true},
        {"$share/g/+/x", true},
        {"$share/g+/a", false},
        {"$share/#/a", false},
        {"$share/+/a", false},
        {"$share/g/a#", false},
        {"$share/g/$share/h/a", true},
        {"\xC3\xA9/+", true},
        {"\xC3/+", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(mqtt_filter_valid(view_str(rows[i].filter)), rows[i].valid, "%s",
                     rows[i].filter);
    }
    cr_expect_not(mqtt_filter_valid(VIEW("a/\0/#")));
}

Test(topic, shared_filters_are_split)
{
    static const struct {
        const char *filter, *group, *rest;
    } rows[] = {
        {"$share/g/a/b", "g", "a/b"},
        {"$share/g//a", "g", "/a"},
        {"a/b", "", "a/b"},
        {"$share", "", "$share"},
        {"$share/g", "", "$share/g"},
        {"$share//a", "", "$share//a"},
        {"$shared/g/a", "", "$shared/g/a"},
        {"$share/consumer 1/#", "consumer 1", "#"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mqtt_share s = mqtt_filter_split(view_str(rows[i].filter));
        cr_expect(view_eq_str(s.group, rows[i].group), "%s", rows[i].filter);
        cr_expect(view_eq_str(s.filter, rows[i].rest), "%s", rows[i].filter);
    }
}

Test(topic, depth)
{
    static const struct {
        const char *topic;
        uint32_t levels;
    } rows[] = {{"a", 1},
                {"a/b", 2},
                {"/", 2},
                {"//", 3},
                {"v1/devices/me/telemetry", 4},
                {"$share/g/a/b", 2},
                {"a/+/#", 3}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct view v = view_str(rows[i].topic);
        cr_expect(mqtt_topic_depth_within(v, rows[i].levels), "%s", rows[i].topic);
        cr_expect(mqtt_topic_depth_within(v, UINT32_MAX), "%s", rows[i].topic);
        cr_expect_not(mqtt_topic_depth_within(v, rows[i].levels - 1), "%s", rows[i].topic);
    }
}

Test(topic, matching_as_in_the_standard)
{
    static const struct {
        const char *filter, *topic;
        bool match;
    } rows[] = {
        /* 4.7.1.2 */
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player2", false},
        {"sport/#", "sport", true},
        {"#", "anything/at/all", true},
        {"#", "/", true},
        /* 4.7.1.3 */
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"+/tennis/#", "sport/tennis", true},
        {"+/tennis/#", "sport/tennis/x/y", true},
        {"sport/+/player1", "sport/tennis/player1", true},
        {"sport/+/player1", "sport/player1", false},
        /* 4.7.2 */
        {"#", "$SYS/x", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/x", true},
        {"$SYS/#", "$SYS", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"+", "$", false},
        {"a/+", "a/$x", true},
        {"a/#", "a/$x", true},
        {"/+", "/$x", true},
        /* 4.7.3 */
        {"ACCOUNTS", "Accounts", false},
        {"/A", "A", false},
        {"A", "A/", false},
        {"A/", "A", false},
        {"a//b", "a//b", true},
        {"a/+/b", "a//b", true},
        {"a/b", "a/bc", false},
        {"a/bc", "a/b", false},
        {"a/b/#", "a/bc", false},
        {"+/#", "a", true},
        {"+/+/#", "a", false},
        {"/#", "/", true},
        /* 4.8.2 */
        {"$share/g/a/+", "a/b", true},
        {"$share/g/#", "$SYS/x", false},
        {"$share/g/#", "a", true},
        {"$share/g/a", "$share/g/a", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct view f = view_str(rows[i].filter);
        struct view t = view_str(rows[i].topic);
        cr_expect_eq(mqtt_filter_matches(f, t), rows[i].match, "%s and %s", rows[i].filter,
                     rows[i].topic);
        cr_expect_eq(mqtt_naive_matches(mqtt_filter_split(f).filter, t), rows[i].match,
                     "the naive one disagrees on %s and %s", rows[i].filter, rows[i].topic);
    }
}

/* Every string of 1 to `len` characters of the alphabet, one after the other. */
static bool next_word(char *word, size_t len, const char *alphabet)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < n; i++) {
        const char *at = strchr(alphabet, word[i]);
        if (at[1] != '\0') {
            word[i] = at[1];
            return true;
        }
        word[i] = alphabet[0];
    }
    if (n == len) {
        return false;
    }
    word[n] = alphabet[0];
    word[n + 1] = '\0';
    return true;
}

Test(topic, all_short_filters_against_all_short_names_as_the_naive_one)
{
    size_t matches = 0;
    char filter[8] = "";
    while (next_word(filter, 5, "a/+#$")) {
        struct view f = view_str(filter);
        cr_assert_eq(mqtt_filter_valid(f), mqtt_naive_filter_valid(f), "%s", filter);
        if (!mqtt_filter_valid(f)) {
            continue;
        }
        char topic[8] = "";
        while (next_word(topic, 4, "a/$")) {
            bool match = mqtt_filter_matches(f, view_str(topic));
            cr_assert_eq(match, mqtt_naive_matches(f, view_str(topic)), "%s and %s", filter, topic);
            matches += match;
        }
    }
    cr_expect_gt(matches, 1000);
}

/* By trying all names up to a length that tells any two of these filters apart. */
static bool naive_covers(struct view outer, struct view inner)
{
    char topic[8] = "";
    while (next_word(topic, 6, "a/$b")) {
        struct view t = view_str(topic);
        if (mqtt_naive_matches(inner, t) && !mqtt_naive_matches(outer, t)) {
            return false;
        }
    }
    return true;
}

Test(topic, covering_is_what_trying_all_names_says)
{
    char outer[8] = "";
    size_t covered = 0;
    while (next_word(outer, 4, "a/+#$")) {
        if (!mqtt_filter_valid(view_str(outer))) {
            continue;
        }
        char inner[8] = "";
        while (next_word(inner, 4, "a/+#$")) {
            struct view o = view_str(outer);
            struct view i = view_str(inner);
            if (!mqtt_filter_valid(i)) {
                continue;
            }
            bool covers = mqtt_filter_covers(o, i);
            covered += covers;
            cr_assert_eq(covers, naive_covers(o, i), "%s and %s", outer, inner);
        }
    }
    cr_expect_gt(covered, 300);
}

Test(topic, covering_looks_behind_the_group)
{
    cr_expect(mqtt_filter_covers(VIEW("a/#"), VIEW("$share/g/a/+")));
    cr_expect_not(mqtt_filter_covers(VIEW("a/#"), VIEW("$share/g/b/+")));
    cr_expect(mqtt_filter_covers(VIEW("$share/g/a/#"), VIEW("a")));
}

Test(topic, a_hostile_filter_costs_no_more_than_its_length)
{
    /* Exponential or quadratic matching would not come back in this test's lifetime. */
    enum { LEN = 65535 };
    uint8_t *filter = malloc(LEN);
    uint8_t *topic = malloc(LEN);
    cr_assert(filter != NULL && topic != NULL);
    for (size_t i = 0; i < LEN; i++) {
        filter[i] = i % 2 == 0 ? '+' : '/';
        topic[i] = i % 2 == 0 ? 'a' : '/';
    }
    for (int i = 0; i < 200; i++) {
        cr_assert(mqtt_filter_valid(view_of(filter, LEN)));
        cr_assert(mqtt_filter_matches(view_of(filter, LEN), view_of(topic, LEN)));
        cr_assert(mqtt_filter_covers(view_of(filter, LEN), view_of(topic, LEN)));
        cr_assert_not(mqtt_filter_matches(view_of(filter, LEN), view_of(topic, LEN - 2)));
    }
    free(filter);
    free(topic);
}
