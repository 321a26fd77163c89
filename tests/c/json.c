/* JSON at its edges, through C: what is stored as given, and what is refused. */
#include "test.h"

static void stored_as_given(bitcask_t *db, const char *text) {
    char *json;
    size_t len;
    EXPECT(BITCASK_OK, bitcask_put_json(db, "k", 1, text, strlen(text), NULL));
    EXPECT(BITCASK_OK, bitcask_get_json(db, "k", 1, "", &json, &len, NULL));
    CHECK(len == strlen(text) && memcmp(json, text, len) == 0);
    bitcask_free(json);
}

static void refused(bitcask_t *db, const char *text, size_t len) {
    bitcask_error err = BITCASK_ERROR_INIT;
    EXPECT(BITCASK_OK, bitcask_put_json(db, "k", 1, "1", 1, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_put_json(db, "k", 1, text, len, &err));
    CHECK(err.code == BITCASK_E_NOT_JSON && err.message[0] != '\0');
    EXPECT(BITCASK_E_NOT_JSON, bitcask_patch_json(db, "k", 1, text, len, NULL));
}

static void says_which_text_is_bad(bitcask_t *db) {
    bitcask_error err = BITCASK_ERROR_INIT;
    EXPECT(BITCASK_OK, bitcask_put(db, "text", 4, "plain", 5, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_patch_json(db, "text", 4, "{", 1, &err));
    CHECK(strstr(err.message, "in the patch: ") != NULL);
    EXPECT(BITCASK_E_NOT_JSON, bitcask_patch_json(db, "text", 4, "{}", 2, &err));
    CHECK(strstr(err.message, "in the stored value: ") != NULL);
}

/* What is wrong with the other arguments is told whether or not the key is there. */
static void refused_without_the_key(bitcask_t *db) {
    char *json = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    EXPECT(BITCASK_E_INVALID, bitcask_get_json(db, "absent", 6, "no slash", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_get_json(db, "absent", 6, "/~2", &json, &len, NULL));
    EXPECT(BITCASK_E_INVALID, bitcask_json_get("no json", 7, "/~2", &json, &len, NULL));
    EXPECT(BITCASK_E_NOT_JSON, bitcask_patch_json(db, "absent", 6, "{", 1, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_get_json(db, "absent", 6, "/a", &json, &len, NULL));
    EXPECT(BITCASK_NOT_FOUND, bitcask_patch_json(db, "absent", 6, "{}", 2, NULL));
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    char *json;

    stored_as_given(db, "{\"b\":1,\"a\":2}");
    stored_as_given(db, "[12345678901234567890123, 0.10, -0, 1E400]");
    stored_as_given(db, "{\"$serde_json::private::Number\":\"12\"}");
    stored_as_given(db, "\"\\u00e9\\ud83d\\ude00\"");
    stored_as_given(db, "null");

    refused(db, "", 0);
    refused(db, "{", 1);
    refused(db, "1 2", 3);
    refused(db, "[1,]", 4);
    refused(db, "NaN", 3);
    refused(db, "\"\xff\"", 3);
    refused(db, "1\0", 2); /* the length counts, not a NUL */

    /* Any value that is JSON can be read as such, however it was put. */
    EXPECT(BITCASK_OK, bitcask_put(db, "raw", 3, "{\"a\":[10,20]}", 13, NULL));
    EXPECT(BITCASK_OK, bitcask_get_json(db, "raw", 3, "/a/1", &json, NULL, NULL));
    CHECK(strcmp(json, "20") == 0);
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_patch_json(db, "raw", 3, "{\"a\":null,\"b\":1}", 16, NULL));
    EXPECT(BITCASK_NO_MATCH, bitcask_get_json(db, "raw", 3, "/a", &json, NULL, NULL));

    /* Numbers that no double holds survive a patch that does not touch them. */
    EXPECT(BITCASK_OK, bitcask_put_json(db, "big", 3, "{\"n\":12345678901234567890123}", 29, NULL));
    EXPECT(BITCASK_OK, bitcask_patch_json(db, "big", 3, "{\"m\":98765432109876543210987}", 29, NULL));
    EXPECT(BITCASK_OK, bitcask_get_json(db, "big", 3, "/n", &json, NULL, NULL));
    CHECK(strcmp(json, "12345678901234567890123") == 0);
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_get_json(db, "big", 3, "/m", &json, NULL, NULL));
    CHECK(strcmp(json, "98765432109876543210987") == 0);
    bitcask_free(json);

    says_which_text_is_bad(db);
    refused_without_the_key(db);

    close_store(db);
    return 0;
}
