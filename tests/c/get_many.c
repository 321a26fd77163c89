/* bitcask_get_many at its edges. The example shows it in use. */
#include "test.h"

static void no_keys_at_all(bitcask_t *db) {
    void *values = NULL;
    EXPECT(BITCASK_OK, bitcask_get_many(db, NULL, NULL, 0, &values, NULL, NULL, NULL));
    CHECK(values != NULL && *(char *)values == '\0');
    bitcask_free(values);
}

static void keys_that_are_all_empty(bitcask_t *db) {
    size_t lens[3] = {0, 0, 0}, value_lens[3];
    bitcask_status statuses[3];
    void *values;

    EXPECT(BITCASK_OK, bitcask_put(db, NULL, 0, "nameless", 8, NULL));
    EXPECT(BITCASK_OK, bitcask_get_many(db, NULL, lens, 3, &values, value_lens, statuses, NULL));
    CHECK(memcmp(values, "namelessnamelessnameless", 25) == 0);
    CHECK(value_lens[0] == 8 && value_lens[1] == 8 && value_lens[2] == 8);
    bitcask_free(values);
}

static void one_bad_key_is_no_harm_to_the_others(bitcask_t *db) {
    static char keys[1 + 65537 + 1];
    size_t lens[3] = {1, 65537, 1}, value_lens[3] = {9, 9, 9};
    bitcask_status statuses[3];
    bitcask_error err = BITCASK_ERROR_INIT;
    void *values;

    memset(keys, 'k', sizeof keys);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_get_many(db, keys, lens, 3, &values, value_lens, statuses, &err));
    CHECK(statuses[0] == BITCASK_OK && statuses[2] == BITCASK_OK);
    CHECK(statuses[1] == BITCASK_E_TOO_LARGE && value_lens[1] == 0);
    CHECK(memcmp(values, "vv", 3) == 0);
    CHECK(err.code == 0 && err.message[0] == '\0');
    bitcask_free(values);
}

static void a_call_that_fails_zeroes_everything(bitcask_t *db) {
    size_t lens[2] = {1, 1}, value_lens[2] = {9, 9};
    bitcask_status statuses[2] = {9, 9};
    void *values = MARKED_POINTER;

    EXPECT(BITCASK_E_INVALID, bitcask_get_many(NULL, "kk", lens, 2, &values, value_lens, statuses, NULL));
    CHECK(values == NULL && value_lens[0] == 0 && value_lens[1] == 0);
    CHECK(statuses[0] == 0 && statuses[1] == 0);

    value_lens[0] = 9;
    values = MARKED_POINTER;
    EXPECT(BITCASK_E_INVALID, bitcask_get_many(db, "kk", lens, 2, &values, value_lens, NULL, NULL));
    CHECK(values == NULL && value_lens[0] == 0);
}

static void many_large_values(bitcask_t *db) {
    enum { COUNT = 50, BYTES = 10007 };
    static char value[BYTES];
    size_t lens[COUNT], value_lens[COUNT], used = 0;
    bitcask_status statuses[COUNT];
    char keys[COUNT * 4];
    char *values;
    void *out;
    int i, at;

    for (i = 0; i < COUNT; i++) {
        memset(value, i, sizeof value);
        lens[i] = (size_t)sprintf(keys + used, "%d", i);
        EXPECT(BITCASK_OK, bitcask_put(db, keys + used, lens[i], value, sizeof value, NULL));
        used += lens[i];
    }
    EXPECT(BITCASK_OK, bitcask_get_many(db, keys, lens, COUNT, &out, value_lens, statuses, NULL));
    values = out;
    for (i = 0; i < COUNT; i++) {
        CHECK(statuses[i] == BITCASK_OK && value_lens[i] == BYTES);
        for (at = 0; at < BYTES; at++)
            CHECK(values[i * BYTES + at] == i);
    }
    CHECK(values[COUNT * BYTES] == '\0');
    bitcask_free(out);
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    no_keys_at_all(db);
    keys_that_are_all_empty(db);
    one_bad_key_is_no_harm_to_the_others(db);
    a_call_that_fails_zeroes_everything(db);
    many_large_values(db);
    close_store(db);
    return 0;
}
