// Numbers of all types in one exact form: magnitude = 1.fraction × 2^exponent, plus the decimal digits where a decimal has
// no such form. Doubles and integers always have one, so a decimal that was cut off lies strictly above its cut.
#include "bson_internal.h"
#include "bson_number.h"

static inline uint8_t signed_bracket(uint8_t bracket, bool negative) {
    return negative ? (uint8_t)(2 * NUMBER_ZERO - bracket) : bracket;
}

static inline struct number finite(bool negative, int exponent, uint64_t bits) {
    uint8_t bracket = exponent < 0     ? NUMBER_FRACTION
                      : exponent > 63 ? NUMBER_LARGE
                                      : (uint8_t)(NUMBER_ONE + exponent);
    return (struct number){
        .bracket = signed_bracket(bracket, negative),
        .negative = negative,
        .exponent = (int16_t)exponent,
        .fraction = bits << 1,
    };
}

static inline struct number special(uint8_t bracket, bool negative) {
    return (struct number){.bracket = signed_bracket(bracket, negative), .negative = negative};
}

static inline struct number from_int64(int64_t value) {
    if (value == 0) return special(NUMBER_ZERO, false);
    bool negative = value < 0;
    uint64_t magnitude = negative ? -(uint64_t)value : (uint64_t)value;
    int zeros = __builtin_clzll(magnitude);
    return finite(negative, 63 - zeros, magnitude << zeros);
}

static inline struct number from_double(uint64_t bits) {
    bool negative = bits >> 63;
    int biased = bits >> 52 & 0x7FF;
    uint64_t significand = bits & ((1ull << 52) - 1);
    if (biased == 0x7FF) {
        return significand ? (struct number){.bracket = NUMBER_NAN} : special(NUMBER_INFINITE, negative);
    }
    if (biased == 0) {
        if (significand == 0) return special(NUMBER_ZERO, false);
        int zeros = __builtin_clzll(significand);
        return finite(negative, -1074 + 63 - zeros, significand << zeros);
    }
    return finite(negative, biased - 1023, (significand | 1ull << 52) << 11);
}

static struct number from_decimal(uint64_t high, uint64_t low) {
    struct decimal decimal = cbson_decimal_decode(high, low);
    switch (decimal.kind) {
    case DECIMAL_NAN: return (struct number){.bracket = NUMBER_NAN};
    case DECIMAL_ZERO: return special(NUMBER_ZERO, false);
    case DECIMAL_INFINITE: return special(NUMBER_INFINITE, decimal.negative);
    case DECIMAL_FINITE: break;
    }
    int exponent = 0, position = 0;
    uint64_t bits = 0;
    bool inexact = false;
    enum decimal_range range = cbson_decimal_binary(&decimal, &exponent, &bits, &inexact);
    struct number number;
    if (range == DECIMAL_HUGE || (range == DECIMAL_IN_RANGE && exponent > 1023)) {
        number = special(NUMBER_HUGE, decimal.negative);
        inexact = true;
    } else if (range == DECIMAL_TINY || exponent < -1074) {
        number = special(NUMBER_TINY, decimal.negative);
        inexact = true;
    } else {
        number = finite(decimal.negative, exponent, bits);
    }
    if (inexact) {
        number.inexact = true;
        cbson_decimal_normalize(&decimal, &position, &number.decimal_digits);
        number.decimal_position = (int16_t)position;
    }
    return number;
}

struct number cbson_number(uint8_t type, const uint8_t *value) {
    switch (type) {
    case TYPE_INT32: return from_int64((int32_t)load32(value));
    case TYPE_INT64: return from_int64((int64_t)load64(value));
    case TYPE_DOUBLE: return from_double(load64(value));
    default: return from_decimal(load64(value + 8), load64(value));
    }
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

int cbson_number_compare(const struct number *a, const struct number *b) {
    if (a->bracket != b->bracket) return ORDER(a->bracket, b->bracket);
    int order = ORDER(a->exponent, b->exponent);
    if (order == 0) order = ORDER(a->fraction, b->fraction);
    if (order == 0) order = (int)a->inexact - (int)b->inexact;
    if (order == 0) order = ORDER(a->decimal_position, b->decimal_position);
    if (order == 0) order = ORDER(a->decimal_digits, b->decimal_digits);
    return a->negative ? -order : order;
}

static uint8_t *append_decimal(const struct number *number, uint8_t *out) {
    unsigned position = (unsigned)(number->decimal_position + 0x8000);
    *out++ = (uint8_t)(position >> 8);
    *out++ = (uint8_t)position;
    for (int shift = 112; shift >= 0; shift -= 8) *out++ = (uint8_t)(number->decimal_digits >> shift);
    return out;
}

// Behind the bracket: the exponent where the bracket does not tell it, then the fraction in groups of seven bits, each
// with a low bit that says whether more follows; trailing zero groups are left out, so that small integers are short.
uint8_t *cbson_number_key(const struct number *number, uint8_t *out) {
    *out++ = number->bracket;
    uint8_t *payload = out;
    uint8_t bracket = signed_bracket(number->bracket, number->negative);
    if (bracket == NUMBER_ZERO || bracket == NUMBER_NAN || bracket == NUMBER_INFINITE) return out;
    if (bracket == NUMBER_TINY || bracket == NUMBER_HUGE) {
        out = append_decimal(number, out);
    } else {
        if (bracket == NUMBER_FRACTION || bracket == NUMBER_LARGE) {
            unsigned exponent = (unsigned)(number->exponent + 0x8000);
            *out++ = (uint8_t)(exponent >> 8);
            *out++ = (uint8_t)exponent;
        }
        uint64_t rest = number->fraction;
        int groups = 9;
        bool more;
        do {
            uint8_t group = (uint8_t)(rest >> 57);
            rest <<= 7;
            groups--;
            more = rest != 0 || number->inexact;
            *out++ = (uint8_t)(group << 1 | more);
        } while (more && groups > 0);
        if (number->inexact) out = append_decimal(number, out);
    }
    if (number->negative) {
        for (uint8_t *at = payload; at < out; at++) *at = (uint8_t)~*at;
    }
    return out;
}
