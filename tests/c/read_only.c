/* A read-only handle reads everything and writes nothing. */
#include "test.h"

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_error err = BITCASK_ERROR_INIT;
    char value[8];
    char *json;
    size_t len;
    bitcask_iter_options everything = BITCASK_ITER_OPTIONS_INIT;
    uint64_t count = 12345;

    EXPECT(BITCASK_OK, bitcask_put_json(db, "k", 1, "[1]", 3, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, "{\"read_only\": true}", &db, NULL));

    EXPECT(BITCASK_E_READ_ONLY, bitcask_put(db, "k", 1, "v", 1, &err));
    CHECK(strstr(err.message, "read_only") != NULL);
    EXPECT(BITCASK_E_READ_ONLY, bitcask_delete(db, "k", 1, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_put_json(db, "k", 1, "{}", 2, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_patch_json(db, "k", 1, "{}", 2, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_put_with(db, "k", 1, "v", 1, NULL, NULL, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_delete_with(db, "k", 1, NULL, NULL, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_counter_add(db, "k", 1, 1, NULL, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_delete_range(db, &everything, &count, NULL));
    CHECK(count == 0);
    EXPECT(BITCASK_E_READ_ONLY, bitcask_apply(db, NULL, 0, "c", 1, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_expire(db, "k", 1, 1, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_persist(db, "k", 1, NULL));

    EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, value, sizeof value, &len, NULL));
    CHECK(len == 3 && memcmp(value, "[1]", 3) == 0);
    EXPECT(BITCASK_OK, bitcask_get_json(db, "k", 1, "/0", &json, NULL, NULL));
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_ttl(db, "k", 1, &count, NULL));
    CHECK(count == BITCASK_NO_TTL);
    EXPECT(BITCASK_OK, bitcask_get_version(db, "k", 1, NULL, NULL, &count, NULL, NULL));
    CHECK(count > 0);
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == 1);
    EXPECT(BITCASK_OK, bitcask_stats(db, &json, NULL, NULL));
    bitcask_free(json);

    close_store(db);
    return 0;
}
