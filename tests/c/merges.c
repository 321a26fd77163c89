/* Merging on demand: what was overwritten gives its space back, and nothing else changes. */
#include "test.h"

#define KEYS 200

static uint64_t number(bitcask_t *db, const char *name) {
    uint64_t value = 0;
    EXPECT(BITCASK_OK, bitcask_stat_u64(db, name, &value, NULL));
    return value;
}

int main(void) {
    bitcask_t *db = open_store("{\"merge\": \"manual\", \"max_segment_bytes\": 65536}");
    bitcask_error err = BITCASK_ERROR_INIT;
    char value[1000], got[1000];
    uint64_t before, count;
    uint32_t key, round;
    size_t len;

    for (round = 1; round <= 5; round++) {
        memset(value, (int)round, sizeof value);
        for (key = 0; key < KEYS; key++) {
            EXPECT(BITCASK_OK, bitcask_put(db, &key, sizeof key, value, sizeof value, NULL));
        }
    }
    /* A thread of the library completes the segments behind the writer. */
    while (number(db, "rotations") < 5) {
        EXPECT(BITCASK_OK, bitcask_put(db, "more", 4, value, sizeof value, NULL));
    }
    before = number(db, "disk_bytes");

    EXPECT(BITCASK_E_INVALID, bitcask_merge(db, "{\"trigger_percent\": 101}", &err));
    CHECK(strstr(err.message, "trigger_percent") != NULL);
    EXPECT(BITCASK_E_INVALID, bitcask_merge(db, "[]", NULL));
    CHECK(number(db, "merges") == 0);

    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, &err));
    CHECK(number(db, "merges") > 0 && number(db, "merge_input_bytes") == 0);
    CHECK(number(db, "disk_bytes") < before);
    EXPECT(BITCASK_OK, bitcask_merge(db, "{\"bytes_per_second\": 1073741824}", &err));

    for (key = 0; key < KEYS; key++) {
        EXPECT(BITCASK_OK, bitcask_get_into(db, &key, sizeof key, got, sizeof got, &len, NULL));
        CHECK(len == sizeof value && memcmp(got, value, len) == 0);
    }
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == KEYS || count == KEYS + 1);
    close_store(db);

    db = open_store("{\"merge\": \"off\"}");
    EXPECT(BITCASK_E_INVALID, bitcask_merge(db, NULL, &err));
    CHECK(strstr(err.message, "off") != NULL);
    close_store(db);
    return 0;
}
