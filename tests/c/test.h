/* What the C tests share besides the examples' CHECK and EXPECT: a store to work on, and marks for outputs. */
#ifndef TEST_H
#define TEST_H

#define _XOPEN_SOURCE 700
#include "example.h"

static char test_path[256];

/* Not NULL and not 0, so that an output that was zeroed can be told from one that was left alone. */
#define MARKED_POINTER ((void *)test_path)
#define MARKED_SIZE ((size_t)12345)

static bitcask_t *open_store(const char *options) {
    bitcask_t *db;
    make_directory(test_path, sizeof test_path);
    EXPECT(BITCASK_OK, bitcask_open(test_path, options, &db, NULL));
    return db;
}

static void close_store(bitcask_t *db) {
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(test_path);
}

#endif
