/*
 * What all examples share: stopping when something is off, and a directory of
 * their own that is gone at the end. Nothing here is needed to use the library.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bitcask.h"

/* Goes on only if `what` holds. */
#define CHECK(what)                                                        \
    do {                                                                   \
        if (!(what)) {                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            exit(1);                                                       \
        }                                                                  \
    } while (0)

/* Goes on only if the call answered `expected`; says what it answered instead. */
#define EXPECT(expected, call)                                             \
    expect_status((expected), (call), #call, __FILE__, __LINE__)

static void expect_status(bitcask_status expected, bitcask_status got, const char *call,
                          const char *file, int line) {
    if (got == expected)
        return;
    fprintf(stderr, "%s:%d: %s answered %d (%s), not %d", file, line, call, (int)got,
            bitcask_strerror(got), (int)expected);
    if (got < 0)
        fprintf(stderr, ": %s", bitcask_last_error());
    fprintf(stderr, "\n");
    exit(1);
}

/* Makes an empty directory and writes its path to `path`. */
static void make_directory(char *path, size_t room) {
    const char *tmp = getenv("TMPDIR");
    CHECK(snprintf(path, room, "%s/bitcask-example-XXXXXX", tmp ? tmp : "/tmp") < (int)room);
    CHECK(mkdtemp(path) != NULL);
}

/* Removes a directory and the files in it. */
static void remove_directory(const char *path) {
    char file[1024];
    struct dirent *entry;
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        CHECK(snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < (int)sizeof file);
        CHECK(unlink(file) == 0);
    }
    closedir(dir);
    CHECK(rmdir(path) == 0);
}

#endif
