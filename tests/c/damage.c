/* A value that was damaged on the disk: its key says so in every way of reading, and no other key minds. */
#include "test.h"

/* Changes one byte in the middle of `value` in whichever file of the store holds it. */
static void damage(const char *value) {
    static char bytes[1 << 20];
    char name[1024];
    struct dirent *entry;
    int damaged = 0;
    DIR *dir = opendir(test_path);

    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        size_t len, at;
        FILE *file;
        if (strstr(entry->d_name, ".data") == NULL)
            continue;
        CHECK(snprintf(name, sizeof name, "%s/%s", test_path, entry->d_name) < (int)sizeof name);
        file = fopen(name, "r+b");
        CHECK(file != NULL);
        len = fread(bytes, 1, sizeof bytes, file);
        for (at = 0; at + strlen(value) <= len; at++) {
            if (memcmp(bytes + at, value, strlen(value)) == 0) {
                CHECK(fseek(file, (long)(at + strlen(value) / 2), SEEK_SET) == 0);
                CHECK(fputc('!', file) == '!');
                damaged++;
            }
        }
        CHECK(fclose(file) == 0);
    }
    closedir(dir);
    CHECK(damaged == 1);
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_pin_t *pin = MARKED_POINTER;
    const void *bytes = MARKED_POINTER;
    void *value = MARKED_POINTER;
    char *json = MARKED_POINTER;
    char buf[32];
    size_t len = MARKED_SIZE, lens[3] = {1, 1, 1}, value_lens[3];
    bitcask_status statuses[3];

    EXPECT(BITCASK_OK, bitcask_put(db, "a", 1, "\"first value\"", 13, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "b", 1, "\"second value\"", 14, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "c", 1, "\"third value\"", 13, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    damage("second value");
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));

    EXPECT(BITCASK_E_CORRUPT, bitcask_get(db, "b", 1, &value, &len, &err));
    CHECK(value == NULL && len == 0);
    CHECK(err.code == BITCASK_E_CORRUPT && strstr(err.message, ".data") != NULL);
    len = MARKED_SIZE;
    memset(buf, '.', sizeof buf);
    EXPECT(BITCASK_E_CORRUPT, bitcask_get_into(db, "b", 1, buf, sizeof buf, &len, NULL));
    CHECK(len == 0 && buf[0] == '.');
    len = MARKED_SIZE;
    EXPECT(BITCASK_E_CORRUPT, bitcask_get_pinned(db, "b", 1, &pin, &bytes, &len, NULL));
    CHECK(pin == NULL && bytes == NULL && len == 0);
    EXPECT(BITCASK_E_CORRUPT, bitcask_get_json(db, "b", 1, "", &json, NULL, NULL));
    CHECK(json == NULL);
    EXPECT(BITCASK_E_CORRUPT, bitcask_patch_json(db, "b", 1, "{}", 2, NULL));

    /* Among many, the status is that key's own. */
    EXPECT(BITCASK_OK, bitcask_get_many(db, "abc", lens, 3, &value, value_lens, statuses, NULL));
    CHECK(statuses[0] == BITCASK_OK && statuses[1] == BITCASK_E_CORRUPT && statuses[2] == BITCASK_OK);
    CHECK(value_lens[0] == 13 && value_lens[1] == 0 && value_lens[2] == 13);
    CHECK(strcmp(value, "\"first value\"\"third value\"") == 0);
    bitcask_free(value);

    /* A new value heals the key. */
    EXPECT(BITCASK_OK, bitcask_put(db, "b", 1, "new", 3, NULL));
    EXPECT(BITCASK_OK, bitcask_get_into(db, "b", 1, buf, sizeof buf, &len, NULL));
    CHECK(len == 3 && memcmp(buf, "new", 3) == 0);

    close_store(db);
    return 0;
}
