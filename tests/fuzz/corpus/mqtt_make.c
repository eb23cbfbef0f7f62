/*
 * Writes the seeds mqtt_frame/, mqtt_packet/ and mqtt_topic/ beside this file. Run it after
 * changing tests/peer/mqtt_samples.h; it is no part of the build:
 *
 *     cd tests/fuzz/corpus && cc -I../../../include -I../../peer -o /tmp/make mqtt_make.c &&
 * /tmp/make
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "mqtt_bytes.h"
#include "mqtt_samples.h"

static void save(const char *dir, size_t number, const struct mqtt_bytes *b)
{
    char path[64];
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        perror(dir);
        exit(1);
    }
    snprintf(path, sizeof(path), "%s/%03zu", dir, number);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(b->at, 1, b->len, f) != b->len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static const char *const topics[] = {
    "'sport/#' 0a 'sport' 0a '#'",
    "'+/tennis/#' 0a 'sport/tennis/x' 0a '+/+/+'",
    "'$share/group/a/+' 0a 'a/b' 0a 'a/#'",
    "'#' 0a '$SYS/x' 0a '+/#'",
    "'$SYS/#' 0a '$SYS/x/y' 0a '$SYS/+/y'",
    "'/+//#' 0a '/a//' 0a '/#'",
    "'v1/devices/me/rpc/request/+' 0a 'v1/devices/me/rpc/request/17' 0a 'v1/devices/me/#'",
    "'$share//a' 0a 'a'",
    "c3a9 '/+' 0a c3a9 '/' e282ac 0a '+/' e282ac",
    "'a' 00 'b' 0a eda080",
};

int main(void)
{
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        const struct mqtt_sample *s = &mqtt_samples[i];
        struct mqtt_bytes packet = {.len = 0};
        unsigned flags = (s->version == MQTT_50 ? 1u : 0u) | (s->sender == 's' ? 2u : 0u);
        mqtt_bytes_u8(&packet, flags);
        mqtt_bytes_add(&packet, s->text);
        save("mqtt_packet", i, &packet);
        if (i % 4 == 0) {
            struct mqtt_bytes stream = {.len = 0};
            mqtt_bytes_add(&stream, "0100 05");
            for (size_t k = i; k < i + 4 && k < MQTT_SAMPLES; k++) {
                mqtt_bytes_add(&stream, mqtt_samples[k].text);
            }
            save("mqtt_frame", i / 4, &stream);
        }
    }
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        struct mqtt_bytes b = mqtt_bytes_of(topics[i]);
        save("mqtt_topic", i, &b);
    }
    return 0;
}
