/*
 * mqtt_samples: valid packets of every type, written by hand from the standard's chapters, for the
 * unit tests and as seeds for the fuzzers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "mqtt/frame.h"

struct mqtt_sample {
    const char *why;
    enum mqtt_version version;
    char sender;
    bool exact;     /* our encoder writes the same bytes */
    size_t shorter; /* how many cuts of the body are valid packets too */
    const char *text;
};

static const struct mqtt_sample mqtt_samples[] = {
    {"smallest CONNECT of 3.1.1", MQTT_311, 'c', true, 0, "10 { <MQTT> 04 02 003c <> }"},
    {"CONNECT 3.1.1 with everything", MQTT_311, 'c', true, 0,
     "10 { <MQTT> 04 f6 003c <dev-7> <gone/dev-7> <bye> <user> <secret> }"},
    {"empty id with a kept session is the session's business", MQTT_311, 'c', true, 0,
     "10 { <MQTT> 04 00 0000 <> }"},
    {"smallest CONNECT of 5.0", MQTT_50, 'c', true, 0, "10 { <MQTT> 05 02 003c { } <> }"},
    {"CONNECT 5.0 with everything", MQTT_50, 'c', true, 0,
     "10 { <MQTT> 05 ee ffff"
     " { 11 00000e10 22 000a 15 <SCRAM> 16 <xy> 17 01 19 00 26 <k> <v> 27 00010000 21 0014 } <dev>"
     " { 01 01 02 0000003c 03 <text> 08 <re/ply> 09 <id> 18 00000005 26 <a> <b> 26 <a> <c> }"
     " <gone> <bye> <user> <secret> }"},
    {"5.0 allows a password alone", MQTT_50, 'c', true, 0,
     "10 { <MQTT> 05 42 0000 { } <d> <token> }"},
    {"an empty will", MQTT_311, 'c', true, 0, "10 { <MQTT> 04 06 0000 <d> <t> <> }"},

    {"CONNACK 3.1.1", MQTT_311, 's', true, 0, "20 { 00 00 }"},
    {"CONNACK 3.1.1 with a session", MQTT_311, 's', true, 0, "20 { 01 00 }"},
    {"CONNACK 3.1.1, not authorised", MQTT_311, 's', true, 0, "20 { 00 05 }"},
    {"CONNACK 5.0", MQTT_50, 's', true, 0, "20 { 00 00 { } }"},
    {"CONNACK 5.0 with everything", MQTT_50, 's', true, 0,
     "20 { 01 00 { 11 00000e10 13 003c 22 0010 12 <auto-1> 15 <m> 16 <d> 1a <info> 1c <other>"
     " 1f <why> 24 01 25 00 26 <k> <v> 27 00040000 21 0064 28 01 29 01 2a 00 } }"},
    {"CONNACK 5.0, banned", MQTT_50, 's', true, 0, "20 { 00 8a { } }"},

    {"PUBLISH QoS 0, empty", MQTT_311, 'c', true, 0, "30 { <a> }"},
    {"PUBLISH QoS 1", MQTT_311, 'c', true, 7, "32 { <v1/devices/me/telemetry> 0007 '{\"k\":1}' }"},
    {"PUBLISH QoS 2, DUP, retained", MQTT_311, 'c', true, 1, "3d { <a/b> ffff 'x' }"},
    {"PUBLISH with UTF-8", MQTT_311, 'c', true, 1,
     "30 { <\xC3\xA9/\xE2\x82\xAC/\xF0\x9F\x9A\x82> 'x' }"},
    {"PUBLISH 5.0", MQTT_50, 'c', true, 2, "31 { <a/b> { } 'hi' }"},
    {"PUBLISH 5.0, topic by alias", MQTT_50, 'c', true, 1, "32 { <> 0001 { 23 0005 } 'x' }"},
    {"PUBLISH 5.0 with everything", MQTT_50, 's', true, 1,
     "32 { <a/b> 0001 { 01 01 02 0000000a 03 <json> 08 <r> 09 <c> 0b 01 0b ffffff7f 23 0001"
     " 26 <> <> 26 <k> <v> } 'x' }"},
    {"repeated properties between others", MQTT_50, 's', false, 0,
     "30 { <a> { 26 <1> <x> 0b 05 01 00 26 <2> <y> 0b 80 01 02 00000001 26 <1> <z> } }"},

    {"PUBACK", MQTT_311, 'c', true, 0, "40 { 0001 }"},
    {"PUBREC", MQTT_311, 's', true, 0, "50 { 0001 }"},
    {"PUBREL", MQTT_311, 'c', true, 0, "62 { 0001 }"},
    {"PUBCOMP", MQTT_311, 's', true, 0, "70 { ffff }"},
    {"PUBACK 5.0, short", MQTT_50, 's', true, 0, "40 { 0001 }"},
    {"PUBACK 5.0 with a reason", MQTT_50, 's', true, 1, "40 { 0001 10 }"},
    {"PUBACK 5.0 with all parts, though empty", MQTT_50, 's', false, 2, "40 { 0001 00 { } }"},
    {"PUBACK 5.0 with words", MQTT_50, 's', true, 2, "40 { 0001 87 { 1f <no> 26 <k> <v> } }"},
    {"PUBACK 5.0, success with words", MQTT_50, 'c', true, 2, "40 { 0001 00 { 1f <ok> } }"},
    {"PUBREC 5.0", MQTT_50, 'c', true, 1, "50 { 0001 97 }"},
    {"PUBREL 5.0", MQTT_50, 'c', true, 2, "62 { 0002 92 { 1f <gone> } }"},
    {"PUBCOMP 5.0", MQTT_50, 's', true, 1, "70 { 0002 92 }"},

    {"SUBSCRIBE", MQTT_311, 'c', true, 0, "82 { 0001 <a/b> 01 }"},
    {"SUBSCRIBE, three", MQTT_311, 'c', true, 2, "82 { 0001 <a/b> 00 <#> 01 <+/x/+> 02 }"},
    {"SUBSCRIBE 5.0", MQTT_50, 'c', true, 1,
     "82 { 0001 { 0b ffffff7f 26 <k> <v> } <a/b> 2e <$share/g/x/#> 19 }"},
    {"SUBACK", MQTT_311, 's', true, 3, "90 { 0001 00 01 02 80 }"},
    {"SUBACK 5.0", MQTT_50, 's', true, 3, "90 { 0001 { 1f <w> 26 <k> <v> } 00 02 87 9e }"},
    {"UNSUBSCRIBE", MQTT_311, 'c', true, 1, "a2 { 0001 <a> <b/#> }"},
    {"UNSUBSCRIBE 5.0", MQTT_50, 'c', true, 0, "a2 { 0001 { 26 <k> <v> } <a> }"},
    {"UNSUBACK", MQTT_311, 's', true, 0, "b0 { 0001 }"},
    {"UNSUBACK 5.0", MQTT_50, 's', true, 1, "b0 { 0001 { } 00 11 }"},

    {"PINGREQ", MQTT_311, 'c', true, 0, "c0 00"},
    {"PINGRESP", MQTT_50, 's', true, 0, "d0 00"},
    {"DISCONNECT", MQTT_311, 'c', true, 0, "e0 00"},
    {"DISCONNECT 5.0, short", MQTT_50, 'c', true, 0, "e0 00"},
    {"DISCONNECT 5.0, with will", MQTT_50, 'c', true, 1, "e0 { 04 }"},
    {"DISCONNECT 5.0, all parts", MQTT_50, 'c', false, 2, "e0 { 00 { } }"},
    {"DISCONNECT 5.0 from a client", MQTT_50, 'c', true, 2, "e0 { 00 { 11 00000000 1f <bye> } }"},
    {"DISCONNECT 5.0 from a server", MQTT_50, 's', true, 2, "e0 { 9d { 1c <b:1> 26 <k> <v> } }"},
    {"AUTH, empty", MQTT_50, 's', true, 0, "f0 00"},
    {"AUTH", MQTT_50, 'c', true, 0, "f0 { 18 { 15 <m> 16 <data> 1f <w> 26 <k> <v> } }"},
    {"AUTH again", MQTT_50, 'c', true, 0, "f0 { 19 { 15 <m> } }"},
};

enum { MQTT_SAMPLES = sizeof(mqtt_samples) / sizeof(mqtt_samples[0]) };
