/* A directory has one writer: not a second one in this process, nor in another, until the first closes. Readers come and
   go beside it. */
#include "test.h"
#include <sys/wait.h>

/* Opens the store in another process and says what that answered, as an exit status. */
static int open_elsewhere(void) {
    int exit_status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bitcask_t *db;
        bitcask_status status = bitcask_open(test_path, NULL, &db, NULL);
        if (status == BITCASK_OK)
            status = bitcask_close(db, NULL);
        _exit(-status);
    }
    CHECK(waitpid(child, &exit_status, 0) == child && WIFEXITED(exit_status));
    return -WEXITSTATUS(exit_status);
}

int main(void) {
    bitcask_t *db = open_store(NULL);
    bitcask_t *second = MARKED_POINTER;
    bitcask_error err = BITCASK_ERROR_INIT;

    EXPECT(BITCASK_E_LOCKED, bitcask_open(test_path, NULL, &second, &err));
    CHECK(second == NULL && strstr(err.message, test_path) != NULL);
    EXPECT(BITCASK_OK, bitcask_open(test_path, "{\"read_only\": true}", &second, &err));
    EXPECT(BITCASK_OK, bitcask_close(second, NULL));
    EXPECT(BITCASK_E_LOCKED, open_elsewhere());

    /* That did not harm the writer, nor its lock. */
    EXPECT(BITCASK_OK, bitcask_put(db, "k", 1, "v", 1, NULL));
    EXPECT(BITCASK_E_LOCKED, open_elsewhere());

    EXPECT(BITCASK_OK, bitcask_close(db, NULL));
    EXPECT(BITCASK_OK, open_elsewhere());
    EXPECT(BITCASK_OK, bitcask_open(test_path, NULL, &db, NULL));
    EXPECT(BITCASK_OK, bitcask_exists(db, "k", 1, NULL));
    close_store(db);
    return 0;
}
