// What the parts of the store share. Not for anybody else.
#pragma once
#include "CRocks.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/write_batch_with_index.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace crocks {

using rocksdb::Iterator;
using rocksdb::PinnableSlice;
using rocksdb::ReadOptions;
using rocksdb::Slice;
using rocksdb::Status;

constexpr size_t prefix_bytes = 8;

inline void append_number(std::string &to, uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(char(number >> shift & 0xFF));
}

// Where the keys of a table begin in one of its lives; those of the next one begin where they end. Table 0, which is the
// store's own, has one life.
inline std::string prefix_of(uint32_t table, uint32_t life) {
    std::string prefix;
    append_number(prefix, table);
    append_number(prefix, life);
    return prefix;
}

inline std::string_view view(Slice slice) { return {slice.data(), slice.size()}; }
inline crocks_bytes bytes_of(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
inline std::string_view view(crocks_bytes bytes) {
    return {static_cast<const char *>(bytes.start), bytes.start ? bytes.count : 0};
}

crocks_status status_of(const Status &status, crocks_error *error);

// A table that is kept in memory. Until it is complete it has what was written since somebody asked for that, and notes
// what was deleted.
struct Resident {
    bool is_complete = false;
    std::map<std::string, std::optional<std::string>, std::less<>> rows;
};

// What is known of a table without reading it.
struct Table {
    // Never too small.
    int64_t entries = 0;
    int64_t bytes = 0;
    // A table that is dropped begins another, whose keys begin otherwise.
    uint32_t life = 0;
    // No key is larger; what is put behind it is new. Not known of a table whose keys are long.
    bool knows_ceiling = true;
    std::string ceiling;
    // No key is smaller, where this is not empty: a queue's deleted keys are not walked over again and again.
    std::string floor;
    std::unique_ptr<Resident> resident;
};

// What a table has more, or less, than was counted.
struct Correction {
    uint32_t table;
    uint32_t life;
    int64_t entries;
    int64_t bytes;
};

// A key that was written while it was not known whether it is there.
struct BlindWrite {
    uint32_t table;
    uint32_t life;
    std::string key;
};

// Batches that are written together, and that reads look through until they are.
struct Generation {
    rocksdb::WriteBatchWithIndex batch{rocksdb::BytewiseComparator(), 0, true};
    std::vector<BlindWrite> blind;
    std::vector<Correction> corrections;
    uint64_t last = 0;
    size_t operations = 0;
    bool is_counted = false;
    bool is_sealed = false;
    bool is_written = false;
};

// A life that is over: its rows are still to be removed.
struct Remains {
    std::string prefix;
    // The batch that ended it; nothing is removed before that is written.
    uint64_t batch;
};

// The bounds of a table for iterators, at an address that stays.
struct TableBounds {
    std::string lower, upper;
    Slice lower_slice, upper_slice;

    explicit TableBounds(const std::string &prefix)
        : lower(prefix), upper(prefix), lower_slice(lower), upper_slice(upper) {
        for (size_t index = upper.size(); index-- > 0;)
            if (uint8_t(++upper[index]) != 0) break;
    }
    TableBounds(const TableBounds &) = delete;
    ReadOptions options(ReadOptions base) const {
        base.iterate_lower_bound = &lower_slice;
        base.iterate_upper_bound = &upper_slice;
        return base;
    }
};

// A place in a table. As long as it is held, the blocks that it stands on are in memory.
struct HeldScan {
    TableBounds bounds;
    std::unique_ptr<Iterator> iterator;
    explicit HeldScan(const std::string &prefix) : bounds(prefix) {}
};

// Memory for rows, which stays where it is until all of it is given back.
class Arena {
  public:
    std::string_view copy(Slice bytes) {
        if (left < bytes.size() || pieces.empty()) {
            left = std::max(piece_bytes, bytes.size());
            pieces.push_back(std::make_unique<char[]>(left));
            at = pieces.back().get();
        }
        char *start = at;
        memcpy(start, bytes.data(), bytes.size());
        at += bytes.size();
        left -= bytes.size();
        return {start, bytes.size()};
    }
    void clear() {
        pieces.clear();
        left = 0;
    }

  private:
    static constexpr size_t piece_bytes = 64 * 1024;
    std::vector<std::unique_ptr<char[]>> pieces;
    char *at = nullptr;
    size_t left = 0;
};

ReadOptions loop_reads();
ReadOptions job_reads();

}  // namespace crocks

struct crocks_store {
    std::unique_ptr<rocksdb::DB> db;
    std::shared_ptr<rocksdb::Cache> cache;
    uint64_t number = 0;
    uint64_t applied = 0;

    std::unordered_map<uint32_t, crocks::Table> tables;
    uint32_t lives = 0;
    // Tables whose counts are not as they were written last.
    std::set<uint32_t> changed;
    // Oldest first. Those that the batch that is being filled has ended are not written down yet.
    std::deque<crocks::Remains> remains;
    size_t remains_noted = 0;
    // The last batch that was written.
    uint64_t written = 0;

    // Oldest first; the last takes what is applied. Never empty.
    std::deque<std::unique_ptr<crocks::Generation>> generations;
    size_t sealed_bytes = 0;

    // What reads have handed out.
    std::vector<std::unique_ptr<crocks::PinnableSlice>> pins;
    size_t pins_used = 0;
    crocks::Arena arena;
    std::string key;

    std::deque<std::unique_ptr<crocks::PinnableSlice>> prefetched;
    std::deque<std::unique_ptr<crocks::HeldScan>> held_scans;

    crocks::Generation &open_generation() { return *generations.back(); }
    crocks::Table *find(uint32_t table) {
        auto found = tables.find(table);
        return found == tables.end() ? nullptr : &found->second;
    }
    crocks::Table &make(uint32_t table) {
        auto [place, is_new] = tables.try_emplace(table);
        if (is_new) place->second.life = ++lives;
        return place->second;
    }
    // The key as the library knows it; valid until the next call.
    crocks::Slice full_key(uint32_t table, uint32_t life, std::string_view bytes) {
        key.clear();
        crocks::append_number(key, table);
        crocks::append_number(key, life);
        key.append(bytes);
        return key;
    }
    crocks::PinnableSlice *next_pin() {
        if (pins_used == pins.size()) pins.push_back(std::make_unique<crocks::PinnableSlice>());
        return pins[pins_used++].get();
    }
    // Whether a key is in the generations, and with which value; absent when it was deleted there, nothing when they do
    // not say.
    std::optional<crocks_status> find_waiting(crocks::Slice full, crocks::Slice *value);
};

namespace crocks {

// The records of the store itself, in table 0.
std::string number_key();
std::string mark_key();
std::string lives_key();
std::string table_key(uint32_t table);
std::string remains_key(const std::string &prefix);
std::string encode_number(uint64_t number);
std::string encode_table(const Table &table);
// False when it is no such record.
bool decode_number(Slice bytes, uint64_t *number);
bool decode_table(Slice bytes, Table *table, bool *is_resident);
// False for the key of another record.
bool decode_table_key(Slice key, uint32_t *table);
bool decode_remains_key(Slice key, std::string *prefix);

}  // namespace crocks
