#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "geo/fence.h"

/* A document with ' for " . */
static enum err make(const char *text, struct fence **ret_fence, struct fence_error *ret_error)
{
    char *copy = strdup(text);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    enum err e = fence_new(7, view_str(copy), ret_fence, ret_error);
    free(copy);
    return e;
}

static struct fence *fence(const char *text)
{
    struct fence *f = NULL;
    struct fence_error why = {.pointer = ""};
    cr_assert_eq(make(text, &f, &why), ERR_OK, "%s %s", why.pointer, why.detail);
    return f;
}

struct probe {
    double longitude, latitude;
    bool inside;
    const char *why;
};

static void expect_inside(const char *document, const struct probe *probes, size_t count)
{
    struct fence *f = fence(document);
    for (size_t i = 0; i < count; i++) {
        struct geo_point p = {probes[i].longitude, probes[i].latitude};
        cr_expect_eq(fence_inside(f, p, false), probes[i].inside, "%s", probes[i].why);
        cr_expect_eq(fence_distance_m(f, p) == 0, probes[i].inside, "distance 0: %s: %g",
                     probes[i].why, fence_distance_m(f, p));
    }
    fence_drop(f);
}

#define EXPECT_INSIDE(document, probes) \
    expect_inside(document, probes, sizeof(probes) / sizeof((probes)[0]))

Test(fence, has_the_name_and_number_that_it_was_given)
{
    struct fence *f =
        fence("{'name':'stop-1','description':'x','kind':'circle','center':[1,2,99],'radius_m':5}");
    cr_expect_str_eq(fence_name(f), "stop-1");
    cr_expect_eq(fence_id(f), 7);
    fence_drop(f);
    fence_drop(NULL);
}

/* 0.001 degrees of the equator are 111.195 m. */
Test(fence, a_circle_is_entered_at_its_radius_and_left_beyond_the_other)
{
    struct fence *f = fence("{'name':'c','kind':'circle','center':[0,0],'radius_m':111.2,"
                            "'exit_radius_m':166.8}");
    struct geo_point at[] = {{0.0010, 0}, {0.00101, 0}, {0.0015, 0}, {0.00151, 0}};
    static const bool from_outside[] = {true, false, false, false};
    static const bool from_inside[] = {true, true, true, false};
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(fence_inside(f, at[i], false), from_outside[i], "%zu from outside", i);
        cr_expect_eq(fence_inside(f, at[i], true), from_inside[i], "%zu from inside", i);
    }
    cr_expect_eq(fence_distance_m(f, at[0]), 0);
    cr_expect(fabs(fence_distance_m(f, at[2]) - (166.7926 - 111.2)) < 1e-3);
    fence_drop(f);
}

Test(fence, exactly_at_the_radius_is_inside)
{
    struct geo_point center = {-8.6254356, 52.6634001};
    struct geo_point p = {-8.6250, 52.6636};
    char text[200];
    double r = geo_distance_m(center, p);
    (void)snprintf(text, sizeof(text),
                   "{'name':'c','kind':'circle','center':[-8.6254356,52.6634001],'radius_m':%.17g}",
                   r);
    struct fence *f = fence(text);
    cr_expect(fence_inside(f, p, false));
    cr_expect(fence_inside(f, p, true));
    fence_drop(f);
    (void)snprintf(text, sizeof(text),
                   "{'name':'c','kind':'circle','center':[-8.6254356,52.6634001],'radius_m':%.17g}",
                   nextafter(r, 0));
    f = fence(text);
    cr_expect(!fence_inside(f, p, false));
    fence_drop(f);
}

Test(fence, a_circle_goes_over_poles_and_antimeridian)
{
    static const struct probe pole[] = {
        {0, 89.5, true, "near"},        {180, 89.5, true, "over the pole"},
        {-77, 90, true, "the pole"},    {90, 88.9, false, "more than a degree"},
        {0, -89.5, false, "the other"},
    };
    EXPECT_INSIDE("{'name':'p','kind':'circle','center':[0,89.9],'radius_m':111196}", pole);
    static const struct probe line[] = {
        {179.95, 0, true, "this side"}, {-179.95, 0, true, "the other side"},
        {180, 0, true, "on it"},        {-180, 0, true, "on it, by its other name"},
        {-179.8, 0, false, "too far"},
    };
    EXPECT_INSIDE("{'name':'a','kind':'circle','center':[179.99,0],'radius_m':11120}", line);
}

