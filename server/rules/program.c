#include "rules/program.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "geo/fence.h"

void rule_inputs_fini(struct rule_inputs *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        free(in->items[i].name);
        free(in->items[i].text);
        free(in->items[i].label);
        fence_drop(in->items[i].fence);
        rule_program_fini(&in->items[i].conditions[0]);
        rule_program_fini(&in->items[i].conditions[1]);
    }
    free(in->items);
    *in = (struct rule_inputs){.items = NULL};
}

static bool is_identifier(struct view name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == ':' || c == '.';
        if (!letter && (i == 0 || !later)) {
            return false;
        }
    }
    return name.len > 0;
}

static void put_name(struct buf *b, struct view name)
{
    if (is_identifier(name)) {
        buf_put_view(b, name);
    } else {
        buf_printf(b, "metric(\"%.*s\")", VIEW_ARG(name));
    }
}

static void put_range(struct buf *b, const struct rule_ref *ref)
{
    char window[CLOCK_TEXT_SIZE];
    const struct rule_function *f = rule_range_function(ref->fn);
    buf_printf(b, "%s(", f->name);
    if (f->param == RULE_PARAM_BEFORE) {
        buf_printf(b, "%.15g, ", ref->param);
    }
    put_name(b, ref->name);
    buf_printf(b, "[%s]", clock_format_duration(ref->window_us, window));
    if (f->param == RULE_PARAM_BEHIND) {
        buf_printf(b, ", %.15g", ref->param);
    }
    buf_put_str(b, ")");
}

static char *input_label(const struct rule_ref *ref)
{
    struct buf b;
    buf_init(&b, 8192);
    switch (ref->kind) {
    case RULE_INPUT_METRIC:
        put_name(&b, ref->name);
        break;
    case RULE_INPUT_TEXT:
        put_name(&b, ref->name);
        buf_printf(&b, " == \"%.*s\"", VIEW_ARG(ref->text));
        break;
    case RULE_INPUT_RANGE:
        put_range(&b, ref);
        break;
    case RULE_INPUT_BASELINE:
    case RULE_INPUT_TIMESTAMP:
        buf_put_str(&b, ref->kind == RULE_INPUT_BASELINE ? "baseline(" : "timestamp(");
        put_name(&b, ref->name);
        buf_put_str(&b, ")");
        break;
    case RULE_INPUT_ATTR:
        buf_printf(&b, "attr(\"%.*s\"", VIEW_ARG(ref->name));
        if (!isnan(ref->param)) {
            buf_printf(&b, ", %.15g", ref->param);
        }
        buf_put_str(&b, ")");
        break;
    case RULE_INPUT_ATTR_TEXT:
        buf_printf(&b, "attr(\"%.*s\") == \"%.*s\"", VIEW_ARG(ref->name), VIEW_ARG(ref->text));
        break;
    case RULE_INPUT_CLOCK:
        buf_printf(&b, "%s()", rule_clock_words(ref->clock));
        break;
    case RULE_INPUT_MEMORY:
        buf_put_view(&b, ref->name);
        break;
    case RULE_INPUT_INSIDE:
    case RULE_INPUT_DISTANCE:
        buf_printf(&b, "%s(\"%.*s\")", ref->kind == RULE_INPUT_INSIDE ? "inside" : "distance_to",
                   VIEW_ARG(ref->name));
        break;
    }
    return buf_take_str(&b);
}

static bool reads_metric(enum rule_input_kind kind)
{
    return kind == RULE_INPUT_METRIC || kind == RULE_INPUT_TEXT || kind == RULE_INPUT_RANGE ||
           kind == RULE_INPUT_BASELINE || kind == RULE_INPUT_TIMESTAMP;
}

bool rule_inputs_timed(const struct rule_inputs *in, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rule_input *item = &in->items[i];
        if ((item->kind == RULE_INPUT_RANGE &&
             (item->fn == RULE_RANGE_ABSENT || item->fn == RULE_RANGE_PRESENT)) ||
            (item->kind == RULE_INPUT_MEMORY && item->memory == RULE_MEMORY_NONE)) {
            return true;
        }
    }
    return false;
}

/* A number, where NaN says that there is none. */
static bool number_same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool input_same(const struct rule_input *in, const struct rule_ref *ref)
{
    return in->kind == ref->kind && view_eq_str(ref->name, in->name) && in->fn == ref->fn &&
           in->clock == ref->clock && in->window_us == ref->window_us &&
           number_same(in->param, ref->param) &&
           (in->text == NULL ? ref->text.data == NULL
                             : ref->text.data != NULL && view_eq_str(ref->text, in->text));
}

static char *copy_of(struct view v)
{
    return v.data == NULL ? strdup("") : strndup((const char *)v.data, v.len);
}

static enum err input_make(const struct rule_ref *ref, struct rule_input *ret_input)
{
    struct rule_input made = {.kind = ref->kind,
                              .fn = ref->fn,
                              .clock = ref->clock,
                              .memory = ref->memory,
                              .window_us = ref->window_us,
                              .param = ref->param,
                              .name = copy_of(ref->name),
                              .text = ref->text.data == NULL ? NULL : copy_of(ref->text),
                              .label = input_label(ref)};
    if (made.name == NULL || made.label == NULL || (ref->text.data != NULL && made.text == NULL)) {
        free(made.name);
        free(made.text);
        free(made.label);
        return ERR_NOMEM;
    }
    *ret_input = made;
    return ERR_OK;
}

