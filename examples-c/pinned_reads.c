/*
 * Reading large values in place, without a copy.
 *
 *     cc pinned_reads.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

#define FRAME_BYTES (1 << 20)

static unsigned long sum(const unsigned char *bytes, size_t len) {
    unsigned long total = 0;
    while (len-- > 0)
        total += bytes[len];
    return total;
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_pin_t *pin;
    const void *bytes;
    size_t len;
    unsigned char *frame = malloc(FRAME_BYTES);

    CHECK(frame != NULL);
    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    memset(frame, 1, FRAME_BYTES);
    EXPECT(BITCASK_OK, bitcask_put(db, "frame", 5, frame, FRAME_BYTES, NULL));

    /* The bytes are the store's own, where it is mapped: nothing is copied and nothing allocated for them. */
    EXPECT(BITCASK_OK, bitcask_get_pinned(db, "frame", 5, &pin, &bytes, &len, NULL));
    CHECK(len == FRAME_BYTES);
    CHECK(sum(bytes, len) == FRAME_BYTES);

    /* They stay as they are, whatever happens to the key ... */
    memset(frame, 2, FRAME_BYTES);
    EXPECT(BITCASK_OK, bitcask_put(db, "frame", 5, frame, FRAME_BYTES, NULL));
    CHECK(sum(bytes, len) == FRAME_BYTES);
    EXPECT(BITCASK_OK, bitcask_delete(db, "frame", 5, NULL));
    CHECK(sum(bytes, len) == FRAME_BYTES);

    /* ... and to the store. Still, a pin keeps a file from being given back: do not hold it for long. */
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    CHECK(sum(bytes, len) == FRAME_BYTES);
    printf("%lu bytes read in place, still the same after put, delete and close\n", (unsigned long)len);
    bitcask_pin_free(pin);

    /* A key that is not there pins nothing. */
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_get_pinned(db, "frame", 5, &pin, &bytes, &len, NULL));
    CHECK(pin == NULL && bytes == NULL && len == 0);
    bitcask_pin_free(pin); /* NULL does nothing */
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));

    free(frame);
    remove_directory(path);
    return 0;
}
