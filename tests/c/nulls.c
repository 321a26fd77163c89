/* NULL in every place: where it is legal nothing happens, where it is not the message names the argument. */
#include "test.h"

#define REFUSED(name, call)                                                    \
    do {                                                                       \
        EXPECT(BITCASK_E_INVALID, (call));                                     \
        if (strstr(bitcask_last_error(), (name)) != bitcask_last_error()) {    \
            fprintf(stderr, "%d: %s is not named: %s\n", __LINE__, (name), bitcask_last_error()); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static void a_null_store_is_refused(void) {
    void *value;
    const void *bytes;
    char *json;
    bitcask_pin_t *pin;
    bitcask_batch_t *batch;
    bitcask_snapshot_t *snapshot;
    bitcask_iter_t *iter;
    bitcask_feed_t *feed;
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_status status;
    size_t len, key_len = 1;
    uint64_t number;

    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    REFUSED("db", bitcask_put(NULL, "k", 1, "v", 1, NULL));
    REFUSED("db", bitcask_get(NULL, "k", 1, &value, &len, NULL));
    REFUSED("db", bitcask_get_into(NULL, "k", 1, NULL, 0, &len, NULL));
    REFUSED("db", bitcask_get_pinned(NULL, "k", 1, &pin, &bytes, &len, NULL));
    REFUSED("db", bitcask_get_many(NULL, "k", &key_len, 1, &value, &len, &status, NULL));
    REFUSED("db", bitcask_delete(NULL, "k", 1, NULL));
    REFUSED("db", bitcask_exists(NULL, "k", 1, NULL));
    REFUSED("db", bitcask_count(NULL, &number, NULL));
    REFUSED("db", bitcask_put_json(NULL, "k", 1, "{}", 2, NULL));
    REFUSED("db", bitcask_get_json(NULL, "k", 1, NULL, &json, &len, NULL));
    REFUSED("db", bitcask_patch_json(NULL, "k", 1, "{}", 2, NULL));
    REFUSED("db", bitcask_batch_write(NULL, batch, NULL));
    REFUSED("db", bitcask_batch_write_with(NULL, batch, NULL, NULL, NULL));
    REFUSED("db", bitcask_put_with(NULL, "k", 1, "v", 1, NULL, NULL, NULL));
    REFUSED("db", bitcask_delete_with(NULL, "k", 1, NULL, NULL, NULL));
    REFUSED("db", bitcask_counter_add(NULL, "k", 1, 1, NULL, NULL));
    REFUSED("db", bitcask_get_version(NULL, "k", 1, NULL, NULL, NULL, NULL, NULL));
    REFUSED("db", bitcask_expire(NULL, "k", 1, 1, NULL));
    REFUSED("db", bitcask_backup(NULL, test_path, NULL, NULL, NULL));
    REFUSED("db", bitcask_ttl(NULL, "k", 1, &number, NULL));
    REFUSED("db", bitcask_persist(NULL, "k", 1, NULL));
    REFUSED("snapshot", bitcask_snapshot_get_version(NULL, "k", 1, NULL, NULL, NULL, NULL, NULL));
    CHECK(bitcask_iter_version(NULL) == 0);
    REFUSED("db", bitcask_snapshot_new(NULL, &snapshot, NULL));
    REFUSED("snapshot", bitcask_snapshot_get(NULL, "k", 1, &value, &len, NULL));
    REFUSED("db", bitcask_iter_new(NULL, NULL, NULL, &iter, NULL));
    REFUSED("iter", bitcask_iter_next(NULL, NULL));
    REFUSED("iter", bitcask_iter_next_many(NULL, NULL, 0, &len, &key_len, NULL));
    REFUSED("iter", bitcask_iter_seek(NULL, "k", 1, NULL));
    REFUSED("snapshot", bitcask_snapshot_cursor(NULL, &value, &len, NULL));
    REFUSED("db", bitcask_feed_open(NULL, NULL, 0, &feed, NULL));
    REFUSED("feed", bitcask_feed_next(NULL, 0, &change, NULL));
    REFUSED("feed", bitcask_feed_cursor(NULL, &value, &len, NULL));
    REFUSED("iter", bitcask_iter_change(NULL, &change, NULL));
    REFUSED("db", bitcask_apply(NULL, NULL, 0, NULL, 0, NULL));
    REFUSED("db", bitcask_applied_cursor(NULL, &value, &len, NULL));
    CHECK(bitcask_iter_key(NULL, &len) == NULL && len == 0);
    CHECK(bitcask_iter_value(NULL, NULL) == NULL);
    REFUSED("db", bitcask_delete_range(NULL, NULL, &number, NULL));
    REFUSED("db", bitcask_sync(NULL, NULL));
    REFUSED("db", bitcask_merge(NULL, NULL, NULL));
    REFUSED("db", bitcask_refresh(NULL, NULL));
    REFUSED("db", bitcask_stats(NULL, &json, &len, NULL));
    REFUSED("db", bitcask_stat_u64(NULL, "keys", &number, NULL));
    bitcask_batch_free(batch);
}

static void null_with_a_length_is_refused(bitcask_t *db, bitcask_batch_t *batch) {
    void *value;
    const void *bytes;
    char *json;
    bitcask_pin_t *pin;
    bitcask_status status;
    size_t len, key_len = 1;
    uint64_t number;

    REFUSED("key", bitcask_put(db, NULL, 1, "v", 1, NULL));
    REFUSED("value", bitcask_put(db, "k", 1, NULL, 1, NULL));
    REFUSED("key", bitcask_get(db, NULL, 1, &value, &len, NULL));
    REFUSED("key", bitcask_get_into(db, NULL, 1, NULL, 0, &len, NULL));
    REFUSED("buf", bitcask_get_into(db, "k", 1, NULL, 1, &len, NULL));
    REFUSED("key", bitcask_get_pinned(db, NULL, 1, &pin, &bytes, &len, NULL));
    REFUSED("keys", bitcask_get_many(db, NULL, &key_len, 1, &value, &len, &status, NULL));
    REFUSED("key_lens", bitcask_get_many(db, "k", NULL, 1, &value, &len, &status, NULL));
    REFUSED("key", bitcask_delete(db, NULL, 1, NULL));
    REFUSED("key", bitcask_exists(db, NULL, 1, NULL));
    REFUSED("key", bitcask_put_json(db, NULL, 1, "{}", 2, NULL));
    REFUSED("json", bitcask_put_json(db, "k", 1, NULL, 2, NULL));
    REFUSED("key", bitcask_get_json(db, NULL, 1, NULL, &json, &len, NULL));
    REFUSED("key", bitcask_patch_json(db, NULL, 1, "{}", 2, NULL));
    REFUSED("merge_patch", bitcask_patch_json(db, "k", 1, NULL, 2, NULL));
    REFUSED("json", bitcask_json_get(NULL, 2, NULL, &json, &len, NULL));
    REFUSED("key", bitcask_batch_put(batch, NULL, 1, "v", 1, NULL));
    REFUSED("value", bitcask_batch_put(batch, "k", 1, NULL, 1, NULL));
    REFUSED("key", bitcask_batch_put_json(batch, NULL, 1, "{}", 2, NULL));
    REFUSED("json", bitcask_batch_put_json(batch, "k", 1, NULL, 2, NULL));
    REFUSED("key", bitcask_batch_delete(batch, NULL, 1, NULL));
    REFUSED("key", bitcask_batch_expect(batch, NULL, 1, 0, NULL));
    REFUSED("key", bitcask_put_with(db, NULL, 1, "v", 1, NULL, NULL, NULL));
    REFUSED("value", bitcask_put_with(db, "k", 1, NULL, 1, NULL, NULL, NULL));
    REFUSED("key", bitcask_delete_with(db, NULL, 1, NULL, NULL, NULL));
    REFUSED("key", bitcask_counter_add(db, NULL, 1, 1, NULL, NULL));
    REFUSED("key", bitcask_get_version(db, NULL, 1, NULL, NULL, NULL, NULL, NULL));
    REFUSED("key", bitcask_expire(db, NULL, 1, 1, NULL));
    REFUSED("key", bitcask_ttl(db, NULL, 1, &number, NULL));
    REFUSED("key", bitcask_persist(db, NULL, 1, NULL));
    REFUSED("changes", bitcask_apply(db, NULL, 1, NULL, 0, NULL));
    REFUSED("cursor", bitcask_apply(db, NULL, 0, NULL, 1, NULL));
    REFUSED("cursor", bitcask_feed_open(db, NULL, 1, (bitcask_feed_t **)&value, NULL));
}

static void null_for_an_output_is_refused(bitcask_t *db) {
    void *value;
    const void *bytes;
    bitcask_pin_t *pin;
    bitcask_status status;
    size_t len, key_len = 1;

    REFUSED("out", bitcask_open(test_path, NULL, NULL, NULL));
    REFUSED("value", bitcask_get(db, "k", 1, NULL, &len, NULL));
    REFUSED("value_len", bitcask_get(db, "k", 1, &value, NULL, NULL));
    REFUSED("value_len", bitcask_get_into(db, "k", 1, NULL, 0, NULL, NULL));
    REFUSED("pin", bitcask_get_pinned(db, "k", 1, NULL, &bytes, &len, NULL));
    REFUSED("value", bitcask_get_pinned(db, "k", 1, &pin, NULL, &len, NULL));
    REFUSED("value_len", bitcask_get_pinned(db, "k", 1, &pin, &bytes, NULL, NULL));
    REFUSED("values", bitcask_get_many(db, "k", &key_len, 1, NULL, &len, &status, NULL));
    REFUSED("value_lens", bitcask_get_many(db, "k", &key_len, 1, &value, NULL, &status, NULL));
    REFUSED("statuses", bitcask_get_many(db, "k", &key_len, 1, &value, &len, NULL, NULL));
    REFUSED("value_len", bitcask_get_version(db, "k", 1, &value, NULL, NULL, NULL, NULL));
    REFUSED("ttl_ms", bitcask_ttl(db, "k", 1, NULL, NULL));
    REFUSED("count", bitcask_count(db, NULL, NULL));
    REFUSED("json", bitcask_get_json(db, "k", 1, NULL, NULL, &len, NULL));
    REFUSED("out", bitcask_json_get("{}", 2, NULL, NULL, &len, NULL));
    REFUSED("json", bitcask_stats(db, NULL, &len, NULL));
    REFUSED("value", bitcask_stat_u64(db, "keys", NULL, NULL));
    REFUSED("out", bitcask_batch_new(NULL, NULL));
    REFUSED("out", bitcask_snapshot_new(db, NULL, NULL));
    REFUSED("out", bitcask_iter_new(db, NULL, NULL, NULL, NULL));
    REFUSED("out", bitcask_feed_open(db, NULL, 0, NULL, NULL));
    REFUSED("cursor", bitcask_applied_cursor(db, NULL, &len, NULL));
    REFUSED("cursor_len", bitcask_applied_cursor(db, &value, NULL, NULL));
}

static void null_for_a_text_batch_or_range_is_refused(bitcask_t *db) {
    bitcask_t *other = MARKED_POINTER;
    bitcask_iter_options range = BITCASK_ITER_OPTIONS_INIT;
    char *json = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    uint64_t number;

    REFUSED("path", bitcask_open(NULL, NULL, &other, NULL));
    CHECK(other == NULL);
    REFUSED("dest", bitcask_backup(db, NULL, NULL, NULL, NULL));
    REFUSED("dest", bitcask_backup(db, "", NULL, NULL, NULL));
    REFUSED("path", bitcask_verify(NULL, &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    REFUSED("report", bitcask_verify(test_path, NULL, &len, NULL));
    REFUSED("source", bitcask_repair(NULL, "/nowhere", NULL, NULL, NULL));
    REFUSED("dest", bitcask_repair(test_path, NULL, NULL, NULL, NULL));
    REFUSED("name", bitcask_stat_u64(db, NULL, &number, NULL));
    REFUSED("batch", bitcask_batch_put(NULL, "k", 1, "v", 1, NULL));
    REFUSED("batch", bitcask_batch_put_json(NULL, "k", 1, "{}", 2, NULL));
    REFUSED("batch", bitcask_batch_delete(NULL, "k", 1, NULL));
    REFUSED("batch", bitcask_batch_write(db, NULL, NULL));
    REFUSED("batch", bitcask_batch_expect(NULL, "k", 1, 0, NULL));
    REFUSED("batch", bitcask_batch_write_with(db, NULL, NULL, NULL, NULL));
    /* No range is not the range of all keys. */
    number = 12345;
    REFUSED("range", bitcask_delete_range(db, NULL, &number, NULL));
    CHECK(number == 0);
    range.upper_len = 1;
    REFUSED("upper", bitcask_delete_range(db, &range, NULL, NULL));
}

static void an_output_that_may_be_null_may(bitcask_t *db) {
    bitcask_iter_options range = BITCASK_ITER_OPTIONS_INIT;
    char *json;

    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, "v", 1, NULL, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_get_version(db, "k", 1, NULL, NULL, NULL, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_delete_with(db, "k", 1, NULL, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_counter_add(db, "k", 1, 1, NULL, NULL));
    range.prefix = "k";
    range.prefix_len = 1;
    EXPECT(BITCASK_OK, bitcask_delete_range(db, &range, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_put_json(db, "doc", 3, "[1]", 3, NULL));
    EXPECT(BITCASK_OK, bitcask_get_json(db, "doc", 3, NULL, &json, NULL, NULL));
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_json_get("[1]", 3, "/0", &json, NULL, NULL));
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_stats(db, &json, NULL, NULL));
    bitcask_free(json);
}

static void ending_null_does_nothing(void) {
    int i;
    for (i = 0; i < 2; i++) {
        bitcask_free(NULL);
        bitcask_pin_free(NULL);
        bitcask_batch_free(NULL);
        bitcask_batch_clear(NULL);
        EXPECT(BITCASK_OK, bitcask_close(NULL, NULL));
    }
}

int main(void) {
    bitcask_batch_t *batch;
    bitcask_t *db = open_store(NULL);
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));

    a_null_store_is_refused();
    null_with_a_length_is_refused(db, batch);
    null_for_an_output_is_refused(db);
    null_for_a_text_batch_or_range_is_refused(db);
    an_output_that_may_be_null_may(db);
    ending_null_does_nothing();

    bitcask_batch_free(batch);
    close_store(db);
    return 0;
}
