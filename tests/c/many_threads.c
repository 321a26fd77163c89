/* Every kind of call at once on one handle, on the same few keys, which no thread owns. */
#include "test.h"
#include <pthread.h>

#define THREADS 8
#define ROUNDS 400
#define KEYS 5

static bitcask_t *db;

/* Every value is this document with some number in it, so a mixture of two would show. */
static int is_whole(const char *value, size_t len) {
    int n, end = 0;
    char text[64];
    if (len >= sizeof text)
        return 0;
    memcpy(text, value, len);
    text[len] = '\0';
    return sscanf(text, "{\"n\":%d}%n", &n, &end) == 1 && (size_t)end == len;
}

static void *use_everything(void *argument) {
    unsigned turn = *(unsigned *)argument;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_batch_t *batch;
    unsigned round;

    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, &err));
    for (round = 0; round < ROUNDS; round++) {
        char key[2], doc[32], buf[64];
        char *json;
        void *value;
        const void *bytes;
        bitcask_pin_t *pin;
        bitcask_status status, statuses[2];
        size_t len, lens[2] = {1, 1}, value_lens[2];
        uint64_t count;
        size_t doc_len = (size_t)sprintf(doc, "{\"n\":%u}", turn);

        turn = turn * 1103515245u + 12345u;
        key[0] = (char)('a' + turn / 65536 % KEYS);
        key[1] = (char)('a' + turn / 1048576 % KEYS);
        switch (turn / 16777216 % 12) {
        case 0:
            EXPECT(BITCASK_OK, bitcask_put(db, key, 1, doc, doc_len, &err));
            break;
        case 1:
            EXPECT(BITCASK_OK, bitcask_put_json(db, key, 1, doc, doc_len, &err));
            break;
        case 2:
            status = bitcask_delete(db, key, 1, &err);
            CHECK(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
            break;
        case 3:
            status = bitcask_patch_json(db, key, 1, doc, doc_len, &err);
            CHECK(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
            break;
        case 4:
            EXPECT(BITCASK_OK, bitcask_batch_put(batch, key, 1, doc, doc_len, &err));
            EXPECT(BITCASK_OK, bitcask_batch_delete(batch, key + 1, 1, &err));
            EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, &err));
            break;
        case 5:
            status = bitcask_get(db, key, 1, &value, &len, &err);
            CHECK(status == BITCASK_NOT_FOUND || (status == BITCASK_OK && is_whole(value, len)));
            bitcask_free(value);
            break;
        case 6:
            status = bitcask_get_into(db, key, 1, buf, sizeof buf, &len, &err);
            CHECK(status == BITCASK_NOT_FOUND || (status == BITCASK_OK && is_whole(buf, len)));
            break;
        case 7:
            status = bitcask_get_pinned(db, key, 1, &pin, &bytes, &len, &err);
            CHECK(status == BITCASK_NOT_FOUND || (status == BITCASK_OK && is_whole(bytes, len)));
            bitcask_pin_free(pin);
            break;
        case 8:
            EXPECT(BITCASK_OK, bitcask_get_many(db, key, lens, 2, &value, value_lens, statuses, &err));
            CHECK(statuses[0] == BITCASK_NOT_FOUND || is_whole(value, value_lens[0]));
            CHECK(statuses[1] == BITCASK_NOT_FOUND ||
                  is_whole((char *)value + value_lens[0], value_lens[1]));
            bitcask_free(value);
            break;
        case 9:
            status = bitcask_get_json(db, key, 1, "/n", &json, &len, &err);
            CHECK(status == BITCASK_NOT_FOUND || status == BITCASK_OK);
            bitcask_free(json);
            break;
        case 10:
            EXPECT(BITCASK_OK, bitcask_count(db, &count, &err));
            CHECK(count <= KEYS);
            break;
        default:
            EXPECT(BITCASK_OK, bitcask_stat_u64(db, "keys", &count, &err));
            if (round % 64 == 0)
                EXPECT(BITCASK_OK, bitcask_sync(db, &err));
            break;
        }
    }
    bitcask_batch_free(batch);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    int i;

    db = open_store("{\"max_segment_bytes\": 65536}");
    for (i = 0; i < THREADS; i++) {
        seeds[i] = (unsigned)i * 7919u + 1u;
        CHECK(pthread_create(&threads[i], NULL, use_everything, &seeds[i]) == 0);
    }
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    close_store(db);
    return 0;
}
