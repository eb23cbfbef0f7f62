/*
 * log and counter. Each Test() is a process of its own, so descriptor 2 can be redirected.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"

static int caught = -1;

static void catch_stderr(void)
{
    caught = memfd_create("stderr", 0);
    cr_assert_geq(caught, 0);
    cr_assert_eq(dup2(caught, STDERR_FILENO), STDERR_FILENO);
}

/* Everything written since the last call; free() it. */
static char *caught_text(void)
{
    off_t len = lseek(caught, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    cr_assert_not_null(text);
    cr_assert_eq(pread(caught, text, (size_t)len, 0), (ssize_t)len);
    cr_assert_eq(ftruncate(caught, 0), 0);
    (void)lseek(caught, 0, SEEK_SET);
    return text;
}

static int lines_in(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

Test(log, json_lines)
{
    catch_stderr();
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    LOG(LOG_WARN, "session_closed", LOG_S("device", "d\"7"), LOG_I("idle_ms", 90000),
        LOG_F("share", 0.25), LOG_V("peer", VIEW("10.0.0.7")), LOG_S("none", NULL));
    char *text = caught_text();
    cr_expect_eq(strncmp(text, "{\"ts\":\"2", 8), 0);
    cr_expect_str_eq(strstr(text, "\"level\""),
                     "\"level\":\"warn\",\"event\":\"session_closed\",\"device\":\"d\\\"7\","
                     "\"idle_ms\":90000,\"share\":0.25,\"peer\":\"10.0.0.7\",\"none\":null}\n");
    free(text);
}

Test(log, logfmt_lines)
{
    catch_stderr();
    log_setup(LOG_INFO, LOG_FORMAT_LOGFMT);
    LOG(LOG_INFO, "session_closed", LOG_S("device", "a b\nc"), LOG_I("idle_ms", -1));
    char *text = caught_text();
    cr_expect_str_eq(strstr(text, " info "),
                     " info  session_closed device=\"a b\\nc\" idle_ms=-1\n");
    cr_expect_eq(lines_in(text), 1, "a value never starts a new line");
    int64_t us = 0;
    char *space = strchr(text, ' ');
    cr_assert_not_null(space);
    cr_expect_eq(clock_parse(view_of(text, (size_t)(space - text)), &us), ERR_OK);
    free(text);
}

Test(log, auto_is_json_where_nobody_watches)
{
    catch_stderr();
    log_setup(LOG_INFO, LOG_FORMAT_AUTO);
    LOG(LOG_INFO, "hello", LOG_I("n", 1));
    char *text = caught_text();
    cr_expect_eq(text[0], '{');
    free(text);
}

Test(log, levels)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    catch_stderr();
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        enum log_level parsed = LOG_DEBUG;
        cr_expect(log_level_parse(view_str(words[level]), &parsed));
        cr_expect_eq((int)parsed, level);
        log_setup((enum log_level)level, LOG_FORMAT_JSON);
        for (int at = LOG_DEBUG; at <= LOG_ERROR; at++) {
            cr_expect_eq(log_enabled((enum log_level)at), at >= level);
            LOG((enum log_level)at, "levels", LOG_I("at", at));
        }
        char *text = caught_text();
        cr_expect_eq(lines_in(text), LOG_ERROR - level + 1);
        free(text);
    }
    enum log_level parsed = LOG_WARN;
    cr_expect_not(log_level_parse(VIEW("loud"), &parsed));
    cr_expect_eq(parsed, LOG_WARN);
}

Test(log, an_event_above_its_rate_is_counted_and_reported)
{
    catch_stderr();
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    /* Start right behind the turn of a second, so that all 100 lines fall into it. */
    int64_t second = clock_mono_us() / CLOCK_SECOND_US;
    while (clock_mono_us() / CLOCK_SECOND_US == second) {
        (void)usleep(1000);
    }
    for (int i = 0; i < 100; i++) {
        LOG(LOG_INFO, "noisy", LOG_I("i", i));
    }
    LOG(LOG_INFO, "quiet", LOG_I("i", 0));
    char *text = caught_text();
    cr_expect_eq(lines_in(text), 21, "20 of one name, and another name is not concerned");
    cr_expect_not_null(strstr(text, "\"quiet\""));
    free(text);
    second = clock_mono_us() / CLOCK_SECOND_US;
    while (clock_mono_us() / CLOCK_SECOND_US == second) {
        (void)usleep(1000);
    }
    LOG(LOG_INFO, "noisy", LOG_I("i", 100));
    text = caught_text();
    cr_expect_eq(lines_in(text), 2);
    cr_expect_not_null(strstr(text, "\"log_rate_limited\",\"of\":\"noisy\",\"suppressed\":80}"));
    free(text);
}

Test(log, a_line_that_is_too_long_still_tells_the_event)
{
    catch_stderr();
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    char *big = malloc(20000);
    cr_assert_not_null(big);
    memset(big, 'x', 19999);
    big[19999] = '\0';
    LOG(LOG_ERROR, "too_much", LOG_I("n", 1), LOG_S("text", big));
    char *text = caught_text();
    cr_expect_not_null(strstr(text, "\"event\":\"too_much\",\"fields_too_long\":2}"));
    cr_expect_eq(lines_in(text), 1);
    free(text);
    free(big);
}

