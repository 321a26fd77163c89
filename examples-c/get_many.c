/*
 * Fetching many values in one call, which overlaps their look-ups.
 *
 *     cc get_many.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

#define COUNT 64

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    char keys[COUNT * 16];
    size_t key_lens[COUNT], value_lens[COUNT], used = 0;
    bitcask_status statuses[COUNT];
    void *values;
    const char *value;
    int i, found = 0;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, &err));

    /* Every fourth user has no value, and user 5's is empty. */
    for (i = 0; i < COUNT; i++) {
        char key[16], name[32];
        int key_len = sprintf(key, "user:%d", i);
        int name_len = i == 5 ? 0 : sprintf(name, "name of %d", i);
        if (i % 4 != 3)
            EXPECT(BITCASK_OK, bitcask_put(db, key, (size_t)key_len, name, (size_t)name_len, &err));
    }

    /* The keys lie back to back in one buffer, with an array of their lengths. */
    for (i = 0; i < COUNT; i++) {
        key_lens[i] = (size_t)sprintf(keys + used, "user:%d", i);
        used += key_lens[i];
    }

    EXPECT(BITCASK_OK,
           bitcask_get_many(db, keys, key_lens, COUNT, &values, value_lens, statuses, &err));

    /* So do the values that come back: each begins where the one before it ends. */
    value = values;
    for (i = 0; i < COUNT; i++) {
        if (statuses[i] == BITCASK_OK) {
            char expected[32];
            int len = i == 5 ? 0 : sprintf(expected, "name of %d", i);
            CHECK(value_lens[i] == (size_t)len && memcmp(value, expected, value_lens[i]) == 0);
            found++;
        } else {
            /* One key's answer says nothing of the others, be it NOT_FOUND or an error. */
            CHECK(statuses[i] == BITCASK_NOT_FOUND && value_lens[i] == 0 && i % 4 == 3);
        }
        value += value_lens[i];
    }
    printf("%d of %d keys have a value\n", found, COUNT);
    CHECK(found == COUNT * 3 / 4);

    /* One buffer came, one goes. */
    bitcask_free(values);
    EXPECT(BITCASK_OK, bitcask_close(db, &err));
    remove_directory(path);
    return 0;
}
