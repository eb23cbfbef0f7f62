/*
 * counter: numbers for /metrics. One table of counters and gauges for the process's life.
 *
 * The rows are in COUNTER_LIST: name without the "signalbox_" prefix, type, words. Values are
 * relaxed atomics. The balance of messages is kept apart, because a scrape must never catch a
 * message between two of its states. Threads: any.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/*        id                              name                             type     words */
#define COUNTER_LIST(X)                                                                            \
    X(CONNECTIONS_ACCEPTED, "connections_accepted_total", "counter",                               \
      "TCP connections accepted on the device listener")                                           \
    X(CONNECTIONS_REFUSED, "connections_refused_total", "counter",                                 \
      "connections closed at accept because a limit was reached")                                  \
    X(CONNECTIONS_OPEN, "connections_open", "gauge",                                               \
      "device connections open now, handshakes included")                                          \
    X(CONNECTIONS_SHED, "connections_shed_total", "counter",                                       \
      "connections closed because all buffers were full and theirs among the fullest")             \
    X(BUFFER_BYTES, "connection_buffer_bytes", "gauge",                                            \
      "bytes in the buffers of device connections")                                                \
    X(SESSIONS, "sessions", "gauge", "MQTT sessions, with and without a connection")               \
    X(SUBSCRIPTIONS, "subscriptions", "gauge",                                                     \
      "subscriptions to messages between devices, of all sessions")                                \
    X(RETAINED, "retained_messages", "gauge", "retained messages")                                 \
    X(QUEUE_BYTES, "session_queue_bytes", "gauge",                                                 \
      "bytes of messages between devices and commands on their way to sessions, absent ones too")  \
    X(SESSIONS_ONLINE, "sessions_online", "gauge", "MQTT sessions with a live connection")         \
    X(HANDSHAKES, "tls_handshakes_total", "counter", "TLS handshakes completed")                   \
    X(HANDSHAKES_RESUMED, "tls_handshakes_resumed_total", "counter",                               \
      "TLS handshakes that resumed a session")                                                     \
    X(HANDSHAKES_FAILED, "tls_handshakes_failed_total", "counter",                                 \
      "TLS handshakes that failed or timed out")                                                   \
    X(AUTH_REFUSED, "auth_refused_total", "counter", "connections refused for their credential")   \
    X(PROTOCOL_ERRORS, "protocol_errors_total", "counter",                                         \
      "connections closed for a protocol violation")                                               \
    X(PUBLISHES_DENIED, "publishes_denied_total", "counter",                                       \
      "publishes to topics that their device may not use")                                         \
    X(ROUTED_IN, "routed_in_total", "counter", "messages between devices that were published")     \
    X(ROUTED_OUT, "routed_out_total", "counter",                                                   \
      "messages between devices that were handed to sessions, one for each")                       \
    X(ROUTED_DROPPED, "routed_dropped_total", "counter",                                           \
      "messages between devices that gave way because a session's queue, or all, were full")       \
    X(BYTES_RECEIVED, "device_bytes_received_total", "counter",                                    \
      "bytes read from devices, TLS included")                                                     \
    X(BYTES_SENT, "device_bytes_sent_total", "counter", "bytes written to devices, TLS included")  \
    X(VALUES_COMMITTED, "values_committed_total", "counter", "metric values committed")            \
    X(SAMPLES_COMMITTED, "samples_committed_total", "counter", "sample rows committed")            \
    X(SAMPLES_DUPLICATE, "samples_duplicate_total", "counter", "samples that were stored already") \
    X(SAMPLES_LATE, "samples_late_total", "counter",                                               \
      "samples older than the lateness bound: stored, not used by rules")                          \
    X(SAMPLES_CLOCK, "samples_clock_total", "counter",                                             \
      "samples from the future beyond the skew limit: stored with the flag clock")                 \
    X(BATCHES, "batches_total", "counter", "transactions committed by the writer")                 \
    X(BATCH_RETRIES, "batch_retries_total", "counter", "batches sent again after a failure")       \
    X(BATCH_POISON, "batch_poison_total", "counter",                                               \
      "rows that PostgreSQL refused and that were moved to the rejected messages")                 \
    X(STORE_UP, "store_up", "gauge", "1 while the writer's database connection works")             \
    X(DURABILITY_UNSAFE, "durability_unsafe", "gauge",                                             \
      "1 when the database could lose a commit (fsync or full_page_writes off)")                   \
    X(SPOOL_RECORDS, "spool_records_total", "counter",                                             \
      "messages written to the spool because PostgreSQL was not available")                        \
    X(SPOOL_BYTES, "spool_bytes", "gauge", "bytes in spool files that are not yet committed")      \
    X(SPOOL_BAD, "spool_bad_segments_total", "counter",                                            \
      "spool files that could not be read to their end")                                           \
    X(SPOOLING, "spooling", "gauge", "1 while messages go to the spool instead of PostgreSQL")     \
    X(RULE_EVALUATIONS, "rule_evaluations_total", "counter", "rule evaluations")                   \
    X(ALERTS_FIRED, "alerts_fired_total", "counter", "alerts that fired")                          \
    X(ALERTS_RESOLVED, "alerts_resolved_total", "counter", "alerts that were resolved")            \
    X(ALERTS_CORRECTED, "alerts_corrected_total", "counter",                                       \
      "alerts corrected by out-of-order readings")                                                 \
    X(NOTIFICATIONS_SENT, "notifications_sent_total", "counter",                                   \
      "notifications that their receivers took, digests as one")                                   \
    X(NOTIFICATIONS_FAILED, "notification_failures_total", "counter",                              \
      "attempts to notify somebody that failed")                                                   \
    X(NOTIFICATIONS_SUPPRESSED, "notifications_suppressed_total", "counter",                       \
      "notifications that were not sent; their rows have the reason")                              \
    X(COMMANDS_CREATED, "commands_created_total", "counter", "commands created")                   \
    X(COMMANDS_SUCCEEDED, "commands_succeeded_total", "counter", "commands answered with success") \
    X(COMMANDS_FAILED, "commands_failed_total", "counter", "commands that ended without success")  \
    X(COMMANDS_SUPPRESSED, "commands_suppressed_total", "counter",                                 \
      "commands that rules wanted and were not sent, with and without a row of their own")         \
    X(HTTP_REQUESTS, "http_requests_total", "counter", "HTTP requests answered")                   \
    X(HTTP_ERRORS, "http_errors_total", "counter",                                                 \
      "HTTP requests answered with a status of 500 or more")                                       \
    X(SSE_CLIENTS, "sse_clients", "gauge", "event streams open now")

