#ifdef CROCKS_ENABLED
#include "store.h"

using namespace crocks;

// Places of scans that are held: those of the last prefetches.
static constexpr size_t held_scans_max = 32;
// Values that are held however large they are.
static constexpr size_t keys_min = 64;
// Rows that are looked at to find out where what is in memory ends.
static constexpr size_t rows_behind_max = 512;

void crocks_keep(crocks_store *store, uint32_t number) {
    Table &table = store->make(number);
    if (table.resident) return;
    table.resident = std::make_unique<Resident>();
    Resident &resident = *table.resident;
    resident.is_complete = table.entries == 0;
    store->changed.insert(number);
    if (resident.is_complete) return;
    // What is not written yet would be missed by the job that reads the table.
    std::string prefix = prefix_of(number, table.life);
    for (auto &generation : store->generations) {
        if (generation->operations == 0) continue;
        std::unique_ptr<rocksdb::WBWIIterator> iterator(generation->batch.NewIterator());
        for (iterator->Seek(prefix); iterator->Valid(); iterator->Next()) {
            rocksdb::WriteEntry entry = iterator->Entry();
            if (!entry.key.starts_with(prefix)) break;
            auto &row = resident.rows[entry.key.ToString().substr(prefix_bytes)];
            if (entry.type == rocksdb::kPutRecord) row = entry.value.ToString();
            else row = std::nullopt;
        }
    }
}

namespace {

struct Wanted {
    uint32_t table;
    std::string prefix;
    std::string key;
    int what;
    size_t scanned_bytes;
    // The table is to be read as a whole.
    bool is_table;
};

}  // namespace

struct crocks_prefetch {
    rocksdb::DB *db;
    std::vector<Wanted> wanted;
    std::vector<std::unique_ptr<PinnableSlice>> values;
    std::vector<std::unique_ptr<HeldScan>> scans;
    std::map<uint32_t, std::vector<std::pair<std::string, std::string>>> tables;
    std::string scanned;
};

crocks_prefetch *crocks_prefetch_begin(crocks_store *store) {
    auto prefetch = std::make_unique<crocks_prefetch>();
    prefetch->db = store->db.get();
    return prefetch.release();
}

void crocks_prefetch_add(
    crocks_store *store, crocks_prefetch *prefetch, uint32_t number, crocks_bytes key, int what, size_t scanned_bytes) {
    Table *table = store->find(number);
    if (!table) return;
    bool is_resident = table->resident != nullptr;
    if (is_resident && table->resident->is_complete) return;
    std::string start(view(key)), prefix = prefix_of(number, table->life);
    // A scan forward begins no earlier than there.
    if (what & CROCKS_FORWARD && start < table->floor) {
        prefetch->wanted.push_back({number, prefix, table->floor, CROCKS_FORWARD, scanned_bytes, is_resident});
        what &= ~CROCKS_FORWARD;
    }
    prefetch->wanted.push_back({number, prefix, std::move(start), what, scanned_bytes, is_resident});
}

static Status read_table(crocks_prefetch &prefetch, uint32_t number, const std::string &prefix) {
    TableBounds bounds(prefix);
    std::unique_ptr<Iterator> iterator(prefetch.db->NewIterator(bounds.options(job_reads())));
    auto &rows = prefetch.tables[number];
    rows.clear();
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
        Slice key = iterator->key();
        key.remove_prefix(prefix_bytes);
        rows.emplace_back(key.ToString(), iterator->value().ToString());
    }
    return iterator->status();
}

static void step(Iterator &iterator, bool backward) {
    if (backward) iterator.Prev();
    else iterator.Next();
}

static void seek(Iterator &iterator, const std::string &full, bool backward) {
    if (backward) iterator.SeekForPrev(full);
    else iterator.Seek(full);
}

