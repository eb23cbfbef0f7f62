/*
 * number: the text of a JSON number -> the nearest double.
 *
 * The reader converts short numbers itself (Clinger 1990: a mantissa below 2^53 and a power of ten
 * up to 10^22 are both exact, so one multiplication or division rounds once). The rest comes here.
 */
#pragma once

#include "base/view.h"

extern const double payload_powers_of_ten[23];

/* `text` matches RFC 8259's number. Beyond the range of a double: an infinity. */
double payload_number_decode(struct view text);
