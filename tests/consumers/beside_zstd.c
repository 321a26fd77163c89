/* A program that uses Zstandard itself, beside a store that compresses by its own copy of it. */
#include <bitcask.h>

#include <stdio.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

#define LEN 4000

static int own_use(const char *text) {
    char packed[ZSTD_COMPRESSBOUND(LEN)], again[LEN], dictionary[1024];
    size_t sizes[1] = { LEN };
    size_t len = ZSTD_compress(packed, sizeof packed, text, LEN, 3);
    /* Not enough to train on: an error, but by the system's trainer. */
    if (!ZDICT_isError(ZDICT_trainFromBuffer(dictionary, sizeof dictionary, text, sizes, 1))) {
        return 0;
    }
    return !ZSTD_isError(len) && ZSTD_decompress(again, LEN, packed, len) == LEN && memcmp(text, again, LEN) == 0;
}

int main(int argc, char **argv) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_t *db = NULL;
    void *value = NULL;
    char text[LEN];
    size_t len = 0;
    uint64_t packed = 0;
    int at;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    for (at = 0; at < LEN; at++) {
        text[at] = "a value that repeats itself "[at % 28];
    }
    if (bitcask_open(argv[1], "{\"compression\": \"zstd\"}", &db, &err) != BITCASK_OK ||
        bitcask_put(db, "key", 3, text, LEN, &err) != BITCASK_OK ||
        bitcask_get(db, "key", 3, &value, &len, &err) != BITCASK_OK ||
        bitcask_stat_u64(db, "compressed_bytes", &packed, &err) != BITCASK_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    at = len == LEN && memcmp(value, text, LEN) == 0 && packed > 0 && packed < LEN / 10 && own_use(text);
    bitcask_free(value);
    if (!at || bitcask_close(db, &err) != BITCASK_OK) {
        return 1;
    }
    printf("ok %s\n", bitcask_version());
    return 0;
}
