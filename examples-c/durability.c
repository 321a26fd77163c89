/*
 * What survives what: the death of the process, and a power cut.
 *
 *     cc durability.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <signal.h>
#include <sys/wait.h>

#define WRITES 1000

/* Writes and tells the parent of each write that was answered, then is killed in the middle. */
static void write_until_killed(const char *path, int acknowledged) {
    bitcask_t *db;
    char key[16];
    int i;

    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    for (i = 0; i < WRITES; i++) {
        int len = sprintf(key, "key %d", i);
        EXPECT(BITCASK_OK, bitcask_put(db, key, (size_t)len, &i, sizeof i, NULL));
        CHECK(write(acknowledged, "x", 1) == 1);
        if (i == WRITES / 2)
            raise(SIGKILL);
    }
}

/* How many writes the child was told are done. */
static int count_acknowledged(int pipe_end) {
    char byte;
    int n = 0;
    while (read(pipe_end, &byte, 1) == 1)
        n++;
    return n;
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t count;
    int ends[2], exit_status, acknowledged;
    pid_t child;

    make_directory(path, sizeof path);

    /*
     * The death of the process costs nothing at any level: there is no buffer in it. The child opens the
     * store itself, because a handle does not cross fork().
     */
    CHECK(pipe(ends) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        write_until_killed(path, ends[1]);
        _exit(1);
    }
    close(ends[1]);
    acknowledged = count_acknowledged(ends[0]);
    close(ends[0]);
    CHECK(waitpid(child, &exit_status, 0) == child);
    CHECK(WIFSIGNALED(exit_status) && WTERMSIG(exit_status) == SIGKILL);

    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, &err));
    EXPECT(BITCASK_OK, bitcask_count(db, &count, &err));
    printf("killed after %d answered writes, %u are there\n", acknowledged, (unsigned)count);
    CHECK(count >= (uint64_t)acknowledged && acknowledged == WRITES / 2 + 1);

    /* Power is another matter. With "sync": "none", the default, ask for it where it counts. */
    EXPECT(BITCASK_OK, bitcask_put(db, "order 7", 7, "paid", 4, &err));
    EXPECT(BITCASK_OK, bitcask_sync(db, &err));
    EXPECT(BITCASK_OK, bitcask_close(db, &err)); /* a close syncs, too */

    /* Or have every write answered only when it is on the device. Threads share their syncs. */
    EXPECT(BITCASK_OK, bitcask_open(path, "{\"sync\": \"always\"}", &db, &err));
    EXPECT(BITCASK_OK, bitcask_put(db, "order 8", 7, "paid", 4, &err));
    EXPECT(BITCASK_OK, bitcask_close(db, &err));

    /* Or bound what a power cut can take by time: here the last 50 milliseconds or so. */
    EXPECT(BITCASK_OK, bitcask_open(path, "{\"sync\": {\"interval_ms\": 50}}", &db, &err));
    EXPECT(BITCASK_OK, bitcask_put(db, "order 9", 7, "paid", 4, &err));
    EXPECT(BITCASK_OK, bitcask_count(db, &count, &err));
    CHECK(count == (uint64_t)acknowledged + 3);
    EXPECT(BITCASK_OK, bitcask_close(db, &err));

    remove_directory(path);
    return 0;
}
