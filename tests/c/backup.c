/* A backup opens as what the store was, is refreshed by the next one, and is refused where it would do harm. */
#include "test.h"

static uint64_t number(const char *json, const char *name) {
    const char *at = strstr(json, name);
    CHECK(at != NULL);
    return strtoull(at + strlen(name) + 2, NULL, 10);
}

static void holds(const char *path, const char *options, const char *expected) {
    bitcask_t *db;
    char value[8];
    size_t len;
    EXPECT(BITCASK_OK, bitcask_open(path, options, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, "k", 1, value, sizeof value, &len, NULL));
    CHECK(len == strlen(expected) && memcmp(value, expected, len) == 0);
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
}

int main(void) {
    bitcask_t *db = open_store("{\"max_segment_bytes\": 65536, \"merge\": \"manual\"}"), *reader, *other;
    bitcask_error err = BITCASK_ERROR_INIT;
    static const char *const reading = "{\"read_only\": true}";
    static char filler[30000];
    char path[300], other_path[300];
    char *report = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    uint64_t rotations = 0;

    /* In the same file system, so that segments are linked. */
    CHECK(snprintf(path, sizeof path, "%s.backup", test_path) < (int)sizeof path);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "one", 3, NULL));
    while (rotations < 2) {
        EXPECT(BITCASK_OK, bitcask_put(db, "f", 1, filler, sizeof filler, NULL));
        EXPECT(BITCASK_OK, bitcask_stat_u64(db, "rotations", &rotations, NULL));
    }

    EXPECT(BITCASK_OK, bitcask_backup(db, path, &report, &len, &err));
    CHECK(len == strlen(report) && report[0] == '{');
    CHECK(number(report, "segments_linked") >= 2 && number(report, "segments_kept") == 0);
    CHECK(number(report, "keys") == 2 && strstr(report, "\"last_version\":\"1") != NULL);
    bitcask_free(report);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "two", 3, NULL));
    holds(path, reading, "one");

    /* The next one keeps what is there; the report need not be wanted, nor its length; a reader can make one, too. */
    EXPECT(BITCASK_OK, bitcask_backup(db, path, NULL, NULL, &err));
    holds(path, reading, "two");
    EXPECT(BITCASK_OK, bitcask_open(test_path, reading, &reader, NULL));
    EXPECT(BITCASK_OK, bitcask_backup(reader, path, &report, NULL, &err));
    CHECK(number(report, "segments_kept") >= 3 && number(report, "segments_copied") == 0);
    bitcask_free(report);
    EXPECT(BITCASK_OK, bitcask_close(reader, NULL));

    /* Refusals: the store itself, another database, a directory in use, one that was written to. */
    report = MARKED_POINTER;
    len = MARKED_SIZE;
    EXPECT(BITCASK_E_INVALID, bitcask_backup(db, test_path, &report, &len, &err));
    CHECK(strstr(err.message, "own directory") != NULL && report == NULL && len == 0);
    CHECK(snprintf(other_path, sizeof other_path, "%s.other", test_path) < (int)sizeof other_path);
    EXPECT(BITCASK_OK, bitcask_open(other_path, NULL, &other, NULL));
    EXPECT(BITCASK_E_INVALID, bitcask_backup(other, path, NULL, NULL, &err));
    CHECK(strstr(err.message, "another database") != NULL);
    EXPECT(BITCASK_E_LOCKED, bitcask_backup(db, other_path, NULL, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_close(other, NULL));
    remove_directory(other_path);
    EXPECT(BITCASK_E_IO, bitcask_backup(db, "/absent/deeper", NULL, NULL, &err));
    CHECK(err.os_errno != 0);

    holds(path, NULL, "two");
    EXPECT(BITCASK_E_INVALID, bitcask_backup(db, path, NULL, NULL, &err));
    CHECK(strstr(err.message, "opened for writing") != NULL);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "three", 5, NULL));
    holds(path, NULL, "two");

    remove_directory(path);
    close_store(db);
    return 0;
}
