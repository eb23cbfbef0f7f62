/*
 * Properties of MQTT 5 against a naive reader, whose table was typed from section 2.2.2.2 of the
 * standard and not from ours. The input is a property section; it is put into a packet of each type
 * that the first byte chooses.
 *
 * Properties: both accept or both refuse, with the same reason code; the values, in order where
 * they repeat, are the same, and lie in the packet.
 *
 * Input: packet type (low 4 bits) and sender (bit 4), then the section. The mutator adds, repeats
 * and moves whole properties.
 */
#include "base/utf8.h"
#include "fuzz.h"
#include "mqtt/reason.h"
#include "mqtt_any.h"

/* Kinds: b 0 or 1; 2 and 4 bytes; n and N the same, not 0; s text; t topic name; d binary; v
 * variable byte integer, not 0; p pair of texts. Packets by letter, see `types`. */
struct row {
    uint8_t id;
    char kind;
    const char *packets;
};

static const struct row rows[] = {
    {1, 'b', "PW"},
    {2, '4', "PW"},
    {3, 's', "PW"},
    {8, 't', "PW"},
    {9, 'd', "PW"},
    {11, 'v', "PS"},
    {17, '4', "CAD"},
    {18, 's', "A"},
    {19, '2', "A"},
    {21, 's', "CAH"},
    {22, 'd', "CAH"},
    {23, 'b', "C"},
    {24, '4', "W"},
    {25, 'b', "C"},
    {26, 's', "A"},
    {28, 's', "AD"},
    {31, 's', "AabcdBVDH"},
    {33, 'n', "CA"},
    {34, '2', "CA"},
    {35, 'n', "P"},
    {36, 'b', "A"},
    {37, 'b', "A"},
    {38, 'p', "CAPWabcdSBUVDH"},
    {39, 'N', "CA"},
    {40, 'b', "A"},
    {41, 'b', "A"},
    {42, 'b', "A"},
};

enum { ITEMS_MAX = 64, PAIRS_MAX = 32, PAIRS_BYTES_MAX = 8192 };

struct item {
    const struct row *row;
    uint32_t number;
    struct view text, second;
};

struct naive {
    enum mqtt_reason reason; /* MQTT_SUCCESS: accepted */
    struct item items[ITEMS_MAX];
    int count;
    bool too_many; /* for this test */
};

static const char types[] = "CWAPabcdSBUVDH";

static const struct row *find_row(uint8_t id)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].id == id) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool take_number(struct view *left, size_t bytes, uint32_t *ret_number)
{
    *ret_number = 0;
    if (left->len < bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        *ret_number = *ret_number << 8 | left->data[i];
    }
    *left = view_skip(*left, bytes);
    return true;
}

static bool take_text(struct view *left, struct view *ret_text)
{
    uint32_t len = 0;
    if (!take_number(left, 2, &len) || left->len < len) {
        return false;
    }
    *ret_text = view_of(left->data, len);
    *left = view_skip(*left, len);
    return true;
}

/* Section 1.5.5; a longer form than needed is malformed [MQTT-1.5.5-1]. */
static bool take_varint(struct view *left, uint32_t *ret_number)
{
    uint32_t value = 0;
    uint32_t byte = 0x80;
    for (unsigned i = 0; (byte & 0x80) != 0; i++) {
        if (i == 4 || !take_number(left, 1, &byte)) {
            return false;
        }
        value += (byte & 0x7F) << (7 * i);
        if (i > 0 && byte == 0) {
            return false;
        }
    }
    *ret_number = value;
    return true;
}

static bool wildcards(struct view v)
{
    return v.len > 0 && (memchr(v.data, '+', v.len) != NULL || memchr(v.data, '#', v.len) != NULL);
}

