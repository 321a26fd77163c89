/* Outputs are set on OK, and zero on every other answer, whatever was in them before. */
#include "test.h"

/* Calls each function that has outputs with this key or text, and checks that it answers so and zeroes them. */
static void all_zero(const bitcask_t *db, bitcask_status expected, const void *key, size_t key_len) {
    void *value = MARKED_POINTER;
    const void *bytes = MARKED_POINTER;
    bitcask_pin_t *pin = MARKED_POINTER;
    char *json = MARKED_POINTER;
    size_t len = MARKED_SIZE;

    EXPECT(expected, bitcask_get(db, key, key_len, &value, &len, NULL));
    CHECK(value == NULL && len == 0);
    len = MARKED_SIZE;
    EXPECT(expected, bitcask_get_into(db, key, key_len, NULL, 0, &len, NULL));
    CHECK(len == 0);
    len = MARKED_SIZE;
    EXPECT(expected, bitcask_get_pinned(db, key, key_len, &pin, &bytes, &len, NULL));
    CHECK(pin == NULL && bytes == NULL && len == 0);
    len = MARKED_SIZE;
    EXPECT(expected, bitcask_get_json(db, key, key_len, NULL, &json, &len, NULL));
    CHECK(json == NULL && len == 0);
}

static void without_a_store(void) {
    char *json = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    uint64_t number = 12345;

    all_zero(NULL, BITCASK_E_INVALID, "k", 1);
    EXPECT(BITCASK_E_INVALID, bitcask_stats(NULL, &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_count(NULL, &number, NULL));
    CHECK(number == 0);
    number = 12345;
    EXPECT(BITCASK_E_INVALID, bitcask_stat_u64(NULL, "keys", &number, NULL));
    CHECK(number == 0);
}

static void when_another_argument_is_wrong(bitcask_t *db) {
    void *value = MARKED_POINTER;
    const void *bytes = MARKED_POINTER;
    char *json = MARKED_POINTER;
    bitcask_pin_t *pin = MARKED_POINTER;
    bitcask_t *other = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    uint64_t number = 12345;

    EXPECT(BITCASK_E_INVALID, bitcask_open(test_path, "[]", &other, NULL));
    CHECK(other == NULL);
    EXPECT(BITCASK_E_INVALID, bitcask_open("", NULL, &other, NULL));
    EXPECT(BITCASK_E_INVALID, bitcask_open(test_path, "{\"create\": \"\xff\"}", &other, NULL));

    /* One output missing: the others are zeroed all the same. */
    EXPECT(BITCASK_E_INVALID, bitcask_get(db, "k", 1, &value, NULL, NULL));
    CHECK(value == NULL);
    EXPECT(BITCASK_E_INVALID, bitcask_get(db, "k", 1, NULL, &len, NULL));
    CHECK(len == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_get_pinned(db, "k", 1, &pin, &bytes, NULL, NULL));
    CHECK(pin == NULL && bytes == NULL);
    len = MARKED_SIZE;
    EXPECT(BITCASK_E_INVALID, bitcask_get_json(db, "k", 1, NULL, NULL, &len, NULL));
    CHECK(len == 0);

    len = MARKED_SIZE;
    EXPECT(BITCASK_E_INVALID, bitcask_get_json(db, "k", 1, "\xff", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_stat_u64(db, "no such number", &number, NULL));
    CHECK(number == 0);
    CHECK(strstr(bitcask_last_error(), "no such number") != NULL);
}

static void when_json_has_no_answer(bitcask_t *db) {
    char *json = MARKED_POINTER;
    size_t len = MARKED_SIZE;

    EXPECT(BITCASK_OK, bitcask_put_json(db, "doc", 3, "{\"a\": 1}", 8, NULL));
    EXPECT(BITCASK_NO_MATCH, bitcask_get_json(db, "doc", 3, "/b", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    json = MARKED_POINTER;
    len = MARKED_SIZE;
    EXPECT(BITCASK_E_INVALID, bitcask_get_json(db, "doc", 3, "b", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    json = MARKED_POINTER;
    len = MARKED_SIZE;
    EXPECT(BITCASK_NO_MATCH, bitcask_json_get("[]", 2, "/0", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
    json = MARKED_POINTER;
    len = MARKED_SIZE;
    EXPECT(BITCASK_E_NOT_JSON, bitcask_json_get("[", 1, "/0", &json, &len, NULL));
    CHECK(json == NULL && len == 0);
}

static void texts_end_in_a_nul_that_is_not_counted(bitcask_t *db) {
    void *value;
    char *json;
    size_t len;
    uint64_t keys;

    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "ab\0c", 4, NULL));
    EXPECT(BITCASK_OK, bitcask_get(db, "k", 1, &value, &len, NULL));
    CHECK(len == 4 && memcmp(value, "ab\0c", 5) == 0);
    bitcask_free(value);
    EXPECT(BITCASK_OK, bitcask_get_json(db, "doc", 3, "/a", &json, &len, NULL));
    CHECK(len == 1 && memcmp(json, "1", 2) == 0);
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_stats(db, &json, &len, NULL));
    CHECK(strlen(json) == len && json[0] == '{');
    bitcask_free(json);
    EXPECT(BITCASK_OK, bitcask_stat_u64(db, "keys", &keys, NULL));
    CHECK(keys == 2);
}

int main(void) {
    bitcask_t *db = open_store(NULL);

    all_zero(db, BITCASK_NOT_FOUND, "k", 1);
    all_zero(db, BITCASK_E_INVALID, NULL, 1);
    all_zero(db, BITCASK_E_TOO_LARGE, "k", (size_t)-1);
    without_a_store();
    when_another_argument_is_wrong(db);
    when_json_has_no_answer(db);
    texts_end_in_a_nul_that_is_not_counted(db);

    close_store(db);
    return 0;
}