enum counter_id {
#define COUNTER_ENUM(id, name, type, words) COUNTER_##id,
    COUNTER_LIST(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

void counter_add(enum counter_id id, int64_t n); /* gauges also go down */
void counter_set(enum counter_id id, int64_t value);
int64_t counter_get(enum counter_id id);

/*
 * The balance: received = committed + duplicate + rejected + in flight. A message is received once
 * and ends once; in between it is held in one place at a time, and each place counts what comes and
 * goes. In flight is the sum over the places and no difference, so the balance can fail: a message
 * that is lost or counted twice on its way is seen in every scrape after it.
 *
 * Threads: what a thread counts is its own until it publishes, all of it at once. So it publishes
 * when every message is in one place: before messages go to another thread, and after its turn.
 */
enum message_place {
    MESSAGE_IN_CORE,
    MESSAGE_IN_TOPICS,
    MESSAGE_IN_BATCH,
    MESSAGE_IN_SPOOL,
    MESSAGE_PLACES
};
enum message_end { MESSAGE_COMMITTED, MESSAGE_DUPLICATE, MESSAGE_REJECTED, MESSAGE_DROPPED };
void counter_message_received(int64_t n);
void counter_message_held(enum message_place place, int64_t n); /* n < 0: no longer */
/* MESSAGE_DROPPED: the connection went before the commit; the message counts as never received. */
void counter_message_ended(enum message_end end, int64_t n);
void counter_balance_publish(void);

struct counter_balance {
    int64_t received, committed, duplicate, rejected, in_flight;
    int64_t held[MESSAGE_PLACES];
};
/* All that was published, and what the caller's own thread counted. */
struct counter_balance counter_balance(void);

void counter_write_text(struct buf *out); /* Prometheus text format 0.0.4 */
