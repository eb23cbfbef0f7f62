/*
 * Happy path: next() finds the comma or bracket, then the key, then the value, each by one scan
 * over the bytes; texts are looked at eight bytes at a time. Nothing is copied unless a text has an
 * escape. Failure: fail() notes the first error; every later next() gives PAYLOAD_ERROR. Not done
 * here: keys that occur twice, and any meaning of keys.
 */
#include "payload/json.h"

#include <math.h>

#include "base/utf8.h"
#include "payload/number.h"

enum state { STATE_START, STATE_OPENED, STATE_VALUE, STATE_FAILED };

#define UNLIKELY(cond) __builtin_expect(!!(cond), 0)

static const uint64_t ones = 0x0101010101010101ULL;
static const uint64_t highs = 0x8080808080808080ULL;

void payload_json_init(struct payload_json *j, struct view body, struct arena *arena,
                       uint32_t depth_max)
{
    j->start = body.data;
    j->at = body.data;
    j->end = body.data + body.len;
    j->arena = arena;
    j->stack = 0;
    j->depth = 0;
    j->depth_max = depth_max < PAYLOAD_DEPTH_MAX ? depth_max : PAYLOAD_DEPTH_MAX;
    j->state = STATE_START;
    j->expected = (struct view){NULL, 0};
    j->err = ERR_OK;
    j->err_in_value = false;
    j->err_at = 0;
    j->err_words = NULL;
    j->err_token = (struct view){NULL, 0};
}

struct fault {
    const uint8_t *at;
    bool in_value;
    enum err err;
    const char *words;
};

__attribute__((noinline, cold)) static enum payload_kind fail(struct payload_json *j,
                                                              struct fault f)
{
    j->state = STATE_FAILED;
    j->err = f.err;
    j->err_in_value = f.in_value;
    j->err_at = (size_t)(f.at - j->start);
    j->err_words = f.words;
    return PAYLOAD_ERROR;
}

/* `words` say what was expected at p; at the end of the body it is missing, elsewhere wrong. */
__attribute__((noinline, cold)) static enum payload_kind
fail_expected(struct payload_json *j, const uint8_t *p, bool in_value, const char *words)
{
    enum err e = p >= j->end ? ERR_SHORT : ERR_SYNTAX;
    return fail(j, (struct fault){p, in_value, e, words});
}

static inline const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The high bit of each byte that equals c; exact up to and including the lowest one set. */
static inline uint64_t bytes_equal(uint64_t word, uint8_t c)
{
    uint64_t x = word ^ (ones * c);
    return (x - ones) & ~x & highs;
}

static inline uint64_t bytes_special(uint64_t word)
{
    uint64_t control = (word - ones * 0x20) & ~word & highs;
    return control | bytes_equal(word, '"') | bytes_equal(word, '\\');
}

/* The first quote, backslash or control byte from p on, or the end. *ret_high gets a bit set when a
 * byte before it is not ASCII. */
static inline const uint8_t *scan_text(const uint8_t *p, const uint8_t *end, uint64_t *ret_high)
{
    uint64_t high = 0;
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        uint64_t special = bytes_special(word);
        if (special != 0) {
            /* The bits below the lowest special byte's high bit belong to the bytes before it. */
            *ret_high = (high | (word & (special ^ (special - 1)))) & highs;
            return p + (unsigned)__builtin_ctzll(special) / 8;
        }
        high |= word;
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) {
        high |= *p++;
    }
    *ret_high = high & highs;
    return p;
}

static bool hex4(const uint8_t *p, const uint8_t *end, uint32_t *ret_code)
{
    if (end - p < 4) {
        return false;
    }
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        uint32_t digit = 0;
        if (c >= '0' && c <= '9') {
            digit = c - (uint32_t)'0';
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (c | 0x20u) - 'a' + 10;
        } else {
            return false;
        }
        code = code << 4 | digit;
    }
    *ret_code = code;
    return true;
}

/* \uXXXX at p (behind the backslash), or a pair of them. Returns the bytes used, 0 after a failure.
 */
