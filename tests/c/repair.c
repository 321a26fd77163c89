/* bitcask_verify() and bitcask_repair(): what they refuse, and what they leave alone. */
#include "test.h"

#include <errno.h>

#define HAS(text, part) CHECK(strstr((text), (part)) != NULL)

static bitcask_error err = BITCASK_ERROR_INIT;

static void a_store_that_is_open_is_verified_and_not_repaired(void) {
    bitcask_t *db = open_store(NULL);
    char other[256];
    char *report = MARKED_POINTER;
    size_t len = MARKED_SIZE;

    make_directory(other, sizeof other);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_delete(db, "k", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_verify(test_path, &report, &len, &err));
    CHECK(len == strlen(report));
    HAS(report, "\"sound\":true");
    HAS(report, "\"records\":2,\"tombstones\":1");
    HAS(report, "\"damage_count\":0,\"damages\":[]");
    bitcask_free(report);
    report = MARKED_POINTER;
    len = MARKED_SIZE;
    EXPECT(BITCASK_E_LOCKED, bitcask_repair(test_path, other, &report, &len, &err));
    CHECK(report == NULL && len == 0 && err.code == BITCASK_E_LOCKED);
    HAS(err.message, test_path);
    CHECK(rmdir(other) == 0);
    close_store(db);
}

static void a_repair_wants_an_empty_directory_elsewhere(void) {
    bitcask_t *db = open_store(NULL);
    char below[512], other[256], name[512];
    char *report;
    FILE *file;

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "v", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    CHECK(snprintf(below, sizeof below, "%s/below", test_path) < (int)sizeof below);
    EXPECT(BITCASK_E_INVALID, bitcask_repair(test_path, test_path, &report, NULL, &err));
    CHECK(report == NULL);
    EXPECT(BITCASK_E_INVALID, bitcask_repair(test_path, below, &report, NULL, &err));
    HAS(err.message, "below");
    CHECK(rmdir(below) == -1);

    make_directory(other, sizeof other);
    CHECK(snprintf(name, sizeof name, "%s/mine.txt", other) < (int)sizeof name);
    file = fopen(name, "w");
    CHECK(file != NULL && fclose(file) == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_repair(test_path, other, NULL, NULL, &err));
    HAS(err.message, "mine.txt");
    CHECK(remove(name) == 0);

    /* The report may be left out; the directory may have to be made. */
    CHECK(rmdir(other) == 0);
    EXPECT(BITCASK_OK, bitcask_repair(test_path, other, NULL, NULL, &err));
    EXPECT(BITCASK_OK, bitcask_open(other, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_exists(db, "k", 1, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(other);
    remove_directory(test_path);
}

static void what_is_no_store_is_an_error(void) {
    char *report = MARKED_POINTER;
    size_t len = MARKED_SIZE;

    make_directory(test_path, sizeof test_path);
    EXPECT(BITCASK_E_IO, bitcask_verify(test_path, &report, &len, &err));
    CHECK(report == NULL && len == 0 && err.os_errno == ENOENT);
    EXPECT(BITCASK_E_IO, bitcask_repair(test_path, "/nowhere/at/all", &report, NULL, &err));
    CHECK(rmdir(test_path) == 0);
    EXPECT(BITCASK_E_IO, bitcask_verify(test_path, &report, &len, &err));
    EXPECT(BITCASK_E_INVALID, bitcask_verify("", &report, &len, &err));
    HAS(err.message, "path");
    EXPECT(BITCASK_E_INVALID, bitcask_repair("", "x", NULL, NULL, &err));
    HAS(err.message, "source");
    EXPECT(BITCASK_E_INVALID, bitcask_repair("x", "", NULL, NULL, &err));
    HAS(err.message, "dest");
}

int main(void) {
    a_store_that_is_open_is_verified_and_not_repaired();
    a_repair_wants_an_empty_directory_elsewhere();
    what_is_no_store_is_an_error();
    return 0;
}
