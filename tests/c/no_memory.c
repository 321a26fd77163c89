/* Memory for a result that cannot be had is an error, and the call can be made again later. */
#include "test.h"
#include <sys/resource.h>

#define VALUE_BYTES ((size_t)64 << 20)

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_error err = BITCASK_ERROR_INIT;
    struct rlimit before, tight;
    size_t len = MARKED_SIZE, key_len = 1, value_len = MARKED_SIZE;
    bitcask_status status = 9;
    void *value = calloc(1, VALUE_BYTES);
    char *room;

    CHECK(value != NULL);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, value, VALUE_BYTES, NULL));
    free(value);

    /* Once before, so that whatever a first read sets up is there already. */
    EXPECT(BITCASK_OK, bitcask_get(db, "k", 1, &value, &len, NULL));
    bitcask_free(value);

    /* No address space but what is taken now. */
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    tight = before;
    tight.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_AS, &tight) == 0);

    value = MARKED_POINTER;
    EXPECT(BITCASK_E_NO_MEMORY, bitcask_get(db, "k", 1, &value, &len, &err));
    CHECK(value == NULL && len == 0);
    CHECK(err.code == BITCASK_E_NO_MEMORY && strstr(err.message, "memory") != NULL);

    value = MARKED_POINTER;
    EXPECT(BITCASK_E_NO_MEMORY, bitcask_get_many(db, "k", &key_len, 1, &value, &value_len, &status, &err));
    CHECK(value == NULL && value_len == 0 && status == 0);

    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    EXPECT(BITCASK_OK, bitcask_get(db, "k", 1, &value, &len, &err));
    CHECK(len == VALUE_BYTES);
    bitcask_free(value);

    room = malloc(VALUE_BYTES);
    CHECK(room != NULL);
    EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, room, VALUE_BYTES, &len, &err));
    free(room);
    close_store(db);
    return 0;
}
