/* Writes with options, and what tells versions and deadlines: answers, outputs, and what is refused. */
#include "test.h"

static bitcask_write_options with(uint32_t flags, uint64_t ttl_ms, uint64_t expected_version) {
    bitcask_write_options options = BITCASK_WRITE_OPTIONS_INIT;
    options.flags = flags;
    options.ttl_ms = ttl_ms;
    options.expected_version = expected_version;
    return options;
}

#define REFUSED(what, call)                                                    \
    do {                                                                       \
        EXPECT(BITCASK_E_INVALID, (call));                                     \
        if (strstr(bitcask_last_error(), (what)) == NULL) {                    \
            fprintf(stderr, "%d: no %s in: %s\n", __LINE__, (what), bitcask_last_error()); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static void versions(bitcask_t *db) {
    bitcask_write_options options = with(BITCASK_WRITE_EXPECT, 0, 0);
    uint64_t first, second, version = 12345, ttl_ms = 12345;
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    void *value = MARKED_POINTER;
    size_t len = MARKED_SIZE;

    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "1", 1, &options, &first, NULL));
    CHECK(first > 0);
    EXPECT(BITCASK_CONFLICT, bitcask_put_with(db, "k", 1, "2", 1, &options, &version, NULL));
    CHECK(version == first);
    EXPECT(BITCASK_CONFLICT, bitcask_put_with(db, "k", 1, "2", 1, &options, NULL, NULL));
    options.expected_version = first;
    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "2", 1, &options, &second, NULL));
    CHECK(second > first);

    EXPECT(BITCASK_OK, bitcask_get_version(db, "k", 1, &value, &len, &version, &ttl_ms, NULL));
    CHECK(len == 1 && memcmp(value, "2", 2) == 0 && version == second && ttl_ms == BITCASK_NO_TTL);
    bitcask_free(value);
    len = MARKED_SIZE;
    EXPECT(BITCASK_OK, bitcask_get_version(db, "k", 1, NULL, &len, &version, NULL, NULL));
    CHECK(len == 0 && version == second);
    value = MARKED_POINTER;
    EXPECT(BITCASK_NOT_FOUND, bitcask_get_version(db, "none", 4, &value, &len, &version, &ttl_ms, NULL));
    CHECK(value == NULL && len == 0 && version == 0 && ttl_ms == 0);

    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "3", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_snapshot_get_version(snapshot, "k", 1, &value, &len, &version, &ttl_ms, NULL));
    CHECK(len == 1 && memcmp(value, "2", 2) == 0 && version == second && ttl_ms == BITCASK_NO_TTL);
    bitcask_free(value);
    EXPECT(BITCASK_OK, bitcask_snapshot_get_version(snapshot, "k", 1, NULL, NULL, &version, NULL, NULL));
    CHECK(version == second);
    EXPECT(BITCASK_NOT_FOUND,
           bitcask_snapshot_get_version(snapshot, "none", 4, &value, &len, &version, NULL, NULL));
    CHECK(value == NULL && version == 0);
    EXPECT(BITCASK_OK, bitcask_iter_new(db, snapshot, NULL, &iter, NULL));
    CHECK(bitcask_iter_version(iter) == 0);
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
    CHECK(bitcask_iter_version(iter) == second);
    EXPECT(BITCASK_DONE, bitcask_iter_next(iter, NULL));
    CHECK(bitcask_iter_version(iter) == 0);
    bitcask_iter_free(iter);
    bitcask_snapshot_free(snapshot);

    options.expected_version = second;
    EXPECT(BITCASK_CONFLICT, bitcask_delete_with(db, "k", 1, &options, &version, NULL));
    CHECK(version > second);
    options.expected_version = version;
    EXPECT(BITCASK_OK, bitcask_delete_with(db, "k", 1, &options, &second, NULL));
    CHECK(second > version);
    version = 12345;
    EXPECT(BITCASK_CONFLICT, bitcask_delete_with(db, "k", 1, &options, &version, NULL));
    CHECK(version == 0);
    version = 12345;
    EXPECT(BITCASK_NOT_FOUND, bitcask_delete_with(db, "k", 1, NULL, &version, NULL));
    CHECK(version == 0);
}

