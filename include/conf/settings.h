/*
 * settings: one row per setting. The parser, the environment names, --help, the manual page, the
 * sample file and the "every setting is documented" test are made from this table.
 *
 * In the file: flat YAML, `name: value`. In the environment: SIGNALBOX_ and the name in capitals.
 * For TEXT settings marked SECRET also `name_file`, which reads the value from a file. Environment
 * wins over the file. Types: TEXT, COUNT (integer), BOOL, TIME ("2m", kept in µs), SIZE ("256KiB",
 * kept in bytes).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define KIB (1024LL)
#define MIB (1024LL * 1024LL)
#define SEC (1000000LL)

/* clang-format off */
/*   name                        type   default              min      max            flags   words */
#define SETTING_LIST(TEXT, COUNT, BOOL, TIME, SIZE)                                                                   \
 TEXT(database_url,                     "dbname=signalbox",                          SECRET, "PostgreSQL connection string (libpq keywords or URL)") \
 TEXT(device_listen,                    "[::]:8883",                                 PLAIN,  "address of the MQTT listener for devices (TLS)") \
 TEXT(device_tls_cert,                  "",                                          PLAIN,  "server certificate chain for devices, PEM file") \
 TEXT(device_tls_key,                   "",                                          PLAIN,  "private key of device_tls_cert, PEM file") \
 TEXT(device_tls_ca,                    "",                                          PLAIN,  "certificates of the CAs whose device certificates are accepted, PEM file") \
 TEXT(device_tls_crl,                   "",                                          PLAIN,  "certificate revocation lists, PEM file; empty: revocation by credential only") \
 TEXT(ca_cert,                          "",                                          PLAIN,  "certificate of the local CA that issues device certificates, PEM file") \
 TEXT(ca_key,                           "",                                          PLAIN,  "private key of ca_cert, PEM file; empty: no certificates are issued") \
 TEXT(open_listener,                    "",                                          PLAIN,  "loopback address for anonymous MQTT without TLS, for conformance suites only") \
 TEXT(open_listener_refuses,            "test/nosubscribe",                          PLAIN,  "filter that nobody may subscribe to on the open listener: suites test a refusal with it") \
 TEXT(proxy_protocol_from,              "",                                          PLAIN,  "addresses, or networks as 10.0.0.0/8, of proxies whose connections begin with PROXY protocol v2") \
COUNT(net_loops,                        1,                   1,       64,            PLAIN,  "event loops that hold device connections") \
COUNT(connections_max,                  16000,               1,       1000000,       PLAIN,  "device connections held at once; needs as many file descriptors and 64 more") \
COUNT(connections_per_source_max,       0,                   0,       1000000,       PLAIN,  "device connections from one address that have not authenticated yet; 0: no limit") \
COUNT(handshakes_per_second,            0,                   0,       100000,        PLAIN,  "new TLS handshakes accepted a second; 0: no limit") \
COUNT(connects_per_device,              5,                   0,       1000,          PLAIN,  "connections of one device a second that do not end with DISCONNECT, four times as many at once; 0: no limit") \
 TIME(connect_timeout,                  10*SEC,              1*SEC,   120*SEC,       PLAIN,  "from accept to an accepted CONNECT, TLS handshake included") \
 TIME(keepalive_max,                    1200*SEC,            5*SEC,   65535*SEC,     PLAIN,  "longest keep alive; longer ones and 0 are set to this") \
 SIZE(packet_max,                       256*KIB,             1*KIB,   256*MIB,       PLAIN,  "largest MQTT packet from an authenticated device") \
 SIZE(packet_max_before_auth,           16*KIB,              1*KIB,   1*MIB,         PLAIN,  "largest MQTT packet before authentication") \
COUNT(receive_maximum,                  100,                 1,       65535,         PLAIN,  "unacknowledged messages a device may have under way (MQTT 5 Receive Maximum)") \
COUNT(unacked_messages_max,             256,                 1,       65535,         PLAIN,  "unacknowledged messages of an MQTT 3.1.1 device before its socket is not read") \
 TIME(stalled_timeout,                  60*SEC,              1*SEC,   3600*SEC,      PLAIN,  "a device whose messages cannot be stored for so long is disconnected, to send them again") \
 SIZE(send_queue_max,                   256*KIB,             16*KIB,  64*MIB,        PLAIN,  "bytes waiting for a device that does not read before it is disconnected") \
COUNT(session_queue_max,                1000,                1,       1000000,       PLAIN,  "messages of other devices waiting for one session; the oldest give way") \
 SIZE(session_queue,                    4*MIB,               64*KIB,  1024*MIB,      PLAIN,  "bytes of messages waiting for one session; the oldest give way") \
 SIZE(queues_max,                       256*MIB,             1*MIB,   65536*MIB,     PLAIN,  "bytes of messages waiting for all sessions together; beyond it absent sessions get no more, and of what waits for others the oldest give way") \
 SIZE(buffers_max,                      256*MIB,             1*MIB,   65536*MIB,     PLAIN,  "bytes in the buffers of all connections: parts of packets, packets that wait, answers that are not read; beyond it the fullest are closed") \
 TIME(send_timeout,                     30*SEC,              1*SEC,   3600*SEC,      PLAIN,  "a device that reads nothing for so long while bytes wait for it is disconnected") \
COUNT(retained_max,                     100000,              0,       10000000,      PLAIN,  "retained messages; more are refused") \
 SIZE(retained_size,                    256*MIB,             0,       65536*MIB,     PLAIN,  "bytes of retained messages; more are refused") \
 TIME(session_expiry_max,               604800*SEC,          0,       31536000*SEC,  PLAIN,  "how long the session of an absent device is kept at most") \
