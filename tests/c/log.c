/* The log: what is told at which level, who hears it, and that a context is dropped once and nobody is in it then. */
#include "test.h"
#include <pthread.h>
#include <sys/wait.h>

#define THREADS 4
#define ROUNDS 25
#define REPLACEMENTS 300

/* What a callback heard, and whether its context is still there. */
struct heard {
    pthread_mutex_t lock;
    int drops;
    int counts[BITCASK_LOG_DEBUG + 1];
    char all[8192];
};

static void start(struct heard *heard) {
    memset(heard, 0, sizeof *heard);
    CHECK(pthread_mutex_init(&heard->lock, NULL) == 0);
}

static void hear(void *context, int32_t level, const char *message, size_t message_len) {
    struct heard *heard = context;
    CHECK(level >= BITCASK_LOG_ERROR && level <= BITCASK_LOG_DEBUG);
    CHECK(strlen(message) == message_len && strchr(message, '\n') == NULL);
    CHECK(strncmp(message, test_path, strlen(test_path)) == 0);
    pthread_mutex_lock(&heard->lock);
    CHECK(heard->drops == 0);
    heard->counts[level]++;
    if (strlen(heard->all) + message_len + 2 <= sizeof heard->all)
        strcat(strcat(heard->all, message + strlen(test_path)), "\n");
    pthread_mutex_unlock(&heard->lock);
}

static void drop(void *context) {
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    heard->drops++;
    pthread_mutex_unlock(&heard->lock);
}

static void stop_listening(void) {
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_OFF, NULL, NULL, NULL, NULL));
}

/* Takes the oldest message kept, which must be there and of this level, and hold this text. */
static void expect_kept(int32_t expected_level, const char *text) {
    int32_t level = 99;
    char *message = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    EXPECT(BITCASK_OK, bitcask_log_next(&level, &message, &len, NULL));
    if (level != expected_level || strlen(message) != len || strstr(message, text) == NULL) {
        fprintf(stderr, "not \"%s\" at level %d, but at %d: %s\n", text, (int)expected_level, (int)level,
                message);
        exit(1);
    }
    bitcask_free(message);
}

static void expect_none_kept(void) {
    int32_t level = 99;
    char *message = MARKED_POINTER;
    size_t len = MARKED_SIZE;
    EXPECT(BITCASK_DONE, bitcask_log_next(&level, &message, &len, NULL));
    CHECK(level == 0 && message == NULL && len == 0);
}

static void each_level_hears_itself_and_what_is_more_severe(void) {
    int32_t level;
    for (level = BITCASK_LOG_OFF; level <= BITCASK_LOG_DEBUG; level++) {
        struct heard heard;
        char value[1000];
        bitcask_t *db;
        int i;

        start(&heard);
        memset(value, 'v', sizeof value);
        make_directory(test_path, sizeof test_path);
        EXPECT(BITCASK_OK, bitcask_set_log(level, hear, &heard, drop, NULL));
        EXPECT(BITCASK_OK, bitcask_open(test_path, "{\"max_segment_bytes\": 65536}", &db, NULL));
        for (i = 0; i < 500; i++)
            EXPECT(BITCASK_OK, bitcask_put(db, &i, sizeof i, value, sizeof value, NULL));
        close_store(db);
        CHECK(heard.drops == 0);
        stop_listening();
        CHECK(heard.drops == 1);
        stop_listening();
        CHECK(heard.drops == 1);

        CHECK(heard.counts[BITCASK_LOG_ERROR] == 0 && heard.counts[BITCASK_LOG_WARN] == 0);
        CHECK(heard.counts[BITCASK_LOG_INFO] == (level >= BITCASK_LOG_INFO ? 2 : 0));
        CHECK((heard.counts[BITCASK_LOG_DEBUG] > 0) == (level >= BITCASK_LOG_DEBUG));
        if (level == BITCASK_LOG_DEBUG) {
            CHECK(strstr(heard.all, ": sealed 0") != NULL);
            CHECK(strstr(heard.all, ": opened in ") != NULL && strstr(heard.all, ": closed\n") != NULL);
        }
    }
}