static void batches(bitcask_t *db) {
    bitcask_write_options options = with(BITCASK_WRITE_TTL, 60000, 0);
    bitcask_batch_t *batch;
    uint64_t version, current, ttl_ms;

    EXPECT(BITCASK_OK, bitcask_put_with(db, "guard", 5, "", 0, NULL, &version, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "a", 1, "1", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_expect(batch, "a", 1, 0, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_expect(batch, "guard", 5, version + 1, NULL));
    EXPECT(BITCASK_CONFLICT, bitcask_batch_write_with(db, batch, &options, &current, NULL));
    CHECK(current == version);
    EXPECT(BITCASK_CONFLICT, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "a", 1, NULL));

    /* It was not emptied: it succeeds when what it expects has come. */
    bitcask_batch_clear(batch);
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "a", 1, "1", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "b", 1, "1", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_expect(batch, "c", 1, 0, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "c", 1, "", 0, NULL));
    EXPECT(BITCASK_CONFLICT, bitcask_batch_write_with(db, batch, &options, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_delete(db, "c", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write_with(db, batch, &options, &version, NULL));
    EXPECT(BITCASK_OK, bitcask_get_version(db, "b", 1, NULL, NULL, &current, &ttl_ms, NULL));
    CHECK(current == version && ttl_ms <= 60000 && ttl_ms > 50000);
    /* It was emptied of everything: nothing is expected of "c". */
    EXPECT(BITCASK_OK, bitcask_put(db, "c", 1, "", 0, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write_with(db, batch, NULL, &version, NULL));

    REFUSED("options.flags is 0x2", (options.flags = BITCASK_WRITE_EXPECT,
                                     bitcask_batch_write_with(db, batch, &options, NULL, NULL)));
    bitcask_batch_free(batch);
}

static void refused_options(bitcask_t *db) {
    bitcask_write_options options = with(0x40, 0, 0);
    union {
        bitcask_write_options options;
        unsigned char bytes[64];
    } longer;
    uint64_t version = 12345;

    REFUSED("options.flags is 0x40", bitcask_put_with(db, "k", 1, "", 0, &options, &version, NULL));
    CHECK(version == 0);
    options.flags = BITCASK_WRITE_TTL;
    REFUSED("options.flags is 0x1", bitcask_delete_with(db, "k", 1, &options, NULL, NULL));
    options.flags = BITCASK_WRITE_JSON;
    REFUSED("options.flags is 0x4", bitcask_delete_with(db, "k", 1, &options, NULL, NULL));
    options.struct_size = 0;
    REFUSED("options.struct_size is 0", bitcask_put_with(db, "k", 1, "", 0, &options, NULL, NULL));
    options.struct_size = sizeof options - 1;
    REFUSED("options.struct_size is 23", bitcask_put_with(db, "k", 1, "", 0, &options, NULL, NULL));

    /* A structure of a later version may be longer, as long as what is unknown is not used. */
    memset(&longer, 0, sizeof longer);
    longer.options.struct_size = sizeof longer;
    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "", 0, &longer.options, NULL, NULL));
    longer.bytes[63] = 1;
    REFUSED("options has something at byte 63", bitcask_put_with(db, "k", 1, "", 0, &longer.options, NULL, NULL));

    options = with(BITCASK_WRITE_JSON, 0, 0);
    EXPECT(BITCASK_E_NOT_JSON, bitcask_put_with(db, "k", 1, "{", 1, &options, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "{}", 2, &options, NULL, NULL));
}

static void deadlines(bitcask_t *db) {
    bitcask_write_options options = with(BITCASK_WRITE_TTL, 60000, 0);
    uint64_t ttl_ms = 12345;

    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "v", 1, &options, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &ttl_ms, NULL));
    CHECK(ttl_ms <= 60000 && ttl_ms > 50000);
    EXPECT(BITCASK_OK, bitcask_expire(db, "k", 1, 90000, NULL));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &ttl_ms, NULL));
    CHECK(ttl_ms <= 90000 && ttl_ms > 80000);
    EXPECT(BITCASK_OK, bitcask_expire(db, "k", 1, UINT64_MAX, NULL));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &ttl_ms, NULL));
    CHECK(ttl_ms > 90000 && ttl_ms < BITCASK_NO_TTL);
    EXPECT(BITCASK_OK, bitcask_persist(db, "k", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_persist(db, "k", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &ttl_ms, NULL));
    CHECK(ttl_ms == BITCASK_NO_TTL);
    REFUSED("ttl_ms is 0", bitcask_expire(db, "k", 1, 0, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_expire(db, "none", 4, 1, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_persist(db, "none", 4, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_ttl(db, "none", 4, &ttl_ms, NULL));
    CHECK(ttl_ms == 0);
}

static void a_default(void) {
    bitcask_write_options options = with(BITCASK_WRITE_TTL, 0, 0);
    bitcask_t *db = open_store("{\"default_ttl_ms\": 70000}"), *other;
    uint64_t ttl_ms;

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &ttl_ms, NULL));
    CHECK(ttl_ms <= 70000 && ttl_ms > 60000);
    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "v", 1, &options, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &ttl_ms, NULL));
    CHECK(ttl_ms == BITCASK_NO_TTL);
    REFUSED("default_ttl_ms", bitcask_open(test_path, "{\"default_ttl_ms\": -1}", &other, NULL));
    close_store(db);
}

static void counters(bitcask_t *db) {
    int64_t value = 12345;
    unsigned char bytes[8];
    size_t len;

    EXPECT(BITCASK_OK, bitcask_counter_add(db, "count", 5, -2, &value, NULL));
    CHECK(value == -2);
    EXPECT(BITCASK_OK, bitcask_get_into(db, "count", 5, bytes, sizeof bytes, &len, NULL));
    CHECK(len == 8 && bytes[0] == 0xFE && bytes[7] == 0xFF);
    EXPECT(BITCASK_OK, bitcask_counter_add(db, "count", 5, 300, &value, NULL));
    CHECK(value == 298);
    REFUSED("298 and 9223372036854775807", bitcask_counter_add(db, "count", 5, INT64_MAX, &value, NULL));
    CHECK(value == 0);
    EXPECT(BITCASK_OK, bitcask_put(db, "count", 5, "seven..", 7, NULL));
    REFUSED("7 bytes", bitcask_counter_add(db, "count", 5, 1, &value, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, "count", 5, bytes, sizeof bytes, &len, NULL));
    CHECK(len == 7);
}

int main(void) {
    bitcask_t *db = open_store(NULL);

    versions(db);
    batches(db);
    refused_options(db);
    counters(db);
    deadlines(db);
    close_store(db);
    a_default();
    return 0;
}
