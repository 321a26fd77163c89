/*
 * Backups of a store in use: into the same directory again and again, each time
 * only what is new; and how one becomes a store that goes on by itself.
 *
 *     cc backup.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

static void show(const bitcask_t *db, const char *what) {
    char value[16];
    size_t len;
    EXPECT(BITCASK_OK, bitcask_get_into(db, "stock/42", 8, value, sizeof value, &len, NULL));
    printf("%s: %.*s in stock\n", what, (int)len, value);
}

int main(void) {
    char path[256], backup_path[300];
    bitcask_t *db, *copy;
    bitcask_error err = BITCASK_ERROR_INIT;
    char *report;

    make_directory(path, sizeof path);
    CHECK(snprintf(backup_path, sizeof backup_path, "%s-backup", path) < (int)sizeof backup_path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "stock/42", 8, "17", 2, &err));

    /* On the same file system complete segments are linked: they take no more space. On another they are copied. */
    EXPECT(BITCASK_OK, bitcask_backup(db, backup_path, &report, NULL, &err));
    printf("%s\n", report);
    bitcask_free(report);

    /* The store goes on, the backup stays as it is, and can be read at any time. */
    EXPECT(BITCASK_OK, bitcask_put(db, "stock/42", 8, "16", 2, &err));
    EXPECT(BITCASK_OK, bitcask_open(backup_path, "{\"read_only\": true}", &copy, &err));
    show(copy, "the backup");

    /* The next backup brings what is new. Whoever has the backup open for reading refreshes. */
    EXPECT(BITCASK_OK, bitcask_backup(db, backup_path, NULL, NULL, &err));
    EXPECT(BITCASK_OK, bitcask_refresh(copy, &err));
    show(copy, "the next one");
    EXPECT(BITCASK_OK, bitcask_close(copy, NULL));

    /* To restore, open it for writing (or a copy of it). It is a store of its own then, with a history of its own, and
     * no longer a place for backups. */
    EXPECT(BITCASK_OK, bitcask_open(backup_path, NULL, &copy, &err));
    EXPECT(BITCASK_OK, bitcask_put(copy, "stock/42", 8, "15", 2, &err));
    show(copy, "restored");
    show(db, "the store");
    EXPECT(BITCASK_OK, bitcask_close(copy, NULL));
    EXPECT(BITCASK_E_INVALID, bitcask_backup(db, backup_path, NULL, NULL, &err));
    printf("refused: %s\n", strstr(err.message, "is no backup"));

    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(backup_path);
    remove_directory(path);
    return 0;
}
