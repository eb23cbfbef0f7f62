/*
 * parse: tokens -> postfix nodes, by operator precedence with an explicit stack.
 *
 * Precedence as in PromQL, loosest first: or; and unless; comparisons; + -; * / % and signs; ^,
 * which groups to the right. Before every comparison operator a mark is left: the value on its left
 * side.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "rules/expr.h"

enum { STACK_MAX = 256, PREC_SIGN = 5, PREC_COMPARE = 3, PREC_POWER = 6 };

enum item_kind { ITEM_OPERATOR, ITEM_PAREN, ITEM_CALL };

struct item {
    enum item_kind kind;
    enum rule_op op;
    int prec;
    const struct rule_function *function; /* of a call */
    int commas;
    int64_t limit_us; /* of a memory */
    struct rule_token token;
    const char *words;
};

struct parser {
    struct rule_lex lex;
    struct rule_token token; /* the next one */
    struct rule_expr *x;
    struct item stack[STACK_MAX];
    uint32_t depth;
    uint32_t nesting;
};

static const struct {
    enum rule_token_kind token;
    enum rule_op op;
    int prec;
} operators[] = {
    {RULE_TOKEN_OR, RULE_OP_OR, 1},
    {RULE_TOKEN_AND, RULE_OP_AND, 2},
    {RULE_TOKEN_UNLESS, RULE_OP_UNLESS, 2},
    {RULE_TOKEN_EQ, RULE_OP_EQ, PREC_COMPARE},
    {RULE_TOKEN_NE, RULE_OP_NE, PREC_COMPARE},
    {RULE_TOKEN_LT, RULE_OP_LT, PREC_COMPARE},
    {RULE_TOKEN_LE, RULE_OP_LE, PREC_COMPARE},
    {RULE_TOKEN_GT, RULE_OP_GT, PREC_COMPARE},
    {RULE_TOKEN_GE, RULE_OP_GE, PREC_COMPARE},
    {RULE_TOKEN_PLUS, RULE_OP_ADD, 4},
    {RULE_TOKEN_MINUS, RULE_OP_SUB, 4},
    {RULE_TOKEN_STAR, RULE_OP_MUL, 5},
    {RULE_TOKEN_SLASH, RULE_OP_DIV, 5},
    {RULE_TOKEN_PERCENT, RULE_OP_MOD, 5},
    {RULE_TOKEN_CARET, RULE_OP_POW, PREC_POWER},
};

#define FAIL_AT(p, code, t, ...) \
    rule_error_set((p)->lex.error, (code), rule_lex_place(&(p)->lex, (t)), __VA_ARGS__)

static enum err advance(struct parser *p)
{
    return rule_lex_next(&p->lex, &p->token);
}

/* The words of the token at hand, for "expected …, not …". */
static const char *found(const struct parser *p, char ret_text[static 48])
{
    const struct rule_token *t = &p->token;
    if (t->kind == RULE_TOKEN_END) {
        return rule_token_words(t->kind);
    }
    const char *quote = t->kind == RULE_TOKEN_STRING ? "\"" : "";
    (void)snprintf(ret_text, 48, "%s%.*s%s", quote, (int)(t->text.len > 40 ? 40 : t->text.len),
                   (const char *)t->text.data, quote);
    return ret_text;
}

static enum err expect(struct parser *p, enum rule_token_kind kind, const char *what)
{
    if (p->token.kind != kind) {
        char text[48];
        return FAIL_AT(p, ERR_SYNTAX, &p->token, "expected %s, not %s", what, found(p, text));
    }
    return advance(p);
}

static enum err put_node(struct parser *p, struct rule_node node, const struct rule_token *at)
{
    struct rule_expr *x = p->x;
    if (node.op != RULE_OP_MARK && ++x->op_count >= RULE_OPS_MAX) {
        return FAIL_AT(p, ERR_LIMIT, at, "the expression has more than %d operations",
                       RULE_OPS_MAX - 1);
    }
    CHECK(x->count < RULE_NODES_MAX); /* every mark has its comparison, which counts */
    node.line = at->line;
    node.column = at->column;
    x->nodes[x->count++] = node;
    return ERR_OK;
}

