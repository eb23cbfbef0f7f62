#include <math.h>

#include <criterion/criterion.h>

#include "geo/shape.h"

Test(point, distances_are_those_of_the_sphere)
{
    static const struct {
        struct geo_point a, b;
        double metres, within;
        const char *why;
    } cases[] = {
        {{0, 0}, {0, 0}, 0, 0, "itself"},
        {{0, 0}, {1, 0}, 111195.08023, 1e-3, "a degree of the equator"},
        {{7, 46}, {7, 47}, 111195.08023, 1e-3, "a degree of a meridian"},
        {{-86.67, 36.12},
         {-118.40, 33.94},
         2886448.43,
         0.1,
         "Nashville to Los Angeles, as published for 6372.8 km"},
        {{0, 90}, {123, -90}, 20015114.442, 1e-2, "pole to pole: longitudes mean nothing there"},
        {{-35, 90}, {145, 90}, 0, 1e-6, "one pole, two longitudes"},
        {{179.5, 0}, {-179.5, 0}, 111195.08023, 1e-3, "over the antimeridian"},
        {{180, 12}, {-180, 12}, 0, 1e-6, "the antimeridian has two names"},
        {{0, 0}, {180, 0}, 20015114.442, 1e-2, "the other side"},
        {{10, 60}, {190, 60}, 6671704.814, 1e-2, "over the pole: 60 degrees of arc"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double there = geo_distance_m(cases[i].a, cases[i].b);
        double back = geo_distance_m(cases[i].b, cases[i].a);
        cr_expect(fabs(there - cases[i].metres) <= cases[i].within, "%s: %.4f", cases[i].why,
                  there);
        cr_expect_eq(there, back, "%s: the same both ways", cases[i].why);
    }
}

Test(point, not_available_is_no_position)
{
    static const struct geo_point bad[] = {{181, 91},        {0, 90.0001},
                                           {180.0001, 0},    {(double)NAN, 0},
                                           {0, (double)NAN}, {(double)INFINITY, 0}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect(!geo_point_valid(bad[i]), "case %zu", i);
    }
    cr_expect(geo_point_valid((struct geo_point){-180, -90}));
    cr_expect(geo_point_valid((struct geo_point){180, 90}));
}

/* What the box rejects is never looked at again: it must not be too strict, nor reject nothing. */
Test(point, a_box_is_never_beyond_the_distance_of_a_point_in_it)
{
    static const struct fence_box boxes[] = {
        {-1, -1, 1, 1}, {170, 50, 190, 60}, {-180, 80, 180, 90}, {20, -90, 25, -60}, {5, 7, 5, 7}};
    uint64_t state = 88172645463325252ULL;
    size_t rejected = 0;
    for (int n = 0; n < 200000; n++) {
        double r[4];
        for (int k = 0; k < 4; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            r[k] = (double)(state >> 11) * 0x1p-53;
        }
        const struct fence_box *b = &boxes[n % 5];
        struct geo_point in = {b->west + r[0] * (b->east - b->west),
                               b->south + r[1] * (b->north - b->south)};
        struct geo_point p = {r[2] * 360 - 180, r[3] * 180 - 90};
        cr_assert(!geo_box_beyond(b, p, geo_distance_m(in, p)),
                  "box %d, %.17g %.17g to %.17g %.17g", n % 5, p.longitude, p.latitude,
                  in.longitude, in.latitude);
        rejected += geo_box_beyond(b, p, 100000);
    }
    cr_expect_gt(rejected, 150000, "%zu", rejected);
}
