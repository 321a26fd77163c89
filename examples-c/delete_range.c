/*
 * Deleting many keys with one call: all of a prefix, or everything up to a key,
 * and going on after a deletion that an error or a crash ended early.
 *
 *     cc delete_range.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

int main(void) {
    char path[256], key[32];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_iter_options session = BITCASK_ITER_OPTIONS_INIT;
    bitcask_iter_options old = BITCASK_ITER_OPTIONS_INIT;
    bitcask_iter_options everything = BITCASK_ITER_OPTIONS_INIT;
    bitcask_status status;
    uint64_t deleted, count;
    int i;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    for (i = 0; i < 1000; i++) {
        sprintf(key, "session/7/%03d", i);
        EXPECT(BITCASK_OK, bitcask_put(db, key, strlen(key), "", 0, NULL));
        sprintf(key, "event/2026-%02d-%02d/%02d", 1 + i / 84, 1 + i / 3 % 28, i % 3);
        EXPECT(BITCASK_OK, bitcask_put(db, key, strlen(key), "", 0, NULL));
    }

    /* All keys that begin alike. */
    session.prefix = "session/7/";
    session.prefix_len = 10;
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &session, &deleted, &err));
    CHECK(deleted == 1000);

    /* All that comes before a day, within a prefix. */
    old.prefix = "event/";
    old.prefix_len = 6;
    old.upper = "event/2026-03-01";
    old.upper_len = 16;
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &old, &deleted, &err));
    CHECK(deleted == 2 * 84);

    /* Each batch of some hundred keys is atomic, the whole is not. What an error leaves, the next call deletes. */
    while ((status = bitcask_delete_range(db, &everything, &deleted, &err)) == BITCASK_E_NO_SPACE)
        printf("make some room: %s\n", err.message);
    EXPECT(BITCASK_OK, status);
    EXPECT(BITCASK_OK, bitcask_count(db, &count, &err));
    CHECK(count == 0);

    printf("%d keys deleted by the last call\n", (int)deleted);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
