/* What outlives its store: a pin with its bytes, copies, a batch, which goes on to another store; and what is closed. */
#include "test.h"

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_batch_t *batch;
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    bitcask_feed_t *feed;
    bitcask_change change = BITCASK_CHANGE_INIT;
    void *value;
    bitcask_pin_t *pins[3];
    const void *bytes[3];
    void *copy;
    size_t len[3], copy_len;
    char small[4];

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "first", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_get_pinned(db, "k", 1, &pins[0], &bytes[0], &len[0], NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "second", 6, NULL));
    EXPECT(BITCASK_OK, bitcask_get_pinned(db, "k", 1, &pins[1], &bytes[1], &len[1], NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, NULL, 0, NULL));
    EXPECT(BITCASK_OK, bitcask_get_pinned(db, "k", 1, &pins[2], &bytes[2], &len[2], NULL));
    EXPECT(BITCASK_OK, bitcask_get(db, "k", 1, &copy, &copy_len, NULL));
    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, NULL, &iter, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_OK, bitcask_feed_open(db, NULL, 0, &feed, NULL));
    EXPECT(BITCASK_OK, bitcask_feed_next(feed, 0, &change, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "b", 1, "kept", 4, NULL));

    EXPECT(BITCASK_OK, bitcask_close(db, NULL));

    EXPECT(BITCASK_E_CLOSED, bitcask_snapshot_get(snapshot, "k", 1, &value, &copy_len, NULL));
    EXPECT(BITCASK_E_CLOSED,
           bitcask_snapshot_get_version(snapshot, "k", 1, &value, &copy_len, NULL, NULL, NULL));
    EXPECT(BITCASK_E_CLOSED, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_E_CLOSED, bitcask_iter_seek(iter, "k", 1, NULL));
    EXPECT(BITCASK_E_CLOSED, bitcask_snapshot_cursor(snapshot, &value, &copy_len, NULL));
    CHECK(change.value_len == 5 && memcmp(change.value, "first", 5) == 0);
    EXPECT(BITCASK_E_CLOSED, bitcask_feed_cursor(feed, &value, &copy_len, NULL));
    EXPECT(BITCASK_E_CLOSED, bitcask_feed_next(feed, UINT64_MAX, &change, NULL));
    bitcask_feed_free(feed);
    bitcask_snapshot_free(snapshot);
    bitcask_iter_free(iter);
    copy_len = 0;

    CHECK(len[0] == 5 && memcmp(bytes[0], "first", 5) == 0);
    CHECK(len[1] == 6 && memcmp(bytes[1], "second", 6) == 0);
    CHECK(len[2] == 0 && bytes[2] != NULL);
    CHECK(copy_len == 0 && *(char *)copy == '\0');

    /* The directory is free although pins are held, and may even go away. */
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, "b", 1, small, sizeof small, &copy_len, NULL));
    CHECK(copy_len == 4 && memcmp(small, "kept", 4) == 0);
    close_store(db);
    CHECK(memcmp(bytes[0], "first", 5) == 0 && memcmp(bytes[1], "second", 6) == 0);

    bitcask_pin_free(pins[2]);
    bitcask_pin_free(pins[0]);
    bitcask_pin_free(pins[1]);
    bitcask_free(copy);
    bitcask_batch_free(batch);
    return 0;
}
