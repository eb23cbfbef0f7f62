#include "rules/lex.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"

enum { NUMBER_TEXT_MAX = 63 };

static const char *const token_words[] = {
#define TOKEN_ROW(id, words) words,
    RULE_TOKEN_LIST(TOKEN_ROW)
#undef TOKEN_ROW
};

const char *rule_token_words(enum rule_token_kind kind)
{
    return token_words[kind];
}

struct rule_lex rule_lex_init(struct view text, const char *pointer, struct rule_error *error)
{
    return (struct rule_lex){
        .left = text, .line = 1, .column = 1, .pointer = pointer, .error = error};
}

struct rule_place rule_lex_place(const struct rule_lex *l, const struct rule_token *t)
{
    return (struct rule_place){.pointer = l->pointer, .line = t->line, .column = t->column};
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The byte at `at`, 0 behind the end. */
static uint8_t look(const struct rule_lex *l, size_t at)
{
    return at < l->left.len ? l->left.data[at] : 0;
}

static void skip(struct rule_lex *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = l->left.data[i];
        if (c == '\n') {
            l->line++;
            l->column = 1;
        } else if ((c & 0xC0) != 0x80) { /* count characters, not the bytes of one */
            l->column++;
        }
    }
    l->left = view_skip(l->left, n);
}

static void skip_blanks(struct rule_lex *l)
{
    for (;;) {
        uint8_t c = look(l, 0);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            skip(l, 1);
        } else if (c == '#') { /* a comment ends with its line, as in PromQL */
            size_t n = 0;
            while (n < l->left.len && l->left.data[n] != '\n') {
                n++;
            }
            skip(l, n);
        } else {
            return;
        }
    }
}

/* Takes n bytes as the token's text. */
static void take(struct rule_lex *l, struct rule_token *t, enum rule_token_kind kind, size_t n)
{
    t->kind = kind;
    t->text = view_of(l->left.data, n);
    skip(l, n);
}

static size_t digits_at(const struct rule_lex *l, size_t at)
{
    size_t n = at;
    while (is_digit(look(l, n))) {
        n++;
    }
    return n;
}

static enum err take_duration(struct rule_lex *l, struct rule_token *t)
{
    size_t n = 0;
    while (is_digit(look(l, n)) || is_letter(look(l, n))) {
        n++;
    }
    struct view text = view_of(l->left.data, n);
    if (n > 1 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x') {
        return rule_error_set(l->error, ERR_SYNTAX, rule_lex_place(l, t),
                              "hexadecimal numbers are not part of the language");
    }
    enum err e = clock_parse_duration(text, &t->duration_us);
    if (e != ERR_OK) {
        return rule_error_set(l->error, e == ERR_RANGE ? ERR_RANGE : ERR_SYNTAX,
                              rule_lex_place(l, t),
                              "expected a number or a duration such as 5m or 1h30m, not \"%.*s\"",
                              (int)(n > 40 ? 40 : n), (const char *)text.data);
    }
    take(l, t, RULE_TOKEN_DURATION, n);
    return ERR_OK;
}

/* 12, 1.5, .5, 1e3, 2.5E-3; a whole number with letters behind it is a duration. */
static enum err take_number(struct rule_lex *l, struct rule_token *t)
{
    size_t n = digits_at(l, 0);
    bool whole = true;
    if (look(l, n) == '.') {
        whole = false;
        n = digits_at(l, n + 1);
    }
    uint8_t c = look(l, n);
    if (c == 'e' || c == 'E') {
        size_t sign = look(l, n + 1) == '-' || look(l, n + 1) == '+' ? 1 : 0;
        if (is_digit(look(l, n + 1 + sign))) {
            whole = false;
            n = digits_at(l, n + 1 + sign);
        }
    }
    if (whole && is_letter(look(l, n))) {
        return take_duration(l, t);
    }
    if (is_letter(look(l, n)) || look(l, n) == '.') {
        return rule_error_set(l->error, ERR_SYNTAX, rule_lex_place(l, t),
                              "expected a number; durations are whole numbers with a unit: 90s");
    }
    char text[NUMBER_TEXT_MAX + 1];
    if (n > NUMBER_TEXT_MAX) {
        return rule_error_set(l->error, ERR_LIMIT, rule_lex_place(l, t),
                              "a number has at most %d characters", NUMBER_TEXT_MAX);
    }
    (void)view_copy(view_of(l->left.data, n), text, sizeof(text));
    t->number = strtod(text, NULL);
    if (!isfinite(t->number)) {
        return rule_error_set(l->error, ERR_RANGE, rule_lex_place(l, t),
                              "the number does not fit into a double");
    }
    take(l, t, RULE_TOKEN_NUMBER, n);
    return ERR_OK;
}

