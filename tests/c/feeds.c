/* Feeds and what is applied: every field, every refusal, waits that end, and what merges leave to a feed. */
#include "test.h"
#include <pthread.h>
#include <time.h>

#define REFUSED(message, call)                                                 \
    do {                                                                       \
        EXPECT(BITCASK_E_INVALID, (call));                                     \
        CHECK(strstr(bitcask_last_error(), (message)) != NULL);                \
    } while (0)

static void sleep_ms(long ms) {
    struct timespec time;
    time.tv_sec = ms / 1000;
    time.tv_nsec = ms % 1000 * 1000000;
    CHECK(nanosleep(&time, NULL) == 0);
}

static uint64_t now_ms(void) {
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static bitcask_feed_t *feed_from(const bitcask_t *db, const void *cursor, size_t len) {
    bitcask_feed_t *feed;
    EXPECT(BITCASK_OK, bitcask_feed_open(db, cursor, len, &feed, NULL));
    return feed;
}

static void every_field_of_a_change(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_write_options expiring = BITCASK_WRITE_OPTIONS_INIT;
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_feed_t *feed = feed_from(db, NULL, 0);
    bitcask_batch_t *batch;
    uint64_t version, first;

    expiring.flags = BITCASK_WRITE_TTL;
    expiring.ttl_ms = 3600000;
    EXPECT(BITCASK_DONE, bitcask_feed_next(feed, 0, &change, NULL));
    EXPECT(BITCASK_OK, bitcask_put_with(db, "k", 1, NULL, 0, &expiring, &version, NULL));
    EXPECT(BITCASK_OK, bitcask_put_json(db, "doc", 3, "[1]", 3, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_delete(batch, "k", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "", 0, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
    bitcask_batch_free(batch);

    EXPECT(BITCASK_OK, bitcask_feed_next(feed, 0, &change, NULL));
    CHECK(change.struct_size == sizeof change && change.kind == BITCASK_CHANGE_PUT);
    CHECK(change.flags == (BITCASK_CHANGE_BATCH_END | BITCASK_CHANGE_EXPIRES) && change.reserved == 0);
    CHECK(change.key_len == 1 && memcmp(change.key, "k", 1) == 0);
    CHECK(change.value_len == 0 && change.value != NULL);
    CHECK(change.version == version && change.deadline_ns > change.version);
    first = change.version;
    EXPECT(BITCASK_OK, bitcask_feed_next(feed, 0, &change, NULL));
    CHECK(change.flags == (BITCASK_CHANGE_BATCH_END | BITCASK_CHANGE_JSON) && change.deadline_ns == 0);
    CHECK(change.value_len == 3 && memcmp(change.value, "[1]", 3) == 0 && change.version > first);
    EXPECT(BITCASK_OK, bitcask_feed_next(feed, 0, &change, NULL));
    CHECK(change.kind == BITCASK_CHANGE_DELETE && change.flags == 0);
    CHECK(change.value == NULL && change.value_len == 0);
    EXPECT(BITCASK_OK, bitcask_feed_next(feed, 0, &change, NULL));
    CHECK(change.kind == BITCASK_CHANGE_PUT && change.flags == BITCASK_CHANGE_BATCH_END && change.key_len == 0);
    EXPECT(BITCASK_DONE, bitcask_feed_next(feed, 0, &change, NULL));
    CHECK(change.struct_size == sizeof change && change.kind == 0 && change.key == NULL && change.version == 0);
    change.struct_size = 8;
    REFUSED("change.struct_size is 8", bitcask_feed_next(feed, 0, &change, NULL));
    REFUSED("change", bitcask_feed_next(feed, 0, NULL, NULL));
    bitcask_feed_free(feed);
    close_store(db);
}

/* A program of a later version: its structure has a field more. */
typedef struct later_change {
    bitcask_change change;
    uint64_t more;
} later_change;

static void what_is_applied(void) {
    bitcask_t *db = open_store("{\"default_ttl_ms\": 1000}");
    bitcask_change changes[3], change = BITCASK_CHANGE_INIT;
    later_change later[2];
    const char too_long[1025] = {0};
    bitcask_iter_t *iter;
    char value[8];
    void *cursor;
    size_t len;
    uint64_t version, ttl_ms;
    int i;

    for (i = 0; i < 3; i++) {
        changes[i] = change;
        changes[i].kind = BITCASK_CHANGE_PUT;
        changes[i].key = i == 2 ? "b" : "a";
        changes[i].key_len = 1;
        changes[i].value = &"123"[i];
        changes[i].value_len = 1;
        changes[i].version = 1000u + (unsigned)i;
    }
    EXPECT(BITCASK_NOT_FOUND, bitcask_applied_cursor(db, &cursor, &len, NULL));
    CHECK(cursor == NULL && len == 0);
    EXPECT(BITCASK_OK, bitcask_apply(db, changes, 3, "here\0", 5, NULL));
    EXPECT(BITCASK_OK, bitcask_applied_cursor(db, &cursor, &len, NULL));
    CHECK(len == 5 && memcmp(cursor, "here\0", 5) == 0);
    bitcask_free(cursor);
    EXPECT(BITCASK_OK, bitcask_get_version(db, "a", 1, NULL, NULL, &version, &ttl_ms, NULL));
    CHECK(version == 1001 && ttl_ms == BITCASK_NO_TTL);
    EXPECT(BITCASK_OK, bitcask_get_into(db, "a", 1, value, sizeof value, &len, NULL));
    CHECK(len == 1 && value[0] == '2');

    EXPECT(BITCASK_OK, bitcask_iter_new(db, NULL, NULL, &iter, NULL));
    EXPECT(BITCASK_DONE, bitcask_iter_change(iter, &change, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_next(iter, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_change(iter, &change, NULL));
    CHECK(change.version == 1001 && change.kind == BITCASK_CHANGE_PUT && *(const char *)change.value == '2');
    bitcask_iter_free(iter);

    /* Structures of a later version lie further apart. */
    memset(later, 0, sizeof later);
    for (i = 0; i < 2; i++) {
        later[i].change = changes[i + 1];
        later[i].change.struct_size = sizeof later[0];
        later[i].change.version = 2000u + (unsigned)i;
    }
    EXPECT(BITCASK_OK, bitcask_apply(db, &later[0].change, 2, NULL, 0, NULL));
    EXPECT(BITCASK_OK, bitcask_get_version(db, "b", 1, NULL, NULL, &version, NULL, NULL));
    CHECK(version == 2001);
    later[1].more = 7;
    REFUSED("knows no field", bitcask_apply(db, &later[0].change, 2, NULL, 0, NULL));
    later[1].more = 0;
    later[1].change.struct_size = sizeof changes[0];
    REFUSED("changes[1].struct_size", bitcask_apply(db, &later[0].change, 2, NULL, 0, NULL));

    changes[0].kind = 3;
    REFUSED("changes[0].kind is 3", bitcask_apply(db, changes, 3, NULL, 0, NULL));
    changes[0].kind = BITCASK_CHANGE_DELETE;
    REFUSED("is a deletion", bitcask_apply(db, changes, 3, NULL, 0, NULL));
    changes[0].value_len = 0;
    changes[1].flags = 8;
    REFUSED("changes[1].flags is 0x8", bitcask_apply(db, changes, 3, NULL, 0, NULL));
    changes[1].flags = BITCASK_CHANGE_JSON;
    changes[1].value = "{";
    EXPECT(BITCASK_E_NOT_JSON, bitcask_apply(db, changes, 3, NULL, 0, NULL));
    changes[1].flags = 0;
    changes[2].version = 0;
    REFUSED("change 2 has version 0", bitcask_apply(db, changes, 3, NULL, 0, NULL));
    REFUSED("cursor has 1025 bytes", bitcask_apply(db, NULL, 0, too_long, sizeof too_long, NULL));
    EXPECT(BITCASK_OK, bitcask_get_version(db, "b", 1, NULL, NULL, &version, NULL, NULL));
    CHECK(version == 2001); /* nothing of that was done */
    close_store(db);
}

static void *write_late(void *db) {
    sleep_ms(100);
    EXPECT(BITCASK_OK, bitcask_put(db, "late", 4, "v", 1, NULL));
    return NULL;
}

static void *close_late(void *db) {
    sleep_ms(100);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    return NULL;
}

static void waits_end_with_a_write_a_time_or_a_close(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_feed_t *feed = feed_from(db, NULL, 0);
    pthread_t thread;
    uint64_t began = now_ms();

    EXPECT(BITCASK_DONE, bitcask_feed_next(feed, 50, &change, NULL));
    CHECK(now_ms() >= began + 49);
    CHECK(pthread_create(&thread, NULL, write_late, db) == 0);
    EXPECT(BITCASK_OK, bitcask_feed_next(feed, UINT64_MAX, &change, NULL));
    CHECK(change.key_len == 4);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, close_late, db) == 0);
    EXPECT(BITCASK_E_CLOSED, bitcask_feed_next(feed, UINT64_MAX, &change, NULL));
    CHECK(pthread_join(thread, NULL) == 0);
    bitcask_feed_free(feed);
    remove_directory(test_path);
}

static void merges_leave_a_feed_what_it_has_not_read(void) {
    bitcask_t *db = open_store("{\"max_segment_bytes\": 65536, \"merge\": \"manual\"}");
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_feed_t *feed, *other;
    char value[1000];
    void *cursor, *later;
    size_t len, later_len;
    uint64_t merges, feeds;
    int i, changes = 0;

    memset(value, 7, sizeof value);
    feed = feed_from(db, NULL, 0);
    EXPECT(BITCASK_OK, bitcask_feed_cursor(feed, &cursor, &len, NULL));
    for (i = 0; i < 1000; i++)
        EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, value, sizeof value, NULL));
    EXPECT(BITCASK_OK, bitcask_stat_u64(db, "feeds", &feeds, NULL));
    CHECK(feeds == 1);
    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_stat_u64(db, "merges", &merges, NULL));
    CHECK(merges == 0);
    while (bitcask_feed_next(feed, 0, &change, NULL) == BITCASK_OK)
        changes++;
    CHECK(changes == 1000);
    EXPECT(BITCASK_OK, bitcask_merge(db, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_stat_u64(db, "merges", &merges, NULL));
    CHECK(merges > 0);
    EXPECT(BITCASK_RESNAPSHOT, bitcask_feed_open(db, cursor, len, &other, NULL));
    CHECK(other == NULL);
    REFUSED("cursor", bitcask_feed_open(db, cursor, len - 1, &other, NULL));
    EXPECT(BITCASK_OK, bitcask_feed_cursor(feed, &later, &later_len, NULL));
    bitcask_feed_free(feed);
    other = feed_from(db, later, later_len);
    EXPECT(BITCASK_DONE, bitcask_feed_next(other, 0, &change, NULL));
    bitcask_feed_free(other);
    bitcask_feed_free(NULL);
    bitcask_free(cursor);
    bitcask_free(later);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, "{\"read_only\": true}", &db, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_feed_open(db, NULL, 0, &other, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_applied_cursor(db, &cursor, &len, NULL));
    close_store(db);
}

int main(void) {
    every_field_of_a_change();
    what_is_applied();
    waits_end_with_a_write_a_time_or_a_close();
    merges_leave_a_feed_what_it_has_not_read();
    return 0;
}