static enum mqtt_reason read_item(struct view *left, struct item *it)
{
    const enum mqtt_reason broken = MQTT_MALFORMED_PACKET;
    switch (it->row->kind) {
    case 'b':
        return !take_number(left, 1, &it->number) ? broken
               : it->number > 1                   ? MQTT_PROTOCOL_ERROR
                                                  : MQTT_SUCCESS;
    case '2':
        return take_number(left, 2, &it->number) ? MQTT_SUCCESS : broken;
    case '4':
        return take_number(left, 4, &it->number) ? MQTT_SUCCESS : broken;
    case 'n':
    case 'N':
        return !take_number(left, it->row->kind == 'n' ? 2 : 4, &it->number) ? broken
               : it->number == 0                                             ? MQTT_PROTOCOL_ERROR
                                                                             : MQTT_SUCCESS;
    case 'v':
        return !take_varint(left, &it->number) ? broken
               : it->number == 0               ? MQTT_PROTOCOL_ERROR
                                               : MQTT_SUCCESS;
    case 'd':
        return take_text(left, &it->text) ? MQTT_SUCCESS : broken;
    case 'p':
        return take_text(left, &it->text) && utf8_valid_mqtt(it->text) &&
                       take_text(left, &it->second) && utf8_valid_mqtt(it->second)
                   ? MQTT_SUCCESS
                   : broken;
    default:
        if (!take_text(left, &it->text) || !utf8_valid_mqtt(it->text)) {
            return broken;
        }
        return it->row->kind == 't' && (it->text.len == 0 || wildcards(it->text))
                   ? MQTT_PROTOCOL_ERROR
                   : MQTT_SUCCESS;
    }
}

static bool wrong_sender(uint8_t id, char type, bool from_server)
{
    return (type == 'P' && id == 11 && !from_server) || (type == 'D' && id == 17 && from_server);
}

static bool naive_has(const struct naive *n, uint8_t id)
{
    for (int i = 0; i < n->count; i++) {
        if (n->items[i].row->id == id) {
            return true;
        }
    }
    return false;
}

static enum mqtt_reason naive_walk(struct view section, char type, bool from_server,
                                   struct naive *n)
{
    size_t pairs = 0;
    size_t pair_bytes = 0;
    while (section.len > 0) {
        const struct row *row = find_row(section.data[0]);
        if (row == NULL || strchr(row->packets, type) == NULL) {
            return MQTT_MALFORMED_PACKET;
        }
        bool repeats = row->kind == 'p' || (row->kind == 'v' && type == 'P');
        if (naive_has(n, row->id) && !repeats) {
            return MQTT_PROTOCOL_ERROR;
        }
        n->too_many = n->count == ITEMS_MAX;
        if (n->too_many) {
            return MQTT_SUCCESS;
        }
        struct item *it = &n->items[n->count];
        *it = (struct item){.row = row};
        section = view_skip(section, 1);
        enum mqtt_reason reason = read_item(&section, it);
        if (reason == MQTT_SUCCESS && wrong_sender(row->id, type, from_server)) {
            reason = MQTT_PROTOCOL_ERROR;
        }
        if (reason != MQTT_SUCCESS) {
            return reason;
        }
        n->count++;
        pairs += row->kind == 'p';
        pair_bytes += row->kind == 'p' ? it->text.len + it->second.len : 0;
        if (pairs > PAIRS_MAX || pair_bytes > PAIRS_BYTES_MAX) {
            return MQTT_PACKET_TOO_LARGE;
        }
    }
    bool method = naive_has(n, 21);
    return !method && (naive_has(n, 22) || type == 'H') ? MQTT_PROTOCOL_ERROR : MQTT_SUCCESS;
}

/* ---- the packet around it ---- */

static void put_section(struct buf *b, struct view section)
{
    size_t left = section.len;
    do {
        buf_put_u8(b, (uint8_t)(left % 128 | (left >= 128 ? 128 : 0)));
        left /= 128;
    } while (left > 0);
    buf_put_view(b, section);
}

static void put(struct buf *b, const char *bytes, size_t len)
{
    buf_put(b, bytes, len);
}

#define PUT(b, literal) put((b), (literal), sizeof(literal) - 1)

/* What stands before and behind the section, in the shortest good packet of the type. */
static uint8_t wrap(char type, struct view section, struct buf *b)
{
    switch (type) {
    case 'C':
        PUT(b, "\0\4MQTT\5\2\0\0");
        put_section(b, section);
        PUT(b, "\0\1c");
        return 0x10;
    case 'W':
        PUT(b, "\0\4MQTT\5\6\0\0\0\0\1c");
        put_section(b, section);
        PUT(b, "\0\1t\0\1p");
        return 0x10;
    case 'A':
        PUT(b, "\0\0");
        put_section(b, section);
        return 0x20;
    case 'P':
        PUT(b, "\0\1t");
        put_section(b, section);
        PUT(b, "payload");
        return 0x30;
    case 'S':
        PUT(b, "\0\1");
        put_section(b, section);
        PUT(b, "\0\1f\0");
        return 0x82;
    case 'B':
    case 'V':
        PUT(b, "\0\1");
        put_section(b, section);
        PUT(b, "\0");
        return type == 'B' ? 0x90 : 0xb0;
    case 'U':
        PUT(b, "\0\1");
        put_section(b, section);
        PUT(b, "\0\1f");
        return 0xa2;
    case 'D':
        PUT(b, "\0");
        put_section(b, section);
        return 0xe0;
    case 'H':
        PUT(b, "\x18");
        put_section(b, section);
        return 0xf0;
    default:
        PUT(b, "\0\1\0");
        put_section(b, section);
        return type == 'a' ? 0x40 : type == 'b' ? 0x50 : type == 'c' ? 0x62 : 0x70;
    }
}

