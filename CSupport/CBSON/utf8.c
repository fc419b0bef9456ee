#include "bson_utf8.h"
#include <stdbool.h>
#include <string.h>

// The length of the sequence at `at`, or 0 when it is malformed, overlong, a surrogate, or beyond U+10FFFF.
static inline size_t sequence_length(const uint8_t *at, const uint8_t *end) {
    uint8_t lead = at[0];
    ptrdiff_t left = end - at;
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (left < 2 || (at[1] & 0xC0) != 0x80) return 0;
    if (lead < 0xE0) return 2;
    if (left < 3 || (at[2] & 0xC0) != 0x80) return 0;
    if (lead < 0xF0) {
        bool overlong = lead == 0xE0 && at[1] < 0xA0;
        bool surrogate = lead == 0xED && at[1] >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    if (lead > 0xF4 || left < 4 || (at[3] & 0xC0) != 0x80) return 0;
    bool overlong = lead == 0xF0 && at[1] < 0x90;
    bool beyond = lead == 0xF4 && at[1] >= 0x90;
    return overlong || beyond ? 0 : 4;
}

const uint8_t *cbson_utf8_invalid(const uint8_t *at, const uint8_t *end) {
    const uint64_t high_bits = 0x8080808080808080ull;
    while (at < end) {
        while (end - at >= 32) {
            uint64_t words[4];
            memcpy(words, at, 32);
            if ((words[0] | words[1] | words[2] | words[3]) & high_bits) break;
            at += 32;
        }
        while (end - at >= 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            if (word & high_bits) break;
            at += 8;
        }
        // Text that is not ASCII stays so for a while: take a run of sequences before trying words again.
        for (int run = 0; run < 16 && at < end; run++) {
            size_t length = sequence_length(at, end);
            if (length == 0) return at;
            at += length;
        }
    }
    return NULL;
}
