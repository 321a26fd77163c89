/*
 * A damaged store: what a verification tells of it, and what a repair salvages.
 *
 *     cc verify_repair.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

/* What a failing disk does: one byte of a value is not what was written. */
static void damage(const char *path, const char *value) {
    static char bytes[1 << 16];
    char name[512];
    size_t len, at;
    FILE *file;

    CHECK(snprintf(name, sizeof name, "%s/000000000001.data", path) < (int)sizeof name);
    file = fopen(name, "r+b");
    CHECK(file != NULL);
    len = fread(bytes, 1, sizeof bytes, file);
    for (at = 0; at + strlen(value) <= len && memcmp(bytes + at, value, strlen(value)) != 0; at++)
        ;
    CHECK(fseek(file, (long)at, SEEK_SET) == 0 && fputc('?', file) == '?');
    CHECK(fclose(file) == 0);
}

int main(void) {
    char path[256], repaired[256], name[512];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    char *report;
    void *value;
    size_t len;

    make_directory(path, sizeof path);
    make_directory(repaired, sizeof repaired);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, &err));
    EXPECT(BITCASK_OK, bitcask_put(db, "first", 5, "one", 3, &err));
    EXPECT(BITCASK_OK, bitcask_put(db, "second", 6, "two, at first", 13, &err));
    EXPECT(BITCASK_OK, bitcask_put(db, "second", 6, "two, in the end", 15, &err));
    EXPECT(BITCASK_OK, bitcask_put(db, "third", 5, "three", 5, &err));
    EXPECT(BITCASK_OK, bitcask_close(db, &err));

    /* A sound store, closed or open. */
    EXPECT(BITCASK_OK, bitcask_verify(path, &report, NULL, &err));
    CHECK(strstr(report, "\"sound\":true") != NULL);
    bitcask_free(report);

    /* Damage is told with its place and its key, and is no failure of the call. */
    damage(path, "two, in the end");
    EXPECT(BITCASK_OK, bitcask_verify(path, &report, NULL, &err));
    printf("verified: %s\n", report);
    CHECK(strstr(report, "\"sound\":false") != NULL);
    CHECK(strstr(report, "\"file\":\"000000000001.data\"") != NULL);
    CHECK(strstr(report, "\"key\":\"second\"") != NULL);
    bitcask_free(report);

    /* It gets worse: without a manifest the store does not even open. */
    CHECK(snprintf(name, sizeof name, "%s/manifest.json", path) < (int)sizeof name);
    CHECK(remove(name) == 0);
    EXPECT(BITCASK_E_CORRUPT, bitcask_open(path, NULL, &db, &err));

    /* What is intact goes to a new store. The damaged one stays as it is: keep it until you have looked at the report. */
    EXPECT(BITCASK_OK, bitcask_repair(path, repaired, &report, NULL, &err));
    printf("repaired: %s\n", report);
    CHECK(strstr(report, "\"keys\":3") != NULL && strstr(report, "\"lost_count\":1") != NULL);
    bitcask_free(report);
    EXPECT(BITCASK_OK, bitcask_verify(repaired, &report, NULL, &err));
    CHECK(strstr(report, "\"sound\":true") != NULL);
    bitcask_free(report);

    /* The key whose newest value is lost has the one before it, and the report has said so. */
    EXPECT(BITCASK_OK, bitcask_open(repaired, NULL, &db, &err));
    EXPECT(BITCASK_OK, bitcask_get(db, "second", 6, &value, &len, &err));
    CHECK(len == 13 && memcmp(value, "two, at first", len) == 0);
    bitcask_free(value);
    EXPECT(BITCASK_OK, bitcask_get(db, "third", 5, &value, &len, &err));
    CHECK(len == 5 && memcmp(value, "three", len) == 0);
    bitcask_free(value);
    EXPECT(BITCASK_OK, bitcask_close(db, &err));

    remove_directory(path);
    remove_directory(repaired);
    return 0;
}