static size_t unescape_code(struct payload_json *j, const uint8_t *p, const uint8_t *end,
                            uint32_t *ret_code)
{
    uint32_t code = 0;
    if (!hex4(p + 1, end, &code)) {
        (void)fail(j, (struct fault){p, true, ERR_SYNTAX, "expected four hex digits after \\u"});
        return 0;
    }
    size_t used = 5;
    if (code >= 0xD800 && code <= 0xDFFF) {
        uint32_t low = 0;
        bool paired = code < 0xDC00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u' &&
                      hex4(p + 7, end, &low) && low >= 0xDC00 && low <= 0xDFFF;
        if (!paired) {
            (void)fail(j, (struct fault){p, true, ERR_UTF8, "half of a surrogate pair"});
            return 0;
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        used = 11;
    }
    *ret_code = code;
    return used;
}

/* The escape whose letter is at p. Returns the bytes used, 0 after a failure. */
static size_t unescape(struct payload_json *j, const uint8_t *p, const uint8_t *end,
                       uint32_t *ret_code)
{
    static const char letters[] = "\"\\/bfnrt";
    static const uint8_t codes[] = {'"', '\\', '/', '\b', '\f', '\n', '\r', '\t'};
    if (*p == 'u') {
        return unescape_code(j, p, end, ret_code);
    }
    const char *found = memchr(letters, *p, sizeof(codes));
    if (found == NULL) {
        (void)fail(j, (struct fault){p, true, ERR_SYNTAX, "unknown escape after a backslash"});
        return 0;
    }
    *ret_code = codes[found - letters];
    return 1;
}

/* `raw` is the text between its quotes, with at least one backslash; it gets its content. */
static bool decode_escapes(struct payload_json *j, struct view *raw)
{
    const uint8_t *p = raw->data;
    const uint8_t *end = p + raw->len;
    uint8_t *out = NULL;
    if (j->arena != NULL) {
        out = arena_alloc(j->arena, raw->len); /* content is never longer than its escaped form */
        if (out == NULL) {
            (void)fail(j, (struct fault){p, true, ERR_NOMEM, "no room for a text with escapes"});
            return false;
        }
    }
    size_t len = 0;
    while (p < end) {
        const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((slash == NULL ? end : slash) - p);
        uint8_t bytes[4] = {0};
        uint32_t code = 0;
        if (out != NULL && run > 0) {
            memcpy(out + len, p, run);
        }
        len += run;
        p += run;
        if (slash != NULL) {
            size_t used = unescape(j, p + 1, end, &code);
            if (used == 0) {
                return false;
            }
            p += 1 + used;
            size_t put = (size_t)utf8_put(code, bytes);
            if (out != NULL) {
                memcpy(out + len, bytes, put);
            }
            len += put;
        }
    }
    if (out != NULL) {
        *raw = view_of(out, len);
    }
    return true;
}

/* p is at the first byte that is not plain, with `text` starting behind the opening quote. Returns
 * the place behind the closing quote, NULL after a failure. */
__attribute__((noinline)) static const uint8_t *
read_text_slow(struct payload_json *j, const uint8_t *p, struct view *text, uint64_t high)
{
    bool escapes = false;
    while (p < j->end && *p == '\\') {
        escapes = true;
        uint64_t more = 0;
        p = j->end - p >= 2 ? scan_text(p + 2, j->end, &more) : j->end;
        high |= more;
        /* The byte behind a backslash is skipped here and checked when escapes are decoded. */
    }
    if (p >= j->end) {
        (void)fail(j, (struct fault){j->end, true, ERR_SHORT, "a text has no closing quote"});
        return NULL;
    }
    if (*p != '"') {
        (void)fail(j, (struct fault){p, true, ERR_SYNTAX, "a control byte inside a text"});
        return NULL;
    }
    text->len = (size_t)(p - text->data);
    if ((high != 0 || escapes) && !utf8_valid(*text)) {
        (void)fail(j, (struct fault){text->data, true, ERR_UTF8, "a text is not valid UTF-8"});
        return NULL;
    }
    if (escapes && !decode_escapes(j, text)) {
        return NULL;
    }
    return p + 1;
}

/* p is behind the opening quote. Returns the place behind the closing one, NULL after a failure. */
static inline const uint8_t *read_text(struct payload_json *j, const uint8_t *p,
                                       struct view *ret_text)
{
    uint64_t high = 0;
    const uint8_t *stop = scan_text(p, j->end, &high);
    *ret_text = view_of(p, (size_t)(stop - p));
    if (UNLIKELY(high != 0 || stop == j->end || *stop != '"')) {
        return read_text_slow(j, stop, ret_text, high);
    }
    return stop + 1;
}

static inline bool is_digit(const uint8_t *p, const uint8_t *end)
{
    return p < end && (unsigned)*p - '0' <= 9;
}

/* [+-]digits behind the e, saturated. Returns the place behind it, NULL: no digit. */
static const uint8_t *read_exponent(const uint8_t *p, const uint8_t *end, int64_t *exponent)
{
    bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (!is_digit(p, end)) {
        return NULL;
    }
    int64_t v = 0;
    for (; is_digit(p, end); p++) {
        v = v < 100000 ? v * 10 + (*p - '0') : v;
    }
    *exponent += negative ? -v : v;
    return p;
}

static inline enum payload_kind read_number(struct payload_json *j, const uint8_t *start,
                                            struct payload_event *ev)
{
    const uint8_t *end = j->end;
    const uint8_t *p = start + (*start == '-');
    const uint8_t *first = p;
    uint64_t mantissa = 0; /* means something up to 19 digits */
    for (; is_digit(p, end); p++) {
        mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    }
    int64_t digits = p - first;
    if (UNLIKELY(digits == 0 || (digits > 1 && *first == '0'))) {
        bool none = digits == 0;
        return fail_expected(j, none ? p : first, true,
                             none ? "expected a digit" : "a number starts with a needless 0");
    }
    int64_t exponent = 0;
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        for (; is_digit(p, end); p++) {
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
        }
        exponent = fraction - p;
        digits -= exponent;
        if (UNLIKELY(exponent == 0)) {
            return fail_expected(j, p, true, "expected a digit after the decimal point");
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const uint8_t *behind = read_exponent(p + 1, end, &exponent);
        if (UNLIKELY(behind == NULL)) {
            const uint8_t *at = p + 1 < end && (p[1] == '-' || p[1] == '+') ? p + 2 : p + 1;
            return fail_expected(j, at, true, "expected a digit in the exponent");
        }
        p = behind;
    }
    j->at = p;
    j->state = STATE_VALUE;
    ev->text = view_of(start, (size_t)(p - start));
    if (digits <= 19 && exponent >= -19 && exponent <= 19) {
        double v = 0;
        if (mantissa >= 1ULL << 53) {
            v = payload_number_scale(mantissa, exponent);
        } else {
            v = (double)(int64_t)mantissa;
            v = exponent < 0 ? v / payload_powers_of_ten[-exponent]
                             : v * payload_powers_of_ten[exponent];
        }
        ev->number = *start == '-' ? -v : v;
        return PAYLOAD_NUMBER;
    }
    ev->number = payload_number_decode(ev->text);
    if (UNLIKELY(!isfinite(ev->number))) {
        j->err_token = ev->text;
        return fail(j, (struct fault){start, true, ERR_RANGE, "is beyond the range of a double"});
    }
    return PAYLOAD_NUMBER;
}

__attribute__((noinline, cold)) static enum payload_kind fail_word(struct payload_json *j,
                                                                   const uint8_t *p)
{
    static const char *const words[] = {"true", "false", "null"};
    struct view left = view_of(p, (size_t)(j->end - p));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (view_starts(view_str(words[i]), left)) {
            p = j->end; /* cut off */
        }
    }
    return fail_expected(j, p, true, "expected a value");
}

