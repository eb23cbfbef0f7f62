#include "expect.h"

Test(connect, every_refusal_has_its_code_and_closes)
{
    static const struct {
        const char *why;
        const char *certificate;
        const char *connect;
        const char *answer;
    } rows[] = {
        {"3.1 is not spoken", NULL, "10 { <MQIsdp> 03 02 003c <c1> }", "20 02 00 01"},
        {"level 6 is not spoken", NULL, "10 { <MQTT> 06 82 003c { } <c1> <token-d1> }",
         "20 02 00 01"},
        {"bridge bit", NULL, "10 { <MQTT> 84 82 003c <c1> <token-d1> }", "20 02 00 01"},
        {"not MQTT at all: no answer", NULL, "10 { <HTTP> 04 82 003c <c1> <token-d1> }", ""},
        {"reserved flag, 3.1.1: no answer", NULL, "10 { <MQTT> 04 83 003c <c1> <token-d1> }", ""},
        {"reserved flag, 5.0: none either", NULL, "10 { <MQTT> 05 83 003c { } <c1> <token-d1> }",
         ""},
        {"property twice", NULL, "10 { <MQTT> 05 82 003c { 21 0001 21 0001 } <c1> <token-d1> }",
         ""},
        {"ends too early, 5.0", NULL, "10 { <MQTT> 05 82 003c { } <c1> 0008 'toke' }", ""},
        {"empty client id without clean session", NULL, "10 { <MQTT> 04 80 003c <> <token-d1> }",
         "20 02 00 02"},
        {"client id of 129 bytes", NULL,
         "10 { <MQTT> 04 82 003c <1234567890123456789012345678901234567890123456789012345678901234"
         "56789012345678901234567890123456789012345678901234567890123456789> <token-d1> }",
         "20 02 00 02"},
        {"control character in the client id, 5.0", NULL,
         "10 { <MQTT> 05 82 003c { } 0002 410a <token-d1> }", ""},
        {"enhanced authentication", NULL, "10 { <MQTT> 05 82 003c { 15 <SCRAM> } <c1> <token-d1> }",
         "20 { 00 8c { } }"},
        {"no credential", NULL, "10 { <MQTT> 04 02 003c <c1> }", "20 02 00 05"},
        {"no credential, 5.0", NULL, "10 { <MQTT> 05 02 003c { } <c1> }", "20 { 00 86 { } }"},
        {"empty user name is none", NULL, "10 { <MQTT> 04 82 003c <c1> <> }", "20 02 00 05"},
        {"unknown token", NULL, "10 { <MQTT> 04 82 003c <c1> <nobody> }", "20 02 00 04"},
        {"unknown token, 5.0", NULL, "10 { <MQTT> 05 82 003c { } <c1> <nobody> }",
         "20 { 00 86 { } }"},
        {"unknown certificate", "x", "10 { <MQTT> 04 02 003c <c1> }", "20 02 00 05"},
        {"unknown certificate, 5.0", "x", "10 { <MQTT> 05 02 003c { } <c1> }", "20 { 00 87 { } }"},
        {"good certificate, unknown token", "d1", "10 { <MQTT> 04 82 003c <c1> <nobody> }",
         "20 02 00 04"},
        {"certificate and token of two devices", "d1", "10 { <MQTT> 04 82 003c <c1> <token-d2> }",
         "20 02 00 05"},
        {"the same, 5.0", "d1", "10 { <MQTT> 05 82 003c { } <c1> <token-d2> }", "20 { 00 87 { } }"},
        {"nobody can tell now", NULL, "10 { <MQTT> 04 82 003c <c1> <token-down> }", "20 02 00 03"},
        {"nobody can tell now, 5.0", NULL, "10 { <MQTT> 05 82 003c { } <c1> <token-down> }",
         "20 { 00 88 { } }"},
        {"will on a topic of others", NULL,
         "10 { <MQTT> 04 86 003c <c1> <v1/devices/other/telemetry> <x> <token-d1> }",
         "20 02 00 05"},
        {"will that is not the text it says", NULL,
         "10 { <MQTT> 05 86 003c { } <c1> { 01 01 } " TELEMETRY " 0001 ff <token-d1> }",
         "20 { 00 99 { } }"},
        {"CONNACK larger than the client takes", NULL,
         "10 { <MQTT> 05 82 003c { 27 0000000d } <c1> <token-d1> }", "20 { 00 88 { } }"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = rig_dial(r, 0, rows[i].certificate);
        char got[512];
        rig_send(c, rows[i].connect);
        bool equal = rig_got(c, rows[i].answer, got, sizeof(got));
        cr_expect(equal, "%s: expected %s, got %s", rows[i].why, rows[i].answer, got);
        cr_expect_null(c->session, "%s", rows[i].why);
        cr_expect_null(strstr(rig_events(r), "forgotten"), "%s", rows[i].why);
        rig_free(r);
    }
}

Test(connect, what_is_accepted_is_answered_with_the_terms)
{
    static const struct {
        const char *why;
        const char *certificate;
        const char *connect;
        const char *answer;
        const char *events;
    } rows[] = {
        {"token", NULL, CONNECT_311, CONNACK_311, "attach d1/c1 clean"},
        {"token, kept", NULL, CONNECT_KEPT, CONNACK_311, "attach d1/c1 persistent"},
        {"certificate", "d1", "10 { <MQTT> 04 02 003c <c1> }", CONNACK_311, "attach d1/c1 clean"},
        {"both, of one device", "d1", CONNECT_311, CONNACK_311, "attach d1/c1 clean"},
        {"a password is of no interest", NULL, "10 { <MQTT> 04 c2 003c <c1> <token-d1> <secret> }",
         CONNACK_311, "attach d1/c1 clean"},
        {"5.0", NULL, CONNECT_5, CONNACK_5, "attach d1/c1 clean"},
        {"5.0, expiry as asked", NULL, CONNECT_5KEPT, CONNACK_5, "attach d1/c1 persistent"},
        {"5.0, expiry capped", NULL, "10 { <MQTT> 05 82 003c { 11 ffffffff } <c1> <token-d1> }",
         "20 { 00 00 { 11 00000e10 " TERMS_5 " } }", "attach d1/c1 clean persistent"},
        {"5.0, keep alive off becomes the longest", NULL,
         "10 { <MQTT> 05 82 0000 { } <c1> <token-d1> }", "20 { 00 00 { 13 04b0 " TERMS_5 " } }",
         "attach d1/c1 clean"},
        {"5.0, keep alive too long", NULL, "10 { <MQTT> 05 82 ffff { } <c1> <token-d1> }",
         "20 { 00 00 { 13 04b0 " TERMS_5 " } }", "attach d1/c1 clean"},
        {"will on a topic of its own", NULL,
         "10 { <MQTT> 04 86 003c <c1> <plant/7/up/gone> <x> <token-d1> }", CONNACK_311,
         "attach d1/c1 clean"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = rig_dial(r, 0, rows[i].certificate);
        char got[512];
        rig_send(c, rows[i].connect);
        /* Properties may come in any order: ours come in the order of the table. */
        cr_expect(c->out.len > 0 && c->session != NULL && c->ready, "%s", rows[i].why);
        if (strstr(rows[i].answer, "{") == NULL) {
            bool equal = rig_got(c, rows[i].answer, got, sizeof(got));
            cr_expect(equal, "%s: expected %s, got %s", rows[i].why, rows[i].answer, got);
        } else {
            cr_expect_eq(c->out.len, mqtt_bytes_of(rows[i].answer).len, "%s: length %zu",
                         rows[i].why, c->out.len);
            cr_expect_eq(c->out.data[3], 0, "%s", rows[i].why);
        }
        const char *events = rig_events(r);
        cr_expect_str_eq(events, rows[i].events, "%s: %s", rows[i].why, events);
        rig_free(r);
    }
}

Test(connect, a_client_without_a_name_gets_one)
{
    struct rig *r = rig_new();
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, "10 { <MQTT> 05 82 003c { } <> <token-d1> }");
    EXPECT_OPEN(c);
    cr_assert_gt(c->out.len, 40);
    bool told = memmem(c->out.data, c->out.len,
                       "\x12\x00\x29"
                       "auto-",
                       8) != NULL;
    cr_expect(told, "Assigned Client Identifier of 41 bytes");
    struct rig_conn *old = rig_dial(r, 0, NULL);
    rig_send(old, "10 { <MQTT> 04 82 003c <> <token-d1> }");
    EXPECT_OUT(old, CONNACK_311);
    EXPECT_OPEN(c);
    rig_free(r);
}

Test(connect, the_first_packet_is_connect_and_small_or_the_end)
{
    static const struct {
        const char *why;
        const char *bytes;
        const char *answer;
    } rows[] = {
        {"PINGREQ", "c0 00", ""},
        {"PUBLISH", "30 { <a> 'x' }", ""},
        {"one byte of HTTP is enough", "47", ""},
        {"CONNECT with a flag", "11 { <MQTT> 04 02 003c <c1> }", ""},
        {"256 MB announced, nothing sent", "10 ff ff ff 7f", ""},
        {"a length of five bytes", "10 ff ff ff ff", ""},
        {"1 KiB and a byte, 3.1.1", "10 fe 07 <MQTT> 04 02 003c", ""},
        {"1 KiB and a byte, 5.0", "10 fe 07 <MQTT> 05 02 003c", "20 { 00 95 { } }"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = rig_dial(r, 0, NULL);
        char got[128];
        rig_send(c, rows[i].bytes);
        bool equal = rig_got(c, rows[i].answer, got, sizeof(got));
        cr_expect(equal, "%s: got %s", rows[i].why, got);
        cr_expect_null(c->session, "%s", rows[i].why);
        rig_free(r);
    }
}

Test(connect, every_cut_waits_and_every_byte_alone_works)
{
    static const char *const connects[] = {CONNECT_311, CONNECT_5, CONNECT_5KEPT};
    for (size_t i = 0; i < COUNT_OF(connects); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = rig_dial(r, 0, NULL);
        struct mqtt_bytes b = mqtt_bytes_of(connects[i]);
        for (size_t at = 0; at < b.len; at++) {
            cr_expect_eq(c->out.len, 0);
            rig_give(c, b.at + at, 1);
            rig_run(r);
            cr_assert_not_null(c->session);
        }
        cr_expect_gt(c->out.len, 0);
        rig_free(r);
    }
}

Test(connect, packets_behind_connect_wait_for_the_attach)
{
    struct rig *r = rig_new();
    r->attach_waits = true;
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, CONNECT_311 "82 { 0001 <v1/devices/me/attributes> 01 } 32 { " TELEMETRY
                            " 0002 'x' } c0 00");
    EXPECT_OUT(c, "");
    EXPECT_EVENTS(r, "attach d1/c1 clean");
    session_attach_done(&r->all, r->last_ref, ERR_OK);
    rig_run(r);
    EXPECT_OUT(c, CONNACK_311 " 90 03 0001 01 40 02 0002 d0 00");
    EXPECT_EVENTS(r, "filters c1 1; publish v1/devices/me/telemetry=x qos1 id2");
    rig_free(r);
}

Test(connect, a_client_that_talks_much_before_its_connack_is_not_read)
{
    struct rig *r = rig_new();
    r->attach_waits = true;
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, CONNECT_311);
    uint8_t ping[2] = {0xc0, 0};
    for (int i = 0; i < SESSION_HOLD_BYTES / 2; i++) {
        cr_expect(c->reading);
        rig_give(c, ping, 2);
    }
    cr_expect(!c->reading);
    session_attach_done(&r->all, r->last_ref, ERR_OK);
    rig_run(r);
    cr_expect(c->reading);
    cr_expect_eq(c->out.len, 4 + SESSION_HOLD_BYTES);
    rig_free(r);
}

