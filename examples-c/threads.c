/*
 * One handle, many threads: writers and readers need no lock of their own.
 *
 *     cc threads.c -lbitcask -lpthread && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <pthread.h>
#include <sched.h>

#define WRITERS 4
#define READERS 2
#define KEYS_PER_WRITER 500

static bitcask_t *db;

/* Writes keys of its own. Each thread has its own error structure. */
static void *writer(void *argument) {
    const int id = *(const int *)argument;
    bitcask_error err = BITCASK_ERROR_INIT;
    char key[32];
    int i;

    for (i = 0; i < KEYS_PER_WRITER; i++) {
        int len = sprintf(key, "writer %d key %d", id, i);
        if (bitcask_put(db, key, (size_t)len, key, (size_t)len, &err) != BITCASK_OK) {
            fprintf(stderr, "writer %d: %s\n", id, err.message);
            return argument;
        }
        /* What this thread wrote it reads back at once, whatever the others do. */
        if (bitcask_exists(db, key, (size_t)len, &err) != BITCASK_OK)
            return argument;
    }
    return NULL;
}

/* Reads what the writers write, until all of it is there. A value is seen whole or not at all. */
static void *reader(void *argument) {
    char key[32], value[32];
    int id = 0, i = 0;

    while (id < WRITERS) {
        int len = sprintf(key, "writer %d key %d", id, i);
        size_t value_len;
        bitcask_status status =
            bitcask_get_into(db, key, (size_t)len, value, sizeof value, &value_len, NULL);
        if (status == BITCASK_NOT_FOUND) {
            sched_yield(); /* not there yet: let the writers have the processor */
            continue;
        }
        if (status != BITCASK_OK || value_len != (size_t)len || memcmp(key, value, value_len) != 0)
            return argument;
        if (++i == KEYS_PER_WRITER) {
            i = 0;
            id++;
        }
    }
    return NULL;
}

int main(void) {
    char path[256];
    pthread_t threads[WRITERS + READERS];
    int ids[WRITERS + READERS];
    uint64_t count;
    int i;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    for (i = 0; i < WRITERS + READERS; i++) {
        ids[i] = i;
        CHECK(pthread_create(&threads[i], NULL, i < WRITERS ? writer : reader, &ids[i]) == 0);
    }
    /* Every thread is through with the handle before it is closed: that is the caller's part. */
    for (i = 0; i < WRITERS + READERS; i++) {
        void *failed;
        CHECK(pthread_join(threads[i], &failed) == 0);
        CHECK(failed == NULL);
    }

    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == WRITERS * KEYS_PER_WRITER);
    printf("%d writers put %u keys, %d readers saw them all\n", WRITERS, (unsigned)count, READERS);

    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
