/* A handle does not cross fork(): the child's calls are refused, and its close harms nothing of the parent's. */
#include "test.h"
#include <sys/wait.h>

static void in_the_child(bitcask_t *db, bitcask_batch_t *batch, bitcask_pin_t *pin, const void *bytes,
                         bitcask_snapshot_t *snapshot, bitcask_iter_t *iter, bitcask_feed_t *feed) {
    void *value = MARKED_POINTER;
    const void *other_bytes = MARKED_POINTER;
    bitcask_pin_t *other_pin = MARKED_POINTER;
    bitcask_status status = 9;
    bitcask_snapshot_t *other_snapshot = MARKED_POINTER;
    bitcask_iter_t *other_iter = MARKED_POINTER;
    bitcask_iter_options everything = BITCASK_ITER_OPTIONS_INIT;
    bitcask_feed_t *other_feed = MARKED_POINTER;
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_t *second;
    char *json = MARKED_POINTER;
    size_t len = MARKED_SIZE, key_len = 1;
    uint64_t number = 12345;

    EXPECT(BITCASK_E_FORKED, bitcask_put(db, "k", 1, "child", 5, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_delete(db, "k", 1, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_sync(db, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_merge(db, NULL, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_refresh(db, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_put_json(db, "k", 1, "{}", 2, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_patch_json(db, "k", 1, "{}", 2, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_batch_write_with(db, batch, NULL, &number, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_put_with(db, "k", 1, "child", 5, NULL, &number, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_delete_with(db, "k", 1, NULL, &number, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_counter_add(db, "k", 1, 1, NULL, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_expire(db, "k", 1, 1, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_persist(db, "k", 1, NULL));
    CHECK(number == 0);
    number = 12345;
    EXPECT(BITCASK_E_FORKED, bitcask_delete_range(db, &everything, &number, NULL));
    CHECK(number == 0);

    EXPECT(BITCASK_E_FORKED, bitcask_get(db, "k", 1, &value, &len, NULL));
    CHECK(value == NULL && len == 0);
    EXPECT(BITCASK_E_FORKED, bitcask_get_version(db, "k", 1, &value, &len, &number, &number, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_ttl(db, "k", 1, &number, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_get_into(db, "k", 1, NULL, 0, &len, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_get_pinned(db, "k", 1, &other_pin, &other_bytes, &len, NULL));
    CHECK(other_pin == NULL && other_bytes == NULL);
    EXPECT(BITCASK_E_FORKED, bitcask_get_many(db, "k", &key_len, 1, &value, &len, &status, NULL));
    CHECK(value == NULL && status == 0);
    EXPECT(BITCASK_E_FORKED, bitcask_get_json(db, "k", 1, NULL, &json, &len, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_exists(db, "k", 1, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_count(db, &number, NULL));
    CHECK(number == 0);
    EXPECT(BITCASK_E_FORKED, bitcask_stats(db, &json, &len, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_backup(db, "/nowhere", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    EXPECT(BITCASK_E_FORKED, bitcask_stat_u64(db, "keys", &number, NULL));

    /* What takes no handle is a matter of the child's own. The store is the parent's still. */
    EXPECT(BITCASK_OK, bitcask_verify(test_path, &json, &len, NULL));
    CHECK(strstr(json, "\"sound\":true") != NULL);
    bitcask_free(json);
    EXPECT(BITCASK_E_LOCKED, bitcask_repair(test_path, "/nowhere/at/all", &json, &len, NULL));

    EXPECT(BITCASK_E_FORKED, bitcask_snapshot_new(db, &other_snapshot, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_snapshot_get(snapshot, "k", 1, &value, &len, NULL));
    EXPECT(BITCASK_E_FORKED,
           bitcask_snapshot_get_version(snapshot, "k", 1, &value, &len, &number, &number, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_iter_new(db, snapshot, NULL, &other_iter, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_iter_seek(iter, "k", 1, NULL));
    CHECK(other_snapshot == NULL && other_iter == NULL);
    EXPECT(BITCASK_E_FORKED, bitcask_snapshot_cursor(snapshot, &value, &len, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_feed_open(db, NULL, 0, &other_feed, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_feed_next(feed, 0, &change, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_feed_cursor(feed, &value, &len, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_apply(db, NULL, 0, "c", 1, NULL));
    EXPECT(BITCASK_E_FORKED, bitcask_applied_cursor(db, &value, &len, NULL));
    CHECK(other_feed == NULL && value == NULL && len == 0);

    /* The parent is still the owner of the directory. */
    EXPECT(BITCASK_E_LOCKED, bitcask_open(test_path, NULL, &second, NULL));

    CHECK(memcmp(bytes, "parent", 6) == 0);
    bitcask_pin_free(pin);
    bitcask_batch_free(batch);
    bitcask_iter_free(iter);
    bitcask_feed_free(feed);
    EXPECT(BITCASK_E_FORKED, bitcask_close(db, NULL));
    bitcask_snapshot_free(snapshot);
    EXPECT(BITCASK_E_LOCKED, bitcask_open(test_path, NULL, &second, NULL));
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_batch_t *batch;
    bitcask_pin_t *pin;
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    bitcask_feed_t *feed;
    const void *bytes;
    char value[8];
    size_t len;
    int exit_status, i;

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "parent", 6, NULL));
    EXPECT(BITCASK_OK, bitcask_get_pinned(db, "k", 1, &pin, &bytes, &len, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "b", 1, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_snapshot_new(db, &snapshot, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_new(db, snapshot, NULL, &iter, NULL));
    EXPECT(BITCASK_OK, bitcask_feed_open(db, NULL, 0, &feed, NULL));

    for (i = 0; i < 2; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            in_the_child(db, batch, pin, bytes, snapshot, iter, feed);
            _exit(0);
        }
        CHECK(waitpid(child, &exit_status, 0) == child);
        CHECK(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);

        /* Nothing of the parent's was touched: it reads, writes, syncs, and holds the lock. */
        EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, value, sizeof value, &len, NULL));
        CHECK(len == 6 && memcmp(value, "parent", 6) == 0);
        EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "parent", 6, NULL));
        EXPECT(BITCASK_OK, bitcask_sync(db, NULL));
        CHECK(memcmp(bytes, "parent", 6) == 0);
    }

    /* A child that lives on does not keep the directory after its owner closed it. */
    {
        int ends[2];
        pid_t child;
        char byte;
        CHECK(pipe(ends) == 0);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(ends[1]);
            CHECK(read(ends[0], &byte, 1) == 0); /* until the parent closes its end */
            bitcask_pin_free(pin);
            bitcask_batch_free(batch);
            bitcask_iter_free(iter);
            bitcask_snapshot_free(snapshot);
            bitcask_feed_free(feed);
            EXPECT(BITCASK_E_FORKED, bitcask_close(db, NULL));
            _exit(0);
        }
        close(ends[0]);
        bitcask_iter_free(iter);
        bitcask_snapshot_free(snapshot);
        bitcask_feed_free(feed);
        EXPECT(BITCASK_OK, bitcask_close(db, NULL));
        EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
        close(ends[1]);
        CHECK(waitpid(child, &exit_status, 0) == child);
        CHECK(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
        EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "again", 5, NULL));
    }

    bitcask_pin_free(pin);
    bitcask_batch_free(batch);
    close_store(db);
    return 0;
}