Test(fence, edges_and_vertices_belong_to_a_polygon_and_to_its_holes)
{
    static const struct probe probes[] = {
        {2, 1, true, "in it"},
        {5, 5, false, "in the hole"},
        {4, 5, true, "on the hole's edge"},
        {4, 4, true, "on the hole's vertex"},
        {0, 0, true, "on a vertex"},
        {10, 3, true, "on an edge"},
        {3, 0, true, "on the southern edge"},
        {10.000001, 3, false, "outside"},
        {3, -0.000001, false, "south of it"},
        {-170, 5, false, "far away"},
        {5, 90, false, "at the pole"},
    };
    EXPECT_INSIDE("{'name':'p','kind':'polygon','coordinates':[[[0,0],[10,0],[10,10],[0,10],[0,0]],"
                  "[[4,4],[4,6],[6,6],[6,4],[4,4]]]}",
                  probes);
}

Test(fence, a_concave_polygon_and_either_winding)
{
    static const struct probe probes[] = {
        {1, 1, true, "left leg"}, {2.5, 2, false, "in the notch"}, {4, 1, true, "right leg"}};
    EXPECT_INSIDE("{'name':'u','kind':'polygon','coordinates':"
                  "[[[0,0],[5,0],[5,3],[3,3],[3,1],[2,1],[2,3],[0,3],[0,0]]]}",
                  probes);
    EXPECT_INSIDE("{'name':'u','kind':'polygon','coordinates':"
                  "[[[0,0],[0,3],[2,3],[2,1],[3,1],[3,3],[5,3],[5,0],[0,0]]]}",
                  probes);
}

Test(fence, polygons_cross_the_antimeridian)
{
    static const struct probe probes[] = {
        {179, -17, true, "Fiji, west of it"},
        {-179, -17, true, "east of it"},
        {180, -17, true, "on it"},
        {-180, -17, true, "on it"},
        {-170, -17, true, "on the edge"},
        {170, -17, true, "on the other edge"},
        {0, -17, false, "the other side"},
        {169.9, -17, false, "just outside"},
        {-169.9, -17, false, "just outside"},
    };
    EXPECT_INSIDE("{'name':'b','kind':'polygon','bbox':[170,-20,-170,-10]}", probes);
    EXPECT_INSIDE("{'name':'r','kind':'polygon','coordinates':"
                  "[[[170,-20],[-170,-20],[-170,-10],[170,-10],[170,-20]]]}",
                  probes);
    EXPECT_INSIDE("{'name':'r','kind':'polygon','coordinates':"
                  "[[[-170,-20],[-170,-10],[170,-10],[170,-20],[-170,-20]]]}",
                  probes);
}

Test(fence, a_box_may_go_all_round_and_to_the_pole)
{
    static const struct probe probes[] = {
        {0, 80, true, "in it"},
        {-180, 70, true, "its corner"},
        {180, 90, true, "the pole"},
        {77, 66, false, "south"},
    };
    EXPECT_INSIDE("{'name':'b','kind':'polygon','bbox':[-180,66.5,180,90]}", probes);
}

Test(fence, corners_given_in_decimals_are_inside)
{
    static const struct probe probes[] = {
        {-118.30, 33.70, true, "south-west"}, {-118.15, 33.70, true, "south-east"},
        {-118.15, 33.80, true, "north-east"}, {-118.30, 33.80, true, "north-west"},
        {-118.30001, 33.75, false, "west"},
    };
    EXPECT_INSIDE("{'name':'la','kind':'polygon','bbox':[-118.30,33.70,-118.15,33.80]}", probes);
}

Test(fence, a_margin_keeps_who_was_inside)
{
    struct fence *f = fence("{'name':'p','kind':'polygon','bbox':[0,0,1,1],'exit_margin_m':1112}");
    struct geo_point near = {1.0099, 0.5};
    struct geo_point far = {1.0101, 0.5};
    cr_expect(!fence_inside(f, near, false));
    cr_expect(fence_inside(f, near, true));
    cr_expect(!fence_inside(f, far, true));
    cr_expect(fabs(fence_distance_m(f, near) - 1100.8) < 0.1, "%g", fence_distance_m(f, near));
    fence_drop(f);
}

