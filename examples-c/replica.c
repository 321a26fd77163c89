/*
 * A live copy of a store: filled from a snapshot, kept up to date by the change
 * feed, stopped anywhere and gone on with where it was.
 *
 *     cc replica.c -lbitcask -lpthread && ./a.out
 *
 * Both stores are in one process here. In between could be a network: a change is
 * a key, a value and some numbers, a cursor is some bytes.
 */
#define _XOPEN_SOURCE 700
#include <pthread.h>

#include "example.h"

#define ORDERS 2000
#define MOST_CHANGES 64

/* Changes that were taken from a feed or an iterator, and are not applied yet. Their bytes are copied, since they
 * stay valid until the next call only. */
typedef struct pending {
    bitcask_change changes[MOST_CHANGES];
    size_t count;
} pending;

static void *copy_of(const void *bytes, size_t len) {
    void *copy = malloc(len + 1);
    CHECK(copy != NULL);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

static void keep(pending *all, bitcask_change change) {
    CHECK(all->count < MOST_CHANGES);
    change.key = copy_of(change.key, change.key_len);
    if (change.kind == BITCASK_CHANGE_PUT)
        change.value = copy_of(change.value, change.value_len);
    all->changes[all->count++] = change;
}

static void apply(bitcask_t *replica, pending *all, const void *cursor, size_t cursor_len) {
    bitcask_error err = BITCASK_ERROR_INIT;
    size_t i;

    EXPECT(BITCASK_OK, bitcask_apply(replica, all->changes, all->count, cursor, cursor_len, &err));
    for (i = 0; i < all->count; i++) {
        free((void *)all->changes[i].key);
        free((void *)all->changes[i].value);
    }
    all->count = 0;
}

/* Fills an empty replica, and gives the feed of what comes after. */
static bitcask_feed_t *fill(const bitcask_t *source, bitcask_t *replica) {
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_snapshot_t *snapshot;
    bitcask_feed_t *feed;
    bitcask_iter_t *iter;
    pending all;
    void *cursor;
    size_t cursor_len;

    all.count = 0;
    EXPECT(BITCASK_OK, bitcask_snapshot_new(source, &snapshot, NULL));
    EXPECT(BITCASK_OK, bitcask_snapshot_cursor(snapshot, &cursor, &cursor_len, NULL));
    /* First of all: as long as it is open, merges leave it what it has to read. */
    EXPECT(BITCASK_OK, bitcask_feed_open(source, cursor, cursor_len, &feed, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_new(source, snapshot, NULL, &iter, NULL));
    while (bitcask_iter_next(iter, NULL) == BITCASK_OK) {
        EXPECT(BITCASK_OK, bitcask_iter_change(iter, &change, NULL));
        keep(&all, change);
        if (all.count == MOST_CHANGES)
            apply(replica, &all, NULL, 0);
    }
    /* The cursor comes last: a replica with one is full. */
    apply(replica, &all, cursor, cursor_len);
    bitcask_iter_free(iter);
    bitcask_snapshot_free(snapshot);
    bitcask_free(cursor);
    return feed;
}

/* The feed from where the replica is; NULL if it must be emptied and filled anew. */
static bitcask_feed_t *go_on(const bitcask_t *source, const bitcask_t *replica) {
    bitcask_feed_t *feed;
    bitcask_status status;
    void *cursor;
    size_t cursor_len;

    if (bitcask_applied_cursor(replica, &cursor, &cursor_len, NULL) == BITCASK_NOT_FOUND)
        return NULL;
    status = bitcask_feed_open(source, cursor, cursor_len, &feed, NULL);
    bitcask_free(cursor);
    CHECK(status == BITCASK_OK || status == BITCASK_RESNAPSHOT);
    return status == BITCASK_OK ? feed : NULL;
}

/* Applies one batch; 0 when none came in time. */
static int follow(bitcask_feed_t *feed, bitcask_t *replica, uint64_t timeout_ms) {
    bitcask_change change = BITCASK_CHANGE_INIT;
    bitcask_status status;
    pending all;
    void *cursor;
    size_t cursor_len;

    all.count = 0;
    do {
        status = bitcask_feed_next(feed, timeout_ms, &change, NULL);
        if (status == BITCASK_DONE) {
            CHECK(all.count == 0); /* the changes of a batch come all at once */
            return 0;
        }
        CHECK(status == BITCASK_OK);
        keep(&all, change);
    } while ((change.flags & BITCASK_CHANGE_BATCH_END) == 0);
    EXPECT(BITCASK_OK, bitcask_feed_cursor(feed, &cursor, &cursor_len, NULL));
    apply(replica, &all, cursor, cursor_len);
    bitcask_free(cursor);
    return 1;
}

static void order(bitcask_t *db, int number) {
    char key[32], value[32];
    int key_len = snprintf(key, sizeof key, "order/%04d", number % 300);
    int value_len = snprintf(value, sizeof value, "{\"number\": %d}", number);

    EXPECT(BITCASK_OK, bitcask_put_json(db, key, (size_t)key_len, value, (size_t)value_len, NULL));
    if (number % 7 == 0)
        EXPECT(BITCASK_OK, bitcask_delete(db, key, (size_t)key_len, NULL));
}

static void *take_orders(void *db) {
    int i;
    for (i = 0; i < ORDERS; i++)
        order(db, i);
    return NULL;
}

static void expect_equal(const bitcask_t *source, const bitcask_t *replica) {
    bitcask_iter_t *a, *b;
    bitcask_change of_a = BITCASK_CHANGE_INIT, of_b = BITCASK_CHANGE_INIT;

    EXPECT(BITCASK_OK, bitcask_iter_new(source, NULL, NULL, &a, NULL));
    EXPECT(BITCASK_OK, bitcask_iter_new(replica, NULL, NULL, &b, NULL));
    while (bitcask_iter_next(a, NULL) == BITCASK_OK) {
        EXPECT(BITCASK_OK, bitcask_iter_next(b, NULL));
        EXPECT(BITCASK_OK, bitcask_iter_change(a, &of_a, NULL));
        EXPECT(BITCASK_OK, bitcask_iter_change(b, &of_b, NULL));
        CHECK(of_a.key_len == of_b.key_len && memcmp(of_a.key, of_b.key, of_a.key_len) == 0);
        CHECK(of_a.value_len == of_b.value_len && memcmp(of_a.value, of_b.value, of_a.value_len) == 0);
        CHECK(of_a.version == of_b.version && of_a.flags == of_b.flags);
    }
    EXPECT(BITCASK_DONE, bitcask_iter_next(b, NULL));
    bitcask_iter_free(a);
    bitcask_iter_free(b);
}

int main(void) {
    char source_path[256], replica_path[256];
    bitcask_t *source, *replica;
    bitcask_feed_t *feed;
    pthread_t orders;
    int i, batches = 0;

    make_directory(source_path, sizeof source_path);
    make_directory(replica_path, sizeof replica_path);
    /* A replica may be away while 16 MiB are written. */
    EXPECT(BITCASK_OK, bitcask_open(source_path, "{\"feed_retention_bytes\": 16777216}", &source, NULL));
    EXPECT(BITCASK_OK, bitcask_open(replica_path, NULL, &replica, NULL));
    for (i = 0; i < 500; i++)
        order(source, i);

    CHECK(go_on(source, replica) == NULL);
    feed = fill(source, replica);
    expect_equal(source, replica);

    /* Orders come in, and the replica follows, waiting for each as long as it takes. */
    CHECK(pthread_create(&orders, NULL, take_orders, source) == 0);
    while (batches < ORDERS)
        batches += follow(feed, replica, UINT64_MAX);

    /* It is stopped in the middle. What it has is what its cursor says. */
    bitcask_feed_free(feed);
    EXPECT(BITCASK_OK, bitcask_close(replica, NULL));
    CHECK(pthread_join(orders, NULL) == 0);
    EXPECT(BITCASK_OK, bitcask_open(replica_path, NULL, &replica, NULL));
    feed = go_on(source, replica);
    CHECK(feed != NULL);
    while (follow(feed, replica, 0))
        batches++;
    expect_equal(source, replica);

    printf("%d batches, and the stores are equal\n", batches);
    bitcask_feed_free(feed);
    EXPECT(BITCASK_OK, bitcask_close(source, NULL));
    EXPECT(BITCASK_OK, bitcask_close(replica, NULL));
    remove_directory(source_path);
    remove_directory(replica_path);
    return 0;
}
