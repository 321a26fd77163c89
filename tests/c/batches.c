/* A batch is emptied when it was written, and only then. */
#include "test.h"

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_batch_t *batch;
    uint64_t count;

    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, "a", 1, "1", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_put(batch, NULL, 0, NULL, 0, NULL));

    /* Refused: the operations are still there. */
    EXPECT(BITCASK_E_INVALID, bitcask_batch_write(NULL, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, "{\"read_only\": true}", &db, NULL));
    EXPECT(BITCASK_E_READ_ONLY, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == 2);

    /* Written: they are not. */
    EXPECT(BITCASK_OK, bitcask_delete(db, "a", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_batch_write(db, batch, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "a", 1, NULL));

    bitcask_batch_free(batch);
    close_store(db);
    return 0;
}
