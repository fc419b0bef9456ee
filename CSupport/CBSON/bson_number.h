// One form for the numbers of all four types, in which equal numbers are equal and order is field by field.
#pragma once
#include "bson_decimal.h"
#include <stddef.h>

// The first key byte of a number: its sign and the bracket of its magnitude. Negative brackets mirror positive ones.
enum {
    NUMBER_NAN = 0x28,
    NUMBER_ZERO = 0x6E,
    NUMBER_TINY = 0x6F,      // decimals below 2^-1074, the smallest double
    NUMBER_FRACTION = 0x70,  // below 1
    NUMBER_ONE = 0x71,       // 2^0 … 2^1; then one byte for each power of two
    NUMBER_LARGE = 0xB1,     // 2^64 and up
    NUMBER_HUGE = 0xB2,      // decimals of 2^1024 and up
    NUMBER_INFINITE = 0xB3,
};

struct number {
    uint8_t bracket;
    bool negative;
    bool inexact;               // the magnitude lies above exponent and fraction: only decimals
    int16_t exponent;           // floor(log2 of the magnitude)
    int16_t decimal_position;   // with inexact: tells apart decimals that share exponent and fraction
    uint64_t fraction;          // the 63 bits behind the leading one, from the top
    cbson_uint128 decimal_digits;
};

struct number cbson_number(uint8_t type, const uint8_t *value);
int cbson_number_compare(const struct number *a, const struct number *b);
// Writes the key bytes, bracket first; returns the end.
uint8_t *cbson_number_key(const struct number *number, uint8_t *out);
