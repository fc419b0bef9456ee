#include "CBSON.h"
#include <string.h>
int cbson_validate(const void *bytes, size_t size, int depth_max, size_t *offset) { (void)bytes; (void)size; (void)depth_max; *offset = 0; return 0; }
const char *cbson_status_text(int status) { (void)status; return "invalid"; }
int cbson_compare_values(uint8_t ta, const void *a, uint8_t tb, const void *b) { (void)a; (void)b; return (int)ta - (int)tb; }
int cbson_compare_documents(const void *a, const void *b) { (void)a; (void)b; return 0; }
size_t cbson_key_size_max(uint8_t type, const void *value) { (void)type; (void)value; return 16; }
size_t cbson_key_append(uint8_t type, const void *value, bool descending, uint8_t *out) { (void)value; (void)descending; out[0] = type; return 1; }
