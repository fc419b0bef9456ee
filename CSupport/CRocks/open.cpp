#ifdef CROCKS_ENABLED
#include "store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>

#include <algorithm>
#include <cstdio>

using namespace crocks;

namespace crocks {

// The library's own way back from a full disk waits until there is room for a whole write buffer and more, looks every five
// seconds, and keeps others from trying meanwhile. The writer of the store tries itself (`crocks_resume`).
struct NoRecoveryOfItsOwn : rocksdb::EventListener {
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, Status, bool *is_automatic) override { *is_automatic = false; }
};

crocks_status status_of(const Status &status, crocks_error *error) {
    if (status.ok()) return CROCKS_OK;
    if (status.IsNotFound()) return CROCKS_ABSENT;
    if (status.IsIncomplete()) return CROCKS_NOT_RESIDENT;
    if (error) snprintf(error->text, sizeof error->text, "%s", status.ToString().c_str());
    if (status.IsNoSpace() || status.subcode() == Status::kSpaceLimit) return CROCKS_FULL;
    if (status.IsCorruption()) return CROCKS_DAMAGED;
    if (status.IsNotSupported()) return CROCKS_UNKNOWN_FORMAT;
    return CROCKS_FAILED;
}

// Never gives the work of cleaning up to the loop. Range deletes, which are not used, are not looked for: where they are,
// iterators of RocksDB before 8.7 forget an error at the first block of a file, and leave its rows out (its pull request
// 11782). That a block is not in memory is such an error.
ReadOptions job_reads() {
    ReadOptions options;
    options.background_purge_on_iterator_cleanup = true;
    options.ignore_range_deletions = true;
    return options;
}

// Answers "incomplete" where a block is not in memory.
ReadOptions loop_reads() {
    ReadOptions options = job_reads();
    options.read_tier = rocksdb::kBlockCacheTier;
    return options;
}

}  // namespace crocks

// Blocks are small where the cache is: those of the keys that were prefetched last take no more than half of it.
static size_t block_bytes(size_t cache_bytes) { return std::clamp<size_t>(cache_bytes / 2048, 4 << 10, 16 << 10); }

static rocksdb::Options library_options(const crocks_options &options, std::shared_ptr<rocksdb::Cache> cache) {
    rocksdb::BlockBasedTableOptions blocks;
    blocks.block_cache = std::move(cache);
    blocks.block_size = block_bytes(options.cache_bytes);
    blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    // Indexes and filters of all files are in memory, beside the cache: a read misses data only.
    blocks.cache_index_and_filter_blocks = false;
    // What was just written is in memory also when its write buffer has become a file.
    blocks.prepopulate_block_cache = rocksdb::BlockBasedTableOptions::PrepopulateBlockCache::kFlushOnly;

    rocksdb::Options made;
    made.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
    made.create_if_missing = options.creates;
    made.paranoid_checks = true;
    // All files are opened when the store is, and when they are made: a read never opens one.
    made.max_open_files = -1;
    made.skip_stats_update_on_db_open = true;
    // Memory and files that the last reader leaves are given back by a thread of the library.
    made.avoid_unnecessary_blocking_io = true;
    made.write_buffer_size = options.write_buffer_bytes;
    made.max_write_buffer_number = 3;
    made.target_file_size_base = std::max<uint64_t>(options.write_buffer_bytes, 4 << 20);
    made.max_bytes_for_level_base = made.target_file_size_base * 4;
    made.level_compaction_dynamic_level_bytes = true;
    made.bytes_per_sync = 1 << 20;
    made.max_background_jobs = 2;
    made.listeners.push_back(std::make_shared<NoRecoveryOfItsOwn>());
    // Files full of deletes, as queues leave them, are compacted before a scan has to walk over them often.
    made.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(4096, 2048));
    // What comes behind a batch that is not whole never happened. That it was not durable is for the caller to know.
    made.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    auto supported = rocksdb::GetSupportedCompressions();
    bool has_lz4 = std::find(supported.begin(), supported.end(), rocksdb::kLZ4Compression) != supported.end();
    made.compression = has_lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
    made.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
    made.max_log_file_size = 1 << 20;
    made.keep_log_file_num = 2;
    made.stats_dump_period_sec = 0;
    made.stats_persist_period_sec = 0;
    return made;
}

static Status read_rows(rocksdb::DB &db, const std::string &prefix, Resident &resident) {
    TableBounds bounds(prefix);
    std::unique_ptr<Iterator> iterator(db.NewIterator(bounds.options(job_reads())));
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
        Slice key = iterator->key();
        key.remove_prefix(prefix_bytes);
        resident.rows.emplace(key.ToString(), iterator->value().ToString());
    }
    resident.is_complete = iterator->status().ok();
    return iterator->status();
}