static enum payload_kind read_word(struct payload_json *j, const uint8_t *p)
{
    enum payload_kind kind = PAYLOAD_ERROR;
    size_t left = (size_t)(j->end - p);
    if (left >= 4 && memcmp(p, "true", 4) == 0) {
        kind = PAYLOAD_TRUE;
    } else if (left >= 5 && memcmp(p, "false", 5) == 0) {
        kind = PAYLOAD_FALSE;
    } else if (left >= 4 && memcmp(p, "null", 4) == 0) {
        kind = PAYLOAD_NULL;
    } else {
        return fail_word(j, p);
    }
    j->at = p + (kind == PAYLOAD_FALSE ? 5 : 4);
    j->state = STATE_VALUE;
    return kind;
}

static enum payload_kind open_container(struct payload_json *j, const uint8_t *p)
{
    if (UNLIKELY(j->depth >= j->depth_max)) {
        return fail(j, (struct fault){p, true, ERR_LIMIT, "nested too deeply"});
    }
    bool object = *p == '{';
    j->stack = j->stack << 1 | object;
    j->depth++;
    j->at = p + 1;
    j->state = STATE_OPENED;
    return object ? PAYLOAD_OBJECT : PAYLOAD_ARRAY;
}

static enum payload_kind close_container(struct payload_json *j, const uint8_t *p,
                                         struct payload_event *ev)
{
    bool object = (j->stack & 1) != 0;
    j->stack >>= 1;
    j->depth--;
    j->at = p + 1;
    j->state = STATE_VALUE;
    ev->key = (struct view){NULL, 0};
    ev->at = (size_t)(p - j->start);
    return object ? PAYLOAD_OBJECT_END : PAYLOAD_ARRAY_END;
}

