#ifdef CROCKS_ENABLED
#include "store.h"

// Longer ceilings are not written down.
static constexpr size_t ceiling_bytes_max = 256;

namespace crocks {

static void append_long(std::string &to, uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) to.push_back(char(number >> shift & 0xFF));
}

static uint64_t load_long(const char *at) {
    uint64_t number = 0;
    for (int index = 7; index >= 0; index--) number = number << 8 | uint8_t(at[index]);
    return number;
}

std::string number_key() { return prefix_of(0, 0) + "s"; }
std::string lives_key() { return prefix_of(0, 0) + "l"; }
std::string mark_key() { return prefix_of(0, 0) + "m"; }

std::string table_key(uint32_t table) {
    std::string key = prefix_of(0, 0) + "t";
    append_number(key, table);
    return key;
}

bool decode_table_key(Slice key, uint32_t *table) {
    std::string start = prefix_of(0, 0) + "t";
    if (key.size() != start.size() + 4 || !key.starts_with(start)) return false;
    *table = 0;
    for (size_t index = start.size(); index < key.size(); index++) *table = *table << 8 | uint8_t(key[index]);
    return *table != 0;
}

std::string remains_key(const std::string &prefix) { return prefix_of(0, 0) + "r" + prefix; }

bool decode_remains_key(Slice key, std::string *prefix) {
    std::string start = prefix_of(0, 0) + "r";
    if (key.size() != start.size() + prefix_bytes || !key.starts_with(start)) return false;
    *prefix = key.ToString().substr(start.size());
    return true;
}

std::string encode_number(uint64_t number) {
    std::string bytes;
    append_long(bytes, number);
    return bytes;
}

bool decode_number(Slice bytes, uint64_t *number) {
    if (bytes.size() != 8) return false;
    *number = load_long(bytes.data());
    return true;
}

// Entries, bytes and life, little-endian, flags (1: kept in memory, 2: the ceiling is known), the ceiling.
std::string encode_table(const Table &table) {
    bool knows_ceiling = table.knows_ceiling && table.ceiling.size() <= ceiling_bytes_max;
    std::string bytes;
    append_long(bytes, uint64_t(table.entries));
    append_long(bytes, uint64_t(table.bytes));
    append_long(bytes, table.life);
    bytes.push_back(char((table.resident ? 1 : 0) | (knows_ceiling ? 2 : 0)));
    if (knows_ceiling) bytes += table.ceiling;
    return bytes;
}

bool decode_table(Slice bytes, Table *table, bool *is_resident) {
    if (bytes.size() < 25) return false;
    table->entries = int64_t(load_long(bytes.data()));
    table->bytes = int64_t(load_long(bytes.data() + 8));
    table->life = uint32_t(load_long(bytes.data() + 16));
    uint8_t flags = uint8_t(bytes[24]);
    *is_resident = flags & 1;
    table->knows_ceiling = flags & 2;
    table->ceiling.assign(bytes.data() + 25, bytes.size() - 25);
    return table->entries >= 0 && table->bytes >= 0 && flags < 4;
}

}  // namespace crocks
#endif
