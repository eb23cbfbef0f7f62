/* What one row of the table cannot say: words out of a list, addresses, and settings that need each
 * other. */
#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "conf/load.h"

static const struct conf_origin *origin_of(const struct conf_loader *l, const char *name)
{
    size_t index = 0;
    return setting_find(view_str(name), &index) == NULL ? NULL : &l->origins[index];
}

static enum err check_address(struct conf_loader *l, const char *name, const char *value)
{
    char host[256];
    int port = 0;
    if (value[0] == '\0' || conf_split_address(value, host, sizeof(host), &port) == ERR_OK) {
        return ERR_OK;
    }
    return conf_fail(l, ERR_TYPE, origin_of(l, name),
                     "`%s` is \"%.80s\"; an address looks like 127.0.0.1:8080, [::]:8883 or :8883",
                     name, value);
}

static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (strcmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &four) == 1) {
        return (ntohl(four.s_addr) >> 24) == 127;
    }
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static enum err check_open_listener(struct conf_loader *l)
{
    char host[256];
    int port = 0;
    const char *value = l->conf->open_listener;
    if (value[0] == '\0') {
        return ERR_OK;
    }
    if (conf_split_address(value, host, sizeof(host), &port) == ERR_OK && is_loopback(host)) {
        return ERR_OK;
    }
    return conf_fail(
        l, ERR_RANGE, origin_of(l, "open_listener"),
        "`open_listener` takes a loopback address only, such as 127.0.0.1:1883: it asks "
        "nobody for a credential");
}

static enum err check_networks(struct conf_loader *l)
{
    struct view list = view_str(l->conf->proxy_protocol_from);
    struct conf_network network;
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        e = conf_next_network(&list, &network);
    }
    return e == ERR_NOT_FOUND
               ? ERR_OK
               : conf_fail(l, ERR_TYPE, origin_of(l, "proxy_protocol_from"),
                           "`proxy_protocol_from` is \"%.80s\"; it takes addresses and networks, "
                           "such as 192.0.2.7, 10.0.0.0/8",
                           l->conf->proxy_protocol_from);
}

static enum err check_pair(struct conf_loader *l, const char *cert_name, const char *cert,
                           const char *key_name, const char *key)
{
    if ((cert[0] == '\0') == (key[0] == '\0')) {
        return ERR_OK;
    }
    const char *given = cert[0] == '\0' ? key_name : cert_name;
    const char *missing = cert[0] == '\0' ? cert_name : key_name;
    return conf_fail(l, ERR_STATE, origin_of(l, given), "`%s` needs `%s` too", given, missing);
}

static enum err check_words(struct conf_loader *l)
{
    enum log_level level = LOG_INFO;
    const char *format = l->conf->log_format;
    if (!log_level_parse(view_str(l->conf->log_level), &level)) {
        return conf_fail(l, ERR_RANGE, origin_of(l, "log_level"),
                         "`log_level` is \"%.40s\"; accepted: debug, info, warn, error",
                         l->conf->log_level);
    }
    if (strcmp(format, "auto") != 0 && strcmp(format, "logfmt") != 0 &&
        strcmp(format, "json") != 0) {
        return conf_fail(l, ERR_RANGE, origin_of(l, "log_format"),
                         "`log_format` is \"%.40s\"; accepted: auto, logfmt, json", format);
    }
    return ERR_OK;
}

enum err conf_check_all(struct conf_loader *l)
{
    const struct conf *c = l->conf;
    enum err e = check_words(l);
    if (e == ERR_OK) {
        e = check_address(l, "device_listen", c->device_listen);
    }
    if (e == ERR_OK) {
        e = check_address(l, "http_listen", c->http_listen);
    }
    if (e == ERR_OK) {
        e = check_open_listener(l);
    }
    if (e == ERR_OK) {
        e = check_networks(l);
    }
    if (e == ERR_OK) {
        e = check_pair(l, "device_tls_cert", c->device_tls_cert, "device_tls_key",
                       c->device_tls_key);
    }
    if (e == ERR_OK) {
        e = check_pair(l, "http_tls_cert", c->http_tls_cert, "http_tls_key", c->http_tls_key);
    }
    if (e == ERR_OK && c->ca_key[0] != '\0' && c->ca_cert[0] == '\0') {
        e = conf_fail(l, ERR_STATE, origin_of(l, "ca_key"), "`ca_key` needs `ca_cert` too");
    }
    if (e == ERR_OK && c->packet_max_before_auth_bytes > c->packet_max_bytes) {
        e = conf_fail(l, ERR_RANGE, origin_of(l, "packet_max_before_auth"),
                      "`packet_max_before_auth` is larger than `packet_max`");
    }
    if (e == ERR_OK && c->batch_bytes_max_bytes > c->in_flight_max_bytes) {
        e = conf_fail(l, ERR_RANGE, origin_of(l, "batch_bytes_max"),
                      "`batch_bytes_max` is larger than `in_flight_max`");
    }
    return e;
}