static Status read_records(crocks_store &store) {
    PinnableSlice value;
    auto column = store.db->DefaultColumnFamily();
    Status status = store.db->Get(job_reads(), column, number_key(), &value);
    if (status.IsNotFound() || (status.ok() && !decode_number(value, &store.number)))
        return Status::Corruption("the record that names the store is missing");
    if (!status.ok()) return status;
    value.Reset();
    status = store.db->Get(job_reads(), column, mark_key(), &value);
    if (status.ok() && !decode_number(value, &store.applied))
        return Status::Corruption("the record of the last batch is not one");
    if (!status.ok() && !status.IsNotFound()) return status;
    value.Reset();
    uint64_t lives = 0;
    status = store.db->Get(job_reads(), column, lives_key(), &value);
    if (status.ok() && !decode_number(value, &lives))
        return Status::Corruption("the record of the lives of tables is not one");
    if (!status.ok() && !status.IsNotFound()) return status;
    store.lives = uint32_t(lives);
    TableBounds bounds(prefix_of(0, 0));
    std::unique_ptr<Iterator> iterator(store.db->NewIterator(bounds.options(job_reads())));
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
        uint32_t number;
        std::string remains;
        if (decode_remains_key(iterator->key(), &remains)) store.remains.push_back({remains, 0});
        if (!decode_table_key(iterator->key(), &number)) continue;
        Table &table = store.make(number);
        bool is_resident;
        if (!decode_table(iterator->value(), &table, &is_resident))
            return Status::Corruption("the record of table " + std::to_string(number) + " is not one");
        if (!is_resident) continue;
        table.resident = std::make_unique<Resident>();
        status = read_rows(*store.db, prefix_of(number, table.life), *table.resident);
        if (!status.ok()) return status;
    }
    store.remains_noted = store.remains.size();
    store.written = store.applied;
    return iterator->status();
}

// Whether everything that was durable can be read out of the library's log, before that is changed.
static Status check_log(const rocksdb::Options &library, const crocks_options &options) {
    rocksdb::DB *opened = nullptr;
    Status status = rocksdb::DB::OpenForReadOnly(library, options.directory, &opened);
    std::unique_ptr<rocksdb::DB> db(opened);
    if (!status.ok()) return status;
    std::string value;
    uint64_t last = 0;
    status = db->Get(job_reads(), mark_key(), &value);
    if (status.ok() && !decode_number(value, &last)) status = Status::Corruption("the record of the last batch is not one");
    if (!status.ok() && !status.IsNotFound()) return status;
    if (last >= options.durable) return Status::OK();
    return Status::Corruption(
        "batch " + std::to_string(options.durable) + " was durable, and the last that can be read is "
        + std::to_string(last));
}

crocks_store *crocks_open(const crocks_options *options, crocks_status *status, crocks_error *error) {
    auto store = std::make_unique<crocks_store>();
    // One shard without a part for blocks that were used before: what was prefetched last is then the last of all to go.
    store->cache = rocksdb::NewLRUCache(options->cache_bytes, 0, false, 0);
    rocksdb::Options library = library_options(*options, store->cache);
    Status opened;
    if (options->durable > 0) opened = check_log(library, *options);
    rocksdb::DB *db = nullptr;
    if (opened.ok()) opened = rocksdb::DB::Open(library, options->directory, &db);
    store->db.reset(db);
    if (opened.ok() && options->creates) {
        rocksdb::WriteOptions synced;
        synced.sync = true;
        opened = db->Put(synced, number_key(), encode_number(options->number));
    }
    if (opened.ok()) opened = read_records(*store);
    // What a library that is open has not got is not the caller's key.
    if (opened.IsNotFound() || opened.IsIncomplete()) opened = Status::Corruption(opened.ToString());
    *status = status_of(opened, error);
    if (!opened.ok()) return nullptr;
    store->generations.push_back(std::make_unique<Generation>());
    return store.release();
}

uint64_t crocks_number(const crocks_store *store) { return store->number; }
uint64_t crocks_last(const crocks_store *store) { return store->applied; }

void crocks_release_all(crocks_store *store) {
    crocks_release(store);
    store->pins.clear();
    store->prefetched.clear();
    store->held_scans.clear();
}

void crocks_close(crocks_store *store, bool flushes) {
    // What a flush would write is in the library's log, too.
    if (flushes) crocks_flush(store, nullptr);
    rocksdb::CancelAllBackgroundWork(store->db.get(), true);
    store->db->Close().PermitUncheckedError();
    delete store;
}

crocks_status crocks_flush(crocks_store *store, crocks_error *error) {
    return status_of(store->db->Flush(rocksdb::FlushOptions()), error);
}

void crocks_get_properties(crocks_store *store, crocks_properties *properties) {
    *properties = {};
    auto get = [&](const std::string &name, uint64_t *value) { store->db->GetIntProperty(name, value); };
    using Properties = rocksdb::DB::Properties;
    properties->cache_used_bytes = store->cache->GetUsage();
    properties->cache_pinned_bytes = store->cache->GetPinnedUsage();
    get(Properties::kSizeAllMemTables, &properties->write_buffer_bytes);
    get(Properties::kEstimateTableReadersMem, &properties->table_reader_bytes);
    get(Properties::kLiveSstFilesSize, &properties->file_bytes);
    get(Properties::kEstimatePendingCompactionBytes, &properties->pending_compaction_bytes);
    get(Properties::kNumRunningCompactions, &properties->running_compactions);
    get(Properties::kActualDelayedWriteRate, &properties->delayed_write_rate);
    get(Properties::kIsWriteStopped, &properties->is_write_stopped);
    get(Properties::kBackgroundErrors, &properties->background_errors);
    std::string files;
    if (store->db->GetProperty(Properties::kNumFilesAtLevelPrefix + "0", &files))
        properties->level0_files = strtoull(files.c_str(), nullptr, 10);
}
#endif
