/* A reader beside a writer sees what was there when it was opened or refreshed last. */
#include "test.h"

static const char *const reading = "{\"read_only\": true}";

static void holds(const bitcask_t *db, const char *key, const char *expected) {
    char value[8];
    size_t len;
    bitcask_status status = bitcask_get_into(db, key, 1, value, sizeof value, &len, NULL);
    EXPECT(expected ? BITCASK_OK : BITCASK_NOT_FOUND, status);
    CHECK(expected == NULL || (len == strlen(expected) && memcmp(value, expected, len) == 0));
}

int main(void) {
    bitcask_t *db = open_store("{\"max_segment_bytes\": 65536}"), *reader;
    bitcask_error err = BITCASK_ERROR_INIT;
    static char filler[30000];
    uint64_t count;
    int i;

    EXPECT(BITCASK_OK, bitcask_put(db, "a", 1, "one", 3, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, reading, &reader, &err));
    holds(reader, "a", "one");

    EXPECT(BITCASK_OK, bitcask_put(db, "a", 1, "two", 3, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "b", 1, "new", 3, NULL));
    holds(reader, "a", "one");
    holds(reader, "b", NULL);
    EXPECT(BITCASK_OK, bitcask_refresh(reader, &err));
    holds(reader, "a", "two");
    holds(reader, "b", "new");

    /* Segments come and go under the reader. */
    EXPECT(BITCASK_OK, bitcask_delete(db, "b", 1, NULL));
    for (i = 0; i < 20; i++)
        EXPECT(BITCASK_OK, bitcask_put(db, "f", 1, filler, sizeof filler, NULL));
    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, &err));
    holds(reader, "b", "new");
    EXPECT(BITCASK_OK, bitcask_refresh(reader, &err));
    holds(reader, "a", "two");
    holds(reader, "b", NULL);
    EXPECT(BITCASK_OK, bitcask_count(reader, &count, NULL));
    CHECK(count == 2);

    /* On a handle that writes there is nothing to do. */
    EXPECT(BITCASK_OK, bitcask_refresh(db, NULL));

    /* The writer's end and the next one's beginning are nothing special. */
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_refresh(reader, &err));
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "c", 1, "three", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_refresh(reader, &err));
    holds(reader, "c", "three");

    EXPECT(BITCASK_OK, bitcask_close(reader, NULL));
    close_store(db);
    return 0;
}