Test(fence, a_corridor_is_half_its_width_on_either_side)
{
    static const struct probe probes[] = {
        {5, 0, true, "on the line"},
        {5, 0.0044, true, "489 m beside it"},
        {5, -0.0044, true, "on the other side"},
        {5, 0.0046, false, "511 m"},
        {-0.0044, 0, true, "before its beginning: the end is round"},
        {-0.0046, 0, false, "too far before"},
        {-0.0040, 0.0040, false, "round, not square"},
        {10.0044, 5, true, "beside the second part"},
        {10.0046, 5, false, "too far beside"},
        {5, 5, false, "between the parts"},
    };
    EXPECT_INSIDE("{'name':'r','kind':'corridor','line':[[0,0],[10,0],[10,10]],'width_m':1000}",
                  probes);
    static const struct probe over[] = {
        {179.5, 10.1, true, "west"}, {-179.5, 10.1, true, "east"}, {0, 10, false, "far"}};
    EXPECT_INSIDE("{'name':'r','kind':'corridor','line':[[179,10],[-179,10]],'width_m':30000}",
                  over);
    struct fence *f = fence("{'name':'r','kind':'corridor','line':[[0,0],[1,0]],'width_m':100,"
                            "'exit_width_m':200}");
    struct geo_point between = {0.5, 0.0007};
    cr_expect(!fence_inside(f, between, false));
    cr_expect(fence_inside(f, between, true));
    fence_drop(f);
}

/* Against the nearest of many points on the line, each by haversine. */
Test(fence, the_distance_to_a_line_is_right_within_a_thousandth)
{
    static const double latitudes[] = {0, 35, 52, -60, 69};
    double worst = 0;
    for (size_t i = 0; i < 5; i++) {
        double south = latitudes[i];
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "{'name':'r','kind':'corridor','line':[[179.8,%g],[-179.6,%g]],"
                       "'width_m':0.001}",
                       south, south + 0.4);
        struct fence *f = fence(text);
        for (int n = 0; n < 200; n++) {
            struct geo_point p = {179.0 + (n % 20) * 0.05, south - 0.4 + (n / 20) * 0.12};
            double least = (double)INFINITY;
            for (int k = 0; k <= 4000; k++) {
                struct geo_point q = {179.8 + 0.6 * k / 4000, south + 0.4 * k / 4000};
                least = fmin(least, geo_distance_m(p, q));
            }
            double got = fence_distance_m(f, p) + 0.0005;
            if (least > 100 && least < 100000) {
                cr_expect(got >= least - 2, "never too near: %g, really %g", got, least);
                worst = fmax(worst, got / least - 1);
            }
        }
        fence_drop(f);
    }
    cr_expect_lt(worst, 1e-3, "worst %g", worst);
}

