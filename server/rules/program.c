#include "rules/program.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

void rule_inputs_fini(struct rule_inputs *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        free(in->items[i].name);
        free(in->items[i].label);
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

static char *input_label(const struct rule_ref *ref)
{
    struct buf b;
    buf_init(&b, 512);
    switch (ref->kind) {
    case RULE_INPUT_METRIC:
        put_name(&b, ref->name);
        break;
    case RULE_INPUT_RANGE: {
        char window[CLOCK_TEXT_SIZE];
        buf_printf(&b, "%s(", rule_range_words(ref->fn));
        put_name(&b, ref->name);
        buf_printf(&b, "[%s])", clock_format_duration(ref->window_us, window));
        break;
    }
    case RULE_INPUT_BASELINE:
        buf_put_str(&b, "baseline(");
        put_name(&b, ref->name);
        buf_put_str(&b, ")");
        break;
    case RULE_INPUT_ATTR:
        buf_printf(&b, "attr(\"%.*s\")", VIEW_ARG(ref->name));
        break;
    }
    return buf_take_str(&b);
}

static bool input_same(const struct rule_input *in, const struct rule_ref *ref)
{
    return in->kind == ref->kind && view_eq_str(ref->name, in->name) &&
           (ref->kind != RULE_INPUT_RANGE ||
            (in->fn == ref->fn && in->window_us == ref->window_us));
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
    int32_t metric = ref->kind == RULE_INPUT_ATTR ? 0 : intern_add(metrics, ref->name);
    if (metric == 0 && ref->kind != RULE_INPUT_ATTR) {
        return ERR_FULL;
    }
    struct rule_input *items = realloc(in->items, (in->count + 1) * sizeof(*items));
    if (items == NULL) {
        return ERR_NOMEM;
    }
    in->items = items;
    struct rule_input added = {.kind = ref->kind,
                               .fn = ref->fn,
                               .metric = metric,
                               .window_us = ref->kind == RULE_INPUT_RANGE ? ref->window_us : 0,
                               .name = strndup((const char *)ref->name.data, ref->name.len),
                               .label = input_label(ref)};
    if (added.name == NULL || added.label == NULL) {
        free(added.name);
        free(added.label);
        return ERR_NOMEM;
    }
    *ret_index = (uint16_t)in->count;
    in->items[in->count++] = added;
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
    case RULE_OP_POW:
        return pow(a, b);
    case RULE_OP_MIN:
        return a < b ? a : b;
    default:
        return a > b ? a : b;
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
            mark = stack[top - 1];
            break;
        case RULE_OP_PLUS:
            break;
        case RULE_OP_NEG:
            stack[top - 1] = -stack[top - 1];
            break;
        case RULE_OP_ABS:
            stack[top - 1] = fabs(stack[top - 1]);
            break;
        case RULE_OP_ADD:
        case RULE_OP_SUB:
        case RULE_OP_MUL:
        case RULE_OP_DIV:
        case RULE_OP_MOD:
        case RULE_OP_POW:
        case RULE_OP_MIN:
        case RULE_OP_MAX:
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
