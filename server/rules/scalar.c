/*
 * scalar: the functions of numbers, as PromQL has them.
 */
#include <math.h>

#include "rules/functions.h"

#define PI 3.14159265358979323846

/* To the nearest multiple of `to`, halves upwards, by the same operations as there. */
static double round_to(double v, double to)
{
    double inverse = 1.0 / to;
    return floor(v * inverse + 0.5) / inverse;
}

static double sign(double v)
{
    return v > 0 ? 1.0 : v < 0 ? -1.0 : v;
}

static double low_of(double a, double b)
{
    return a < b ? a : b;
}

static double high_of(double a, double b)
{
    return a > b ? a : b;
}

double rule_scalar_apply(enum rule_scalar s, const double *args)
{
    double v = args[0];
    switch (s) {
    case RULE_SCALAR_ABS:
        return fabs(v);
    case RULE_SCALAR_CEIL:
        return ceil(v);
    case RULE_SCALAR_FLOOR:
        return floor(v);
    case RULE_SCALAR_ROUND:
        return round_to(v, args[1]);
    case RULE_SCALAR_SQRT:
        return sqrt(v);
    case RULE_SCALAR_EXP:
        return exp(v);
    case RULE_SCALAR_LN:
        return log(v);
    case RULE_SCALAR_LOG2:
        return log2(v);
    case RULE_SCALAR_LOG10:
        return log10(v);
    case RULE_SCALAR_SGN:
        return sign(v);
    case RULE_SCALAR_SIN:
        return sin(v);
    case RULE_SCALAR_COS:
        return cos(v);
    case RULE_SCALAR_TAN:
        return tan(v);
    case RULE_SCALAR_ASIN:
        return asin(v);
    case RULE_SCALAR_ACOS:
        return acos(v);
    case RULE_SCALAR_ATAN:
        return atan(v);
    case RULE_SCALAR_SINH:
        return sinh(v);
    case RULE_SCALAR_COSH:
        return cosh(v);
    case RULE_SCALAR_TANH:
        return tanh(v);
    case RULE_SCALAR_ASINH:
        return asinh(v);
    case RULE_SCALAR_ACOSH:
        return acosh(v);
    case RULE_SCALAR_ATANH:
        return atanh(v);
    case RULE_SCALAR_DEG:
        return v * 180 / PI;
    case RULE_SCALAR_RAD:
        return v * PI / 180;
    case RULE_SCALAR_MIN:
    case RULE_SCALAR_CLAMP_MAX:
        return low_of(v, args[1]);
    case RULE_SCALAR_MAX:
    case RULE_SCALAR_CLAMP_MIN:
        return high_of(v, args[1]);
    case RULE_SCALAR_CLAMP:
        return args[1] > args[2] ? (double)NAN : high_of(args[1], low_of(args[2], v));
    }
    return (double)NAN;
}