Test(check, a_failed_check_says_where_and_aborts, .signal = SIGABRT)
{
    int two = 2;
    CHECK(two + two == 4);
    CHECK(two + two == 5);
    exit(0); /* not reached: the test would miss its signal */
}

/* ---- counter ---- */

Test(counter, counts_and_gauges)
{
    counter_add(COUNTER_BATCHES, 2);
    counter_add(COUNTER_BATCHES, 3);
    cr_expect_eq(counter_get(COUNTER_BATCHES), 5);
    counter_set(COUNTER_STORE_UP, 1);
    counter_set(COUNTER_STORE_UP, 0);
    cr_expect_eq(counter_get(COUNTER_STORE_UP), 0);
    counter_add(COUNTER_CONNECTIONS_OPEN, 1);
    counter_add(COUNTER_CONNECTIONS_OPEN, -1);
    cr_expect_eq(counter_get(COUNTER_CONNECTIONS_OPEN), 0);
}

static void expect_balance(int64_t received, int64_t committed, int64_t duplicate, int64_t rejected,
                           int64_t in_flight)
{
    struct counter_balance b = counter_balance();
    cr_expect_eq(b.received, received);
    cr_expect_eq(b.committed, committed);
    cr_expect_eq(b.duplicate, duplicate);
    cr_expect_eq(b.rejected, rejected);
    cr_expect_eq(b.in_flight, in_flight);
}

Test(counter, messages_go_from_place_to_place_until_they_end)
{
    expect_balance(0, 0, 0, 0, 0);
    counter_message_received(10);
    counter_message_held(MESSAGE_IN_CORE, 10);
    expect_balance(10, 0, 0, 0, 10);
    counter_message_held(MESSAGE_IN_CORE, -8);
    counter_message_held(MESSAGE_IN_BATCH, 8);
    expect_balance(10, 0, 0, 0, 10);
    counter_message_held(MESSAGE_IN_BATCH, -8);
    counter_message_ended(MESSAGE_COMMITTED, 5);
    counter_message_ended(MESSAGE_DUPLICATE, 2);
    counter_message_ended(MESSAGE_REJECTED, 1);
    expect_balance(10, 5, 2, 1, 2);
    counter_message_held(MESSAGE_IN_CORE, -2);
    counter_message_ended(MESSAGE_DROPPED, 2);
    expect_balance(8, 5, 2, 1, 0);
}

Test(counter, a_message_that_is_lost_on_the_way_is_seen)
{
    counter_message_received(2);
    counter_message_held(MESSAGE_IN_CORE, 2);
    counter_message_held(MESSAGE_IN_CORE, -1); /* and goes nowhere */
    struct counter_balance b = counter_balance();
    cr_expect_eq(b.received - b.committed - b.duplicate - b.rejected - b.in_flight, 1);
}

static void *publishes_when_told(void *arg)
{
    sem_t *steps = arg;
    counter_message_received(1);
    CHECK(sem_post(&steps[0]) == 0 && sem_wait(&steps[1]) == 0);
    counter_message_held(MESSAGE_IN_CORE, 1);
    counter_balance_publish();
    return NULL;
}

Test(counter, another_thread_sees_all_of_a_turn_or_nothing)
{
    sem_t steps[2];
    pthread_t thread;
    cr_assert(sem_init(&steps[0], 0, 0) == 0 && sem_init(&steps[1], 0, 0) == 0);
    cr_assert_eq(pthread_create(&thread, NULL, publishes_when_told, steps), 0);
    cr_assert_eq(sem_wait(&steps[0]), 0);
    expect_balance(0, 0, 0, 0, 0);
    cr_assert_eq(sem_post(&steps[1]), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    expect_balance(1, 0, 0, 0, 1);
}

Test(counter, text_has_each_row_once_with_help_and_type)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    counter_message_received(3);
    counter_message_held(MESSAGE_IN_CORE, 3);
    counter_add(COUNTER_HANDSHAKES, 42);
    counter_write_text(&b);
    char *text = buf_take_str(&b);
    cr_assert_not_null(text);
    cr_expect_not_null(strstr(text, "\nsignalbox_tls_handshakes_total 42\n"));
    cr_expect_not_null(strstr(text, "# TYPE signalbox_tls_handshakes_total counter\n"));
    cr_expect_not_null(strstr(text, "\nsignalbox_messages_received_total 3\n"));
    cr_expect_not_null(strstr(text, "\nsignalbox_messages_in_flight 3\n"));
    cr_expect_not_null(strstr(text, "# TYPE signalbox_store_up gauge\n"));
    static const char *const names[] = {
#define COUNTER_NAME(id, name, type, words) "\nsignalbox_" name " ",
        COUNTER_LIST(COUNTER_NAME)
#undef COUNTER_NAME
            "\nsignalbox_messages_committed_total ",
        "\nsignalbox_messages_duplicate_total ",
        "\nsignalbox_messages_rejected_total ",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *first = strstr(text, names[i]);
        cr_assert_not_null(first, "%s", names[i]);
        cr_expect_null(strstr(first + 1, names[i]), "%s twice", names[i]);
    }
    cr_expect_eq(lines_in(text), 3 * (COUNTER_COUNT + 5));
    free(text);
}