/* Words of PromQL's set operators are not case sensitive there; true and false are ours. */
static enum rule_token_kind word_kind(struct view word)
{
    static const struct {
        const char *word;
        enum rule_token_kind kind;
    } words[] = {{"and", RULE_TOKEN_AND}, {"or", RULE_TOKEN_OR}, {"unless", RULE_TOKEN_UNLESS}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (word.len == strlen(words[i].word) &&
            strncasecmp((const char *)word.data, words[i].word, word.len) == 0) {
            return words[i].kind;
        }
    }
    if (view_eq_str(word, "true")) {
        return RULE_TOKEN_TRUE;
    }
    return view_eq_str(word, "false") ? RULE_TOKEN_FALSE : RULE_TOKEN_NAME;
}

static void take_word(struct rule_lex *l, struct rule_token *t)
{
    size_t n = 1;
    while (is_letter(look(l, n)) || is_digit(look(l, n)) || look(l, n) == ':' ||
           look(l, n) == '.') {
        n++;
    }
    take(l, t, word_kind(view_of(l->left.data, n)), n);
}

/* No escapes: names that a device may use contain neither quotes nor backslashes. */
static enum err take_string(struct rule_lex *l, struct rule_token *t)
{
    uint8_t quote = look(l, 0);
    size_t n = 1;
    while (n < l->left.len && l->left.data[n] != quote) {
        if (l->left.data[n] == '\\' || l->left.data[n] == '\n') {
            return rule_error_set(l->error, ERR_SYNTAX, rule_lex_place(l, t),
                                  "a text has no backslash and no line break");
        }
        n++;
    }
    if (n == l->left.len) {
        return rule_error_set(l->error, ERR_SYNTAX, rule_lex_place(l, t),
                              "the text has no closing %c", quote);
    }
    take(l, t, RULE_TOKEN_STRING, n + 1);
    t->text = view_of(t->text.data + 1, n - 1);
    return ERR_OK;
}

static enum err take_symbol(struct rule_lex *l, struct rule_token *t)
{
    static const struct {
        const char text[3];
        enum rule_token_kind kind;
    } symbols[] = {
        {"==", RULE_TOKEN_EQ},      {"!=", RULE_TOKEN_NE},     {"<=", RULE_TOKEN_LE},
        {">=", RULE_TOKEN_GE},      {"<", RULE_TOKEN_LT},      {">", RULE_TOKEN_GT},
        {"(", RULE_TOKEN_LPAREN},   {")", RULE_TOKEN_RPAREN},  {"[", RULE_TOKEN_LBRACKET},
        {"]", RULE_TOKEN_RBRACKET}, {"{", RULE_TOKEN_LBRACE},  {",", RULE_TOKEN_COMMA},
        {"+", RULE_TOKEN_PLUS},     {"-", RULE_TOKEN_MINUS},   {"*", RULE_TOKEN_STAR},
        {"/", RULE_TOKEN_SLASH},    {"%", RULE_TOKEN_PERCENT}, {"^", RULE_TOKEN_CARET},
    };
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        struct view s = view_str(symbols[i].text);
        if (view_starts(l->left, s)) {
            take(l, t, symbols[i].kind, s.len);
            return ERR_OK;
        }
    }
    uint8_t c = look(l, 0);
    const char *hint = c == '='   ? "; equality is written =="
                       : c == '&' ? "; write and"
                       : c == '|' ? "; write or"
                       : c == '!' ? "; write \"true unless (…)\" for not"
                                  : "";
    if (c < 0x20 || c > 0x7E) {
        return rule_error_set(l->error, ERR_SYNTAX, rule_lex_place(l, t),
                              "unexpected byte 0x%02X; other names are written metric(\"…\")", c);
    }
    return rule_error_set(l->error, ERR_SYNTAX, rule_lex_place(l, t), "unexpected character %c%s",
                          c, hint);
}

enum err rule_lex_next(struct rule_lex *l, struct rule_token *ret_token)
{
    skip_blanks(l);
    struct rule_token t = {.kind = RULE_TOKEN_END, .line = l->line, .column = l->column};
    enum err e = ERR_OK;
    uint8_t c = look(l, 0);
    if (l->left.len == 0) {
        t.text = l->left;
    } else if (is_digit(c) || (c == '.' && is_digit(look(l, 1)))) {
        e = take_number(l, &t);
    } else if (is_letter(c)) {
        take_word(l, &t);
    } else if (c == '"' || c == '\'') {
        e = take_string(l, &t);
    } else {
        e = take_symbol(l, &t);
    }
    if (e == ERR_OK) {
        *ret_token = t;
    }
    return e;
}
