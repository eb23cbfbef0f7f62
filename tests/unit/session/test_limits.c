#include "router.h"

/* Packets that are too large for the notation. */
struct packet {
    struct buf body, whole;
};

static void packet_begin(struct packet *p)
{
    buf_init(&p->body, 16 << 20);
    buf_init(&p->whole, 16 << 20);
}

static void packet_text(struct packet *p, const char *text, size_t len)
{
    buf_put_u8(&p->body, (uint8_t)(len >> 8));
    buf_put_u8(&p->body, (uint8_t)len);
    buf_put(&p->body, text, len);
}

static void packet_notation(struct packet *p, const char *notation)
{
    struct mqtt_bytes b = mqtt_bytes_of(notation);
    buf_put(&p->body, b.at, b.len);
}

static void put_varint(struct buf *out, size_t value)
{
    do {
        uint8_t byte = (uint8_t)(value % 128);
        value /= 128;
        buf_put_u8(out, value > 0 ? byte | 0x80 : byte);
    } while (value > 0);
}

static void packet_send(struct packet *p, uint8_t head, struct rig_conn *c)
{
    buf_put_u8(&p->whole, head);
    put_varint(&p->whole, p->body.len);
    buf_put_view(&p->whole, buf_view(&p->body));
    rig_give(c, p->whole.data, p->whole.len);
    rig_run(c->rig);
    buf_fini(&p->body);
    buf_fini(&p->whole);
}

/* One text as long as they come. */
static const char *longest(void)
{
    static char text[65536];
    memset(text, 'x', sizeof(text) - 1);
    return text;
}

Test(limits, the_longest_client_identifier)
{
    for (int open = 0; open < 2; open++) {
        for (int i = 0; i < 2; i++) {
            struct rig *r = router_new();
            struct rig_conn *c = rig_dial_on(r, 0, "d1", open);
            struct packet p;
            size_t len = i == 0 ? 128 : 65535;
            packet_begin(&p);
            packet_notation(&p, "<MQTT> 04 00 003c");
            packet_text(&p, longest(), len);
            packet_send(&p, 0x10, c);
            EXPECT_OUT(c, open || i == 0 ? "20 02 00 00" : "");
            if (c->session != NULL) {
                cr_expect_eq(strlen(session_client_id(c->session)), len);
            }
            rig_free(r);
        }
    }
}

Test(limits, every_terms_of_the_open_listener_are_the_protocols)
{
    struct rig *r = router_new();
    struct rig_conn *c = rig_dial_on(r, 0, NULL, true);
    rig_send(c, "10 { <MQTT> 05 02 0000 { } <c1> }"); /* keep alive off */
    EXPECT_OUT(c, "20 { 00 00 { 13 003c " TERMS_OPEN " } }");
    struct rig_conn *kept = rig_dial_on(r, 0, NULL, true);
    rig_send(kept, "10 { <MQTT> 05 02 003c { 11 ffffffff } <c2> }");
    EXPECT_OUT(kept, "20 { 00 00 { " TERMS_OPEN " } }");
    (void)rig_events(r);
    rig_turn(r, 89 * SEC);
    EXPECT_OPEN(c);
    rig_send(c, "82 { 0001 00 <1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/#> 02"
                "<a> 00 <b> 00 <c> 00 <d> 00 <e> 00 <f> 00 <g> 00 <h> 00 <i> 00 }");
    EXPECT_OUT(c, "90 { 0001 00 02 00 00 00 00 00 00 00 00 00 }");
    (void)rig_events(r);
    rig_send(c, "30 { <1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18> 00 'x' }");
    EXPECT_EVENTS(r, "route #1 1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18=x qos0 id0");
    rig_free(r);
}

Test(limits, on_the_open_listener_3_1_1_keeps_alive_as_it_says)
{
    struct rig *r = router_new();
    struct rig_conn *c = rig_dial_on(r, 0, NULL, true);
    rig_send(c, "10 { <MQTT> 04 02 0000 <a> }");
    EXPECT_OUT(c, "20 02 00 00");
    rig_turn(r, 100000 * SEC);
    EXPECT_OPEN(c);
    rig_free(r);
}

