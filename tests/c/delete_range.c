/* Deletions of ranges: which keys, what is counted, and what is refused. */
#define _XOPEN_SOURCE 700
#include "test.h"

enum { ENTRIES = 2000 };

static void put_all(bitcask_t *db) {
    char key[8];
    unsigned i;

    for (i = 0; i < ENTRIES; i++) {
        sprintf(key, "%05u", i);
        EXPECT(BITCASK_OK, bitcask_put(db, key, 5, "value", 5, NULL));
    }
}

static void expect_count(const bitcask_t *db, uint64_t expected) {
    uint64_t count;
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == expected);
}

static void bounds(bitcask_t *db) {
    bitcask_iter_options range = BITCASK_ITER_OPTIONS_INIT;
    uint64_t deleted = 12345;

    range.lower = "00100";
    range.lower_len = 5;
    range.upper = "00110";
    range.upper_len = 5;
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &range, &deleted, NULL));
    CHECK(deleted == 10);
    EXPECT(BITCASK_OK, bitcask_exists(db, "00099", 5, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "00100", 5, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "00109", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_exists(db, "00110", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &range, &deleted, NULL));
    CHECK(deleted == 0);

    /* Prefix and bounds intersect. */
    range.prefix = "0011";
    range.prefix_len = 4;
    range.upper = "00115";
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &range, &deleted, NULL));
    CHECK(deleted == 5);
    expect_count(db, ENTRIES - 15);
}

static void everything(bitcask_t *db) {
    bitcask_iter_options all = BITCASK_ITER_OPTIONS_INIT;
    bitcask_snapshot_t *snapshot;
    uint64_t deleted;
    void *value;
    size_t len;

    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, NULL));
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &all, &deleted, NULL));
    CHECK(deleted == ENTRIES - 15);
    expect_count(db, 0);
    EXPECT(BITCASK_OK, bitcask_snapshot_get(snapshot, "00000", 5, &value, &len, NULL));
    bitcask_free(value);
    bitcask_snapshot_free(snapshot);
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &all, &deleted, NULL));
    CHECK(deleted == 0);
}

static void what_is_refused(bitcask_t *db) {
    bitcask_iter_options range = BITCASK_ITER_OPTIONS_INIT;
    bitcask_error err = BITCASK_ERROR_INIT;
    static char long_key[65537];
    uint64_t deleted = 12345;

    range.flags = BITCASK_ITER_REVERSE;
    EXPECT(BITCASK_E_INVALID, bitcask_delete_range(db, &range, &deleted, &err));
    CHECK(deleted == 0 && strstr(err.message, "range.flags is 0x1") == err.message);
    range.flags = 0;
    range.struct_size = 4;
    EXPECT(BITCASK_E_INVALID, bitcask_delete_range(db, &range, &deleted, &err));
    CHECK(strstr(err.message, "range.struct_size is 4") == err.message);
    range.struct_size = sizeof range;
    range.lower = long_key;
    range.lower_len = sizeof long_key;
    EXPECT(BITCASK_E_TOO_LARGE, bitcask_delete_range(db, &range, &deleted, &err));
    expect_count(db, 0);
}

int main(void) {
    bitcask_t *db = open_store("{\"max_segment_bytes\": 65536}");

    put_all(db);
    bounds(db);
    everything(db);
    what_is_refused(db);
    /* What was deleted stays deleted. */
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    expect_count(db, 0);
    close_store(db);
    return 0;
}
