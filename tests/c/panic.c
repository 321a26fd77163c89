/* A defect in the library becomes an error, and the handle takes no more writes. Needs the feature test-hooks. */
#include "test.h"

bitcask_status bitcask_test_panic(bitcask_t *db, bitcask_error *err);
bitcask_status bitcask_test_panic_snapshot(const bitcask_snapshot_t *snapshot, bitcask_error *err);
bitcask_status bitcask_test_panic_iter(bitcask_iter_t *iter, bitcask_error *err);
bitcask_status bitcask_test_panic_feed(bitcask_feed_t *feed, bitcask_error *err);

/* What is caught in a snapshot, an iterator or a feed stops the writes of its store, too; snapshots go on, the others do
   not. */
static void in_children(void) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_t *db;
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    bitcask_feed_t *feed;
    bitcask_change change = BITCASK_CHANGE_INIT;
    void *value;
    size_t len;
    int round;

    for (round = 0; round < 3; round++) {
        EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
        EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, NULL));
        EXPECT(BITCASK_OK, bitcask_iter_new(db, snapshot, NULL, &iter, NULL));
        EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
        EXPECT(BITCASK_OK, bitcask_snapshot_cursor(snapshot, &value, &len, NULL));
        EXPECT(BITCASK_OK, bitcask_feed_open(db, value, len, &feed, NULL));
        bitcask_free(value);
        if (round == 0)
            EXPECT(BITCASK_E_PANIC, bitcask_test_panic_snapshot(snapshot, &err));
        else if (round == 2)
            EXPECT(BITCASK_E_PANIC, bitcask_test_panic_feed(feed, &err));
        else
            EXPECT(BITCASK_E_PANIC, bitcask_test_panic_iter(iter, &err));
        CHECK(strstr(err.message, "was called") != NULL);
        EXPECT(BITCASK_E_POISONED, bitcask_put(db, "k", 1, "w", 1, &err));
        CHECK(strstr(err.message, "was called") != NULL);
        EXPECT(BITCASK_OK, bitcask_snapshot_get(snapshot, "k", 1, &value, &len, NULL));
        bitcask_free(value);
        EXPECT(round == 2 ? BITCASK_E_POISONED : BITCASK_DONE, bitcask_feed_next(feed, 0, &change, &err));
        bitcask_feed_free(feed);
        if (round != 1) {
            CHECK(bitcask_iter_key(iter, &len) != NULL && len == 1);
            EXPECT(BITCASK_DONE, bitcask_iter_next(iter, NULL));
        } else {
            CHECK(bitcask_iter_key(iter, &len) == NULL && len == 0 && bitcask_iter_version(iter) == 0);
            EXPECT(BITCASK_E_POISONED, bitcask_iter_next(iter, &err));
            EXPECT(BITCASK_E_POISONED, bitcask_iter_seek(iter, "k", 1, NULL));
        }
        bitcask_iter_free(iter);
        EXPECT(BITCASK_E_POISONED, bitcask_close(db, NULL));
        bitcask_snapshot_free(snapshot);
    }
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_t *other;
    bitcask_batch_t *batch;
    bitcask_error err = BITCASK_ERROR_INIT;
    char value[8], other_path[256];
    size_t len;
    int32_t level;
    char *message;

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "b", 1, "v", 1, NULL));

    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_WARN, 10, NULL));
    EXPECT(BITCASK_E_PANIC, bitcask_test_panic(db, &err));
    CHECK(err.code == BITCASK_E_PANIC);
    CHECK(strstr(err.message, "bitcask_test_panic was called") != NULL);

    /* No write goes on from a state that nobody knows ... */
    EXPECT(BITCASK_E_POISONED, bitcask_put(db, "k", 1, "w", 1, &err));
    CHECK(strstr(err.message, "bitcask_test_panic was called") != NULL);
    EXPECT(BITCASK_E_POISONED, bitcask_delete(db, "k", 1, NULL));
    EXPECT(BITCASK_E_POISONED, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_E_POISONED, bitcask_sync(db, NULL));

    /* ... but reads do, and other stores are not concerned. */
    EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, value, sizeof value, &len, NULL));
    CHECK(len == 1 && value[0] == 'v');
    make_directory(other_path, sizeof other_path);
    EXPECT(BITCASK_OK, bitcask_open(other_path, NULL, &other, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(other, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_close(other, NULL));
    remove_directory(other_path);

    /* The close says so and releases the handle; the store opens again with what was answered. */
    EXPECT(BITCASK_E_POISONED, bitcask_close(db, &err));

    /* The log has one error and the close's warning, however many writes were refused. */
    EXPECT(BITCASK_OK, bitcask_log_next(&level, &message, NULL, NULL));
    CHECK(level == BITCASK_LOG_ERROR && strstr(message, "bitcask_test_panic was called") != NULL);
    bitcask_free(message);
    EXPECT(BITCASK_OK, bitcask_log_next(&level, &message, NULL, NULL));
    CHECK(level == BITCASK_LOG_WARN && strstr(message, ": closed, ") != NULL);
    bitcask_free(message);
    EXPECT(BITCASK_DONE, bitcask_log_next(&level, &message, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 0, NULL));

    in_children();
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, value, sizeof value, &len, NULL));
    CHECK(len == 1 && value[0] == 'v');
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "w", 1, NULL));

    bitcask_batch_free(batch);
    close_store(db);
    return 0;
}
