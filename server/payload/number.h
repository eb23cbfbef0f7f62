/*
 * number: the text of a JSON number -> the nearest double.
 *
 * The reader converts short numbers itself (Clinger 1990: a mantissa below 2^53 and a power of ten
 * up to 10^19 are both exact, so one multiplication or division rounds once). The rest comes here.
 */
#pragma once

#include "base/view.h"

extern const double payload_powers_of_ten[20];

/* mantissa * 10^exponent, -19 <= exponent <= 19. */
double payload_number_scale(uint64_t mantissa, int64_t exponent);
/* `text` matches RFC 8259's number. Beyond the range of a double: an infinity. */
double payload_number_decode(struct view text);
