/*
 * lex: an expression's text as tokens, each with line and column (in characters, from 1).
 *
 * Ownership: token texts are views into the expression.
 * Errors:    ERR_SYNTAX, ERR_RANGE, ERR_UTF8, with place and words in `error`.
 */
#pragma once

#include "rules/error.h"

/*        id                words */
#define RULE_TOKEN_LIST(X)               \
    X(RULE_TOKEN_END, "the end")         \
    X(RULE_TOKEN_NUMBER, "a number")     \
    X(RULE_TOKEN_DURATION, "a duration") \
    X(RULE_TOKEN_NAME, "a name")         \
    X(RULE_TOKEN_STRING, "a text")       \
    X(RULE_TOKEN_TRUE, "true")           \
    X(RULE_TOKEN_FALSE, "false")         \
    X(RULE_TOKEN_LPAREN, "(")            \
    X(RULE_TOKEN_RPAREN, ")")            \
    X(RULE_TOKEN_LBRACKET, "[")          \
    X(RULE_TOKEN_RBRACKET, "]")          \
    X(RULE_TOKEN_LBRACE, "{")            \
    X(RULE_TOKEN_COMMA, ",")             \
    X(RULE_TOKEN_PLUS, "+")              \
    X(RULE_TOKEN_MINUS, "-")             \
    X(RULE_TOKEN_STAR, "*")              \
    X(RULE_TOKEN_SLASH, "/")             \
    X(RULE_TOKEN_PERCENT, "%")           \
    X(RULE_TOKEN_CARET, "^")             \
    X(RULE_TOKEN_EQ, "==")               \
    X(RULE_TOKEN_NE, "!=")               \
    X(RULE_TOKEN_LT, "<")                \
    X(RULE_TOKEN_LE, "<=")               \
    X(RULE_TOKEN_GT, ">")                \
    X(RULE_TOKEN_GE, ">=")               \
    X(RULE_TOKEN_AND, "and")             \
    X(RULE_TOKEN_OR, "or")               \
    X(RULE_TOKEN_UNLESS, "unless")

enum rule_token_kind {
#define RULE_TOKEN_ENUM(id, words) id,
    RULE_TOKEN_LIST(RULE_TOKEN_ENUM)
#undef RULE_TOKEN_ENUM
};

struct rule_token {
    enum rule_token_kind kind;
    int line;
    int column;
    struct view text; /* of a text: without its quotes */
    double number;
    int64_t duration_us;
};

struct rule_lex {
    struct view left; /* not read yet */
    int line;
    int column;
    const char *pointer; /* of the field the expression stands in */
    struct rule_error *error;
};

struct rule_lex rule_lex_init(struct view text, const char *pointer, struct rule_error *error);
NODISCARD enum err rule_lex_next(struct rule_lex *l, struct rule_token *ret_token);
const char *rule_token_words(enum rule_token_kind kind);
/* The place of a token, for rule_error_set(). */
struct rule_place rule_lex_place(const struct rule_lex *l, const struct rule_token *t);