static enum err push(struct parser *p, struct item item)
{
    if (p->depth == STACK_MAX || (item.kind != ITEM_OPERATOR && p->nesting == RULE_NESTING_MAX)) {
        return FAIL_AT(p, ERR_LIMIT, &item.token, "nested deeper than %d", RULE_NESTING_MAX);
    }
    p->nesting += item.kind != ITEM_OPERATOR ? 1 : 0;
    p->stack[p->depth++] = item;
    return ERR_OK;
}

static enum err put_item(struct parser *p, const struct item *item)
{
    return put_node(p, (struct rule_node){.op = item->op, .words = item->words}, &item->token);
}

/* Emits the operators on the stack that bind tighter than one of precedence `prec`. */
static enum err reduce(struct parser *p, int prec, bool right)
{
    while (p->depth > 0) {
        const struct item *top = &p->stack[p->depth - 1];
        if (top->kind != ITEM_OPERATOR || top->prec < prec || (top->prec == prec && right)) {
            return ERR_OK;
        }
        enum err e = put_item(p, top);
        if (e != ERR_OK) {
            return e;
        }
        p->depth--;
    }
    return ERR_OK;
}

static enum err take_name(struct parser *p, const char *what, struct view *ret_name)
{
    struct rule_token t = p->token;
    enum err e = expect(p, RULE_TOKEN_STRING, what);
    if (e != ERR_OK) {
        return e;
    }
    if (!ident_metric_valid(t.text)) {
        return FAIL_AT(p, ERR_SYNTAX, &t,
                       "this cannot be a name: 1 to %d letters, digits, . _ : - / %%", IDENT_MAX);
    }
    *ret_name = t.text;
    return ERR_OK;
}

/* ("name") after metric or attr. */
static enum err take_quoted(struct parser *p, struct view *ret_name)
{
    enum err e = expect(p, RULE_TOKEN_LPAREN, "(");
    if (e == ERR_OK) {
        e = take_name(p, "a name in quotes", ret_name);
    }
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_RPAREN, ")");
}

/* temperature, or metric("any name"). */
static enum err take_metric(struct parser *p, struct view *ret_name)
{
    struct rule_token t = p->token;
    enum err e = expect(p, RULE_TOKEN_NAME, "the name of a metric");
    if (e != ERR_OK) {
        return e;
    }
    if (p->token.kind == RULE_TOKEN_LPAREN && view_eq_str(t.text, "metric")) {
        return take_quoted(p, ret_name);
    }
    if (p->token.kind == RULE_TOKEN_LPAREN) {
        return FAIL_AT(p, ERR_SYNTAX, &t, "expected the name of a metric, not a function");
    }
    if (t.text.len > IDENT_MAX) {
        return FAIL_AT(p, ERR_LIMIT, &t, "a name has at most %d characters", IDENT_MAX);
    }
    *ret_name = t.text;
    return ERR_OK;
}

/* [5m] */
static enum err take_window(struct parser *p, int64_t *ret_us)
{
    enum err e = expect(p, RULE_TOKEN_LBRACKET, "[ and a window such as [5m]");
    if (e != ERR_OK) {
        return e;
    }
    struct rule_token t = p->token;
    e = expect(p, RULE_TOKEN_DURATION, "a duration such as 5m");
    if (e != ERR_OK) {
        return e;
    }
    if (t.duration_us == 0) {
        return FAIL_AT(p, ERR_RANGE, &t, "a window of 0 holds no reading");
    }
    if (t.duration_us > RULE_WINDOW_MAX_US) {
        return FAIL_AT(p, ERR_RANGE, &t, "a window is at most 31d");
    }
    *ret_us = t.duration_us;
    return expect(p, RULE_TOKEN_RBRACKET, "]");
}

/* A number beside a window, or a duration for its seconds. */
static enum err take_param(struct parser *p, const char *what, double *ret_number)
{
    bool negative = p->token.kind == RULE_TOKEN_MINUS;
    enum err e = negative ? advance(p) : ERR_OK;
    if (e != ERR_OK) {
        return e;
    }
    double number = p->token.number;
    if (p->token.kind == RULE_TOKEN_DURATION) {
        number = (double)p->token.duration_us / (double)CLOCK_SECOND_US;
    } else if (p->token.kind != RULE_TOKEN_NUMBER) {
        return expect(p, RULE_TOKEN_NUMBER, what);
    }
    *ret_number = negative ? -number : number;
    return advance(p);
}

