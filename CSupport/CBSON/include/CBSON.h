// BSON in C: validation, comparison in MongoDB's order, and order-preserving index keys.
// Every function but cbson_validate trusts that its bytes passed cbson_validate.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Validates the document at `bytes`, of which `size` bytes may be read. Returns 0, or a status for cbson_status_text
// with `*offset` set to the byte that breaks the rule. At most `depth_max` documents may lie inside one another within
// the outermost one.
int cbson_validate(const void *bytes, size_t size, int depth_max, size_t *offset);
const char *cbson_status_text(int status);

// MongoDB's comparison order across all types: negative, zero or positive.
int cbson_compare_values(uint8_t type_a, const void *a, uint8_t type_b, const void *b);
int cbson_compare_documents(const void *a, const void *b);

// The double nearest to a decimal128 (ties to even), from its two halves.
double cbson_decimal_to_double(uint64_t high, uint64_t low);

// A finite double in scientific notation with `digits` significant digits, correctly rounded, whatever the locale.
// Returns the length; `out` has room for `size` bytes.
int cbson_format_double(double value, int digits, char *out, size_t size);

// Where bytes first occur in others, in linear time; NULL when they do not.
const void *cbson_find(const void *bytes, size_t size, const void *wanted, size_t wanted_size);

// An upper bound of the key bytes of one value, and the encoding itself; returns the bytes written.
size_t cbson_key_size_max(uint8_t type, const void *value);
size_t cbson_key_append(uint8_t type, const void *value, bool descending, uint8_t *out);

#ifdef __cplusplus
}
#endif