static const struct mqtt_props *props_of(const struct mqtt_any *any, char type)
{
    switch ((int)any->type) {
    case MQTT_CONNECT:
        return type == 'W' ? &any->as.connect.will.props : &any->as.connect.props;
    case MQTT_CONNACK:
        return &any->as.connack.props;
    case MQTT_PUBLISH:
        return &any->as.publish.props;
    case MQTT_SUBSCRIBE:
        return &any->as.subscribe.props;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return &any->as.suback.props;
    case MQTT_UNSUBSCRIBE:
        return &any->as.unsubscribe.props;
    case MQTT_DISCONNECT:
        return &any->as.disconnect.props;
    case MQTT_AUTH:
        return &any->as.auth.props;
    default:
        return &any->as.ack.props;
    }
}

/* ---- comparing ---- */

struct ours {
    uint8_t id;
    enum mqtt_prop prop;
    bool is_text;
    uint32_t number;
    struct view text;
};

static struct ours value_of(const struct mqtt_props *p, uint8_t id)
{
    struct ours all[] = {
        {1, MQTT_PROP_PAYLOAD_FORMAT, false, p->payload_format, {0}},
        {2, MQTT_PROP_MESSAGE_EXPIRY, false, p->message_expiry_s, {0}},
        {3, MQTT_PROP_CONTENT_TYPE, true, 0, p->content_type},
        {8, MQTT_PROP_RESPONSE_TOPIC, true, 0, p->response_topic},
        {9, MQTT_PROP_CORRELATION_DATA, true, 0, p->correlation_data},
        {17, MQTT_PROP_SESSION_EXPIRY, false, p->session_expiry_s, {0}},
        {18, MQTT_PROP_ASSIGNED_CLIENT_ID, true, 0, p->assigned_client_id},
        {19, MQTT_PROP_SERVER_KEEP_ALIVE, false, p->server_keep_alive_s, {0}},
        {21, MQTT_PROP_AUTH_METHOD, true, 0, p->auth_method},
        {22, MQTT_PROP_AUTH_DATA, true, 0, p->auth_data},
        {23, MQTT_PROP_REQUEST_PROBLEM_INFO, false, p->request_problem_info, {0}},
        {24, MQTT_PROP_WILL_DELAY, false, p->will_delay_s, {0}},
        {25, MQTT_PROP_REQUEST_RESPONSE_INFO, false, p->request_response_info, {0}},
        {26, MQTT_PROP_RESPONSE_INFO, true, 0, p->response_info},
        {28, MQTT_PROP_SERVER_REFERENCE, true, 0, p->server_reference},
        {31, MQTT_PROP_REASON_STRING, true, 0, p->reason_string},
        {33, MQTT_PROP_RECEIVE_MAXIMUM, false, p->receive_maximum, {0}},
        {34, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, false, p->topic_alias_maximum, {0}},
        {35, MQTT_PROP_TOPIC_ALIAS, false, p->topic_alias, {0}},
        {36, MQTT_PROP_MAXIMUM_QOS, false, p->maximum_qos, {0}},
        {37, MQTT_PROP_RETAIN_AVAILABLE, false, p->retain_available, {0}},
        {39, MQTT_PROP_MAXIMUM_PACKET_SIZE, false, p->maximum_packet_size, {0}},
        {40, MQTT_PROP_WILDCARD_AVAILABLE, false, p->wildcard_available, {0}},
        {41, MQTT_PROP_SUBSCRIPTION_IDS_AVAILABLE, false, p->subscription_ids_available, {0}},
        {42, MQTT_PROP_SHARED_AVAILABLE, false, p->shared_available, {0}},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i].id == id) {
            return all[i];
        }
    }
    return (struct ours){0};
}