static inline enum payload_kind read_value(struct payload_json *j, const uint8_t *p,
                                           struct payload_event *ev)
{
    ev->at = (size_t)(p - j->start);
    if (UNLIKELY(p == j->end)) {
        return fail_expected(j, p, true, "expected a value");
    }
    if (*p == '-' || is_digit(p, j->end)) {
        return read_number(j, p, ev);
    }
    if (*p == '"') {
        const uint8_t *behind = read_text(j, p + 1, &ev->text);
        if (UNLIKELY(behind == NULL)) {
            return PAYLOAD_ERROR;
        }
        j->at = behind;
        j->state = STATE_VALUE;
        return PAYLOAD_TEXT;
    }
    return *p == '{' || *p == '[' ? open_container(j, p) : read_word(j, p);
}

/* Names are short: a call of memcmp() would cost more than the comparison. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        if (memcmp(a + i, b + i, 8) != 0) {
            return false;
        }
    }
    for (; i < len; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* p is at the opening quote of a key. */
static inline bool is_expected(const struct payload_json *j, const uint8_t *p)
{
    struct view name = j->expected;
    return name.len > 0 && (size_t)(j->end - p) >= name.len + 2 && p[name.len + 1] == '"' &&
           same_bytes(p + 1, name.data, name.len);
}

/* p is where a key must stand. Returns where its value must stand, NULL after a failure. */
static inline const uint8_t *read_key(struct payload_json *j, const uint8_t *p,
                                      struct payload_event *ev)
{
    if (UNLIKELY(p == j->end || *p != '"')) {
        (void)fail_expected(j, p, false, "expected a key in quotes");
        return NULL;
    }
    ev->expected = is_expected(j, p);
    if (ev->expected) {
        ev->key = view_of(p + 1, j->expected.len);
        p += j->expected.len + 2;
    } else {
        p = read_text(j, p + 1, &ev->key);
        if (UNLIKELY(p == NULL)) {
            j->err_in_value = false;
            return NULL;
        }
    }
    p = skip_space(p, j->end);
    if (UNLIKELY(p == j->end || *p != ':')) {
        (void)fail_expected(j, p, true, "expected a colon after the key");
        return NULL;
    }
    return skip_space(p + 1, j->end);
}

/* The comma or bracket behind a value. */
static enum payload_kind fail_between(struct payload_json *j, const uint8_t *p)
{
    if (j->state == STATE_FAILED) {
        return PAYLOAD_ERROR;
    }
    if (j->depth == 0) {
        return p == j->end ? PAYLOAD_END : fail_expected(j, p, false, "expected nothing more");
    }
    bool object = (j->stack & 1) != 0;
    return fail_expected(j, p, false, object ? "expected a comma or }" : "expected a comma or ]");
}

enum payload_kind payload_json_next(struct payload_json *j, struct payload_event *ret_event)
{
    const uint8_t *p = skip_space(j->at, j->end);
    bool object = (j->stack & 1) != 0;
    if (j->state != STATE_START) {
        if (p < j->end && *p == (object ? '}' : ']') && j->depth > 0 && j->state != STATE_FAILED) {
            return close_container(j, p, ret_event);
        }
        if (j->state != STATE_OPENED) {
            if (UNLIKELY(p == j->end || *p != ',' || j->depth == 0 || j->state == STATE_FAILED)) {
                return fail_between(j, p);
            }
            p = skip_space(p + 1, j->end);
        }
    }
    ret_event->key_at = (size_t)(p - j->start);
    if (!object) {
        ret_event->key = (struct view){NULL, 0};
        return read_value(j, p, ret_event);
    }
    p = read_key(j, p, ret_event);
    if (UNLIKELY(p == NULL)) {
        return PAYLOAD_ERROR;
    }
    return read_value(j, p, ret_event);
}

enum err payload_json_skip(struct payload_json *j)
{
    uint32_t outside = j->depth - 1;
    struct payload_event ev;
    while (j->depth > outside) {
        if (payload_json_next(j, &ev) == PAYLOAD_ERROR) {
            return j->err;
        }
    }
    return ERR_OK;
}

const char *payload_kind_words(enum payload_kind kind)
{
    static const char *const words[] = {
        [PAYLOAD_ERROR] = "an error",   [PAYLOAD_END] = "the end",
        [PAYLOAD_OBJECT] = "an object", [PAYLOAD_OBJECT_END] = "the end of an object",
        [PAYLOAD_ARRAY] = "an array",   [PAYLOAD_ARRAY_END] = "the end of an array",
        [PAYLOAD_NUMBER] = "a number",  [PAYLOAD_TEXT] = "a text",
        [PAYLOAD_TRUE] = "true",        [PAYLOAD_FALSE] = "false",
        [PAYLOAD_NULL] = "null",
    };
    return words[kind];
}
