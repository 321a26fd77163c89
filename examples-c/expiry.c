/*
 * Values that expire: a session that lives on as long as it is used, a cache
 * with a default, and what outlives both.
 *
 *     cc expiry.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include <time.h>

#include "example.h"

static void sleep_ms(long ms) {
    struct timespec time;
    time.tv_sec = ms / 1000;
    time.tv_nsec = ms % 1000 * 1000000;
    CHECK(nanosleep(&time, NULL) == 0);
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_write_options options = BITCASK_WRITE_OPTIONS_INIT;
    uint64_t ttl_ms;

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    /* A session of half an hour. */
    options.flags = BITCASK_WRITE_TTL;
    options.ttl_ms = 30 * 60 * 1000;
    EXPECT(BITCASK_OK, bitcask_put_with(db, "session", 7, "ada", 3, &options, NULL, &err));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "session", 7, &ttl_ms, &err));
    CHECK(ttl_ms > 29 * 60 * 1000 && ttl_ms <= 30 * 60 * 1000);

    /* It is used: it has an hour from now on. The value stays as it is. */
    EXPECT(BITCASK_OK, bitcask_expire(db, "session", 7, 60 * 60 * 1000, &err));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "session", 7, &ttl_ms, &err));
    CHECK(ttl_ms > 30 * 60 * 1000);

    /* It is to stay. */
    EXPECT(BITCASK_OK, bitcask_persist(db, "session", 7, &err));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "session", 7, &ttl_ms, &err));
    CHECK(ttl_ms == BITCASK_NO_TTL);

    /* It is to go, soon: and then it is gone for every call, and no older value is left in its place. */
    EXPECT(BITCASK_OK, bitcask_expire(db, "session", 7, 20, &err));
    sleep_ms(40);
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "session", 7, &err));
    EXPECT(BITCASK_NOT_FOUND, bitcask_ttl(db, "session", 7, &ttl_ms, &err));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));

    /* A cache in which everything expires after a minute, if nothing else is said. */
    EXPECT(BITCASK_OK, bitcask_open(path, "{\"default_ttl_ms\": 60000}", &db, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "page/1", 6, "<p>", 3, &err));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "page/1", 6, &ttl_ms, &err));
    CHECK(ttl_ms <= 60000);

    /* Something else is said: a ttl of 0 is none. */
    options.ttl_ms = 0;
    EXPECT(BITCASK_OK, bitcask_put_with(db, "settings", 8, "{}", 2, &options, NULL, &err));
    EXPECT(BITCASK_OK, bitcask_ttl(db, "settings", 8, &ttl_ms, &err));
    CHECK(ttl_ms == BITCASK_NO_TTL);

    printf("what was to stay is there\n");
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
