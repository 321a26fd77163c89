/* Iterators and snapshots: what they answer at their edges, packed entries, and what is refused. */
#include "test.h"

#define ENTRIES 500

static void put_number(bitcask_t *db, unsigned number) {
    char key[16], value[64];
    sprintf(key, "%05u", number);
    memset(value, (int)(number % 251), sizeof value);
    EXPECT(BITCASK_OK, bitcask_put(db, key, strlen(key), value, number % 60, NULL));
}

/* All entries through iter_next_many, in buffers of `cap` bytes; answers how many there were. */
static unsigned packed(bitcask_iter_t *iter, size_t cap) {
    unsigned char *buf = malloc(cap);
    unsigned seen = 0;
    size_t count, len, at;
    bitcask_status status;

    CHECK(buf != NULL);
    while ((status = bitcask_iter_next_many(iter, buf, cap, &count, &len, NULL)) == BITCASK_OK) {
        CHECK(count > 0 && len <= cap && bitcask_iter_key(iter, NULL) == NULL);
        for (at = 0; count > 0; count--, seen++) {
            uint32_t key_len, value_len;
            char key[16];
            memcpy(&key_len, buf + at, 4);
            memcpy(&value_len, buf + at + 4, 4);
            sprintf(key, "%05u", seen);
            CHECK(key_len == 5 && memcmp(buf + at + 8, key, 5) == 0 && value_len == seen % 60);
            CHECK(value_len == 0 || buf[at + 8 + 5] == seen % 251);
            at += 8 + key_len + value_len;
        }
        CHECK(at == len);
    }
    CHECK(status == BITCASK_DONE && count == 0 && len == 0);
    free(buf);
    return seen;
}

static void many_at_a_time(bitcask_t *db) {
    const size_t caps[] = {72, 73, 1000, 1 << 20};
    bitcask_iter_t *iter;
    size_t count = MARKED_SIZE, len = MARKED_SIZE;
    char small[12];
    unsigned i;

    for (i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, NULL, &iter, NULL));
        CHECK(packed(iter, caps[i]) == ENTRIES);
        bitcask_iter_free(iter);
    }
    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, NULL, &iter, NULL));
    EXPECT(BITCASK_BUFFER_TOO_SMALL, bitcask_iter_next_many(iter, NULL, 0, &count, &len, NULL));
    CHECK(count == 0 && len == 13);
    EXPECT(BITCASK_BUFFER_TOO_SMALL, bitcask_iter_next_many(iter, small, sizeof small, &count, &len, NULL));
    CHECK(count == 0 && len == 13);
    /* The iterator did not move. */
    CHECK(packed(iter, 100) == ENTRIES);
    EXPECT(BITCASK_OK, bitcask_iter_seek(iter, "00499", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_DONE, bitcask_iter_next_many(iter, NULL, 0, &count, &len, NULL));
    bitcask_iter_free(iter);
}

static void the_edges_of_a_walk(bitcask_t *db) {
    bitcask_iter_t *iter;
    size_t len = MARKED_SIZE;

    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, NULL, &iter, NULL));
    CHECK(bitcask_iter_key(iter, &len) == NULL && len == 0);
    CHECK(bitcask_iter_value(iter, NULL) == NULL);
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
    CHECK(bitcask_iter_key(iter, &len) != NULL && len == 5);
    CHECK(bitcask_iter_value(iter, &len) != NULL && len == 0);
    EXPECT(BITCASK_OK, bitcask_iter_seek(iter, "\xff", 1, NULL));
    CHECK(bitcask_iter_key(iter, NULL) == NULL);
    EXPECT(BITCASK_DONE, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_DONE, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_seek(iter, NULL, 0, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
    bitcask_iter_free(iter);
}

static void what_is_refused(bitcask_t *db) {
    bitcask_iter_options options = BITCASK_ITER_OPTIONS_INIT;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_iter_t *iter = MARKED_POINTER;
    static char long_key[65537];
    union {
        bitcask_iter_options options;
        unsigned char bytes[128];
    } longer;

    options.struct_size -= 8;
    EXPECT(BITCASK_E_INVALID, bitcask_iter_new(db, NULL, &options, &iter, &err));
    CHECK(iter == NULL && strstr(err.message, "options.struct_size") != NULL);
    options.struct_size += 8;
    options.flags = 4;
    EXPECT(BITCASK_E_INVALID, bitcask_iter_new(db, NULL, &options, &iter, &err));
    CHECK(strstr(err.message, "options.flags is 0x4") != NULL);
    options.flags = 0;
    options.lower_len = 1;
    EXPECT(BITCASK_E_INVALID, bitcask_iter_new(db, NULL, &options, &iter, &err));
    CHECK(strstr(err.message, "lower is NULL") != NULL);
    options.lower = long_key;
    options.lower_len = sizeof long_key;
    EXPECT(BITCASK_E_TOO_LARGE, bitcask_iter_new(db, NULL, &options, &iter, &err));
    /* A bound of length 0 is none, whatever its address. */
    options.lower = (const void *)1;
    options.lower_len = 0;
    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, &options, &iter, &err));
    EXPECT(BITCASK_E_TOO_LARGE, bitcask_iter_seek(iter, long_key, sizeof long_key, &err));
    bitcask_iter_free(iter);

    /* A structure of a later version may be longer, as long as what is unknown is not used. */
    memset(&longer, 0, sizeof longer);
    longer.options.struct_size = sizeof longer;
    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, &longer.options, &iter, &err));
    bitcask_iter_free(iter);
    longer.bytes[sizeof longer - 1] = 1;
    EXPECT(BITCASK_E_INVALID, bitcask_iter_new(db, NULL, &longer.options, &iter, &err));
    CHECK(iter == NULL && strstr(err.message, "options has something at byte") != NULL);
}

static void a_snapshot_belongs_to_its_store(bitcask_t *db) {
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    bitcask_t *other;
    char path[256];
    void *value;
    size_t len;

    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, NULL));
    EXPECT(BITCASK_OK, bitcask_delete(db, "00001", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_snapshot_get(snapshot, "00001", 5, &value, &len, NULL));
    CHECK(len == 1 && *(unsigned char *)value == 1);
    bitcask_free(value);
    EXPECT(BITCASK_NOT_FOUND, bitcask_snapshot_get(snapshot, "x", 1, &value, &len, NULL));
    CHECK(value == NULL && len == 0);

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &other, NULL));
    EXPECT(BITCASK_E_INVALID, bitcask_iter_new(other, snapshot, NULL, &iter, NULL));
    EXPECT(BITCASK_OK, bitcask_close(other, NULL));
    remove_directory(path);
    bitcask_snapshot_free(snapshot);
}

int main(void) {
    bitcask_t *db = open_store("{\"max_segment_bytes\": 65536}");
    unsigned i;

    for (i = 0; i < ENTRIES; i++)
        put_number(db, (i * 7) % ENTRIES);
    many_at_a_time(db);
    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, NULL));
    many_at_a_time(db);
    the_edges_of_a_walk(db);
    what_is_refused(db);
    a_snapshot_belongs_to_its_store(db);
    bitcask_snapshot_free(NULL);
    bitcask_iter_free(NULL);
    close_store(db);
    return 0;
}