Test(connect, a_refused_or_late_attach_is_harmless)
{
    struct rig *r = rig_new();
    r->attach_status = ERR_DB_DOWN;
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, CONNECT_KEPT);
    EXPECT_OUT(c, "20 02 00 03");
    EXPECT_CLOSED(c);
    EXPECT_EVENTS(r, "attach d1/c1 persistent; detach d1/c1 server");
    r->attach_status = ERR_OK;
    r->attach_waits = true;
    struct rig_conn *gone = rig_dial(r, 0, NULL);
    rig_send(gone, CONNECT_KEPT);
    rig_hang_up(gone);
    EXPECT_EVENTS(r, "attach d1/c1 persistent; detach d1/c1 client");
    session_attach_done(&r->all, r->last_ref, ERR_OK);
    rig_run(r);
    EXPECT_EVENTS(r, "");
    rig_free(r);
}

Test(connect, what_the_attach_hook_borrowed_stays_until_it_answers)
{
    static const char *const connects[] = {CONNECT_311, CONNECT_KEPT};
    for (size_t i = 0; i < COUNT_OF(connects); i++) {
        for (int how = 0; how < 3; how++) {
            struct rig *r = rig_new();
            struct rig_conn *first = rig_dial(r, 0, NULL);
            rig_send(first, CONNECT_KEPT); /* so that something is kept, or thrown away */
            r->attach_waits = true;
            struct rig_conn *c = rig_dial(r, 1, NULL);
            rig_send(c, connects[i]);
            const struct device *device = r->last_device;
            const char *client_id = r->last_client_id;
            struct session_ref ref = r->last_ref;
            if (how == 0) {
                rig_hang_up(c);
            } else if (how == 1) {
                struct rig_conn *next = rig_dial(r, 2, NULL);
                rig_send(next, CONNECT_311);
            } else {
                session_kick(&r->all, 1, 0);
                rig_run(r);
            }
            EXPECT_CLOSED(c);
            cr_expect_str_eq(device->name, "d1"); /* ASan watches */
            cr_expect_str_eq(client_id, "c1");
            session_attach_done(&r->all, ref, ERR_OK);
            session_attach_done(&r->all, ref, ERR_OK); /* once too often: nothing */
            rig_run(r);
            EXPECT_OUT(c, "");
            rig_free(r);
        }
    }
}

Test(connect, a_kept_session_is_present_with_its_filters_until_a_clean_start)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_KEPT, CONNACK_311);
    rig_send(c, "82 { 0001 <v1/devices/me/rpc/request/+> 01 }");
    rig_hang_up(c);
    (void)rig_events(r);
    struct rig_conn *again = rig_dial(r, 1, NULL);
    rig_send(again, CONNECT_KEPT);
    EXPECT_OUT(again, "20 02 01 00");
    cr_expect_eq(again->session->kept->filters.count, 1);
    EXPECT_EVENTS(r, "attach d1/c1 persistent present");
    rig_hang_up(again);
    (void)rig_events(r);
    struct rig_conn *clean = rig_dial(r, 2, NULL);
    rig_send(clean, CONNECT_311);
    EXPECT_OUT(clean, CONNACK_311);
    cr_expect_eq(clean->session->kept->filters.count, 0);
    EXPECT_EVENTS(r, "forgotten d1/c1; attach d1/c1 clean");
    rig_free(r);
}