enum err rule_inputs_add(struct rule_inputs *in, const struct rule_ref *ref, struct intern *metrics,
                         uint16_t *ret_index)
{
    for (uint32_t i = 0; i < in->count; i++) {
        if (input_same(&in->items[i], ref)) {
            *ret_index = (uint16_t)i;
            return ERR_OK;
        }
    }
    if (in->count == RULE_INPUTS_MAX) {
        return ERR_LIMIT;
    }
    int32_t metric = reads_metric(ref->kind) ? intern_add(metrics, ref->name) : 0;
    if (metric == 0 && reads_metric(ref->kind)) {
        return ERR_FULL;
    }
    struct rule_input *items = realloc(in->items, (in->count + 1) * sizeof(*items));
    if (items == NULL) {
        return ERR_NOMEM;
    }
    in->items = items;
    enum err e = input_make(ref, &items[in->count]);
    if (e != ERR_OK) {
        return e;
    }
    items[in->count].metric = metric;
    if (ref->fence != NULL) {
        fence_hold(ref->fence);
        items[in->count].fence = ref->fence;
    }
    *ret_index = (uint16_t)in->count;
    in->count++;
    return ERR_OK;
}

void rule_program_fini(struct rule_program *p)
{
    free(p->steps);
    *p = (struct rule_program){.steps = NULL};
}

/* Arithmetic with an absent value is absent, also where C says otherwise: pow(1, NaN) is 1. */
static double arithmetic(enum rule_op op, double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return (double)NAN;
    }
    switch ((int)op) { /* the caller dispatched the others */
    case RULE_OP_ADD:
        return a + b;
    case RULE_OP_SUB:
        return a - b;
    case RULE_OP_MUL:
        return a * b;
    case RULE_OP_DIV:
        return a / b;
    case RULE_OP_MOD:
        return fmod(a, b);
    default:
        return pow(a, b);
    }
}

/* C's comparisons are false when a side is NaN, all but !=. */
static bool holds(enum rule_op op, double a, double b)
{
    switch ((int)op) { /* the caller dispatched the others */
    case RULE_OP_EQ:
        return a == b;
    case RULE_OP_NE:
        return a < b || a > b;
    case RULE_OP_LT:
        return a < b;
    case RULE_OP_LE:
        return a <= b;
    case RULE_OP_GT:
        return a > b;
    case RULE_OP_GE:
        return a >= b;
    case RULE_OP_AND:
        return a != 0 && b != 0;
    case RULE_OP_OR:
        return a != 0 || b != 0;
    default:
        return a != 0 && b == 0; /* unless */
    }
}

static double call(const struct rule_step *s, const double *args)
{
    for (uint32_t i = 0; i < s->arity; i++) {
        if (isnan(args[i])) {
            return (double)NAN;
        }
    }
    return rule_scalar_apply((enum rule_scalar)s->input, args);
}

double rule_program_run(const struct rule_program *p, const double *inputs, double *ret_mark)
{
    double stack[RULE_OPS_MAX];
    double mark = (double)NAN;
    size_t top = 0; /* the checker saw to it that the stack never runs empty or over */
    for (uint32_t i = 0; i < p->count; i++) {
        const struct rule_step *s = &p->steps[i];
        switch (s->op) {
        case RULE_OP_NUMBER:
            stack[top++] = s->number;
            break;
        case RULE_OP_INPUT:
            stack[top++] = inputs[s->input];
            break;
        case RULE_OP_MARK:
            /* One bit pattern for "none": 0/0 has another sign than NAN. */
            mark = isnan(stack[top - 1]) ? (double)NAN : stack[top - 1];
            break;
        case RULE_OP_PLUS:
        case RULE_OP_TEXT:
        case RULE_OP_MEMORY:
            break;
        case RULE_OP_NEG:
            stack[top - 1] = -stack[top - 1];
            break;
        case RULE_OP_CALL:
            top -= s->arity;
            stack[top] = call(s, &stack[top]);
            top++;
            break;
        case RULE_OP_ADD:
        case RULE_OP_SUB:
        case RULE_OP_MUL:
        case RULE_OP_DIV:
        case RULE_OP_MOD:
        case RULE_OP_POW:
            top--;
            stack[top - 1] = arithmetic(s->op, stack[top - 1], stack[top]);
            break;
        case RULE_OP_EQ:
        case RULE_OP_NE:
        case RULE_OP_LT:
        case RULE_OP_LE:
        case RULE_OP_GT:
        case RULE_OP_GE:
        case RULE_OP_AND:
        case RULE_OP_OR:
        case RULE_OP_UNLESS:
            top--;
            stack[top - 1] = holds(s->op, stack[top - 1], stack[top]) ? 1.0 : 0.0;
            break;
        }
    }
    *ret_mark = mark;
    return stack[0];
}