// Reads on from a place, and finds out how far the loop can go then.
static Status read_ahead(crocks_prefetch &prefetch, const Wanted &wanted, const std::string &from, bool backward) {
    TableBounds bounds(wanted.prefix);
    ReadOptions options = bounds.options(job_reads());
    options.readahead_size = wanted.scanned_bytes;
    std::unique_ptr<Iterator> iterator(prefetch.db->NewIterator(options));
    std::string last = from;
    size_t read = 0;
    for (seek(*iterator, from, backward); iterator->Valid() && read < wanted.scanned_bytes; step(*iterator, backward)) {
        last = iterator->key().ToString();
        read += iterator->key().size() + iterator->value().size();
    }
    if (!iterator->status().ok()) return iterator->status();
    std::unique_ptr<Iterator> resident(prefetch.db->NewIterator(bounds.options(loop_reads())));
    size_t rows = 0;
    for (seek(*resident, last, backward); resident->Valid() && rows < rows_behind_max; step(*resident, backward)) {
        last = resident->key().ToString();
        rows++;
    }
    prefetch.scanned = last.substr(prefix_bytes);
    return Status::OK();
}

// Reads what a scan from a key meets first, and keeps it by standing there.
static Status scan(crocks_prefetch &prefetch, const Wanted &wanted, bool backward) {
    // At the key itself, which a scan comes by, and at the one behind it.
    for (bool steps : {false, true}) {
        auto held = std::make_unique<HeldScan>(wanted.prefix);
        held->iterator.reset(prefetch.db->NewIterator(held->bounds.options(job_reads())));
        Iterator &iterator = *held->iterator;
        std::string from = wanted.key.empty() && backward ? held->bounds.upper : held->bounds.lower + wanted.key;
        seek(iterator, from, backward);
        bool is_there = iterator.Valid() && iterator.key() == from;
        if (is_there && steps) step(iterator, backward);
        if (!iterator.status().ok()) return iterator.status();
        prefetch.scans.push_back(std::move(held));
        if (is_there && !steps) continue;
        if (!iterator.Valid() || wanted.scanned_bytes == 0) break;
        return read_ahead(prefetch, wanted, iterator.key().ToString(), backward);
    }
    return Status::OK();
}

crocks_status crocks_prefetch_run(crocks_prefetch *prefetch, crocks_error *error) {
    for (const Wanted &wanted : prefetch->wanted) {
        Status status;
        if (wanted.is_table) {
            status = read_table(*prefetch, wanted.table, wanted.prefix);
        } else {
            if (!wanted.key.empty()) {
                auto value = std::make_unique<PinnableSlice>();
                std::string full = wanted.prefix + wanted.key;
                status = prefetch->db->Get(job_reads(), prefetch->db->DefaultColumnFamily(), full, value.get());
                if (status.ok()) prefetch->values.push_back(std::move(value));
                if (status.IsNotFound()) status = Status::OK();
            }
            if (status.ok() && wanted.what & CROCKS_FORWARD) status = scan(*prefetch, wanted, false);
            if (status.ok() && wanted.what & CROCKS_BACKWARD) status = scan(*prefetch, wanted, true);
        }
        if (!status.ok()) {
            crocks_status result = status_of(status, error);
            return result == CROCKS_ABSENT || result == CROCKS_NOT_RESIDENT ? CROCKS_FAILED : result;
        }
    }
    return CROCKS_OK;
}

crocks_bytes crocks_prefetch_scanned(const crocks_prefetch *prefetch) { return bytes_of(prefetch->scanned); }

static void complete(crocks_store &store, uint32_t number, std::vector<std::pair<std::string, std::string>> &rows) {
    Table *table = store.find(number);
    if (!table || !table->resident || table->resident->is_complete) return;
    Resident &resident = *table->resident;
    // What was written since is newer.
    for (auto &row : rows) resident.rows.emplace(std::move(row.first), std::move(row.second));
    std::erase_if(resident.rows, [](const auto &row) { return !row.second; });
    resident.is_complete = true;
}

void crocks_prefetch_end(crocks_store *store, crocks_prefetch *prefetch, size_t keys_max, size_t bytes_max) {
    for (auto &[number, rows] : prefetch->tables) complete(*store, number, rows);
    for (auto &value : prefetch->values) store->prefetched.push_back(std::move(value));
    for (auto &scan : prefetch->scans) store->held_scans.push_back(std::move(scan));
    delete prefetch;
    while (store->held_scans.size() > held_scans_max) store->held_scans.pop_front();
    // A value holds its whole block: where they fill the cache, nothing could be read ahead.
    while (store->prefetched.size() > keys_max
           || (store->prefetched.size() > keys_min && store->cache->GetPinnedUsage() > bytes_max))
        store->prefetched.pop_front();
}

void crocks_forget_scans(crocks_store *store) { store->held_scans.clear(); }
#endif
