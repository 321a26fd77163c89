/*
 * Two processes and one store: one writes, the other reads and keeps up.
 *
 *     cc reader.c -lbitcask -lpthread && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <sys/wait.h>

/* The child. It makes the store, writes, and tells after each write that this one is done. */
static void write_orders(const char *path, int done) {
    bitcask_t *db;
    char key[32], order[32];
    int i;

    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    for (i = 0; i < 1000; i++) {
        int key_len = snprintf(key, sizeof key, "order %d", i);
        int order_len = snprintf(order, sizeof order, "%d of it", i * 7 % 10);
        EXPECT(BITCASK_OK, bitcask_put(db, key, (size_t)key_len, order, (size_t)order_len, NULL));
        CHECK(write(done, &i, sizeof i) == sizeof i);
    }
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
}

int main(void) {
    char path[256], key[32];
    bitcask_t *db = NULL;
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t count = 0;
    int done[2], last, exit_status, refreshes = 0;
    pid_t writer;

    make_directory(path, sizeof path);
    CHECK(pipe(done) == 0);
    /* Before the store is opened: a handle does not cross fork(). */
    writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        close(done[0]);
        write_orders(path, done[1]);
        _exit(0);
    }
    close(done[1]);

    while (read(done[0], &last, sizeof last) == sizeof last) {
        int key_len = snprintf(key, sizeof key, "order %d", last);
        if (db == NULL)
            EXPECT(BITCASK_OK, bitcask_open(path, "{\"read_only\": true}", &db, &err));
        else if (bitcask_exists(db, key, (size_t)key_len, NULL) == BITCASK_NOT_FOUND) {
            /* What was written since is seen from here on. A program may as well do this now and then. */
            EXPECT(BITCASK_OK, bitcask_refresh(db, &err));
            refreshes++;
        }
        EXPECT(BITCASK_OK, bitcask_exists(db, key, (size_t)key_len, &err));
    }
    EXPECT(BITCASK_OK, bitcask_count(db, &count, &err));
    CHECK(count == 1000);
    printf("1000 orders seen as they came\n");
    CHECK(refreshes > 0 || last == 999);

    EXPECT(BITCASK_OK, bitcask_close(db, &err));
    CHECK(waitpid(writer, &exit_status, 0) == writer && exit_status == 0);
    close(done[0]);
    remove_directory(path);
    return 0;
}
