/*
 * Changing several keys so that all of it is there, or nothing: a transfer
 * between two accounts.
 *
 *     cc batch.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

static long balance(const bitcask_t *db, const char *account) {
    char text[24];
    size_t len;
    EXPECT(BITCASK_OK, bitcask_get_into(db, account, strlen(account), text, sizeof text - 1, &len, NULL));
    text[len] = '\0';
    return strtol(text, NULL, 10);
}

static void set_balance(bitcask_batch_t *batch, const char *account, long amount) {
    char text[24];
    sprintf(text, "%ld", amount);
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, account, strlen(account), text, strlen(text), NULL));
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_batch_t *batch;
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t count;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    /* A batch collects operations. It belongs to no store, and nothing is written yet. */
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, &err));
    set_balance(batch, "alice", 100);
    set_balance(batch, "bob", 20);
    EXPECT(BITCASK_OK, bitcask_batch_put_json(batch, "note", 4, "{\"paid\": false}", 15, &err));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "alice", 5, NULL));

    /* Writing applies all of it at once and empties the batch. */
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, &err));
    CHECK(balance(db, "alice") == 100 && balance(db, "bob") == 20);

    /* No reader, and no crash, ever shows a world in which the money is at both or neither. */
    set_balance(batch, "alice", balance(db, "alice") - 30);
    set_balance(batch, "bob", balance(db, "bob") + 30);
    EXPECT(BITCASK_OK, bitcask_batch_delete(batch, "note", 4, &err));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, &err));
    CHECK(balance(db, "alice") == 70 && balance(db, "bob") == 50);
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "note", 4, NULL));

    /* The last operation on a key counts, and removing a key that is not there is no error. */
    set_balance(batch, "carol", 1);
    EXPECT(BITCASK_OK, bitcask_batch_delete(batch, "carol", 5, &err));
    EXPECT(BITCASK_OK, bitcask_batch_delete(batch, "dave", 4, &err));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, &err));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "carol", 5, NULL));

    /* An operation that is refused leaves the batch as it was. */
    set_balance(batch, "alice", 71);
    EXPECT(BITCASK_E_NOT_JSON, bitcask_batch_put_json(batch, "note", 4, "nonsense", 8, &err));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, &err));
    CHECK(balance(db, "alice") == 71);

    /* What was collected can be dropped. An empty batch writes nothing. */
    set_balance(batch, "alice", 0);
    bitcask_batch_clear(batch);
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, &err));
    CHECK(balance(db, "alice") == 71);

    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == 2);
    printf("alice %ld, bob %ld\n", balance(db, "alice"), balance(db, "bob"));

    bitcask_batch_free(batch);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