Test(limits, five_thousand_user_properties_arrive)
{
    for (int open = 0; open < 2; open++) {
        struct rig *r = router_new();
        r->conf.packet_max_bytes = MIB;
        r->all.device_limits = session_limits_of_devices(&r->conf);
        struct rig_conn *c = rig_dial_on(r, 0, "d1", open);
        rig_send(c, "10 { <MQTT> 05 02 003c { } <c1> }");
        buf_clear(&c->out);
        (void)rig_events(r);
        struct packet p;
        struct buf props;
        buf_init(&props, MIB);
        packet_begin(&p);
        for (int i = 0; i < 5000; i++) {
            struct mqtt_bytes b = mqtt_bytes_of("26 <name> <value>");
            buf_put(&props, b.at, b.len);
        }
        packet_notation(&p, "<plant/1/up/x>");
        put_varint(&p.body, props.len);
        buf_put_view(&p.body, buf_view(&props));
        buf_fini(&props);
        packet_send(&p, 0x30, c);
        if (open) {
            EXPECT_EVENTS(r, "route #1 plant/1/up/x= qos0 id0");
        } else {
            EXPECT_OUT(c, "e0 01 95");
        }
        rig_free(r);
    }
}

Test(limits, many_filters_are_found_changed_and_given_up)
{
    enum { MANY = 5000 };
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    char packet[64];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(packet, sizeof(packet), "82 { 0001 <t/%d> %02x }", i, round);
            rig_send(c, packet);
            r->events_len = 0;
        }
        cr_expect_eq(c->session->kept->filters.count, MANY);
    }
    buf_clear(&c->out);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(packet, sizeof(packet), "t/%d", i);
        const struct session_filter *f = filters_find(&c->session->kept->filters, view_str(packet));
        cr_assert(f != NULL && f->options == 1 && strcmp(f->filter, packet) == 0, "%d", i);
    }
    uint32_t random = 1;
    for (uint32_t left = MANY; left > 0;) { /* in any order */
        random = random * 1664525u + 1013904223u;
        (void)snprintf(packet, sizeof(packet), "t/%u", random >> 8 & 8191u);
        struct session_filter *f = filters_find(&c->session->kept->filters, view_str(packet));
        if (f != NULL) {
            filters_remove(&c->session->kept->filters, f);
            left--;
            cr_assert_null(filters_find(&c->session->kept->filters, view_str(packet)));
            cr_assert_eq(c->session->kept->filters.count, left);
        }
    }
    rig_free(r);
}

Test(limits, large_packets_go_in_and_out)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    struct packet p;
    packet_begin(&p);
    packet_notation(&p, "<a>");
    for (int i = 0; i < 15; i++) {
        buf_put(&p.body, longest(), 65535);
    }
    packet_send(&p, 0x30, c);
    r->events_len = 0;
    EXPECT_OPEN(c);
    static char large[1000000];
    memset(large, 'x', sizeof(large) - 1);
    (void)router_send(r, number_of(c), "a", large, 0, 0);
    cr_expect_eq(c->out.len, 1 + 3 + 3 + sizeof(large) - 1);
    /* A device's connection takes 256 KiB at most: what can never fit is not sent. */
    struct rig_conn *d = rig_dial(r, 0, "d1");
    rig_send(d, "10 { <MQTT> 04 02 003c <d> }");
    buf_clear(&d->out);
    (void)rig_events(r);
    (void)router_send(r, number_of(d), "plant/1/down/x", large, 1, 9);
    EXPECT_EVENTS(r, "done #2 seq9 over a limit");
    EXPECT_OUT(d, "");
    rig_free(r);
}

Test(numbers, a_table_is_a_table)
{
    struct numbers n = {0};
    static int values[3000];
    bool in[3000] = {false};
    uint32_t random = 7;
    uint32_t count = 0;
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525u + 1013904223u;
        int64_t number = 1 + (random >> 8) % 2999;
        void *got = numbers_get(&n, number);
        cr_assert_eq(got, in[number] ? &values[number] : NULL);
        if (in[number]) {
            numbers_remove(&n, number);
            count--;
        } else {
            cr_assert_eq(numbers_put(&n, number, &values[number]), ERR_OK);
            count++;
        }
        in[number] = !in[number];
        cr_assert_eq(n.count, count);
    }
    numbers_remove(&n, 0);
    numbers_remove(&n, 5000);
    cr_expect_eq(n.count, count);
    numbers_fini(&n);
}