static enum err take_quantile(struct parser *p, struct rule_ref *ref)
{
    struct rule_token t = p->token;
    enum err e = take_param(p, "a number from 0 to 1", &ref->param);
    if (e == ERR_OK && !(ref->param >= 0 && ref->param <= 1)) {
        return FAIL_AT(p, ERR_RANGE, &t, "a quantile is a number from 0 to 1");
    }
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_COMMA, "a comma and a window such as x[5m]");
}

/* (x[5m]) after avg_over_time and its like; some take a number as well. */
static enum err take_range(struct parser *p, const struct rule_function *f, struct rule_ref *ref)
{
    enum err e = expect(p, RULE_TOKEN_LPAREN, "(");
    if (e == ERR_OK && f->param == RULE_PARAM_BEFORE) {
        e = take_quantile(p, ref);
    }
    if (e == ERR_OK) {
        e = take_metric(p, &ref->name);
    }
    if (e == ERR_OK) {
        e = take_window(p, &ref->window_us);
    }
    if (e == ERR_OK && f->param == RULE_PARAM_BEHIND) {
        e = expect(p, RULE_TOKEN_COMMA, "a comma and how many seconds ahead");
        if (e == ERR_OK) {
            e = take_param(p, "a number of seconds", &ref->param);
        }
    }
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_RPAREN, ")");
}

/* (x) after baseline and timestamp. */
static enum err take_one(struct parser *p, struct rule_ref *ref)
{
    enum err e = expect(p, RULE_TOKEN_LPAREN, "(");
    if (e == ERR_OK) {
        e = take_metric(p, &ref->name);
    }
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_RPAREN, ")");
}

/* ("limit") or ("limit", 80) after attr. */
static enum err take_attr(struct parser *p, struct rule_ref *ref)
{
    ref->param = (double)NAN;
    enum err e = expect(p, RULE_TOKEN_LPAREN, "(");
    if (e == ERR_OK) {
        e = take_name(p, "a name in quotes", &ref->name);
    }
    if (e == ERR_OK && p->token.kind == RULE_TOKEN_COMMA) {
        e = advance(p);
        if (e == ERR_OK) {
            e = take_param(p, "a number for a device without the attribute", &ref->param);
        }
    }
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_RPAREN, ")");
}

static enum err take_nothing(struct parser *p)
{
    enum err e = expect(p, RULE_TOKEN_LPAREN, "(");
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_RPAREN, ")");
}

static enum err push_call(struct parser *p, const struct rule_function *f,
                          const struct rule_token *t)
{
    struct item call = {.kind = ITEM_CALL,
                        .op = f->kind == RULE_FUNCTION_MEMORY ? RULE_OP_MEMORY : RULE_OP_CALL,
                        .function = f,
                        .token = *t,
                        .words = f->name};
    enum err e = push(p, call);
    return e != ERR_OK ? e : expect(p, RULE_TOKEN_LPAREN, "(");
}

/* avg(…) and avg by (site) (…) */
static enum err group_function(struct parser *p, const struct rule_token *t)
{
    return FAIL_AT(p, ERR_UNSUPPORTED, t,
                   "%.*s over devices is not part of this version's language", VIEW_ARG(t->text));
}

static enum err unknown_function(struct parser *p, const struct rule_token *t)
{
    int len = (int)(t->text.len > 64 ? 64 : t->text.len);
    const char *name = (const char *)t->text.data;
    const char *like = rule_function_suggest(t->text);
    if (like != NULL) {
        return FAIL_AT(p, ERR_UNKNOWN_NAME, t, "unknown function %.*s(); did you mean %s()?", len,
                       name, like);
    }
    return FAIL_AT(p, ERR_UNKNOWN_NAME, t, "unknown function %.*s()", len, name);
}

