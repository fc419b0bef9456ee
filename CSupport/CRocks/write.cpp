#ifdef CROCKS_ENABLED
#include "store.h"

#include <rocksdb/convenience.h>

using namespace crocks;

// Core's WriteBatch: kind u8, table u32, key length u32, value length u32, key, value; little-endian.
static constexpr size_t header_bytes = 13;
enum { PUT = 1, DELETE = 2, DROP = 3 };

namespace {

struct Operation {
    uint8_t kind;
    uint32_t table, key_length, value_length;
    const char *key;

    explicit Operation(const char *at) : kind(uint8_t(at[0])), key(at + header_bytes) {
        memcpy(&table, at + 1, 4);
        memcpy(&key_length, at + 5, 4);
        memcpy(&value_length, at + 9, 4);
    }
    size_t bytes() const { return header_bytes + size_t(key_length) + value_length; }
    std::string_view key_view() const { return {key, key_length}; }
    std::string_view value_view() const { return {key + key_length, value_length}; }
};

// What a key was before it is written: how long its value, if it is known to be there, and whether it is known at all.
struct Former {
    bool is_known;
    bool is_there;
    size_t value_bytes;
};

}  // namespace

const char *crocks_check(const void *operations, size_t length) {
    auto at = static_cast<const char *>(operations);
    while (length > 0) {
        if (length < header_bytes) return "a batch ends inside an operation";
        Operation operation(at);
        if (operation.bytes() > length) return "a batch ends inside an operation";
        if (operation.kind < PUT || operation.kind > DROP) return "an operation of a batch has an unknown kind";
        if (operation.table == 0) return "an operation of a batch names table 0";
        if (operation.kind != DROP && operation.key_length == 0) return "a key of a batch is empty";
        if (operation.key_length > CROCKS_KEY_BYTES_MAX) return "a key of a batch is longer than 16 MiB and 64 KiB";
        if (operation.value_length > CROCKS_VALUE_BYTES_MAX) return "a value of a batch is longer than 17 MiB";
        at += operation.bytes();
        length -= operation.bytes();
    }
    return nullptr;
}

// --- Applying

static Former former(crocks_store &store, Table &table, const Operation &operation, Slice full) {
    if (table.entries == 0 || (table.knows_ceiling && operation.key_view() > table.ceiling)) return {true, false, 0};
    if (table.resident) {
        auto row = table.resident->rows.find(operation.key_view());
        if (row != table.resident->rows.end())
            return {true, row->second.has_value(), row->second ? row->second->size() : 0};
        if (table.resident->is_complete) return {true, false, 0};
    }
    Slice waiting;
    if (auto found = store.find_waiting(full, &waiting))
        return {true, *found == CROCKS_OK, waiting.size()};
    PinnableSlice value;
    Status status = store.db->Get(loop_reads(), store.db->DefaultColumnFamily(), full, &value);
    if (status.ok()) return {true, true, value.size()};
    // An error shows when the job that writes looks again.
    return {status.IsNotFound(), false, 0};
}

static void apply_key(crocks_store &store, Generation &generation, const Operation &operation) {
    Table &table = store.make(operation.table);
    Slice full = store.full_key(operation.table, table.life, operation.key_view());
    Former before = former(store, table, operation, full);
    std::string_view key = operation.key_view();
    if (operation.kind == DELETE && before.is_known && !before.is_there) return;
    store.changed.insert(operation.table);
    if (!before.is_known) generation.blind.push_back({operation.table, table.life, std::string(key)});
    if (before.is_there) {
        table.entries -= 1;
        table.bytes -= int64_t(key.size() + before.value_bytes);
    }
    generation.operations++;
    if (operation.kind == DELETE) {
        generation.batch.Delete(full).PermitUncheckedError();
        if (table.resident) {
            if (table.resident->is_complete) table.resident->rows.erase(std::string(key));
            else table.resident->rows[std::string(key)] = std::nullopt;
        }
        return;
    }
    table.entries += 1;
    table.bytes += int64_t(key.size() + operation.value_length);
    if (table.knows_ceiling && key > table.ceiling) table.ceiling.assign(key);
    if (!table.floor.empty() && key < table.floor) table.floor.assign(key);
    std::string_view value = operation.value_view();
    generation.batch.Put(full, Slice(value.data(), value.size())).PermitUncheckedError();
    if (table.resident) table.resident->rows[std::string(key)] = std::string(value);
}

