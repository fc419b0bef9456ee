// Decimal128 (binary integer encoding) to exact binary: the part that makes decimals compare with doubles by value.
#include "bson_decimal.h"
#include "CBSON.h"
#include <string.h>

enum { DIGITS_MAX = 34, EXPONENT_BIAS = 6176, WORDS_MAX = 48 };

static const uint64_t power_of_ten[20] = {
    1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
    10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull, 1000000000000000ull,
    10000000000000000ull, 100000000000000000ull, 1000000000000000000ull, 10000000000000000000ull,
};

static cbson_uint128 wide_power_of_ten(int exponent) {
    return exponent < 20 ? power_of_ten[exponent] : (cbson_uint128)power_of_ten[19] * power_of_ten[exponent - 19];
}

static int digit_count(cbson_uint128 value) {
    int count = 1;
    while (count < 38 && value >= wide_power_of_ten(count)) count++;
    return count;
}

struct decimal cbson_decimal_decode(uint64_t high, uint64_t low) {
    struct decimal value = {.negative = high >> 63};
    unsigned combination = high >> 58 & 31;
    if (combination == 31) {
        value.kind = DECIMAL_NAN;
    } else if (combination == 30) {
        value.kind = DECIMAL_INFINITE;
    } else if (combination >> 3 == 3) {
        value.kind = DECIMAL_ZERO;  // the long form always holds a coefficient beyond 34 digits, which counts as zero
    } else {
        value.exponent = (int)(high >> 49 & 0x3FFF) - EXPONENT_BIAS;
        value.coefficient = (cbson_uint128)(high & 0x1FFFFFFFFFFFFull) << 64 | low;
        bool canonical = value.coefficient != 0 && value.coefficient < wide_power_of_ten(DIGITS_MAX);
        value.kind = canonical ? DECIMAL_FINITE : DECIMAL_ZERO;
    }
    return value;
}

void cbson_decimal_normalize(const struct decimal *value, int *position, cbson_uint128 *digits) {
    int count = digit_count(value->coefficient);
    *position = value->exponent + count;
    *digits = value->coefficient * wide_power_of_ten(DIGITS_MAX - count);
}

// A little-endian number of up to WORDS_MAX words; the top word is never zero.
struct big {
    int count;
    uint64_t words[WORDS_MAX];
};

static void big_multiply(struct big *big, uint64_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < big->count; i++) {
        cbson_uint128 product = (cbson_uint128)big->words[i] * factor + carry;
        big->words[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
    if (carry) big->words[big->count++] = carry;
}

// Returns whether a remainder was dropped.
static bool big_divide(struct big *big, uint64_t divisor) {
    uint64_t rest = 0;
    for (int i = big->count - 1; i >= 0; i--) {
        cbson_uint128 part = (cbson_uint128)rest << 64 | big->words[i];
        big->words[i] = (uint64_t)(part / divisor);
        rest = (uint64_t)(part % divisor);
    }
    while (big->count > 0 && big->words[big->count - 1] == 0) big->count--;
    return rest != 0;
}

enum decimal_range cbson_decimal_binary(const struct decimal *value, int *exponent, uint64_t *bits, bool *inexact) {
    int position = value->exponent + digit_count(value->coefficient);  // 10^(position-1) <= magnitude < 10^position
    if (position > 309) return DECIMAL_HUGE;
    if (position < -326) return DECIMAL_TINY;

    struct big big = {.count = 0};
    int shift = 0;  // words below the binary point
    int scale = value->exponent;
    if (scale < 0) {
        shift = -scale * 4 / 64 + 3;  // 10^n < 2^4n: the quotient keeps more than 64 bits
        memset(big.words, 0, (size_t)shift * sizeof big.words[0]);
    }
    big.words[shift] = (uint64_t)value->coefficient;
    big.words[shift + 1] = (uint64_t)(value->coefficient >> 64);
    big.count = shift + (big.words[shift + 1] ? 2 : 1);

    bool rest = false;
    for (; scale >= 19; scale -= 19) big_multiply(&big, power_of_ten[19]);
    if (scale > 0) big_multiply(&big, power_of_ten[scale]);
    for (; scale <= -19; scale += 19) rest |= big_divide(&big, power_of_ten[19]);
    if (scale < 0) rest |= big_divide(&big, power_of_ten[-scale]);

    int top = big.count - 1;
    int zeros = __builtin_clzll(big.words[top]);
    *bits = big.words[top] << zeros;
    if (top > 0) {
        uint64_t next = big.words[top - 1];
        if (zeros > 0) *bits |= next >> (64 - zeros);
        rest |= (next << zeros) != 0;
        for (int i = 0; i < top - 1; i++) rest |= big.words[i] != 0;
    }
    *exponent = 64 * (top - shift) + 63 - zeros;
    *inexact = rest;
    return DECIMAL_IN_RANGE;
}

static double assemble_double(bool negative, uint64_t magnitude) {
    uint64_t bits = magnitude | (uint64_t)negative << 63;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double cbson_decimal_to_double(uint64_t high, uint64_t low) {
    const uint64_t infinity = 0x7FFull << 52;
    struct decimal value = cbson_decimal_decode(high, low);
    if (value.kind == DECIMAL_NAN) return assemble_double(value.negative, infinity | 1ull << 51);
    if (value.kind == DECIMAL_INFINITE) return assemble_double(value.negative, infinity);
    if (value.kind == DECIMAL_ZERO) return assemble_double(value.negative, 0);
    int exponent = 0;
    uint64_t bits = 0;
    bool inexact = false;
    enum decimal_range range = cbson_decimal_binary(&value, &exponent, &bits, &inexact);
    if (range == DECIMAL_HUGE || exponent > 1023) return assemble_double(value.negative, infinity);
    if (range == DECIMAL_TINY || exponent < -1075) return assemble_double(value.negative, 0);
    // Round half to even at the last bit a double of this exponent has; a carry moves into the exponent by itself.
    int cut = exponent >= -1022 ? 11 : 11 + (-1022 - exponent);
    uint64_t kept = cut < 64 ? bits >> cut : 0;
    uint64_t rest = cut < 64 ? bits << (64 - cut) : bits;
    bool up = rest > 1ull << 63 || (rest == 1ull << 63 && (inexact || (kept & 1)));
    uint64_t magnitude = kept + up;
    if (exponent >= -1022) magnitude += (uint64_t)(exponent + 1022) << 52;
    return assemble_double(value.negative, magnitude);
}