/* A name with ( behind it. *ret_open: it was a function of values, whose first argument follows. */
static enum err parse_call(struct parser *p, const struct rule_token *t, bool *ret_open)
{
    const struct rule_function *f = rule_function_find(t->text);
    struct rule_ref ref = {.kind = RULE_INPUT_METRIC};
    enum err e = ERR_OK;
    if (f == NULL) {
        return unknown_function(p, t);
    }
    switch (f->kind) {
    case RULE_FUNCTION_NONE:
    case RULE_FUNCTION_LATER:
        return FAIL_AT(p, ERR_UNSUPPORTED, t, "%.*s() is not part of this version's language",
                       VIEW_ARG(t->text));
    case RULE_FUNCTION_GROUP:
        return group_function(p, t);
    case RULE_FUNCTION_SCALAR:
    case RULE_FUNCTION_MEMORY:
        *ret_open = true;
        return push_call(p, f, t);
    case RULE_FUNCTION_RANGE:
        ref.kind = RULE_INPUT_RANGE;
        ref.fn = (enum rule_range)f->which;
        e = take_range(p, f, &ref);
        break;
    case RULE_FUNCTION_CLOCK:
        ref.kind = RULE_INPUT_CLOCK;
        ref.clock = (enum rule_clock)f->which;
        e = take_nothing(p);
        break;
    case RULE_FUNCTION_PI:
        e = take_nothing(p);
        return e != ERR_OK
                   ? e
                   : put_node(p, (struct rule_node){.op = RULE_OP_NUMBER, .number = M_PI}, t);
    case RULE_FUNCTION_BASELINE:
        ref.kind = RULE_INPUT_BASELINE;
        e = take_one(p, &ref);
        break;
    case RULE_FUNCTION_TIMESTAMP:
        ref.kind = RULE_INPUT_TIMESTAMP;
        e = take_one(p, &ref);
        break;
    case RULE_FUNCTION_ATTR:
        ref.kind = RULE_INPUT_ATTR;
        e = take_attr(p, &ref);
        break;
    case RULE_FUNCTION_METRIC:
        e = take_quoted(p, &ref.name);
        break;
    case RULE_FUNCTION_FENCE:
        ref.kind = f->which == RULE_FENCE_INSIDE ? RULE_INPUT_INSIDE : RULE_INPUT_DISTANCE;
        e = take_quoted(p, &ref.name);
        break;
    }
    if (e != ERR_OK) {
        return e;
    }
    return put_node(p, (struct rule_node){.op = RULE_OP_INPUT, .ref = ref, .words = f->name}, t);
}

/* avg by (site) (…): the word behind the name tells. */
static bool is_group(const struct parser *p, const struct rule_token *t)
{
    const struct rule_function *f = rule_function_find(t->text);
    return f != NULL && f->kind == RULE_FUNCTION_GROUP && p->token.kind == RULE_TOKEN_NAME &&
           (view_eq_str(p->token.text, "by") || view_eq_str(p->token.text, "without"));
}

static enum err parse_name(struct parser *p, const struct rule_token *t, bool *ret_open)
{
    if (p->token.kind == RULE_TOKEN_LPAREN) {
        return parse_call(p, t, ret_open);
    }
    if (is_group(p, t)) {
        return group_function(p, t);
    }
    if (t->text.len > IDENT_MAX) {
        return FAIL_AT(p, ERR_LIMIT, t, "a name has at most %d characters", IDENT_MAX);
    }
    struct rule_ref ref = {.kind = RULE_INPUT_METRIC, .name = t->text};
    return put_node(p, (struct rule_node){.op = RULE_OP_INPUT, .ref = ref, .words = "metric"}, t);
}

static enum err parse_prefix(struct parser *p, const struct rule_token *t, bool *ret_open)
{
    *ret_open = true;
    if (t->kind == RULE_TOKEN_LPAREN) {
        return push(p, (struct item){.kind = ITEM_PAREN, .token = *t});
    }
    return push(p, (struct item){.kind = ITEM_OPERATOR,
                                 .op = t->kind == RULE_TOKEN_PLUS ? RULE_OP_PLUS : RULE_OP_NEG,
                                 .prec = PREC_SIGN,
                                 .token = *t,
                                 .words = rule_token_words(t->kind)});
}

