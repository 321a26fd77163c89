/*
 * Values that are stored compressed: documents that are alike hardly shrink one
 * by one; a merge finds what they have in common and they take a third.
 *
 *     cc compression.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include <inttypes.h>
#include <stdint.h>

#include "example.h"

#define DOCUMENTS 1000

static const char *OPTIONS = "{\"compression\": {\"codec\": \"zstd\", \"min_bytes\": 32},"
                             " \"max_segment_bytes\": 65536}";

/* Writes document number `n`, and answers its length. */
static size_t document(char *out, size_t room, int n) {
    static const char *const colours[] = {"red", "green", "blue", "grey", "violet"};
    int len = snprintf(out, room,
                       "{\"sku\":\"A-%05d\",\"colour\":\"%s\",\"category\":\"garden furniture\",\"in_stock\":%d,"
                       "\"supplier\":\"Northern Wood and Iron\",\"returns\":\"within 30 days, unused\"}",
                       n, colours[n % 5], n * 7919 % 500);
    CHECK(len > 0 && (size_t)len < room);
    return (size_t)len;
}

static uint64_t stat_of(const bitcask_t *db, const char *name) {
    uint64_t value;
    EXPECT(BITCASK_OK, bitcask_stat_u64(db, name, &value, NULL));
    return value;
}

/* Every document must be as it was put. */
static void check_all(const bitcask_t *db) {
    for (int n = 0; n < DOCUMENTS; n++) {
        char expected[512];
        size_t expected_len = document(expected, sizeof expected, n), len;
        void *value;
        EXPECT(BITCASK_OK, bitcask_get(db, &n, sizeof n, &value, &len, NULL));
        CHECK(len == expected_len && memcmp(value, expected, len) == 0);
        bitcask_free(value);
    }
}

int main(void) {
    char path[256], text[512];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t raw, stored;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, OPTIONS, &db, &err));

    /* Each is put twice, as documents are that change: what is overwritten is what merges are for. */
    for (int n = 0; n < 2 * DOCUMENTS; n++) {
        int key = n / 2;
        size_t len = document(text, sizeof text, key);
        EXPECT(BITCASK_OK, bitcask_put(db, &key, sizeof key, text, len, &err));
    }
    raw = stat_of(db, "compressed_raw_bytes");
    stored = stat_of(db, "compressed_bytes");
    CHECK(stored <= raw);
    printf("what shrinks by itself: %" PRIu64 " bytes, to %" PRIu64 "\n", raw, stored);

    /* The library merges by itself when enough is dead; here it is asked to. */
    EXPECT(BITCASK_OK, bitcask_close(db, &err));
    EXPECT(BITCASK_OK, bitcask_open(path, OPTIONS, &db, &err));
    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, &err));
    raw = stat_of(db, "merge_raw_bytes");
    stored = stat_of(db, "merge_compressed_bytes");
    CHECK(raw > 0 && 3 * stored < raw);
    printf("what shrinks in a merge: %" PRIu64 " bytes, to %" PRIu64 "\n", raw, stored);
    check_all(db);
    printf("dictionaries take %" PRIu64 " bytes of memory\n", stat_of(db, "dictionary_bytes"));
    EXPECT(BITCASK_OK, bitcask_close(db, &err));

    /* Whatever an open chooses, it reads what is there. */
    EXPECT(BITCASK_OK, bitcask_open(path, "{\"compression\": \"none\"}", &db, &err));
    check_all(db);

    /* Options that make no sense are told by name. */
    EXPECT(BITCASK_OK, bitcask_close(db, &err));
    EXPECT(BITCASK_E_INVALID, bitcask_open(path, "{\"compression\": \"zip\"}", &db, &err));
    CHECK(strstr(err.message, "compression") != NULL);
    remove_directory(path);
    return 0;
}
