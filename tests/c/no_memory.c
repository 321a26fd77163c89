/* Memory that cannot be had is an error, and the call can be made again later. */
#include "test.h"
#include <sys/resource.h>

#define VALUE_BYTES ((size_t)64 << 20)
#define BATCH_PUTS 200000
#define PATCH_MEMBERS 50000
#define STEP_BYTES ((rlim_t)2 << 20)

static struct rlimit unlimited;

/* The address space that this process takes now. */
static rlim_t address_space(void) {
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    CHECK(fclose(file) == 0);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void limit_address_space(rlim_t bytes) {
    struct rlimit tight = unlimited;
    tight.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_AS, &tight) == 0);
}

static void end_limit(void) {
    CHECK(setrlimit(RLIMIT_AS, &unlimited) == 0);
}

static void results(bitcask_t *db) {
    bitcask_error err = BITCASK_ERROR_INIT;
    size_t len = MARKED_SIZE, key_len = 1, value_len = MARKED_SIZE;
    bitcask_status status = 9;
    void *value = malloc(VALUE_BYTES);
    char *room, *json = MARKED_POINTER;

    CHECK(value != NULL);
    memset(value, '1', VALUE_BYTES); /* a JSON document, too */
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, value, VALUE_BYTES, NULL));
    free(value);

    /* Once before, so that whatever a first read sets up is there already. */
    EXPECT(BITCASK_OK, bitcask_get(db, "k", 1, &value, &len, NULL));
    bitcask_free(value);

    limit_address_space(0);
    value = MARKED_POINTER;
    EXPECT(BITCASK_E_NO_MEMORY, bitcask_get(db, "k", 1, &value, &len, &err));
    CHECK(value == NULL && len == 0);
    CHECK(err.code == BITCASK_E_NO_MEMORY && strstr(err.message, "memory") != NULL);

    value = MARKED_POINTER;
    EXPECT(BITCASK_E_NO_MEMORY, bitcask_get_many(db, "k", &key_len, 1, &value, &value_len, &status, &err));
    CHECK(value == NULL && value_len == 0 && status == 0);

    EXPECT(BITCASK_E_NO_MEMORY, bitcask_get_json(db, "k", 1, "", &json, &len, &err));
    CHECK(json == NULL && len == 0);

    end_limit();
    EXPECT(BITCASK_OK, bitcask_get(db, "k", 1, &value, &len, &err));
    CHECK(len == VALUE_BYTES);
    bitcask_free(value);

    room = malloc(VALUE_BYTES);
    CHECK(room != NULL);
    EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, room, VALUE_BYTES, &len, &err));
    free(room);
    EXPECT(BITCASK_OK, bitcask_delete(db, "k", 1, NULL));
}

/* A batch of many small operations is filled and written with ever more memory, until it is enough. */
static void batches(bitcask_t *db) {
    bitcask_batch_t *batch;
    uint64_t count, added = 0;
    rlim_t room = 0;
    int refusals = 0;
    bitcask_status status;

    EXPECT(BITCASK_OK, bitcask_batch_new(&batch, NULL));
    while (added < BATCH_PUTS) {
        limit_address_space(address_space() + room);
        do {
            status = bitcask_batch_put(batch, &added, sizeof added, "v", 1, NULL);
            added += status == BITCASK_OK;
        } while (status == BITCASK_OK && added < BATCH_PUTS);
        end_limit();
        EXPECT(added == BATCH_PUTS ? BITCASK_OK : BITCASK_E_NO_MEMORY, status);
        refusals += status != BITCASK_OK;
        room += STEP_BYTES;
    }
    CHECK(refusals > 0);

    for (refusals = -1, room = 0, status = BITCASK_E_NO_MEMORY; status != BITCASK_OK; refusals++) {
        EXPECT(BITCASK_E_NO_MEMORY, status);
        limit_address_space(address_space() + room);
        status = bitcask_batch_write(db, batch, NULL);
        end_limit();
        room += STEP_BYTES;
    }
    CHECK(refusals > 0);
    bitcask_batch_free(batch);
    EXPECT(BITCASK_OK, bitcask_count(db, &count, NULL));
    CHECK(count == BATCH_PUTS);
}

/* A patch of many members, to a document that has them all, likewise. */
static void documents(bitcask_t *db) {
    size_t room_bytes = PATCH_MEMBERS * 16 + 2, len = 0, json_len;
    char *patch = malloc(room_bytes), *json;
    rlim_t room = 0;
    int member, refusals = -1;
    bitcask_status status = BITCASK_E_NO_MEMORY;

    CHECK(patch != NULL);
    for (member = 0; member < PATCH_MEMBERS; member++)
        len += (size_t)sprintf(patch + len, "%c\"\\n%d\":{}", member ? ',' : '{', member);
    patch[len++] = '}';
    CHECK(len <= room_bytes);
    EXPECT(BITCASK_OK, bitcask_put_json(db, "doc", 3, patch, len, NULL));
    for (; status != BITCASK_OK; refusals++) {
        EXPECT(BITCASK_E_NO_MEMORY, status);
        limit_address_space(address_space() + room);
        status = bitcask_patch_json(db, "doc", 3, patch, len, NULL);
        end_limit();
        room += STEP_BYTES;
    }
    CHECK(refusals > 0);
    EXPECT(BITCASK_OK, bitcask_get_json(db, "doc", 3, "", &json, &json_len, NULL));
    CHECK(json_len == len && memcmp(json, patch, len) == 0);
    bitcask_free(json);
    free(patch);
}

int main(void) {
    bitcask_t *db = open_store(NULL);

    CHECK(getrlimit(RLIMIT_AS, &unlimited) == 0);
    results(db);
    batches(db);
    documents(db);
    close_store(db);
    return 0;
}
