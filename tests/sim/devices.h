/*
 * devices: virtual devices. Each keeps what it has not got an acknowledgement for, sends in
 * windows, connects again when it is cut off, sends again with DUP in the same order, and carries
 * out commands once.
 */
#pragma once

#include "net.h"
#include "pg.h"

enum {
    DEVICE_TEMPERATURE_MAX = 200,
    DEVICE_SAMPLES_MAX = 3, /* of a message */
    DEVICE_COMMANDS_MAX = 2048,
    DEVICE_WINDOW_MAX = 24,
};

enum dev_message_kind { DEV_TELEMETRY, DEV_ATTRIBUTES, DEV_ANSWER, DEV_WRONG };

struct dev_sample {
    int64_t ts_us; /* CLOCK_NONE: the server gives it */
    uint8_t has;   /* a bit for each metric */
    double values[SIM_METRICS];
    struct dev_message *message;
    int rows; /* in the database */
};

struct dev_message {
    struct dev_message *next;
    enum dev_message_kind kind;
    uint16_t packet_id; /* 0: not under way */
    uint8_t qos;        /* 0: nobody answers, and it may get lost */
    uint32_t sends;
    bool acked, by_http;
    int64_t not_before_us;
    char *payload;
    int64_t command_id;
    struct dev_sample samples[DEVICE_SAMPLES_MAX];
    uint32_t count;
};

struct dev_command {
    int64_t id;
    bool executed, answered;
};

struct dev {
    int id;
    /* how it is */
    bool own_time, same_content, persistent, clean_start, lowest_ids, answers;
    int loose, twice; /* permille of its readings with QoS 0 and 2 */
    uint32_t window;
    int64_t pause_us; /* between readings */
    uint32_t left;    /* readings still to make */
    /* what it measures */
    double level[3];
    double target[3];
    int64_t numbered; /* the metric n of the last reading */
    int64_t last_ts_us;
    /* its connection */
    struct conn *conn;
    bool online;
    /* its memory: messages in order of sending */
    struct dev_message *first, **last;             /* all of the run */
    struct dev_message *flight[DEVICE_WINDOW_MAX]; /* sent, not acknowledged; in order of sending */
    uint32_t flight_count;
    uint16_t releasing[DEVICE_WINDOW_MAX]; /* QoS 2: PUBREC has come, PUBCOMP has not */
    uint32_t releasing_count;
    uint16_t last_packet_id;
    uint32_t unacked;
    struct dev_sample **samples; /* all, in order of making */
    uint32_t sample_count, sample_cap;
    struct dev_command commands[DEVICE_COMMANDS_MAX];
    uint32_t command_count;
    int64_t last_reported;
};

struct dev *device_make(int id);
void device_free(struct dev *d);
void device_start(struct dev *d);
void device_receive(struct conn *c, const struct packet *p);
void device_conn_gone(struct dev *d, struct conn *c);
bool device_is_done(const struct dev *d);
/* A message that goes by another road (HTTP): made, kept for the checks, never sent by MQTT. */
struct dev_message *device_message_for_http(struct dev *d);
void device_acknowledged(struct dev *d, struct dev_message *m, bool ok);
