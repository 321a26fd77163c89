/* bitcask_get_into: all of the value or nothing of it, and always its length. */
#include "test.h"

int main(void) {
    bitcask_t *db = open_store(NULL);
    char buf[8];
    size_t len, cap;

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "12345", 5, NULL));

    for (cap = 0; cap <= sizeof buf; cap++) {
        memset(buf, '.', sizeof buf);
        len = MARKED_SIZE;
        EXPECT(cap < 5 ? BITCASK_BUFFER_TOO_SMALL : BITCASK_OK,
               bitcask_get_into(db, "k", 1, buf, cap, &len, NULL));
        CHECK(len == 5);
        /* Not a byte too few, too many, or before it is sure that all fit. No NUL is added. */
        CHECK(memcmp(buf, cap < 5 ? "........" : "12345...", sizeof buf) == 0);
    }

    /* Asking for the size needs no buffer. */
    len = MARKED_SIZE;
    EXPECT(BITCASK_BUFFER_TOO_SMALL, bitcask_get_into(db, "k", 1, NULL, 0, &len, NULL));
    CHECK(len == 5);

    /* A key that is not there leaves the buffer alone and the length at 0. */
    memset(buf, '.', sizeof buf);
    EXPECT(BITCASK_NOT_FOUND, bitcask_get_into(db, "none", 4, buf, sizeof buf, &len, NULL));
    CHECK(len == 0 && memcmp(buf, "........", sizeof buf) == 0);

    close_store(db);
    return 0;
}
