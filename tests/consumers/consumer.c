/* A C program outside of the source tree: open, put, get, close in the directory that it is given. */
#include <bitcask.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_t *db = NULL;
    void *value = NULL;
    size_t len = 0;
    int same;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    if (bitcask_open(argv[1], NULL, &db, &err) != BITCASK_OK ||
        bitcask_put(db, "key", 3, "a value from C", 14, &err) != BITCASK_OK ||
        bitcask_get(db, "key", 3, &value, &len, &err) != BITCASK_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    same = len == 14 && memcmp(value, "a value from C", len) == 0;
    bitcask_free(value);
    if (!same || bitcask_close(db, &err) != BITCASK_OK) {
        return 1;
    }
    printf("ok %s\n", bitcask_version());
    return 0;
}
