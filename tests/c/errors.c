/* bitcask_error and the thread's last message: when they are written, and with what. */
#include "test.h"
#include <errno.h>
#include <pthread.h>

static void fill(bitcask_error *err, uint32_t struct_size) {
    memset(err, 0x5a, sizeof *err);
    err->struct_size = struct_size;
}

/* Whether nothing but struct_size differs from what fill() left. */
static int untouched(const bitcask_error *err) {
    bitcask_error filled;
    fill(&filled, err->struct_size);
    return memcmp(&filled, err, sizeof filled) == 0;
}

static void a_negative_answer_writes_all_of_it(bitcask_t *db) {
    bitcask_error err;
    fill(&err, sizeof err);
    EXPECT(BITCASK_E_INVALID, bitcask_put(db, NULL, 1, NULL, 0, &err));
    CHECK(err.struct_size == sizeof err);
    CHECK(err.code == BITCASK_E_INVALID && err.os_errno == 0);
    CHECK(strncmp(err.message, "key is NULL", 11) == 0);
    CHECK(strcmp(err.message, bitcask_last_error()) == 0);
}

static void a_failed_system_call_leaves_its_errno(void) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_t *db;
    EXPECT(BITCASK_E_IO, bitcask_open("/nonexistent/a/b", NULL, &db, &err));
    CHECK(err.code == BITCASK_E_IO && err.os_errno == ENOENT);
}

static void zero_and_positive_answers_touch_nothing(bitcask_t *db) {
    bitcask_error err;
    size_t len;
    char last[256];

    strcpy(last, bitcask_last_error());
    fill(&err, sizeof err);
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "value", 5, &err));
    CHECK(untouched(&err));
    EXPECT(BITCASK_NOT_FOUND, bitcask_exists(db, "none", 4, &err));
    CHECK(untouched(&err));
    EXPECT(BITCASK_NOT_FOUND, bitcask_delete(db, "none", 4, &err));
    CHECK(untouched(&err));
    EXPECT(BITCASK_BUFFER_TOO_SMALL, bitcask_get_into(db, "k", 1, NULL, 0, &len, &err));
    CHECK(untouched(&err));
    CHECK(strcmp(last, bitcask_last_error()) == 0);
}

/* Valgrind sees it if more than struct_size is read or anything written behind it. */
static void a_structure_of_unknown_size_is_left_alone(bitcask_t *db) {
    uint32_t sizes[5] = {0, 4, sizeof(bitcask_error) - 1, sizeof(bitcask_error) + 1, 0xffffffff};
    bitcask_error err;
    uint32_t *short_one = malloc(sizeof *short_one);
    int i;

    for (i = 0; i < 5; i++) {
        fill(&err, sizes[i]);
        EXPECT(BITCASK_E_INVALID, bitcask_put(db, NULL, 1, NULL, 0, &err));
        CHECK(untouched(&err));
    }
    CHECK(short_one != NULL);
    *short_one = sizeof *short_one;
    EXPECT(BITCASK_E_INVALID, bitcask_put(db, NULL, 1, NULL, 0, (bitcask_error *)(void *)short_one));
    CHECK(*short_one == sizeof *short_one);
    free(short_one);
}

/* 2-byte characters in a long path: wherever the cut falls, no half of one is left. */
static void a_long_message_is_cut_between_characters(void) {
    char path[1024];
    bitcask_error err;
    bitcask_t *db;
    int shift, i;

    for (shift = 0; shift < 2; shift++) {
        const char *end, *c;
        char *at = path + sprintf(path, "/nonexistent/%s", shift ? "x" : "");
        for (i = 1; i <= 300; i++)
            at += sprintf(at, i % 50 == 0 ? "//" : "\xc3\xa9");

        fill(&err, sizeof err);
        EXPECT(BITCASK_E_IO, bitcask_open(path, NULL, &db, &err));
        end = memchr(err.message, '\0', sizeof err.message);
        CHECK(end != NULL && end - err.message >= 254);
        for (c = err.message; c < end; c++)
            CHECK(*c != '\xc3' || (c + 1 < end && c[1] == '\xa9'));
    }
}

static void *first_failure_of_a_thread(void *db) {
    CHECK(strcmp(bitcask_last_error(), "") == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_put(db, "k", 1, NULL, 7, NULL));
    CHECK(strstr(bitcask_last_error(), "value is NULL") != NULL);
    return NULL;
}

static void each_thread_has_its_own_last_message(bitcask_t *db) {
    pthread_t thread;
    EXPECT(BITCASK_E_INVALID, bitcask_put(db, NULL, 7, "v", 1, NULL));
    CHECK(pthread_create(&thread, NULL, first_failure_of_a_thread, db) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(strstr(bitcask_last_error(), "key is NULL") != NULL);
}

static void every_status_has_a_text(void) {
    bitcask_status status;
    for (status = BITCASK_E_FORMAT; status <= BITCASK_NO_MATCH; status++)
        CHECK(strcmp(bitcask_strerror(status), "unknown status") != 0);
    CHECK(strcmp(bitcask_strerror(BITCASK_NO_MATCH + 1), "unknown status") == 0);
    CHECK(strcmp(bitcask_strerror(BITCASK_E_FORMAT - 1), "unknown status") == 0);
    CHECK(strcmp(bitcask_strerror(-2147483647 - 1), "unknown status") == 0);
}

int main(void) {
    bitcask_t *db;
    CHECK(strcmp(bitcask_last_error(), "") == 0);
    db = open_store(NULL);

    a_negative_answer_writes_all_of_it(db);
    a_failed_system_call_leaves_its_errno();
    zero_and_positive_answers_touch_nothing(db);
    a_structure_of_unknown_size_is_left_alone(db);
    a_long_message_is_cut_between_characters();
    each_thread_has_its_own_last_message(db);
    every_status_has_a_text();

    close_store(db);
    return 0;
}
