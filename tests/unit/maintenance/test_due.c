#include <math.h>

#include "help.h"
#include "maintenance/calendar.h"

/* Dates of RFC 5545 and of the calendar on the wall, worked out by hand. */
Test(calendar, the_next_date)
{
    static const struct {
        const char *why, *calendar, *anchor, *after, *next; /* next NULL: none */
    } cases[] = {
        {"without a start it counts from the service", "'rrule':'FREQ=DAILY;INTERVAL=90'",
         "2026-01-10T08:30:00Z", "2026-01-10T08:30:00Z", "2026-04-10T08:30:00Z"},
        {"the last Sunday of the month, two at night in winter",
         "'rrule':'FREQ=MONTHLY;BYDAY=-1SU','timezone':'Europe/"
         "Berlin','start':'2026-01-25T02:00:00'",
         "2026-01-01T00:00:00Z", "2026-01-25T01:00:00Z", "2026-02-22T01:00:00Z"},
        {"an hour that summer time skips",
         "'rrule':'FREQ=MONTHLY;BYDAY=-1SU','timezone':'Europe/Berlin',"
         "'start':'2026-01-25T02:00:00'",
         "2026-01-01T00:00:00Z", "2026-02-22T01:00:00Z", "2026-03-29T01:00:00Z"},
        {"in summer",
         "'rrule':'FREQ=MONTHLY;BYDAY=-1SU','timezone':'Europe/Berlin',"
         "'start':'2026-01-25T02:00:00'",
         "2026-01-01T00:00:00Z", "2026-03-29T01:00:00Z", "2026-04-26T00:00:00Z"},
        {"the start is a date too", "'rrule':'FREQ=YEARLY','start':'2026-05-01'",
         "2020-01-01T00:00:00Z", "2026-04-30T23:59:59Z", "2026-05-01T00:00:00Z"},
        {"a date is after itself no more", "'rrule':'FREQ=YEARLY','start':'2026-05-01'",
         "2020-01-01T00:00:00Z", "2026-05-01T00:00:00Z", "2027-05-01T00:00:00Z"},
        {"the 31st, where there is one",
         "'rrule':'FREQ=MONTHLY;BYMONTHDAY=31','start':'2026-01-31'", "2020-01-01T00:00:00Z",
         "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
        {"a count runs out", "'rrule':'FREQ=DAILY;COUNT=3','start':'2026-05-01'",
         "2020-01-01T00:00:00Z", "2026-05-03T00:00:00Z", NULL},
        {"until is the last", "'rrule':'FREQ=DAILY;UNTIL=20260503T000000','start':'2026-05-01'",
         "2020-01-01T00:00:00Z", "2026-05-02T12:00:00Z", "2026-05-03T00:00:00Z"},
        {"a leap day", "'rrule':'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29','start':'2024-02-29'",
         "2020-01-01T00:00:00Z", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"decades later", "'rrule':'FREQ=WEEKLY;BYDAY=MO','start':'1990-01-01'",
         "2020-01-01T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char fields[400];
        (void)snprintf(fields, sizeof(fields), "'triggers':[{'calendar':{%s}}]", cases[i].calendar);
        struct maintenance_plan *p = help_plan(fields);
        int64_t next_us = maintenance_calendar_next(&p->triggers[0], help_time(cases[i].anchor),
                                                    help_time(cases[i].after));
        char text[CLOCK_TEXT_SIZE];
        cr_expect_eq(next_us, cases[i].next == NULL ? CLOCK_NONE : help_time(cases[i].next),
                     "%s: %s", cases[i].why,
                     next_us == CLOCK_NONE ? "none" : clock_format(next_us, text));
        maintenance_plan_free(p);
    }
}

static struct maintenance_due find(const struct maintenance_plan *p, double hours, double kwh,
                                   int64_t fired_us, int64_t newest_us, int64_t now_us)
{
    struct maintenance_count counts[MAINTENANCE_TRIGGERS_MAX];
    int64_t fired[MAINTENANCE_TRIGGERS_MAX];
    for (uint32_t i = 0; i < MAINTENANCE_TRIGGERS_MAX; i++) {
        counts[i] = maintenance_count_init();
        fired[i] = CLOCK_NONE;
    }
    for (uint32_t i = 0; i < p->trigger_count; i++) {
        bool runs = p->triggers[i].kind == MAINTENANCE_RUN_HOURS;
        counts[i].total = runs ? hours * (double)H : kwh;
        counts[i].prev_us = newest_us;
        counts[i].reached_us =
            maintenance_counts(&p->triggers[i]) && (runs ? hours : kwh) >= p->triggers[i].every
                ? newest_us - H
                : CLOCK_NONE;
        if (p->triggers[i].kind == MAINTENANCE_CONDITION) {
            fired[i] = fired_us;
        }
    }
    return maintenance_due_find(p, &(struct maintenance_facts){.since_us = 0,
                                                               .after_us = 0,
                                                               .newest_us = newest_us,
                                                               .now_us = now_us,
                                                               .counts = counts,
                                                               .fired_us = fired});
}

Test(due, whichever_comes_first)
{
    struct maintenance_plan *p = help_plan(
        "'due_soon':'5d','overdue_after':'2d','triggers':[{'run_hours':{'metric':'r','every':100}},"
        "{'energy':{'metric':'e','every':1000}},{'calendar':{'rrule':'FREQ=DAILY;INTERVAL=60'}},"
        "{'condition':{'rule':'hot'}}]");
    static const struct {
        const char *why;
        double hours, kwh;
        int64_t fired_us, newest_us, now_us;
        enum maintenance_status status;
        int64_t due_us;
        uint32_t trigger;
        bool reached;
        double per_day; /* NaN: none */
    } cases[] = {
        {"nothing known: the calendar", 0, 0, CLOCK_NONE, CLOCK_NONE, DAY, MAINTENANCE_OK, 60 * DAY,
         2, false, (double)NAN},
        {"by its pace it is 20 days", 50, 0, CLOCK_NONE, 10 * DAY, 10 * DAY, MAINTENANCE_OK,
         20 * DAY, 0, false, 5},
        {"and soon", 50, 0, CLOCK_NONE, 10 * DAY, 15 * DAY, MAINTENANCE_DUE_SOON, 20 * DAY, 0,
         false, 5},
        {"a forecast that passed is soon, not due", 50, 0, CLOCK_NONE, 10 * DAY, 30 * DAY,
         MAINTENANCE_DUE_SOON, 20 * DAY, 0, false, 5},
        {"energy is earlier", 50, 800, CLOCK_NONE, 10 * DAY, 10 * DAY, MAINTENANCE_DUE_SOON,
         10 * DAY + 10 * DAY / 4, 1, false, 80},
        {"reached", 100, 0, CLOCK_NONE, 10 * DAY, 10 * DAY, MAINTENANCE_DUE, 10 * DAY - H, 0, true,
         10},
        {"and two days later", 100, 0, CLOCK_NONE, 10 * DAY, 12 * DAY, MAINTENANCE_OVERDUE,
         10 * DAY - H, 0, true, 10},
        {"an alert makes it due at once", 50, 0, 3 * DAY, 4 * DAY, 4 * DAY, MAINTENANCE_DUE,
         3 * DAY, 3, true, (double)NAN},
        {"what is reached comes before what is forecast", 1, 0, 9 * DAY, 9 * DAY, 9 * DAY,
         MAINTENANCE_DUE, 9 * DAY, 3, true, (double)NAN},
        {"the date has come", 0, 0, CLOCK_NONE, CLOCK_NONE, 60 * DAY, MAINTENANCE_DUE, 60 * DAY, 2,
         true, (double)NAN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct maintenance_due d = find(p, cases[i].hours, cases[i].kwh, cases[i].fired_us,
                                        cases[i].newest_us, cases[i].now_us);
        cr_expect_eq(d.status, cases[i].status, "%s: %s", cases[i].why,
                     maintenance_status_words(d.status));
        cr_expect_eq(d.due_us, cases[i].due_us, "%s: %lld", cases[i].why, (long long)d.due_us);
        cr_expect_eq(d.trigger, cases[i].trigger, "%s", cases[i].why);
        cr_expect_eq(d.reached, cases[i].reached, "%s", cases[i].why);
        cr_expect(isnan(cases[i].per_day) ? isnan(d.per_day) : d.per_day == cases[i].per_day,
                  "%s: %g", cases[i].why, d.per_day);
    }
    maintenance_plan_free(p);
}

Test(due, a_counter_that_stands_has_no_date)
{
    struct maintenance_plan *p = help_plan("'triggers':[{'run_hours':{'metric':'r','every':100}}]");
    struct maintenance_due d = find(p, 0, 0, CLOCK_NONE, 10 * DAY, 10 * DAY);
    cr_expect_eq(d.due_us, CLOCK_NONE);
    cr_expect_eq(d.status, MAINTENANCE_OK);
    maintenance_plan_free(p);
}
