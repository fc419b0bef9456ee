// Decimal128 arithmetic by Intel's decimal floating-point library, which MongoDB computes with too. Values are the two
// halves that BSON carries (binary integer encoding). Results are rounded to 34 digits, half to even where nothing else
// is said; nothing here traps, keeps state or allocates.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t high;
    uint64_t low;
} cdecimal;

// Rounding directions, numbered as the library has them.
enum cdecimal_rounding {
    CDECIMAL_NEAREST_EVEN = 0,
    CDECIMAL_DOWN = 1,
    CDECIMAL_UP = 2,
    CDECIMAL_TOWARD_ZERO = 3,
    CDECIMAL_NEAREST_AWAY = 4,
};

cdecimal cdecimal_add(cdecimal a, cdecimal b);
cdecimal cdecimal_subtract(cdecimal a, cdecimal b);
cdecimal cdecimal_multiply(cdecimal a, cdecimal b);
cdecimal cdecimal_divide(cdecimal a, cdecimal b);
// The exact remainder of the division that truncates its quotient.
cdecimal cdecimal_remainder(cdecimal a, cdecimal b);
cdecimal cdecimal_power(cdecimal base, cdecimal exponent);
cdecimal cdecimal_atan2(cdecimal y, cdecimal x);

bool cdecimal_less(cdecimal a, cdecimal b);
bool cdecimal_equal(cdecimal a, cdecimal b);

cdecimal cdecimal_sqrt(cdecimal x);
cdecimal cdecimal_exp(cdecimal x);
cdecimal cdecimal_log(cdecimal x);
cdecimal cdecimal_log10(cdecimal x);
cdecimal cdecimal_sin(cdecimal x);
cdecimal cdecimal_cos(cdecimal x);
cdecimal cdecimal_tan(cdecimal x);
cdecimal cdecimal_asin(cdecimal x);
cdecimal cdecimal_acos(cdecimal x);
cdecimal cdecimal_atan(cdecimal x);
cdecimal cdecimal_sinh(cdecimal x);
cdecimal cdecimal_cosh(cdecimal x);
cdecimal cdecimal_tanh(cdecimal x);
cdecimal cdecimal_asinh(cdecimal x);
cdecimal cdecimal_acosh(cdecimal x);
cdecimal cdecimal_atanh(cdecimal x);

// The value with the exponent of `quantum`.
cdecimal cdecimal_quantize(cdecimal x, cdecimal quantum, enum cdecimal_rounding rounding);

// The nearest decimal.
cdecimal cdecimal_from_double(double value);

// Reads text of at most 64 bytes that has been checked to be digits with an exponent; false when digits were lost.
bool cdecimal_parse(const char *text, cdecimal *result);
