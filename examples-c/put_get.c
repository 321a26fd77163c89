/*
 * The four things one does with a key: put, get, ask, delete.
 *
 *     cc put_get.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

int main(void) {
    char path[256];
    char room[8];
    bitcask_t *db;
    void *value;
    size_t len;
    uint64_t count;
    int i;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    /* Keys and values are bytes with a length. */
    EXPECT(BITCASK_OK, bitcask_put(db, "colour", 6, "green", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_get(db, "colour", 6, &value, &len, NULL));
    CHECK(len == 5 && memcmp(value, "green", 5) == 0);

    /* The copy has a NUL behind it that is not counted, so text can be printed as it is. */
    printf("colour = %s\n", (char *)value);
    bitcask_free(value);

    /* The newest value counts. */
    EXPECT(BITCASK_OK, bitcask_put(db, "colour", 6, "blue", 4, NULL));

    /* To read without an allocation, bring the room along. */
    EXPECT(BITCASK_OK, bitcask_get_into(db, "colour", 6, room, sizeof room, &len, NULL));
    CHECK(len == 4 && memcmp(room, "blue", 4) == 0);

    /* What does not fit is not copied, but its length is told. */
    EXPECT(BITCASK_OK, bitcask_put(db, "long", 4, "more than eight bytes", 21, NULL));
    EXPECT(BITCASK_BUFFER_TOO_SMALL, bitcask_get_into(db, "long", 4, room, sizeof room, &len, NULL));
    CHECK(len == 21 && memcmp(room, "blue", 4) == 0);

    /* Any byte may be in a key or a value, and either may be empty. */
    EXPECT(BITCASK_OK, bitcask_put(db, "a\0b", 3, NULL, 0, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "a", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_get(db, "a\0b", 3, &value, &len, NULL));
    CHECK(value != NULL && len == 0);
    bitcask_free(value);

    /* A key that is not there is an answer, not an error; the outputs are zero then. */
    EXPECT(BITCASK_NOT_FOUND, bitcask_get(db, "size", 4, &value, &len, NULL));
    CHECK(value == NULL && len == 0);

    EXPECT(BITCASK_OK, bitcask_delete(db, "long", 4, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_delete(db, "long", 4, NULL));

    /* Keys can be made of numbers; a fixed byte order keeps files portable. */
    for (i = 0; i < 1000; i++) {
        unsigned char key[4];
        key[0] = 'n';
        key[1] = (unsigned char)(i >> 16);
        key[2] = (unsigned char)(i >> 8);
        key[3] = (unsigned char)i;
        EXPECT(BITCASK_OK, bitcask_put(db, key, sizeof key, &i, sizeof i, NULL));
    }
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == 1002);

    /* What was written is there when the store is opened again. */
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == 1002);
    EXPECT(BITCASK_OK, bitcask_get_into(db, "colour", 6, room, sizeof room, &len, NULL));
    CHECK(len == 4 && memcmp(room, "blue", 4) == 0);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));

    printf("%u keys after reopening\n", (unsigned)count);
    remove_directory(path);
    return 0;
}
