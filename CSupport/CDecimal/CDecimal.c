#include "CDecimal.h"

// The variant of the library that takes arguments by value, and rounding and flags as parameters.
#define DECIMAL_CALL_BY_REFERENCE 0
#define DECIMAL_GLOBAL_ROUNDING 0
#define DECIMAL_GLOBAL_EXCEPTION_FLAGS 0
#include <bid_conf.h>
#include <bid_functions.h>

enum { INEXACT = 0x20 };

static BID_UINT128 wide(cdecimal value) {
    BID_UINT128 result = {.w = {value.low, value.high}};
    return result;
}

static cdecimal narrow(BID_UINT128 value) {
    cdecimal result = {.high = value.w[1], .low = value.w[0]};
    return result;
}

#define UNARY(name, function)                                       \
    cdecimal cdecimal_##name(cdecimal x) {                          \
        _IDEC_flags flags = 0;                                      \
        return narrow(function(wide(x), CDECIMAL_NEAREST_EVEN, &flags)); \
    }

#define BINARY(name, function)                                               \
    cdecimal cdecimal_##name(cdecimal a, cdecimal b) {                       \
        _IDEC_flags flags = 0;                                               \
        return narrow(function(wide(a), wide(b), CDECIMAL_NEAREST_EVEN, &flags)); \
    }

BINARY(add, bid128_add)
BINARY(subtract, bid128_sub)
BINARY(multiply, bid128_mul)
BINARY(divide, bid128_div)
BINARY(power, bid128_pow)
BINARY(atan2, bid128_atan2)

UNARY(sqrt, bid128_sqrt)
UNARY(exp, bid128_exp)
UNARY(log, bid128_log)
UNARY(log10, bid128_log10)
UNARY(sin, bid128_sin)
UNARY(cos, bid128_cos)
UNARY(tan, bid128_tan)
UNARY(asin, bid128_asin)
UNARY(acos, bid128_acos)
UNARY(atan, bid128_atan)
UNARY(sinh, bid128_sinh)
UNARY(cosh, bid128_cosh)
UNARY(tanh, bid128_tanh)
UNARY(asinh, bid128_asinh)
UNARY(acosh, bid128_acosh)
UNARY(atanh, bid128_atanh)

cdecimal cdecimal_remainder(cdecimal a, cdecimal b) {
    _IDEC_flags flags = 0;
    return narrow(bid128_fmod(wide(a), wide(b), &flags));
}

bool cdecimal_less(cdecimal a, cdecimal b) {
    _IDEC_flags flags = 0;
    return bid128_quiet_less(wide(a), wide(b), &flags) != 0;
}

bool cdecimal_equal(cdecimal a, cdecimal b) {
    _IDEC_flags flags = 0;
    return bid128_quiet_equal(wide(a), wide(b), &flags) != 0;
}

cdecimal cdecimal_quantize(cdecimal x, cdecimal quantum, enum cdecimal_rounding rounding) {
    _IDEC_flags flags = 0;
    return narrow(bid128_quantize(wide(x), wide(quantum), (_IDEC_round)rounding, &flags));
}

cdecimal cdecimal_from_double(double value) {
    _IDEC_flags flags = 0;
    return narrow(binary64_to_bid128(value, CDECIMAL_NEAREST_EVEN, &flags));
}

bool cdecimal_parse(const char *text, cdecimal *result) {
    _IDEC_flags flags = 0;
    *result = narrow(bid128_from_string((char *)text, CDECIMAL_NEAREST_EVEN, &flags));
    return (flags & INEXACT) == 0;
}
