/* A file size limit is E_NO_SPACE for a program that ignores SIGXFSZ: reads go on, and writes when it is raised. */
#include "test.h"
#include <signal.h>
#include <sys/resource.h>

#define LIMIT_BYTES ((rlim_t)1 << 20)
#define VALUE_BYTES 10000

static char written[VALUE_BYTES], got[VALUE_BYTES];

static void all_there(bitcask_t *db, uint32_t puts) {
    uint32_t number;
    size_t len;
    for (number = 0; number < puts; number++) {
        EXPECT(BITCASK_OK, bitcask_get_into(db, &number, sizeof number, got, sizeof got, &len, NULL));
        CHECK(len == VALUE_BYTES && memcmp(got, written, len) == 0);
    }
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, &number, sizeof number, NULL));
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_error err = BITCASK_ERROR_INIT;
    struct rlimit before, tight;
    bitcask_status status;
    uint32_t puts = 0;

    memset(written, 'x', sizeof written);
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    tight = before;
    tight.rlim_cur = LIMIT_BYTES;
    CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);

    while ((status = bitcask_put(db, &puts, sizeof puts, written, VALUE_BYTES, &err)) == BITCASK_OK) {
        puts++;
        CHECK(puts * (rlim_t)VALUE_BYTES < LIMIT_BYTES);
    }
    EXPECT(BITCASK_E_NO_SPACE, status);
    CHECK(err.code == BITCASK_E_NO_SPACE && err.os_errno != 0);
    CHECK(puts > 0);
    all_there(db, puts);

    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT(BITCASK_OK, bitcask_put(db, &puts, sizeof puts, written, VALUE_BYTES, NULL));
    all_there(db, puts + 1);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    all_there(db, puts + 1);
    close_store(db);
    return 0;
}
