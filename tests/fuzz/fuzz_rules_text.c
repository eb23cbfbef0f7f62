/*
 * fuzz_rules_text: documents, expressions, selectors and summaries of rules.
 *
 * First byte: 0 the rest is a document; 1 an expression; 2 a selector; 3 a summary. What is refused
 * says where and why. What compiles stays within the limits, evaluates to true or false whatever
 * its inputs are, and writes a summary.
 */
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/emit_json.h"
#include "rules/compiled.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_program(const struct rule_program *p, const struct rule_inputs *in,
                          const double *values)
{
    double mark = 0;
    CHECK(p->count <= RULE_OPS_MAX);
    for (uint32_t i = 0; i < p->count; i++) {
        CHECK(p->steps[i].op != RULE_OP_INPUT || p->steps[i].input < in->count);
    }
    double result = p->count == 0 ? 1 : rule_program_run(p, values, &mark);
    CHECK(result == 0 || result == 1);
}

/* Its value is 1 or 0. */
static bool is_condition(const struct rule_input *in)
{
    return (in->kind == RULE_INPUT_RANGE &&
            (in->fn == RULE_RANGE_PRESENT || in->fn == RULE_RANGE_ABSENT)) ||
           (in->kind == RULE_INPUT_MEMORY && in->memory != RULE_MEMORY_TOTAL);
}

static void check_rule(const struct rule *r, const uint8_t *data, size_t size)
{
    static const double odd[] = {0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 0.5, 300.0};
    double values[RULE_INPUTS_MAX];
    CHECK(r->inputs.count <= RULE_INPUTS_MAX && r->trigger_count <= r->inputs.count);
    for (int round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < r->inputs.count; i++) {
            uint8_t b = data[(i + (uint32_t)round * 7) % size];
            values[i] = is_condition(&r->inputs.items[i]) ? b % 2
                        : b % 9 == 8                      ? (double)NAN
                                                          : odd[b % 8];
        }
        for (uint32_t i = 0; i < r->level_count; i++) {
            check_program(&r->levels[i].when, &r->inputs, values);
            check_program(&r->levels[i].clear, &r->inputs, values);
        }
        for (uint32_t i = 0; i < r->inputs.count; i++) {
            check_program(&r->inputs.items[i].conditions[0], &r->inputs, values);
            check_program(&r->inputs.items[i].conditions[1], &r->inputs, values);
        }
    }
    struct device *d = device_new();
    CHECK(d != NULL);
    struct buf b;
    buf_init(&b, 1 << 20);
    struct rule_shown shown = {
        .device = d, .inputs = values, .value = values[0], .severity = r->levels[0].severity};
    rule_summary_render(r, &shown, &b);
    CHECK(buf_err(&b) == ERR_OK);
    buf_fini(&b);
    (void)rule_selects(r, d);
    device_drop(d);
}

static void compile(struct view json)
{
    struct rule_env env = {.metrics = intern_new(300)};
    struct rule *r = NULL;
    struct rule_error e = {.line = -1};
    enum err err = rule_compile(json, &env, &r, &e);
    if (err == ERR_OK) {
        check_rule(r, json.data, json.len);
        rule_drop(r);
    } else {
        CHECK(r == NULL && e.detail[0] != '\0' && e.line >= 0 && e.column >= 0);
    }
    intern_free(env.metrics);
}

static void compile_field(const char *key, struct view text)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    struct emit_json j = emit_json_init(&b);
    emit_json_open(&j, '{');
    emit_json_key(&j, "name");
    emit_json_str(&j, "r");
    if (strcmp(key, "when") != 0) {
        emit_json_key(&j, "when");
        emit_json_str(&j, "x > 1");
    }
    emit_json_key(&j, key);
    emit_json_view(&j, text);
    emit_json_close(&j, '}');
    compile(buf_view(&b));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct view text = view_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        compile(text);
        break;
    case 1:
        compile_field("when", text);
        break;
    case 2:
        compile_field("select", text);
        break;
    default:
        compile_field("summary", text);
        break;
    }
    return 0;
}
