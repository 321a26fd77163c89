/*
 * Writing only if nobody else has written meanwhile: a key that must be new, a
 * value that must be the one that was read, several keys at once; and counters.
 *
 *     cc write_options.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

/* Has one more visitor written down, whoever else does so at the same time. */
static void add_visitor(bitcask_t *db, const char *name) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_status status;

    do {
        bitcask_write_options options = BITCASK_WRITE_OPTIONS_INIT;
        char list[256] = "";
        void *value;
        size_t len;

        /* What is there, and its version; a key without a value has version 0. */
        options.flags = BITCASK_WRITE_EXPECT;
        status = bitcask_get_version(db, "visitors", 8, &value, &len, &options.expected_version, NULL, &err);
        CHECK(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
        if (status == BITCASK_OK) {
            CHECK(len + strlen(name) + 2 < sizeof list);
            memcpy(list, value, len);
            bitcask_free(value);
            strcat(list, " ");
        }
        strcat(list, name);

        /* Written if it is still so; otherwise from the beginning. */
        status = bitcask_put_with(db, "visitors", 8, list, strlen(list), &options, NULL, &err);
    } while (status == BITCASK_CONFLICT);
    CHECK(status == BITCASK_OK);
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_batch_t *batch;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_write_options must_be_new = BITCASK_WRITE_OPTIONS_INIT;
    uint64_t version, current;
    int64_t sum;
    void *value;
    size_t len;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    /* A name can be taken once. The version of the one who has it comes with the answer. */
    must_be_new.flags = BITCASK_WRITE_EXPECT;
    must_be_new.expected_version = 0;
    EXPECT(BITCASK_OK, bitcask_put_with(db, "user/ada", 8, "1", 1, &must_be_new, &version, &err));
    EXPECT(BITCASK_CONFLICT, bitcask_put_with(db, "user/ada", 8, "2", 1, &must_be_new, &current, &err));
    CHECK(current == version);

    /* Read, change, write: a loop. */
    add_visitor(db, "ada");
    add_visitor(db, "grace");
    EXPECT(BITCASK_OK, bitcask_get(db, "visitors", 8, &value, &len, &err));
    CHECK(strcmp((const char *)value, "ada grace") == 0);
    bitcask_free(value);

    /* A batch may expect something of any key: here, that ada still is user 1 and order 7 is new. */
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, &err));
    EXPECT(BITCASK_OK, bitcask_batch_expect(batch, "user/ada", 8, version, &err));
    EXPECT(BITCASK_OK, bitcask_batch_expect(batch, "order/7", 7, 0, &err));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "order/7", 7, "tea", 3, &err));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "last", 4, "7", 1, &err));
    EXPECT(BITCASK_OK, bitcask_batch_write_with(db, batch, NULL, &version, &err));

    /* Once more: now there is an order 7, so nothing of the batch is written. */
    EXPECT(BITCASK_OK, bitcask_batch_expect(batch, "order/7", 7, 0, &err));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "last", 4, "again", 5, &err));
    EXPECT(BITCASK_CONFLICT, bitcask_batch_write_with(db, batch, NULL, &current, &err));
    CHECK(current == version);
    bitcask_batch_free(batch);

    /* For numbers there is a call that does the loop. */
    EXPECT(BITCASK_OK, bitcask_counter_add(db, "orders", 6, 1, &sum, &err));
    EXPECT(BITCASK_OK, bitcask_counter_add(db, "orders", 6, 41, &sum, &err));
    CHECK(sum == 42);

    printf("%ld orders\n", (long)sum);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
