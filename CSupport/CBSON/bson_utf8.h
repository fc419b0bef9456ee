// UTF-8 validation with a fast way through ASCII.
#pragma once
#include <stddef.h>
#include <stdint.h>

// The first byte of [at, end) that does not continue well-formed UTF-8 (Unicode 15, table 3-7), or NULL when there is none.
const uint8_t *cbson_utf8_invalid(const uint8_t *at, const uint8_t *end);