Test(fence, what_is_wrong_is_named_with_its_pointer)
{
    static const struct {
        const char *text;
        enum err code;
        const char *pointer;
        const char *words;
    } cases[] = {
        {"", ERR_SYNTAX, "", "not JSON"},
        {"[]", ERR_TYPE, "", "object"},
        {"{'kind':'circle'}", ERR_SYNTAX, "/name", "name"},
        {"{'name':'a b','kind':'circle'}", ERR_SYNTAX, "/name", "name"},
        {"{'name':'a','description':1,'kind':'circle'}", ERR_TYPE, "/description", "text"},
        {"{'name':'a'}", ERR_SYNTAX, "/kind", "circle, polygon or corridor"},
        {"{'name':'a','kind':'hexagon'}", ERR_SYNTAX, "/kind", "circle"},
        {"{'name':'a','kind':'circle','radius':3}", ERR_UNKNOWN_NAME, "/radius", "no field"},
        {"{'name':'a','kind':'circle','radius_m':3}", ERR_TYPE, "/center", "longitude"},
        {"{'name':'a','kind':'circle','center':[1],'radius_m':3}", ERR_TYPE, "/center", "position"},
        {"{'name':'a','kind':'circle','center':['1',2],'radius_m':3}", ERR_TYPE, "/center", ""},
        {"{'name':'a','kind':'circle','center':[33,-118],'radius_m':3}", ERR_RANGE, "/center",
         "longitude comes first"},
        {"{'name':'a','kind':'circle','center':[1,2]}", ERR_SYNTAX, "/radius_m", "metres"},
        {"{'name':'a','kind':'circle','center':[1,2],'radius_m':0}", ERR_RANGE, "/radius_m", "0"},
        {"{'name':'a','kind':'circle','center':[1,2],'radius_m':'5'}", ERR_TYPE, "/radius_m", ""},
        {"{'name':'a','kind':'circle','center':[1,2],'radius_m':5,'exit_radius_m':4}", ERR_RANGE,
         "/exit_radius_m", "at least 5"},
        {"{'name':'a','kind':'circle','center':[1,2],'radius_m':30000000}", ERR_RANGE, "/radius_m",
         "at most"},
        {"{'name':'a','kind':'polygon'}", ERR_SYNTAX, "/coordinates", "either"},
        {"{'name':'a','kind':'polygon','coordinates':[],'bbox':[]}", ERR_SYNTAX, "/coordinates",
         "either"},
        {"{'name':'a','kind':'polygon','coordinates':[]}", ERR_LIMIT, "/coordinates", "rings"},
        {"{'name':'a','kind':'polygon','coordinates':3}", ERR_TYPE, "/coordinates", "rings"},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,0],[1,0],[1,1]]]}", ERR_TYPE,
         "/coordinates/0", "4"},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,0],[1,0],[1,1],[0,1]]]}", ERR_RANGE,
         "/coordinates/0", "the first"},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,0],[1,0],[1,'x'],[0,0]]]}", ERR_TYPE,
         "/coordinates/0/2", "position"},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,0],[1,1],[1,0],[0,1],[0,0]]]}", ERR_RANGE,
         "/coordinates", "Self-intersection"},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,0],[1,0],[1,1],[0,0]],"
         "[[5,5],[6,5],[6,6],[5,5]]]}",
         ERR_RANGE, "/coordinates", "Hole lies outside"},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,0],[0,0],[0,0],[0,0]]]}", ERR_RANGE,
         "/coordinates", ""},
        {"{'name':'a','kind':'polygon','coordinates':[[[0,80],[120,80],[-120,80],[0,80]]]}",
         ERR_RANGE, "/coordinates/0", "pole"},
        {"{'name':'a','kind':'polygon','bbox':[1,2,3]}", ERR_TYPE, "/bbox", "west"},
        {"{'name':'a','kind':'polygon','bbox':[1,5,3,4]}", ERR_RANGE, "/bbox", "south"},
        {"{'name':'a','kind':'polygon','bbox':[1,2,1,4]}", ERR_RANGE, "/bbox", "differ"},
        {"{'name':'a','kind':'polygon','bbox':[1,2,3,4],'exit_margin_m':-1}", ERR_RANGE,
         "/exit_margin_m", "at least 0"},
        {"{'name':'a','kind':'corridor','line':[[0,0]],'width_m':3}", ERR_TYPE, "/line", "2"},
        {"{'name':'a','kind':'corridor','line':[[0,0],[1,1]]}", ERR_SYNTAX, "/width_m", "metres"},
        {"{'name':'a','kind':'corridor','line':[[0,0],[1,1]],'width_m':5,'exit_width_m':4}",
         ERR_RANGE, "/exit_width_m", "at least 5"},
        {"{'name':'a','kind':'corridor','line':[[0,0],[120,0],[-120,0],[0,0],[120,0]],'width_m':5}",
         ERR_RANGE, "", "round the earth"},
        {"{'name':'a','kind':'circle','kind':'circle'}", ERR_SYNTAX, "", "duplicate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fence *f = NULL;
        struct fence_error why = {.pointer = "untouched"};
        enum err e = make(cases[i].text, &f, &why);
        cr_expect_eq(e, cases[i].code, "%s: %s", cases[i].text, err_words(e));
        cr_expect_str_eq(why.pointer, cases[i].pointer, "%s: %s", cases[i].text, why.detail);
        cr_expect_not_null(strstr(why.detail, cases[i].words), "%s: %s", cases[i].text, why.detail);
        fence_drop(f);
    }
}

static char *many(uint32_t count)
{
    char *text = malloc(200 + count * 40u);
    int n = snprintf(text, 200, "{'name':'m','kind':'corridor','width_m':5,'line':[");
    for (uint32_t i = 0; i < count; i++) {
        n += snprintf(text + n, 40, "%s[%u.25,0.5]", i == 0 ? "" : ",", i % 90);
    }
    (void)snprintf(text + n, 40, "]}");
    return text;
}

Test(fence, has_at_most_so_many_positions)
{
    struct fence *f = NULL;
    struct fence_error why = {.pointer = ""};
    char *text = many(FENCE_POSITIONS_MAX + 1);
    cr_expect_eq(make(text, &f, &why), ERR_LIMIT);
    cr_expect_str_eq(why.pointer, "/line");
    free(text);
    text = many(FENCE_POSITIONS_MAX);
    cr_expect_eq(make(text, &f, &why), ERR_OK, "%s", why.detail);
    free(text);
    fence_drop(f);
}