/* *ret_open: a value is still wanted. */
static enum err parse_operand(struct parser *p, bool *ret_open)
{
    struct rule_token t = p->token;
    char text[48];
    *ret_open = false;
    switch ((int)t.kind) {
    case RULE_TOKEN_NUMBER:
    case RULE_TOKEN_TRUE:
    case RULE_TOKEN_FALSE:
    case RULE_TOKEN_NAME:
    case RULE_TOKEN_STRING:
    case RULE_TOKEN_LPAREN:
    case RULE_TOKEN_MINUS:
    case RULE_TOKEN_PLUS:
        break;
    case RULE_TOKEN_DURATION:
        return FAIL_AT(p, ERR_SYNTAX, &t,
                       "a duration stands only inside [ ] and as the second value of for_total and "
                       "then");
    default:
        return FAIL_AT(p, ERR_SYNTAX, &t, "expected a value, not %s", found(p, text));
    }
    enum err e = advance(p);
    if (e != ERR_OK) {
        return e;
    }
    switch ((int)t.kind) {
    case RULE_TOKEN_NUMBER:
        return put_node(p, (struct rule_node){.op = RULE_OP_NUMBER, .number = t.number}, &t);
    case RULE_TOKEN_TRUE:
    case RULE_TOKEN_FALSE:
        return put_node(p,
                        (struct rule_node){.op = RULE_OP_NUMBER,
                                           .type = RULE_TYPE_CONDITION,
                                           .number = t.kind == RULE_TOKEN_TRUE ? 1.0 : 0.0},
                        &t);
    case RULE_TOKEN_NAME:
        return parse_name(p, &t, ret_open);
    case RULE_TOKEN_STRING:
        return put_node(
            p,
            (struct rule_node){.op = RULE_OP_TEXT, .type = RULE_TYPE_TEXT, .ref = {.text = t.text}},
            &t);
    default:
        return parse_prefix(p, &t, ret_open);
    }
}

/* The last value of a call is in: the node of the call itself. */
static enum err close_call(struct parser *p, const struct item *call, const struct rule_token *at)
{
    const struct rule_function *f = call->function;
    int count = call->commas + 1;
    if (count < f->least || count > f->most) {
        const char *than = f->least == f->most ? "" : count < f->least ? "at least " : "at most ";
        int wanted = count < f->least ? f->least : f->most;
        return FAIL_AT(p, ERR_SYNTAX, &call->token, "%s() takes %s%d value%s, not %d", call->words,
                       than, wanted, wanted == 1 ? "" : "s", count);
    }
    struct rule_node node = {.op = call->op, .words = call->words, .arity = (uint16_t)count};
    if (f->kind == RULE_FUNCTION_MEMORY) {
        const uint8_t *start = call->token.text.data;
        node.arity--; /* the duration is none of its conditions */
        node.ref = (struct rule_ref){.kind = RULE_INPUT_MEMORY,
                                     .memory = (enum rule_memory)f->which,
                                     .name = view_of(start, (size_t)(at->text.data - start) + 1),
                                     .window_us = call->limit_us};
        return put_node(p, node, &call->token);
    }
    node.scalar = (uint16_t)f->which;
    if (f->which == RULE_SCALAR_ROUND && count == 1) {
        struct rule_node one = {.op = RULE_OP_NUMBER, .number = 1};
        enum err e = put_node(p, one, &call->token);
        node.arity = 2;
        return e != ERR_OK ? e : put_node(p, node, &call->token);
    }
    return put_node(p, node, &call->token);
}

static enum err parse_close(struct parser *p)
{
    struct rule_token t = p->token;
    enum err e = reduce(p, 0, false);
    if (e != ERR_OK) {
        return e;
    }
    if (p->depth == 0) {
        return FAIL_AT(p, ERR_SYNTAX, &t, "this ) has no (");
    }
    struct item open = p->stack[--p->depth];
    p->nesting--;
    if (open.kind == ITEM_CALL) {
        e = close_call(p, &open, &t);
    }
    return e != ERR_OK ? e : advance(p);
}

/* Behind the first comma of for_total and then. */
static enum err take_limit(struct parser *p, struct item *call)
{
    struct rule_token t = p->token;
    enum err e = expect(p, RULE_TOKEN_DURATION, "a duration such as 10h");
    if (e == ERR_OK && (t.duration_us == 0 || t.duration_us > RULE_LIMIT_MAX_US)) {
        return FAIL_AT(p, ERR_RANGE, &t, "the duration is more than 0 and at most 366d");
    }
    call->limit_us = t.duration_us;
    return e;
}

/* *ret_open: a value follows. */
static enum err parse_comma(struct parser *p, bool *ret_open)
{
    enum err e = reduce(p, 0, false);
    if (e != ERR_OK) {
        return e;
    }
    if (p->depth == 0 || p->stack[p->depth - 1].kind != ITEM_CALL) {
        return FAIL_AT(p, ERR_SYNTAX, &p->token,
                       "a comma stands only between the values of a function");
    }
    struct item *call = &p->stack[p->depth - 1];
    *ret_open = true;
    call->commas++;
    e = advance(p);
    if (e == ERR_OK && call->op == RULE_OP_MEMORY && call->commas == 1) {
        *ret_open = false;
        e = take_limit(p, call);
    }
    if (e == ERR_OK && !*ret_open && p->token.kind != RULE_TOKEN_COMMA &&
        p->token.kind != RULE_TOKEN_RPAREN) {
        return expect(p, RULE_TOKEN_COMMA, "a comma or )");
    }
    return e;
}

