/*
 * The store as it was at one moment, to be read at leisure: an audit of accounts
 * while money goes on being moved between them.
 *
 *     cc snapshot.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

#define ACCOUNTS 20
#define OPENING 100

static size_t account_key(char *key, size_t size, int number) {
    int len = snprintf(key, size, "account/%02d", number);
    CHECK(len > 0 && (size_t)len < size);
    return (size_t)len;
}

static int64_t number_of(const void *value, size_t len) {
    int64_t number;
    CHECK(len == sizeof number);
    memcpy(&number, value, sizeof number);
    return number;
}

static int64_t balance(const bitcask_t *db, int account) {
    char key[32];
    void *value;
    size_t len, key_len = account_key(key, sizeof key, account);
    int64_t number;

    EXPECT(BITCASK_OK, bitcask_get(db, key, key_len, &value, &len, NULL));
    number = number_of(value, len);
    bitcask_free(value);
    return number;
}

/* Both accounts change, or neither. */
static void transfer(bitcask_t *db, bitcask_batch_t *batch, int from, int to, int64_t amount) {
    char key[32];
    int64_t left = balance(db, from) - amount, more = balance(db, to) + amount;

    EXPECT(BITCASK_OK, bitcask_batch_put(batch, key, account_key(key, sizeof key, from), &left, sizeof left, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, key, account_key(key, sizeof key, to), &more, sizeof more, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
}

/* What all accounts of the snapshot hold together. */
static int64_t audit(const bitcask_t *db, const bitcask_snapshot_t *snapshot) {
    bitcask_iter_t *iter;
    bitcask_iter_options accounts = BITCASK_ITER_OPTIONS_INIT;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_status status;
    int64_t sum = 0;

    accounts.prefix = "account/";
    accounts.prefix_len = 8;
    EXPECT(BITCASK_OK, bitcask_iter_new(db, snapshot, &accounts, &iter, &err));
    while ((status = bitcask_iter_next(iter, &err)) == BITCASK_OK) {
        size_t len;
        const void *value = bitcask_iter_value(iter, &len);
        sum += number_of(value, len);
    }
    CHECK(status == BITCASK_DONE);
    bitcask_iter_free(iter);
    return sum;
}

int main(void) {
    char path[256];
    char key[32];
    bitcask_t *db;
    bitcask_batch_t *batch;
    bitcask_snapshot_t *before, *after;
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t then, now;
    int64_t opening = OPENING;
    void *value;
    size_t len;
    int number;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, &err));
    for (number = 0; number < ACCOUNTS; number++) {
        size_t key_len = account_key(key, sizeof key, number);
        EXPECT(BITCASK_OK, bitcask_put(db, key, key_len, &opening, sizeof opening, NULL));
    }

    /* Taking one costs the same whatever the store holds, and blocks nobody. */
    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &before, &err));
    for (number = 0; number + 1 < ACCOUNTS; number++) {
        transfer(db, batch, number, number + 1, number + 1);
    }
    EXPECT(BITCASK_OK, bitcask_delete(db, "account/00", 10, &err));
    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, &err));

    /* The old snapshot still has every account as it was, also after a merge; its version, too. */
    CHECK(audit(db, before) == ACCOUNTS * OPENING);
    EXPECT(BITCASK_OK, bitcask_snapshot_get(before, "account/00", 10, &value, &len, &err));
    CHECK(number_of(value, len) == OPENING);
    bitcask_free(value);
    EXPECT(BITCASK_NOT_FOUND, bitcask_get(db, "account/00", 10, &value, &len, &err));
    EXPECT(BITCASK_OK, bitcask_snapshot_get_version(before, "account/01", 10, NULL, NULL, &then, NULL, &err));
    EXPECT(BITCASK_OK, bitcask_get_version(db, "account/01", 10, NULL, NULL, &now, NULL, &err));
    CHECK(then < now);

    /* A new one shows what there is now. */
    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &after, &err));
    CHECK(audit(db, after) == ACCOUNTS * OPENING - (OPENING - 1));
    printf("%d accounts held %ld\n", ACCOUNTS, (long)audit(db, before));

    /* A snapshot keeps files that a merge has replaced: free it when it has served. */
    bitcask_snapshot_free(after);
    bitcask_snapshot_free(before);
    bitcask_batch_free(batch);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
