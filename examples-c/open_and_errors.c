/*
 * Opening a store, and what a program gets to know when something goes wrong.
 *
 *     cc open_and_errors.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

int main(void) {
    char path[256];
    bitcask_t *db = NULL;
    bitcask_t *second = NULL;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_status status;

    make_directory(path, sizeof path);
    printf("libbitcask %s\n", bitcask_version());

    /* A program compiled against a newer header than the library it finds should stop here. */
    CHECK(bitcask_version_number() >= BITCASK_VERSION_NUMBER);

    /* Options are one JSON object. What is wrong with them is said by name. */
    status = bitcask_open(path, "{\"sink\": \"always\"}", &db, &err);
    CHECK(status == BITCASK_E_INVALID);
    CHECK(db == NULL);
    CHECK(err.code == status);
    CHECK(strstr(err.message, "sink") != NULL);
    printf("a misspelt option: %s\n", err.message);

    /* A system call that failed leaves its errno. */
    status = bitcask_open("/nonexistent/directory", "{\"create\": false}", &db, &err);
    CHECK(status == BITCASK_E_IO && err.os_errno != 0);
    printf("no such directory: %s\n", err.message);

    /* NULL for the options means the defaults. */
    status = bitcask_open(path, NULL, &db, &err);
    if (status != BITCASK_OK) {
        fprintf(stderr, "cannot open %s: %s\n", path, err.message);
        return 1;
    }

    /* One handle a directory, in this process and in all others. */
    status = bitcask_open(path, NULL, &second, &err);
    CHECK(status == BITCASK_E_LOCKED && second == NULL);
    printf("a second opener: %s\n", err.message);

    /* A positive status is an answer and no error: `err` still holds the last one. */
    status = bitcask_exists(db, "k", 1, &err);
    CHECK(status == BITCASK_NOT_FOUND);
    CHECK(err.code == BITCASK_E_LOCKED);
    printf("%d means: %s\n", (int)status, bitcask_strerror(status));

    /* A program that stays on one thread may ask for the text afterwards instead. */
    EXPECT(BITCASK_E_INVALID, bitcask_put(db, NULL, 5, "v", 1, NULL));
    printf("NULL as a key: %s\n", bitcask_last_error());

    /* The handle is gone after this, also if it answers an error. */
    status = bitcask_close(db, &err);
    if (status != BITCASK_OK) {
        fprintf(stderr, "not everything could be made durable: %s\n", err.message);
        return 1;
    }
    remove_directory(path);
    return 0;
}