COUNT(messages_in_flight_max,           200000,              100,     10000000,      PLAIN,  "messages received and not yet stored, over all devices") \
 SIZE(in_flight_max,                    256*MIB,             1*MIB,   65536*MIB,     PLAIN,  "bytes of messages received and not yet stored, over all devices") \
 TEXT(http_listen,                      "127.0.0.1:8080",                            PLAIN,  "address of the REST API and the console") \
 TEXT(http_tls_cert,                    "",                                          PLAIN,  "certificate chain for HTTPS, PEM file; empty: plain HTTP") \
 TEXT(http_tls_key,                     "",                                          PLAIN,  "private key of http_tls_cert, PEM file") \
COUNT(http_connections_max,             1000,                10,      10000,         PLAIN,  "HTTP connections held at once, event streams included") \
 SIZE(http_body_max,                    8*MIB,               64*KIB,  1024*MIB,      PLAIN,  "largest request body") \
COUNT(database_connections,             4,                   2,       64,            PLAIN,  "database connections for the API and for loading state, beside the writer") \
COUNT(batch_rows_max,                   8192,                1,       100000,        PLAIN,  "close a batch when it holds this many samples") \
 SIZE(batch_bytes_max,                  8*MIB,               64*KIB,  256*MIB,       PLAIN,  "close a batch when it holds this many bytes") \
 TIME(commit_timeout,                   15*SEC,              1*SEC,   600*SEC,       PLAIN,  "a commit without an answer for so long is given up and tried again on a new connection") \
 TIME(state_flush,                      10*SEC,              100000,  600*SEC,       PLAIN,  "latest values and rule state are written at most this often for each device") \
 TIME(lateness,                         120*SEC,             0,       86400*SEC,     PLAIN,  "samples may be out of order by so much; older ones are stored and flagged late") \
 TIME(skew_max,                         300*SEC,             0,       86400*SEC,     PLAIN,  "samples may be ahead of the server's clock by so much; newer ones are flagged clock") \
COUNT(retention_days,                   0,                   0,       36500,         PLAIN,  "readings older than this many days are dropped; 0: kept for ever") \
COUNT(history_days,                     90,                  0,       36500,         PLAIN,  "events and rejected messages older than this many days are deleted; 0: kept for ever") \
COUNT(values_per_message_max,           10000,               1,       1000000,       PLAIN,  "metric values in one message") \
COUNT(metrics_max,                      100000,              100,     10000000,      PLAIN,  "different metric names in the database") \
COUNT(geofences_max,                    10000,               0,       1000000,       PLAIN,  "geofences; more are refused") \
 TIME(command_expiry,                   3600*SEC,            1*SEC,   2592000*SEC,   PLAIN,  "expiry of a command whose sender gave none") \
 TIME(command_timeout,                  60*SEC,              1*SEC,   86400*SEC,     PLAIN,  "a delivered command without an answer for so long ends as timed_out") \
COUNT(commands_per_device_max,          100,                 1,       10000,         PLAIN,  "commands of one device that have not ended; more are refused") \
COUNT(automation_per_minute,            240,                 0,       100000,        PLAIN,  "commands of one method that rules may send to one device a minute; then none for ten minutes; 0: no limit") \
 TIME(maintenance_interval,           60*SEC,              100000,  3600*SEC,      PLAIN,  "how often maintenance plans look at new samples and at the clock") \
 TEXT(spool_dir,                        "",                                          PLAIN,  "folder for messages while PostgreSQL is not available; empty: they are not acknowledged then") \
 SIZE(spool_max,                        2048*MIB,            64*MIB,  1048576*MIB,   PLAIN,  "size of all files in spool_dir; when it is reached nothing more is acknowledged") \
 TIME(spool_after,                      2*SEC,               100000,  600*SEC,       PLAIN,  "PostgreSQL must be away for so long before messages go to spool_dir") \
 TEXT(alert_log,                        "-",                                         PLAIN,  "file the alert log is appended to; -: standard output") \
 TEXT(notify_networks,                  "",                                          PLAIN,  "addresses, or networks as 10.0.0.0/8, that channels may reach though they are private, loopback or link-local; plain HTTP goes only there") \
 TEXT(notify_tls_ca,                    "",                                          PLAIN,  "certificates of the CAs that vouch for webhook and mail servers, PEM file; empty: the system's") \
 TEXT(log_level,                        "info",                                      PLAIN,  "debug, info, warn or error") \
 TEXT(log_format,                       "auto",                                      PLAIN,  "auto, logfmt or json") \
 TIME(stop_timeout,                     10*SEC,              1*SEC,   600*SEC,       PLAIN,  "time to finish batches and close sessions at a stop")
/* clang-format on */

struct conf {
#define CONF_TEXT(name, def, flags, words)            char *name;
#define CONF_COUNT(name, def, min, max, flags, words) int64_t name;
#define CONF_BOOL(name, def, flags, words)            bool name;
#define CONF_TIME(name, def, min, max, flags, words)  int64_t name##_us;
#define CONF_SIZE(name, def, min, max, flags, words)  int64_t name##_bytes;
    SETTING_LIST(CONF_TEXT, CONF_COUNT, CONF_BOOL, CONF_TIME, CONF_SIZE)
#undef CONF_TEXT
#undef CONF_COUNT
#undef CONF_BOOL
#undef CONF_TIME
#undef CONF_SIZE
};
