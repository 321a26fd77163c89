/*
 * Going through the keys in order: all of them, those with a prefix, a range,
 * backwards; and over a snapshot, which stays as it is while the store changes.
 *
 *     cc scan.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

static void put(bitcask_t *db, const char *key, const char *value) {
    EXPECT(BITCASK_OK, bitcask_put(db, key, strlen(key), value, strlen(value), NULL));
}

/* The keys that an iterator comes to, one behind the other. */
static const char *walk(bitcask_iter_t *iter) {
    static char text[256];
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_status status;
    size_t len;

    text[0] = '\0';
    while ((status = bitcask_iter_next(iter, &err)) == BITCASK_OK) {
        const void *key = bitcask_iter_key(iter, &len);
        strncat(text, (const char *)key, len);
        strcat(text, " ");
    }
    CHECK(status == BITCASK_DONE);
    return text;
}

static void expect_keys(const bitcask_t *db, const bitcask_iter_options *options, const char *keys) {
    bitcask_iter_t *iter;
    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, options, &iter, NULL));
    CHECK(strcmp(walk(iter), keys) == 0);
    bitcask_iter_free(iter);
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    bitcask_iter_options cities = BITCASK_ITER_OPTIONS_INIT;
    bitcask_iter_options range = BITCASK_ITER_OPTIONS_INIT;
    bitcask_error err = BITCASK_ERROR_INIT;
    void *value;
    const void *bytes;
    size_t len;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    put(db, "city/rome", "2873000");
    put(db, "city/oslo", "709000");
    put(db, "river/po", "652");
    put(db, "city/bern", "134000");
    put(db, "river/aare", "288");

    /* All keys, in order. */
    expect_keys(db, NULL, "city/bern city/oslo city/rome river/aare river/po ");

    /* Those with a prefix, last to first. */
    cities.prefix = "city/";
    cities.prefix_len = 5;
    cities.flags = BITCASK_ITER_REVERSE;
    expect_keys(db, &cities, "city/rome city/oslo city/bern ");

    /* From one key on, up to but not including another; the values are not wanted. */
    range.lower = "city/oslo";
    range.lower_len = 9;
    range.upper = "river/po";
    range.upper_len = 8;
    range.flags = BITCASK_ITER_KEYS_ONLY;
    expect_keys(db, &range, "city/oslo city/rome river/aare ");

    /* A snapshot does not change, whatever is done to the store. */
    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, &err));
    put(db, "city/rome", "0");
    put(db, "city/lima", "10092000");
    EXPECT(BITCASK_OK, bitcask_delete(db, "city/oslo", 9, NULL));

    EXPECT(BITCASK_OK, bitcask_snapshot_get(snapshot, "city/rome", 9, &value, &len, &err));
    CHECK(strcmp((const char *)value, "2873000") == 0);
    bitcask_free(value);
    EXPECT(BITCASK_OK, bitcask_iter_new(db, snapshot, &cities, &iter, &err));
    CHECK(strcmp(walk(iter), "city/rome city/oslo city/bern ") == 0);

    /* Elsewhere in the same iterator. The bytes shown stay until the next call on it. */
    EXPECT(BITCASK_OK, bitcask_iter_seek(iter, "city/paris", 10, &err));
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, &err));
    bytes = bitcask_iter_value(iter, &len);
    CHECK(len == 6 && memcmp(bytes, "709000", 6) == 0);
    bitcask_iter_free(iter);
    bitcask_snapshot_free(snapshot);

    expect_keys(db, &cities, "city/rome city/lima city/bern ");
    printf("all as expected\n");
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
