/*
 * Values that are JSON: checked when stored, read by pointer, changed by a patch.
 *
 *     cc json.c -lbitcask && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"

static const char BOOK[] =
    "{\"title\": \"The \\\"Odd\\\" Book\",\n"
    " \"isbn\": 9780306406157000000000000000001,\n"
    " \"authors\": [{\"name\": \"Ada\"}, {\"name\": \"Grace\"}],\n"
    " \"a/b\": null}";

/* Prints what a pointer leads to, and checks it. */
static void show(const bitcask_t *db, const char *pointer, const char *expected) {
    char *json;
    EXPECT(BITCASK_OK, bitcask_get_json(db, "book", 4, pointer, &json, NULL, NULL));
    printf("%-18s %s\n", pointer, json);
    CHECK(strcmp(json, expected) == 0);
    bitcask_free(json);
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    char *json;
    size_t len;
    const char *patch = "{\"title\": \"The Even Book\", \"a/b\": null, \"pages\": {\"count\": 288}}";

    make_directory(path, sizeof path);
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));

    /* What is not JSON is refused, and the message says where it goes wrong. */
    EXPECT(BITCASK_E_NOT_JSON, bitcask_put_json(db, "book", 4, "{\"title\": }", 11, &err));
    printf("refused: %s\n", err.message);
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "book", 4, NULL));

    /* The text is stored as given: spacing, order, and numbers no double could hold. */
    EXPECT(BITCASK_OK, bitcask_put_json(db, "book", 4, BOOK, sizeof BOOK - 1, &err));
    EXPECT(BITCASK_OK, bitcask_get_json(db, "book", 4, NULL, &json, &len, &err));
    CHECK(len == sizeof BOOK - 1 && memcmp(json, BOOK, len) == 0);
    bitcask_free(json);

    /* A pointer leads to a part, which is JSON again: a string keeps its quotes. */
    show(db, "/title", "\"The \\\"Odd\\\" Book\"");
    show(db, "/isbn", "9780306406157000000000000000001");
    show(db, "/authors/1", "{\"name\": \"Grace\"}");
    show(db, "/authors/0/name", "\"Ada\"");
    show(db, "/a~1b", "null"); /* a slash in a name is written ~1, a tilde ~0 */

    /* Three different ways of finding nothing. */
    EXPECT(BITCASK_NO_MATCH, bitcask_get_json(db, "book", 4, "/authors/2", &json, NULL, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_get_json(db, "film", 4, "/title", &json, NULL, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "noise", 5, "\x01\x02", 2, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_get_json(db, "noise", 5, "/title", &json, NULL, &err));
    CHECK(json == NULL);

    /* A merge patch replaces names, adds names, and removes those it sets to null. */
    EXPECT(BITCASK_OK, bitcask_patch_json(db, "book", 4, patch, strlen(patch), &err));
    show(db, "/title", "\"The Even Book\"");
    show(db, "/pages/count", "288");
    EXPECT(BITCASK_NO_MATCH, bitcask_get_json(db, "book", 4, "/a~1b", &json, NULL, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_patch_json(db, "film", 4, patch, strlen(patch), NULL));

    /* The same pointers work on a text in memory, here to take a key from a document. */
    EXPECT(BITCASK_OK, bitcask_json_get(BOOK, sizeof BOOK - 1, "/authors/0/name", &json, &len, &err));
    EXPECT(BITCASK_OK, bitcask_put_json(db, json, len, BOOK, sizeof BOOK - 1, &err));
    EXPECT(BITCASK_OK, bitcask_exists(db, "\"Ada\"", 5, NULL));
    bitcask_free(json);

    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    remove_directory(path);
    return 0;
}
