/*
 * section: one property section inside a packet (2.2.2): a length, then properties. The table of
 * all properties is in props.c, reading in section_read.c, writing in section_write.c.
 *
 * Private to the mqtt module.
 */
#pragma once

#include <stddef.h>

#include "mqtt/field.h"
#include "mqtt/props.h"

enum kind {
    KIND_BOOL,
    KIND_U16,
    KIND_U16_1,
    KIND_U32,
    KIND_U32_1,
    KIND_VARINT,
    KIND_TEXT,
    KIND_TOPIC,
    KIND_BYTES,
    KIND_PAIR,
};

struct mqtt_prop_rule {
    uint8_t id;
    uint8_t kind;     /* enum kind */
    uint16_t packets; /* set of MQTT_IN() */
    uint16_t offset;  /* of the field in struct mqtt_props */
};
extern const struct mqtt_prop_rule mqtt_prop_rules[MQTT_PROP_COUNT];

/* The row of the property with this id on the wire. */
bool mqtt_prop_find(uint8_t id, unsigned *ret_row);
/* The bytes, id included, of the next property of the set `want` (bits as in `present`) in a span
 * that was checked when it was made. */
bool mqtt_span_next(struct view *left, uint32_t want, struct view *ret_bytes);
/* What one property demands of another. */
NODISCARD enum err mqtt_props_check_together(enum mqtt_type type, const struct mqtt_props *props);

/* Reads length and properties into props, which the caller has zeroed; errors stick to w. */
void mqtt_section_read(struct wire *w, enum mqtt_type type, const struct mqtt_source *from,
                       struct mqtt_props *props);

struct section {
    size_t len;  /* of the properties */
    size_t size; /* with the length in front; 0 for 3.1.1, which has no section at all */
};

/* Checks that the packet can carry these properties. */
NODISCARD enum err mqtt_section_measure(enum mqtt_version version, enum mqtt_type type,
                                        const struct mqtt_props *props,
                                        struct section *ret_section);
/* Writes ret_section->size bytes. */
void mqtt_section_write(struct pen *p, const struct section *s, const struct mqtt_props *props);

/* SUBSCRIBE, SUBACK and their opposites: packet id, properties, a list. In suback.c. */
NODISCARD enum err mqtt_list_encode(struct buf *out, enum mqtt_type type, enum mqtt_version version,
                                    uint16_t packet_id, const struct mqtt_props *props,
                                    struct view list);