static void a_wrong_argument_changes_nothing(void) {
    static const int32_t wrong[] = {-1, 5, 2147483647, -2147483647 - 1};
    struct heard heard;
    bitcask_error err = BITCASK_ERROR_INIT;
    char *message;
    bitcask_t *db;
    size_t i;

    start(&heard);
    make_directory(test_path, sizeof test_path);
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, hear, &heard, drop, NULL));
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_INFO, 10, NULL));
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        EXPECT(BITCASK_E_INVALID, bitcask_set_log(wrong[i], hear, &heard, drop, &err));
        CHECK(strstr(err.message, "level is ") == err.message && strstr(err.message, "4 (debug)") != NULL);
        EXPECT(BITCASK_E_INVALID, bitcask_set_log(wrong[i], NULL, NULL, NULL, NULL));
        EXPECT(BITCASK_E_INVALID, bitcask_log_keep(wrong[i], 0, &err));
    }
    EXPECT(BITCASK_E_INVALID, bitcask_log_keep(BITCASK_LOG_INFO, 65537, &err));
    CHECK(strcmp(err.message, "capacity is 65537, at most 65536 is accepted") == 0);
    EXPECT(BITCASK_E_INVALID, bitcask_log_keep(BITCASK_LOG_INFO, (size_t)-1, NULL));
    EXPECT(BITCASK_E_INVALID, bitcask_log_next(NULL, NULL, NULL, &err));
    CHECK(strcmp(err.message, "message is NULL") == 0);
    CHECK(heard.drops == 0);

    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    CHECK(heard.counts[BITCASK_LOG_INFO] == 1);
    EXPECT(BITCASK_OK, bitcask_log_next(NULL, &message, NULL, NULL));
    CHECK(strstr(message, ": opened in ") != NULL);
    bitcask_free(message);
    close_store(db);

    /* NULL for what may be NULL: without a callback, context and drop are nobody's. */
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, NULL, &heard, drop, NULL));
    CHECK(heard.drops == 1);
    stop_listening();
    CHECK(heard.drops == 1);
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, hear, &heard, NULL, NULL));
    stop_listening();
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 10, NULL));
    expect_none_kept();
}

static bitcask_status answers_inside[3];

static void call_back(void *context, int32_t level, const char *message, size_t message_len) {
    struct heard *heard = context;
    bitcask_t *db;
    hear(context, level, message, message_len);
    answers_inside[0] = bitcask_set_log(BITCASK_LOG_OFF, NULL, NULL, NULL, NULL);
    answers_inside[1] = bitcask_set_log(BITCASK_LOG_DEBUG, hear, heard, drop, NULL);
    /* It must not be done, and yet it does not end in itself: an open would tell of itself. */
    if (strstr(message, ": closed") != NULL) {
        EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
        EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    }
}

static void drop_and_call(void *context) {
    drop(context);
    answers_inside[2] = bitcask_set_log(BITCASK_LOG_OFF, NULL, NULL, NULL, NULL);
}

static void from_inside_nothing_is_replaced_and_nothing_told(void) {
    struct heard heard;
    bitcask_t *db;

    start(&heard);
    make_directory(test_path, sizeof test_path);
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, call_back, &heard, drop_and_call, NULL));
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_INFO, 10, NULL));
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    CHECK(answers_inside[0] == BITCASK_E_INVALID && answers_inside[1] == BITCASK_E_INVALID);
    CHECK(strstr(bitcask_last_error(), "inside of a log callback") != NULL);
    CHECK(heard.counts[BITCASK_LOG_INFO] == 2 && heard.drops == 0);
    stop_listening();
    CHECK(heard.drops == 1 && answers_inside[2] == BITCASK_E_INVALID);
    expect_kept(BITCASK_LOG_INFO, ": opened in ");
    expect_kept(BITCASK_LOG_INFO, ": closed");
    expect_none_kept();
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 0, NULL));
    remove_directory(test_path);
}

static void *open_and_close(void *argument) {
    char path[300];
    bitcask_t *db;
    int i;

    CHECK(snprintf(path, sizeof path, "%s-%d", test_path, *(int *)argument) < (int)sizeof path);
    for (i = 0; i < ROUNDS; i++) {
        EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, NULL));
        EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    }
    remove_directory(path);
    return NULL;
}

static void count_on_the_heap(void *context, int32_t level, const char *message, size_t message_len) {
    /* Were the context freed already, valgrind would say so. */
    hear(context, level, message, message_len);
}

static int freed;

static void free_it(void *context) {
    struct heard *heard = context;
    CHECK(heard->drops == 0);
    freed++;
    free(heard);
}