static enum err not_an_operator(struct parser *p)
{
    char text[48];
    const struct rule_token *t = &p->token;
    if (t->kind == RULE_TOKEN_LBRACKET) {
        return FAIL_AT(p, ERR_SYNTAX, t,
                       "a window stands only inside a function such as avg_over_time(x[5m])");
    }
    if (t->kind == RULE_TOKEN_LBRACE) {
        return FAIL_AT(p, ERR_SYNTAX, t, "no { } here: \"select\" chooses the devices");
    }
    if (t->kind == RULE_TOKEN_NAME &&
        (view_eq_str(t->text, "offset") || view_eq_str(t->text, "by") ||
         view_eq_str(t->text, "without") || view_eq_str(t->text, "on") ||
         view_eq_str(t->text, "ignoring"))) {
        return FAIL_AT(p, ERR_UNSUPPORTED, t, "%.*s is not part of this version's language",
                       VIEW_ARG(t->text));
    }
    return FAIL_AT(p, ERR_SYNTAX, t, "expected an operator or the end, not %s", found(p, text));
}

static enum err parse_binary(struct parser *p)
{
    struct rule_token t = p->token;
    size_t at = 0;
    while (at < COUNT_OF(operators) && operators[at].token != t.kind) {
        at++;
    }
    if (at == COUNT_OF(operators)) {
        return not_an_operator(p);
    }
    int prec = operators[at].prec;
    enum err e = reduce(p, prec, prec == PREC_POWER);
    if (e == ERR_OK && prec == PREC_COMPARE) {
        e = put_node(p, (struct rule_node){.op = RULE_OP_MARK}, &t);
    }
    if (e == ERR_OK) {
        e = push(p, (struct item){.kind = ITEM_OPERATOR,
                                  .op = operators[at].op,
                                  .prec = prec,
                                  .token = t,
                                  .words = rule_token_words(t.kind)});
    }
    return e != ERR_OK ? e : advance(p);
}

/* Behind a value: closes, commas and at last an operator or the end. */
static enum err parse_tail(struct parser *p, bool *ret_more)
{
    *ret_more = true;
    while (p->token.kind == RULE_TOKEN_RPAREN || p->token.kind == RULE_TOKEN_COMMA) {
        bool open = false;
        enum err e = p->token.kind == RULE_TOKEN_RPAREN ? parse_close(p) : parse_comma(p, &open);
        if (e != ERR_OK || open) {
            return e;
        }
    }
    if (p->token.kind != RULE_TOKEN_END) {
        return parse_binary(p);
    }
    *ret_more = false;
    enum err e = reduce(p, 0, false);
    if (e == ERR_OK && p->depth > 0) {
        const struct item *open = &p->stack[p->depth - 1];
        return FAIL_AT(p, ERR_SYNTAX, &open->token, "this ( is not closed");
    }
    return e;
}

static enum err parse_all(struct parser *p)
{
    enum err e = advance(p);
    if (e == ERR_OK && p->token.kind == RULE_TOKEN_END) {
        return FAIL_AT(p, ERR_SYNTAX, &p->token, "expected a condition such as temperature > 80");
    }
    bool more = true;
    while (e == ERR_OK && more) {
        bool open = true;
        while (e == ERR_OK && open) {
            e = parse_operand(p, &open);
        }
        if (e == ERR_OK) {
            e = parse_tail(p, &more);
        }
    }
    return e;
}

enum err rule_expr_parse(struct view text, const struct rule_scope *scope,
                         struct rule_expr *ret_expr)
{
    if (text.len > RULE_EXPR_MAX_BYTES) {
        struct rule_place at = {.pointer = scope->pointer};
        return rule_error_set(scope->error, ERR_LIMIT, at, "an expression has at most %d bytes",
                              RULE_EXPR_MAX_BYTES);
    }
    struct parser *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return rule_error_plain(scope->error, ERR_NOMEM, scope->pointer);
    }
    p->lex = rule_lex_init(text, scope->pointer, scope->error);
    p->x = ret_expr;
    ret_expr->count = 0;
    ret_expr->op_count = 0;
    enum err e = parse_all(p);
    free(p);
    return e;
}