// Begins another life. What RocksDB calls a range delete is not used: `job_reads` says why.
static void drop(crocks_store &store, uint32_t number) {
    Table *table = store.find(number);
    if (!table || table->entries == 0) return;
    store.remains.push_back({prefix_of(number, table->life), store.applied + 1});
    table->entries = table->bytes = 0;
    table->life = ++store.lives;
    table->knows_ceiling = true;
    table->ceiling.clear();
    table->floor.clear();
    if (table->resident) {
        table->resident->rows.clear();
        table->resident->is_complete = true;
    }
    store.changed.insert(number);
}

void crocks_apply(crocks_store *store, const void *operations, size_t length) {
    crocks_release(store);
    Generation &generation = store->open_generation();
    auto at = static_cast<const char *>(operations);
    auto end = at + length;
    while (at < end) {
        Operation operation(at);
        if (operation.kind == DROP) drop(*store, operation.table);
        else apply_key(*store, generation, operation);
        at += operation.bytes();
    }
    generation.last = ++store->applied;
}

uint64_t crocks_applied(const crocks_store *store) { return store->applied; }

size_t crocks_unsealed_bytes(const crocks_store *store) { return store->generations.back()->batch.GetDataSize(); }

size_t crocks_waiting_bytes(const crocks_store *store) { return store->sealed_bytes + crocks_unsealed_bytes(store); }

void crocks_seal(crocks_store *store) {
    Generation &generation = store->open_generation();
    if (generation.last == 0 && store->changed.empty()) return;
    generation.last = store->applied;
    // Behind the index: nobody reads these but `crocks_open`.
    rocksdb::WriteBatch *batch = generation.batch.GetWriteBatch();
    for (uint32_t number : store->changed) {
        Table *table = store->find(number);
        if (table && (table->entries > 0 || table->resident)) {
            batch->Put(table_key(number), encode_table(*table)).PermitUncheckedError();
        } else {
            batch->Delete(table_key(number)).PermitUncheckedError();
            // A table that is not known is an empty one. Corrections that are still to come are of an earlier life.
            store->tables.erase(number);
        }
    }
    store->changed.clear();
    for (; store->remains_noted < store->remains.size(); store->remains_noted++)
        batch->Put(remains_key(store->remains[store->remains_noted].prefix), Slice()).PermitUncheckedError();
    batch->Put(lives_key(), encode_number(store->lives)).PermitUncheckedError();
    batch->Put(mark_key(), encode_number(generation.last)).PermitUncheckedError();
    generation.is_sealed = true;
    store->sealed_bytes += generation.batch.GetDataSize();
    store->generations.push_back(std::make_unique<Generation>());
}

// --- Writing

struct crocks_write {
    crocks_store *store;
    std::vector<Generation *> generations;
};

crocks_write *crocks_write_begin(crocks_store *store) {
    crocks_seal(store);
    auto write = std::make_unique<crocks_write>();
    write->store = store;
    for (auto &generation : store->generations)
        if (generation->is_sealed) write->generations.push_back(generation.get());
    return write->generations.empty() ? nullptr : write.release();
}

uint64_t crocks_write_last(const crocks_write *write) { return write->generations.back()->last; }

