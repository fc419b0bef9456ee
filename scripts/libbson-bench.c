// The counterpart of `Benchmarks bson`: the same four documents validated, walked, searched and built by libbson.
#include <bson/bson.h>
#include <stdio.h>
#include <time.h>

enum kind { SMALL, WIDE, ARRAY, VECTOR, KINDS };
static const char *const names[KINDS] = {"small200B", "wide200fields", "array64docs", "vector1536d"};
static const char *const last_fields[KINDS] = {"pad", "field199", "items", "v"};
static char wide_names[200][9];

static void build_small(bson_t *out) {
    bson_t nested;
    bson_append_utf8(out, "_id", 3, "user0000000001", 14);
    bson_append_int32(out, "n", 1, 0);
    bson_append_date_time(out, "ts", 2, 1700000000000LL);
    bson_append_utf8(out, "name", 4, "Ada Lovelace", 12);
    bson_append_utf8(out, "email", 5, "ada@example.org", 15);
    bson_append_array_begin(out, "tags", 4, &nested);
    bson_append_utf8(&nested, "0", 1, "alpha", 5);
    bson_append_utf8(&nested, "1", 1, "beta", 4);
    bson_append_array_end(out, &nested);
    bson_append_document_begin(out, "addr", 4, &nested);
    bson_append_utf8(&nested, "city", 4, "London", 6);
    bson_append_utf8(&nested, "zip", 3, "N1 9GU", 6);
    bson_append_document_end(out, &nested);
    bson_append_utf8(out, "pad", 3, "xxxxxxxxxxx", 11);
}

static void build_wide(bson_t *out) {
    for (int i = 0; i < 200; i++) {
        switch (i % 4) {
        case 0: bson_append_int32(out, wide_names[i], 8, i); break;
        case 1: bson_append_double(out, wide_names[i], 8, i * 0.5); break;
        case 2: bson_append_utf8(out, wide_names[i], 8, "some text value", 15); break;
        default: bson_append_bool(out, wide_names[i], 8, true);
        }
    }
}

static void build_array(bson_t *out) {
    bson_t items, item;
    const char *key;
    char digits[16];
    bson_append_array_begin(out, "items", 5, &items);
    for (uint32_t i = 0; i < 64; i++) {
        size_t length = bson_uint32_to_string(i, &key, digits, sizeof digits);
        bson_append_document_begin(&items, key, (int)length, &item);
        bson_append_utf8(&item, "sku", 3, "AB-12345", 8);
        bson_append_int32(&item, "qty", 3, (int32_t)i);
        bson_append_double(&item, "price", 5, 9.99);
        bson_append_int64(&item, "t", 1, 1700000000000LL + i);
        bson_append_document_end(&items, &item);
    }
    bson_append_array_end(out, &items);
}

static void build_vector(bson_t *out) {
    bson_t vector;
    const char *key;
    char digits[16];
    bson_append_array_begin(out, "v", 1, &vector);
    for (uint32_t i = 0; i < 1536; i++) {
        size_t length = bson_uint32_to_string(i, &key, digits, sizeof digits);
        bson_append_double(&vector, key, (int)length, i * 0.001);
    }
    bson_append_array_end(out, &vector);
}

static void (*const builders[KINDS])(bson_t *) = {build_small, build_wide, build_array, build_vector};

static int walk(bson_iter_t *at) {
    int count = 0;
    bson_iter_t nested;
    while (bson_iter_next(at)) {
        count++;
        bool descends = BSON_ITER_HOLDS_DOCUMENT(at) || BSON_ITER_HOLDS_ARRAY(at);
        if (descends && bson_iter_recurse(at, &nested)) count += walk(&nested);
    }
    return count;
}

struct subject {
    enum kind kind;
    const bson_t *document;
    bson_t *scratch;
};

static volatile int sink;

static void encode(const struct subject *s) {
    bson_reinit(s->scratch);  // keeps its memory, as our buffer does
    builders[s->kind](s->scratch);
}
static void validate(const struct subject *s) {
    size_t offset;
    sink = bson_validate(s->document, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, &offset);
}
static void iterate(const struct subject *s) {
    bson_iter_t at;
    bson_iter_init(&at, s->document);
    sink = walk(&at);
}
static void lookup(const struct subject *s) {
    bson_iter_t at;
    sink = bson_iter_init_find(&at, s->document, last_fields[s->kind]);
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// The time of one call: the best of several rounds, so that a busy machine does not show.
static double nanoseconds(void (*body)(const struct subject *), const struct subject *subject) {
    double best = 1e30;
    long batch = 16;
    for (int round = 0; round < 40; round++) {
        for (;;) {
            double start = seconds();
            for (long i = 0; i < batch; i++) body(subject);
            double elapsed = seconds() - start;
            if (elapsed >= 0.003) {
                if (elapsed / (double)batch < best) best = elapsed / (double)batch;
                break;
            }
            batch *= 2;
        }
    }
    return best * 1e9;
}

int main(void) {
    for (int i = 0; i < 200; i++) snprintf(wide_names[i], sizeof wide_names[i], "field%03d", i);
    for (int kind = 0; kind < KINDS; kind++) {
        bson_t *document = bson_new(), *scratch = bson_new();
        builders[kind](document);
        struct subject subject = {kind, document, scratch};
        printf("{\"doc\":\"%s\",\"bytes\":%u,\"encode_ns\":%.0f,\"validate_ns\":%.0f,\"iterate_ns\":%.0f,"
               "\"lookup_ns\":%.0f}\n",
               names[kind], document->len, nanoseconds(encode, &subject), nanoseconds(validate, &subject),
               nanoseconds(iterate, &subject), nanoseconds(lookup, &subject));
        bson_destroy(document);
        bson_destroy(scratch);
    }
}
