/*
 * summary: the text of an alert, with {{placeholders}}.
 *
 * {{device}} {{rule}} {{severity}} {{value}} {{label.x}} {{attr.x}} and {{metric}} for any metric:
 * its newest value at the sample that fired. Numbers have up to six significant digits; what is
 * absent is "n/a".
 */
#pragma once

#include "base/buf.h"
#include "rules/expr.h"

enum { RULE_SUMMARY_MAX_BYTES = 1024, RULE_SUMMARY_PARTS_MAX = 64 };

enum rule_part_kind {
    RULE_PART_TEXT,
    RULE_PART_DEVICE,
    RULE_PART_RULE,
    RULE_PART_SEVERITY,
    RULE_PART_VALUE,
    RULE_PART_LABEL,
    RULE_PART_ATTR,
    RULE_PART_METRIC,
};

struct rule_part {
    enum rule_part_kind kind;
    struct view text; /* into rule_summary.text: the words, or the name of the label or attribute */
    uint16_t input;   /* of a metric */
};

struct rule_summary {
    char *text;
    struct rule_part *parts;
    uint32_t count;
};

struct rule;

/* Adds the metrics it shows to `in`. ERR_SYNTAX, ERR_UNKNOWN_NAME, ERR_LIMIT, ERR_NOMEM. */
NODISCARD enum err rule_summary_parse(struct view text, const struct rule_scope *scope,
                                      struct intern *metrics, struct rule_inputs *in,
                                      struct rule_summary *ret_summary);
void rule_summary_fini(struct rule_summary *s);

/* What the placeholders stand for. */
struct rule_shown {
    const struct device *device;
    const double *inputs; /* by their number */
    double value;
    enum severity severity;
};
void rule_summary_render(const struct rule *r, const struct rule_shown *shown, struct buf *out);
