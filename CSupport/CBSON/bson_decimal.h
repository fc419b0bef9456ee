// Decimal128 taken apart, and its exact place among the binary numbers.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef unsigned __int128 cbson_uint128;

enum decimal_kind { DECIMAL_NAN, DECIMAL_INFINITE, DECIMAL_ZERO, DECIMAL_FINITE };

struct decimal {
    enum decimal_kind kind;
    bool negative;
    int exponent;               // value = coefficient × 10^exponent
    cbson_uint128 coefficient;  // 1 … 10^34 - 1 when finite
};

struct decimal cbson_decimal_decode(uint64_t high, uint64_t low);

// The coefficient scaled to exactly 34 digits, and the exponent of the digit before the first one: equal values have
// equal pairs, and (position, digits) orders magnitudes.
void cbson_decimal_normalize(const struct decimal *value, int *position, cbson_uint128 *digits);

enum decimal_range { DECIMAL_TINY, DECIMAL_IN_RANGE, DECIMAL_HUGE };

// The magnitude cut off to 64 significant bits: floor(log2), the bits with the leading one on top, and whether anything
// was cut off. Only done for magnitudes that are not far outside a double's range.
enum decimal_range cbson_decimal_binary(const struct decimal *value, int *exponent, uint64_t *bits, bool *inexact);
