// libFuzzer harness: bytes that pass validation must compare, encode and walk inside themselves. scripts/fuzz-bson builds it.
#include "../bson_internal.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 100, KEYS_MAX = 64 };

static void check(int condition) {
    if (!condition) abort();
}

static int sign(int order) { return (order > 0) - (order < 0); }

// A key in memory of exactly the size that was promised to suffice, so that the sanitizer sees one byte more.
struct key {
    uint8_t *bytes;
    size_t size;
};

static struct key make_key(uint8_t type, const uint8_t *value, bool descending) {
    size_t bound = cbson_key_size_max(type, value);
    struct key key = {.bytes = malloc(bound ? bound : 1)};
    key.size = cbson_key_append(type, value, descending, key.bytes);
    check(key.size > 0 && key.size <= bound);
    return key;
}

static int compare_keys(const struct key *a, const struct key *b) {
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    if (order == 0) check(a->size == b->size);  // no key is a prefix of another
    return sign(order);
}

struct field {
    uint8_t type;
    const uint8_t *value;
};

// Collects the values of a document and of those nested in it, and checks that sizes add up to its length.
static size_t collect(const uint8_t *document, struct field *fields, size_t count) {
    const uint8_t *at = document + 4;
    for (uint8_t type; (type = *at++) != TYPE_END;) {
        at += strlen((const char *)at) + 1;
        if (count < KEYS_MAX) fields[count++] = (struct field){type, at};
        if (type == TYPE_DOCUMENT || type == TYPE_ARRAY) count = collect(at, fields, count);
        at += payload_size(type, at);
    }
    check(at == document + load32(document));
    return count;
}

static void check_order(const struct field *fields, size_t count) {
    struct key ascending[KEYS_MAX], descending[KEYS_MAX];
    for (size_t i = 0; i < count; i++) {
        ascending[i] = make_key(fields[i].type, fields[i].value, false);
        descending[i] = make_key(fields[i].type, fields[i].value, true);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i; j < count; j++) {
            int order = sign(cbson_compare_values(fields[i].type, fields[i].value, fields[j].type, fields[j].value));
            int reverse = sign(cbson_compare_values(fields[j].type, fields[j].value, fields[i].type, fields[i].value));
            check(order == -reverse);
            check(order == compare_keys(&ascending[i], &ascending[j]));
            check(order == -compare_keys(&descending[i], &descending[j]));
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(ascending[i].bytes);
        free(descending[i].bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // An exact copy: the sanitizer sees every read outside.
    uint8_t *bytes = malloc(size ? size : 1);
    memcpy(bytes, data, size);
    size_t offset = 0;
    int status = cbson_validate(bytes, size, DEPTH_MAX, &offset);
    if (status != 0) {
        check(offset <= size);
        check(strcmp(cbson_status_text(status), cbson_status_text(-1)) != 0);
    } else {
        size_t length = load32(bytes);
        bytes = realloc(bytes, length);
        struct field fields[KEYS_MAX] = {{TYPE_DOCUMENT, bytes}};
        size_t count = collect(bytes, fields, 1);
        check(cbson_compare_documents(bytes, bytes) == 0);
        check_order(fields, count);
        // Every shorter prefix is refused.
        check(cbson_validate(bytes, length - 1, DEPTH_MAX, &offset) != 0);
    }
    free(bytes);
    return 0;
}
