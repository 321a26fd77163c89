/* No bytes are legal everywhere, giant lengths are refused before anything is read, limits are exact. */
#include "test.h"

/* The pointer that goes with length 0 is ignored: this one could not be read. */
#define NOWHERE ((const void *)1)

static void empty_keys_and_values(bitcask_t *db) {
    const void *pointers[3] = {NULL, NOWHERE, "x"};
    void *value;
    const void *bytes;
    bitcask_pin_t *pin;
    size_t len;
    int i;

    for (i = 0; i < 3; i++) {
        const void *none = pointers[i];
        EXPECT(BITCASK_OK, bitcask_put(db, none, 0, none, 0, NULL));
        EXPECT(BITCASK_OK, bitcask_exists(db, none, 0, NULL));

        EXPECT(BITCASK_OK, bitcask_get(db, none, 0, &value, &len, NULL));
        CHECK(value != NULL && len == 0 && *(char *)value == '\0');
        bitcask_free(value);

        EXPECT(BITCASK_OK, bitcask_get_pinned(db, none, 0, &pin, &bytes, &len, NULL));
        CHECK(bytes != NULL && len == 0);
        bitcask_pin_free(pin);

        len = MARKED_SIZE;
        EXPECT(BITCASK_OK, bitcask_get_into(db, none, 0, (void *)none, 0, &len, NULL));
        CHECK(len == 0);

        EXPECT(BITCASK_OK, bitcask_delete(db, none, 0, NULL));
        EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, none, 0, NULL));
    }
}

static void no_bytes_are_no_json(bitcask_t *db) {
    char *json = MARKED_POINTER;
    EXPECT(BITCASK_E_NOT_JSON, bitcask_put_json(db, "k", 1, NULL, 0, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_json_get(NOWHERE, 0, "", &json, NULL, NULL));
    CHECK(json == NULL);
    EXPECT(BITCASK_OK, bitcask_put(db, "empty", 5, NULL, 0, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_get_json(db, "empty", 5, NULL, &json, NULL, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_patch_json(db, "empty", 5, "{}", 2, NULL));
    EXPECT(BITCASK_OK, bitcask_put_json(db, "doc", 3, "{}", 2, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_patch_json(db, "doc", 3, NULL, 0, NULL));
}

/* One byte is there, a huge number is claimed; valgrind sees it if a second byte is read. */
static void giant_lengths(bitcask_t *db, bitcask_batch_t *batch) {
    size_t giants[4];
    void *value;
    const void *bytes;
    bitcask_pin_t *pin;
    bitcask_status statuses[2];
    size_t len, lens[2], value_lens[2];
    char *byte = malloc(1);
    int i;

    CHECK(byte != NULL);
    *byte = 'k';
    giants[0] = (size_t)-1;
    giants[1] = (size_t)-1 / 2 + 1;
    giants[2] = (size_t)-1 / 2;
    giants[3] = (size_t)1 << (8 * sizeof(size_t) - 2);
    for (i = 0; i < 4; i++) {
        size_t giant = giants[i];
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_put(db, byte, giant, "v", 1, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_put(db, "k", 1, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_put_json(db, "k", 1, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_patch_json(db, "k", 1, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_get(db, byte, giant, &value, &len, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_get_into(db, byte, giant, NULL, 0, &len, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_get_pinned(db, byte, giant, &pin, &bytes, &len, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_exists(db, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_delete(db, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_batch_put(batch, byte, giant, "v", 1, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_batch_put(batch, "k", 1, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE, bitcask_batch_delete(batch, byte, giant, NULL));
        EXPECT(BITCASK_E_TOO_LARGE,
               bitcask_get_many(db, byte, lens, giant, &value, value_lens, statuses, NULL));

        /* Lengths whose sum overflows must not come out small. */
        lens[0] = giant;
        lens[1] = (size_t)0 - giant + 1;
        EXPECT(BITCASK_E_TOO_LARGE,
               bitcask_get_many(db, byte, lens, 2, &value, value_lens, statuses, NULL));
    }
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "k", 1, NULL));
    free(byte);
}

static void the_longest_key(bitcask_t *db, bitcask_batch_t *batch) {
    static char key[65537];
    char got[1];
    size_t len;

    memset(key, 'k', sizeof key);
    EXPECT(BITCASK_OK, bitcask_put(db, key, 65536, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, key, 65536, got, 1, &len, NULL));
    CHECK(len == 1 && got[0] == 'v');
    EXPECT(BITCASK_E_TOO_LARGE, bitcask_put(db, key, 65537, "v", 1, NULL));
    EXPECT(BITCASK_E_TOO_LARGE, bitcask_get_into(db, key, 65537, got, 1, &len, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, key, 65536, "w", 1, NULL));
    EXPECT(BITCASK_E_TOO_LARGE, bitcask_batch_put(batch, key, 65537, "w", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, key, 65536, got, 1, &len, NULL));
    CHECK(len == 1 && got[0] == 'w');
}

int main(void) {
    bitcask_batch_t *batch;
    bitcask_t *db = open_store(NULL);
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));

    empty_keys_and_values(db);
    no_bytes_are_no_json(db);
    giant_lengths(db, batch);
    the_longest_key(db, batch);

    bitcask_batch_free(batch);
    close_store(db);
    return 0;
}
