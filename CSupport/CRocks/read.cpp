#ifdef CROCKS_ENABLED
#include "store.h"

using namespace crocks;

std::optional<crocks_status> crocks_store::find_waiting(Slice full, Slice *value) {
    for (auto place = generations.rbegin(); place != generations.rend(); ++place) {
        Generation &generation = **place;
        if (generation.operations > 0) {
            std::unique_ptr<rocksdb::WBWIIterator> iterator(generation.batch.NewIterator());
            iterator->Seek(full);
            if (iterator->Valid()) {
                rocksdb::WriteEntry entry = iterator->Entry();
                if (entry.key == full) {
                    if (entry.type != rocksdb::kPutRecord) return CROCKS_ABSENT;
                    *value = entry.value;
                    return CROCKS_OK;
                }
            }
        }
    }
    return std::nullopt;
}

crocks_status crocks_get(
    crocks_store *store, uint32_t number, crocks_bytes key, crocks_bytes *value, crocks_error *error) {
    Table *table = store->find(number);
    // The count is never too small.
    if (!table || table->entries == 0) return CROCKS_ABSENT;
    if (table->resident) {
        auto row = table->resident->rows.find(view(key));
        if (row != table->resident->rows.end()) {
            if (!row->second) return CROCKS_ABSENT;
            *value = bytes_of(*row->second);
            return CROCKS_OK;
        }
        return table->resident->is_complete ? CROCKS_ABSENT : CROCKS_NOT_RESIDENT;
    }
    Slice full = store->full_key(number, table->life, view(key));
    Slice waiting;
    if (auto found = store->find_waiting(full, &waiting)) {
        *value = bytes_of(view(waiting));
        return *found;
    }
    PinnableSlice *pin = store->next_pin();
    Status status = store->db->Get(loop_reads(), store->db->DefaultColumnFamily(), full, pin);
    *value = bytes_of(view(*pin));
    return status_of(status, error);
}

void crocks_release(crocks_store *store) {
    for (size_t index = 0; index < store->pins_used; index++) store->pins[index]->Reset();
    store->pins_used = 0;
    if (store->pins.size() > 1024) store->pins.resize(1024);
    store->arena.clear();
}

void crocks_count(crocks_store *store, uint32_t number, int64_t *entries, int64_t *bytes) {
    Table *table = store->find(number);
    *entries = table ? table->entries : 0;
    *bytes = table ? table->bytes : 0;
}

// --- Scans

// The rows of a table, those that are not written yet in place of those that are.
static std::unique_ptr<Iterator> open_scan(crocks_store &store, const ReadOptions &options) {
    auto column = store.db->DefaultColumnFamily();
    std::unique_ptr<Iterator> iterator(store.db->NewIterator(options, column));
    for (auto &generation : store.generations) {
        if (generation->operations == 0) continue;
        iterator.reset(generation->batch.NewIteratorWithBase(column, iterator.release(), &options));
    }
    return iterator;
}

static crocks_status scan_resident(
    Resident &resident, crocks_bound kind, std::string_view bound, bool backward, crocks_row *rows, size_t capacity,
    size_t *filled) {
    if (!resident.is_complete) return CROCKS_NOT_RESIDENT;
    auto add = [&](const auto &row) {
        rows[(*filled)++] = {bytes_of(row.first), bytes_of(*row.second)};
        return *filled < capacity;
    };
    if (backward) {
        auto place = kind == CROCKS_START       ? resident.rows.end()
                     : kind == CROCKS_INCLUDING ? resident.rows.upper_bound(bound)
                                                : resident.rows.lower_bound(bound);
        while (place != resident.rows.begin() && add(*--place)) {}
    } else {
        auto place = kind == CROCKS_START       ? resident.rows.begin()
                     : kind == CROCKS_INCLUDING ? resident.rows.lower_bound(bound)
                                                : resident.rows.upper_bound(bound);
        while (place != resident.rows.end() && add(*place)) ++place;
    }
    return CROCKS_OK;
}

static void seek(Iterator &iterator, crocks_bound kind, Slice full, const TableBounds &bounds, bool backward) {
    if (kind == CROCKS_START) {
        // No key is as short as these: there is nothing at the end of a table.
        if (backward) iterator.SeekForPrev(bounds.upper);
        else iterator.Seek(full);
        return;
    }
    if (backward) iterator.SeekForPrev(full);
    else iterator.Seek(full);
    if (kind == CROCKS_BEHIND && iterator.Valid() && iterator.key() == full) {
        if (backward) iterator.Prev();
        else iterator.Next();
    }
}

crocks_status crocks_scan(
    crocks_store *store, uint32_t number, crocks_bound kind, crocks_bytes bound, bool backward, crocks_row *rows,
    size_t capacity, size_t *budget, size_t *filled, crocks_error *error) {
    *filled = 0;
    Table *table = store->find(number);
    if (!table || table->entries == 0 || capacity == 0) return CROCKS_OK;
    if (table->resident)
        return scan_resident(*table->resident, kind, view(bound), backward, rows, capacity, filled);

    bool starts_at_floor = false;
    if (!backward) {
        if (kind == CROCKS_START) {
            starts_at_floor = true;
            bound = bytes_of(table->floor);
        } else if (!table->floor.empty() && view(bound) <= table->floor) {
            starts_at_floor = kind == CROCKS_INCLUDING || view(bound) < table->floor;
            if (starts_at_floor) {
                kind = CROCKS_INCLUDING;
                bound = bytes_of(table->floor);
            }
        }
    }
    TableBounds bounds(prefix_of(number, table->life));
    ReadOptions options = bounds.options(loop_reads());
    std::unique_ptr<Iterator> iterator = open_scan(*store, options);
    seek(*iterator, kind, store->full_key(number, table->life, view(bound)), bounds, backward);
    while (iterator->Valid() && iterator->key().starts_with(bounds.lower_slice)) {
        if (*filled == capacity) break;
        Slice key = iterator->key();
        key.remove_prefix(prefix_bytes);
        size_t size = key.size() + iterator->value().size();
        if (size > *budget && *filled > 0) return CROCKS_NOT_RESIDENT;
        *budget -= std::min(size, *budget);
        rows[*filled].key = bytes_of(store->arena.copy(key));
        rows[*filled].value = bytes_of(store->arena.copy(iterator->value()));
        if (*filled == 0 && starts_at_floor) table->floor.assign(key.data(), key.size());
        if (++*filled == capacity) return CROCKS_OK;
        if (backward) iterator->Prev();
        else iterator->Next();
    }
    return iterator->Valid() ? CROCKS_OK : status_of(iterator->status(), error);
}
#endif
