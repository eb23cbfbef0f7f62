/*
 * A time that is parsed, formatted and parsed again is the same time; so is a duration.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[CLOCK_TEXT_SIZE];
    int64_t us = 0;
    int64_t again = -1;
    uint8_t *exact = malloc(size > 0 ? size : 1);
    CHECK(exact != NULL);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    struct view in = view_of(exact, size);
    if (clock_parse(in, &us) == ERR_OK) {
        CHECK(us >= CLOCK_MIN_US && us <= CLOCK_MAX_US);
        CHECK(clock_parse(view_str(clock_format(us, text)), &again) == ERR_OK && again == us);
    }
    if (clock_parse_duration(in, &us) == ERR_OK) {
        CHECK(us >= 0 && us <= CLOCK_MAX_US);
        CHECK(clock_parse_duration(view_str(clock_format_duration(us, text)), &again) == ERR_OK);
        CHECK(again == us);
    }
    /* Any eight bytes are a time that formats into its room. */
    if (size >= sizeof(us)) {
        memcpy(&us, exact, sizeof(us));
        CHECK(strlen(clock_format(us, text)) < sizeof(text));
        CHECK(strlen(clock_format_duration(us, text)) < sizeof(text));
    }
    free(exact);
    return 0;
}
