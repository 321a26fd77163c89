/*
 * What the library tells of itself: by a callback, or kept until it is asked for.
 *
 *     cc log.c -lbitcask -lpthread && ./a.out
 */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <pthread.h>

/* Where messages go. The callback may run on several threads at once, so it has a lock, which is its own. */
struct sink {
    pthread_mutex_t lock;
    unsigned count;
};

static const char *name(int32_t level) {
    static const char *const names[] = {"off", "error", "warning", "info", "debug"};
    return names[level];
}

/* Calls no function of the library, and waits for nobody who may be in one. */
static void on_message(void *context, int32_t level, const char *message, size_t message_len) {
    struct sink *sink = context;
    pthread_mutex_lock(&sink->lock);
    printf("%s: %.*s\n", name(level), (int)message_len, message);
    sink->count++;
    pthread_mutex_unlock(&sink->lock);
}

/* No thread is in on_message any more, and none will be. */
static void end_of_sink(void *context) {
    struct sink *sink = context;
    printf("%u messages\n", sink->count);
    pthread_mutex_destroy(&sink->lock);
    free(sink);
}

int main(void) {
    char path[256];
    bitcask_t *db;
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_status status;
    int32_t level;
    char *message;
    struct sink *sink = calloc(1, sizeof *sink);

    CHECK(sink != NULL && pthread_mutex_init(&sink->lock, NULL) == 0);
    make_directory(path, sizeof path);

    /* From here on the sink belongs to the library. */
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_INFO, on_message, sink, end_of_sink, &err));
    EXPECT(BITCASK_OK, bitcask_open(path, NULL, &db, &err));
    EXPECT(BITCASK_OK, bitcask_close(db, &err));
    EXPECT(BITCASK_OK, bitcask_set_log(BITCASK_LOG_OFF, NULL, NULL, NULL, &err));

    /* Without a callback: the newest hundred wait until somebody takes them, now and then or at the end. */
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_INFO, 100, &err));
    EXPECT(BITCASK_OK, bitcask_open(path, "{\"read_only\": true}", &db, &err));
    EXPECT(BITCASK_OK, bitcask_close(db, &err));
    while ((status = bitcask_log_next(&level, &message, NULL, &err)) == BITCASK_OK) {
        printf("kept %s: %s\n", name(level), message);
        bitcask_free(message);
    }
    EXPECT(BITCASK_DONE, status);
    EXPECT(BITCASK_OK, bitcask_log_keep(BITCASK_LOG_OFF, 0, &err));

    remove_directory(path);
    return 0;
}