static void a_callback_is_replaced_while_many_threads_are_in_it(void) {
    pthread_t threads[THREADS];
    int ids[THREADS], i;

    make_directory(test_path, sizeof test_path);
    for (i = 0; i < THREADS; i++) {
        ids[i] = i;
        CHECK(pthread_create(&threads[i], NULL, open_and_close, &ids[i]) == 0);
    }
    for (i = 0; i < REPLACEMENTS; i++) {
        struct heard *heard = malloc(sizeof *heard);
        CHECK(heard != NULL);
        start(heard);
        EXPECT(BITCASK_OK,
               bitcask_set_log(BITCASK_LOG_DEBUG, count_on_the_heap, heard, free_it, NULL));
        CHECK(freed == i);
    }
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    stop_listening();
    CHECK(freed == REPLACEMENTS);
    remove_directory(test_path);
}

static void the_newest_are_kept_and_the_dropped_counted(void) {
    bitcask_t *db;
    int i;

    make_directory(test_path, sizeof test_path);
    expect_none_kept();
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_INFO, 3, NULL));
    for (i = 0; i < 3; i++) {
        EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
        EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    }
    expect_kept(BITCASK_LOG_WARN, "3 messages were dropped");
    expect_kept(BITCASK_LOG_INFO, ": closed");
    expect_kept(BITCASK_LOG_INFO, ": opened in ");
    expect_kept(BITCASK_LOG_INFO, ": closed");
    expect_none_kept();
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 3, NULL));
    remove_directory(test_path);
}

/* Changes the last byte of `value` in whichever file holds it. */
static void damage(const char *value) {
    static char bytes[1 << 16];
    char name[1024];
    struct dirent *entry;
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
        for (at = 0; at + strlen(value) <= len; at++)
            if (memcmp(bytes + at, value, strlen(value)) == 0) {
                CHECK(fseek(file, (long)(at + strlen(value) - 1), SEEK_SET) == 0);
                CHECK(fputc('!', file) == '!');
            }
        CHECK(fclose(file) == 0);
    }
    closedir(dir);
}

static void damage_is_told_once_a_file_and_by_the_next_open(void) {
    bitcask_t *db = open_store(NULL);
    char buf[64];
    size_t len;
    int i;

    EXPECT(BITCASK_OK, bitcask_put(db, "a", 1, "first value", 11, NULL));
    EXPECT(BITCASK_OK, bitcask_put(db, "b", 1, "second value", 12, NULL));
    EXPECT(BITCASK_OK, bitcask_sync(db, NULL));
    damage("first value");
    damage("second value");
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_WARN, 10, NULL));
    for (i = 0; i < 3; i++) {
        EXPECT(BITCASK_E_CORRUPT, bitcask_get_into(db, "a", 1, buf, sizeof buf, &len, NULL));
        EXPECT(BITCASK_E_CORRUPT, bitcask_get_into(db, "b", 1, buf, sizeof buf, &len, NULL));
    }
    expect_kept(BITCASK_LOG_WARN, ".data is damaged at byte ");
    expect_none_kept();
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    /* One that reads the log. */
    EXPECT(BITCASK_OK, bitcask_open(test_path, "{\"checkpoint\": false}", &db, NULL));
    expect_kept(BITCASK_LOG_WARN, ": 2 damaged places found");
    expect_none_kept();
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 0, NULL));
    close_store(db);
}

static void a_child_listens_anew(void) {
    struct heard heard;
    bitcask_t *db = open_store(NULL);
    pid_t child;
    int exit_status;

    start(&heard);
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, hear, &heard, drop, NULL));
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_INFO, 10, NULL));
    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct heard in_child;
        start(&in_child);
        expect_none_kept();
        EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
        EXPECT(BITCASK_OK, bitcask_close(db, NULL));
        expect_none_kept();
        EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, hear, &in_child, drop, NULL));
        EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
        EXPECT(BITCASK_OK, bitcask_close(db, NULL));
        stop_listening();
        CHECK(in_child.counts[BITCASK_LOG_INFO] == 2 && in_child.drops == 1);
        CHECK(heard.counts[BITCASK_LOG_INFO] == 1 && heard.drops == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &exit_status, 0) == child);
    CHECK(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
    stop_listening();
    CHECK(heard.counts[BITCASK_LOG_INFO] == 1 && heard.drops == 1);
    expect_kept(BITCASK_LOG_INFO, ": closed");
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 0, NULL));
    remove_directory(test_path);
}

int main(void) {
    each_level_hears_itself_and_what_is_more_severe();
    a_wrong_argument_changes_nothing();
    from_inside_nothing_is_replaced_and_nothing_told();
    a_callback_is_replaced_while_many_threads_are_in_it();
    the_newest_are_kept_and_the_dropped_counted();
    damage_is_told_once_a_file_and_by_the_next_open();
    a_child_listens_anew();
    return 0;
}