static void same_values(const struct mqtt_props *p, const struct naive *n)
{
    struct mqtt_user_iter users = mqtt_user_iter(p);
    struct mqtt_subscription_id_iter ids = mqtt_subscription_id_iter(p);
    struct view name = {0};
    struct view value = {0};
    uint32_t number = 0;
    unsigned distinct = 0;
    for (int i = 0; i < n->count; i++) {
        const struct item *it = &n->items[i];
        if (it->row->kind == 'p') {
            CHECK(mqtt_user_next(&users, &name, &value));
            CHECK(view_eq(name, it->text) && view_eq(value, it->second));
        } else if (it->row->kind == 'v') {
            CHECK(mqtt_subscription_id_next(&ids, &number) && number == it->number);
        } else {
            struct ours v = value_of(p, it->row->id);
            CHECK(v.id != 0 && mqtt_has(p, v.prop));
            CHECK(v.is_text ? view_eq(v.text, it->text) : v.number == it->number);
            distinct++;
        }
    }
    CHECK(!mqtt_user_next(&users, &name, &value) && !mqtt_subscription_id_next(&ids, &number));
    distinct += naive_has(n, 38) + naive_has(n, 11);
    CHECK((unsigned)__builtin_popcount(p->present) == distinct);
}

static void try_type(char type, bool from_server, struct view section)
{
    static struct naive n;
    n.count = 0;
    n.reason = naive_walk(section, type, from_server, &n);
    if (n.too_many) {
        return;
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    uint8_t head = wrap(type, section, &b);
    uint8_t *body = fuzz_copy(buf_view(&b));
    const struct mqtt_source from = {.version = MQTT_50,
                                     .sender = from_server ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT,
                                     .limits = mqtt_limits_default};
    struct mqtt_any any;
    enum err e = mqtt_any_decode(head, view_of(body, b.len), &from, &any);
    if (e == ERR_OK) {
        CHECK(n.reason == MQTT_SUCCESS);
        same_values(props_of(&any, type), &n);
    } else {
        fuzz_trace("type %c: %s, naive %02x", type, err_words(e), n.reason);
        CHECK(mqtt_reason_for(e, MQTT_DISCONNECT) == n.reason);
    }
    free(body);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096) {
        return 0;
    }
    struct view section = view_of(data + 1, size - 1);
    char type = types[data[0] % 16 % (sizeof(types) - 1)];
    bool server_only = strchr("ABV", type) != NULL;
    bool client_only = strchr("CWSU", type) != NULL;
    try_type(type, server_only || (!client_only && (data[0] & 16) != 0), section);
    try_type('P', true, section); /* the one with most, in any case */
    return 0;
}

/* ---- mutation ---- */

static size_t make_property(uint8_t *at, size_t room, unsigned seed)
{
    static const char *const texts[] = {"", "a", "a/b", "\xc3\xa9", "#", "\xed\xa0\x80", "+"};
    const struct row *row = &rows[seed % COUNT_OF(rows)];
    const char *text = texts[(seed >> 8) % COUNT_OF(texts)];
    uint8_t made[32] = {row->id};
    size_t len = 1;
    size_t text_len = strlen(text);
    size_t numbers = row->kind == 'b' ? 1 : row->kind == '2' || row->kind == 'n' ? 2 : 4;
    if (strchr("stdp", row->kind) != NULL) {
        for (int i = 0; i < (row->kind == 'p' ? 2 : 1); i++) {
            made[len + 1] = (uint8_t)text_len;
            memcpy(made + len + 2, text, text_len);
            len += 2 + text_len;
        }
    } else if (row->kind == 'v') {
        made[len++] = (uint8_t)(seed >> 16 & 0xFF);
        made[len] = (uint8_t)(seed >> 24 & 0x7F);
        len += (made[len - 1] & 0x80) != 0;
    } else {
        made[numbers] = (uint8_t)(seed >> 16 & (row->kind == 'b' ? 1 : 3));
        len += numbers;
    }
    if (len > room) {
        return 0;
    }
    memcpy(at, made, len);
    return len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    if (size == 0 || seed % 4 == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    if (seed % 4 == 1) { /* at the front, so that what follows stays whole */
        uint8_t made[32];
        size_t len = make_property(
            made, max_size - size < sizeof(made) ? max_size - size : sizeof(made), seed / 4);
        memmove(data + 1 + len, data + 1, size - 1);
        memcpy(data + 1, made, len);
        return size + len;
    }
    if (seed % 4 == 2) {
        return size + make_property(data + size, max_size - size, seed / 4);
    }
    data[0] = (uint8_t)(seed >> 8);
    return size;
}