// Finds out what was there of the keys that were written blindly.
static Status count_blind(rocksdb::DB &db, Generation &generation) {
    // Once it may be written, what is there may be its own.
    if (generation.is_counted) return Status::OK();
    generation.corrections.clear();
    for (const BlindWrite &write : generation.blind) {
        PinnableSlice value;
        ReadOptions options = job_reads();
        options.fill_cache = false;
        Status status = db.Get(options, db.DefaultColumnFamily(), prefix_of(write.table, write.life) + write.key, &value);
        if (status.IsNotFound()) continue;
        if (!status.ok()) return status;
        generation.corrections.push_back({write.table, write.life, -1, -int64_t(write.key.size() + value.size())});
    }
    generation.is_counted = true;
    return Status::OK();
}

crocks_status crocks_write_run(crocks_write *write, crocks_properties *properties, crocks_error *error) {
    rocksdb::DB &db = *write->store->db;
    Status status;
    for (Generation *generation : write->generations) {
        status = count_blind(db, *generation);
        if (!status.ok()) break;
        rocksdb::WriteOptions options;
        options.sync = generation == write->generations.back();
        status = db.Write(options, generation->batch.GetWriteBatch());
        if (!status.ok()) break;
    }
    // Without the sync of the last none of them is durable: all are written again.
    if (status.ok())
        for (Generation *generation : write->generations) generation->is_written = true;
    crocks_get_properties(write->store, properties);
    crocks_status result = status_of(status, error);
    return result == CROCKS_ABSENT || result == CROCKS_NOT_RESIDENT ? CROCKS_FAILED : result;
}

void crocks_write_end(crocks_store *store, crocks_write *write) {
    delete write;
    while (store->generations.front()->is_written) {
        Generation &generation = *store->generations.front();
        for (const Correction &correction : generation.corrections) {
            Table *table = store->find(correction.table);
            if (!table || table->life != correction.life) continue;
            table->entries += correction.entries;
            table->bytes += correction.bytes;
            store->changed.insert(correction.table);
        }
        store->written = generation.last;
        store->sealed_bytes -= generation.batch.GetDataSize();
        store->generations.pop_front();
    }
}

// --- Removing what is left of tables that were dropped

struct crocks_sweep {
    rocksdb::DB *db;
    std::string prefix;
    bool is_through = false;
};

crocks_sweep *crocks_sweep_begin(crocks_store *store) {
    if (store->remains.empty() || store->remains.front().batch > store->written) return nullptr;
    auto sweep = std::make_unique<crocks_sweep>();
    sweep->db = store->db.get();
    sweep->prefix = store->remains.front().prefix;
    return sweep.release();
}

crocks_status crocks_sweep_run(crocks_sweep *sweep, size_t rows_max, crocks_error *error) {
    TableBounds bounds(sweep->prefix);
    // Whole files first: nothing is ever written to this life again.
    Status status = rocksdb::DeleteFilesInRange(
        sweep->db, sweep->db->DefaultColumnFamily(), &bounds.lower_slice, &bounds.upper_slice, false);
    ReadOptions options = bounds.options(job_reads());
    options.fill_cache = false;
    std::unique_ptr<Iterator> iterator(sweep->db->NewIterator(options));
    rocksdb::WriteBatch batch;
    size_t rows = 0;
    for (iterator->SeekToFirst(); status.ok() && iterator->Valid() && rows < rows_max; iterator->Next()) {
        batch.Delete(iterator->key()).PermitUncheckedError();
        rows++;
    }
    sweep->is_through = status.ok() && iterator->status().ok() && !iterator->Valid();
    if (status.ok()) status = iterator->status();
    if (sweep->is_through) batch.Delete(remains_key(sweep->prefix)).PermitUncheckedError();
    if (status.ok()) status = sweep->db->Write(rocksdb::WriteOptions(), &batch);
    if (!status.ok()) sweep->is_through = false;
    return status_of(status, error);
}

void crocks_sweep_end(crocks_store *store, crocks_sweep *sweep) {
    if (sweep->is_through) {
        store->remains.pop_front();
        store->remains_noted--;
    }
    delete sweep;
}

void crocks_resume(crocks_store *store) { store->db->Resume().PermitUncheckedError(); }
#endif
