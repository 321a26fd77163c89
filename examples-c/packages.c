/*
 * Loads a JSON Lines file into a store, one document a key, then proves that the store does what it says:
 * every answer is compared with a model kept in plain memory, and any difference ends the program non-zero.
 *
 *   packages [--quick] [--key POINTER] [--show POINTER]... FILE
 *
 *   --key POINTER    the member that is the key, a JSON pointer (RFC 6901); default /name. A string is the key
 *                    without its quotes and escapes, a number is the key as it is written. Anything else is an
 *                    error, and so is a line without that member. When a key comes twice, the later line wins.
 *   --show POINTER   a field to read back and print samples of; up to eight
 *   --quick          the first 200 documents only
 *
 * Beside it: packages_model.h, the model, and packages_source.h, the file and its keys.
 *
 * What it shows of the library, in this order: opening, storing documents, reading whole values and single
 * fields, merge patches, deleting, closing and opening again, a writer killed with SIGKILL, the statistics.
 */
#define _POSIX_C_SOURCE 200809L

#include <bitcask.h>

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "packages_model.h"
#include "packages_source.h"

enum { MAX_SHOWN = 8, SAMPLES = 5, QUICK_DOCUMENTS = 200, PATCH_EVERY = 7, DELETE_EVERY = 10 };

/* What the command line asks for. */
static const char *file_path, *key_pointer = "/name", *shown[MAX_SHOWN];
static size_t shown_count;
static uint64_t document_limit = UINT64_MAX;

/* The stores live below one temporary directory, removed at exit by the process that made it. */
static char directory[4096];
static pid_t directory_owner;

/* ---- Small helpers --------------------------------------------------------------------------------------- */

/* For calls that have no reason to fail: the library's own words say what went wrong. */
static void must(bitcask_status status, const bitcask_error *err, const char *what) {
    if (status != BITCASK_OK)
        fail("%s: %s", what, status < 0 ? err->message : bitcask_strerror(status));
}

static void check(int holds, const char *claim, const char *key, size_t key_len) {
    if (!holds)
        fail("check failed: %s (key \"%.*s\")", claim, key_len > 200 ? 200 : (int)key_len, key);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A rate, for durations that a coarse clock may call zero. */
static uint64_t per_second(uint64_t count, double duration) {
    return (uint64_t)((double)count / (duration > 1e-9 ? duration : 1e-9));
}

/* ---- The steps ------------------------------------------------------------------------------------------- */

static bitcask_t *open_store(const char *name) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_t *db = NULL;
    char path[sizeof directory + 16];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    must(bitcask_open(path, NULL, &db, &err), &err, "open");
    return db;
}

static void close_store(bitcask_t *db) {
    bitcask_error err = BITCASK_ERROR_INIT;
    must(bitcask_close(db, &err), &err, "close");
}

/* Stores the document that `s` stands at. It is kept as given, byte for byte. */
static void store_document(bitcask_t *db, const source *s) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_status status = bitcask_put_json(db, s->key, s->key_len, s->line, s->len, &err);
    if (status != BITCASK_OK)
        fail("%s: line %s: %s", file_path, number(s->line_number),
             status < 0 ? err.message : bitcask_strerror(status));
}

static void show_progress(const source *s, double duration, int on_terminal) {
    uint64_t percent = s->file_bytes == 0 ? 100 : s->bytes * 100 / s->file_bytes;
    printf(on_terminal ? "\r  %3d %%  %s documents, %s/s   " : "  %3d %%  %s documents, %s/s\n", (int)percent,
           number(s->documents), number(per_second(s->documents, duration)));
    fflush(stdout);
}

static uint64_t load(bitcask_t *db, model *m) {
    source s;
    int on_terminal = isatty(STDOUT_FILENO);
    double start = seconds(), last = start;
    uint64_t quarter = 1;

    printf("\nLoad\n");
    source_open(&s, file_path, key_pointer, document_limit);
    while (source_next(&s)) {
        store_document(db, &s);
        model_put(m, s.key, s.key_len, digest(s.line, s.len));
        if (on_terminal && s.documents % 256 == 0 && seconds() - last > 0.1) {
            last = seconds();
            show_progress(&s, last - start, 1);
        } else if (!on_terminal && s.bytes >= s.file_bytes / 4 * quarter && quarter < 4) {
            quarter = s.bytes / (s.file_bytes / 4 + 1) + 1;
            show_progress(&s, seconds() - start, 0);
        }
    }
    if (s.documents == 0)
        fail("%s: no document in it", file_path);

    double duration = seconds() - start;
    printf("%s  %s documents, %s bytes in %.3f s: %s documents/s, %.1f MB/s\n", on_terminal ? "\r" : "",
           number(s.documents), number(s.bytes), duration, number(per_second(s.documents, duration)),
           (double)per_second(s.bytes, duration) / 1e6);
    if (m->count != s.documents)
        printf("  %s different keys: later lines replaced earlier ones\n", number(m->count));
    source_close(&s);
    return s.documents;
}

/* The whole value must be the model's, the library's two ways to a field must agree. Answers how many fields
 * were there. */
static uint64_t check_document(const bitcask_t *db, const entry *e, int print) {
    bitcask_error err = BITCASK_ERROR_INIT;
    void *value = NULL;
    size_t len = 0;
    uint64_t fields = 0;

    must(bitcask_get(db, e->key, e->key_len, &value, &len, &err), &err, "get");
    check(digest(value, len) == e->digest, "the value read is the value written", e->key, e->key_len);
    if (print)
        printf("  %-28.*s", (int)e->key_len, e->key);
    for (size_t i = 0; i <= shown_count; i++) {
        const char *pointer = i == 0 ? key_pointer : shown[i - 1];
        char *stored = NULL, *expected = NULL;
        size_t stored_len = 0, expected_len = 0;
        /* In the store, by key ... */
        bitcask_status status = bitcask_get_json(db, e->key, e->key_len, pointer, &stored, &stored_len, &err);
        if (status != BITCASK_NO_MATCH)
            must(status, &err, "get_json");
        /* ... and in the document that we hold. */
        bitcask_status wanted = bitcask_json_get(value, len, pointer, &expected, &expected_len, &err);
        check(status == wanted && stored_len == expected_len &&
                  (stored_len == 0 || memcmp(stored, expected, stored_len) == 0),
              pointer, e->key, e->key_len);
        fields += status == BITCASK_OK;
        if (print && i > 0)
            printf("  %.44s", stored == NULL ? "-" : stored);
        bitcask_free(stored);
        bitcask_free(expected);
    }
    if (print)
        printf("\n");
    bitcask_free(value);
    return fields;
}

static void read_back(const bitcask_t *db, const model *m) {
    double start = seconds();
    uint64_t fields = 0;

    printf("\nRead\n");
    for (size_t i = 0; i < m->count; i++)
        fields += check_document(db, &m->entries[i], shown_count > 0 && i % (m->count / SAMPLES + 1) == 0);
    printf("  %s documents, and %s fields by pointer, all as in the file: %.3f s\n", number(m->count),
           number(fields), seconds() - start);
}

/* Whether the pointer leads to exactly this text; NULL: to nothing. */
static int field_is(const bitcask_t *db, const entry *e, const char *pointer, const char *expected) {
    bitcask_error err = BITCASK_ERROR_INIT;
    char *text = NULL;
    bitcask_status status = bitcask_get_json(db, e->key, e->key_len, pointer, &text, NULL, &err);
    if (status != BITCASK_NO_MATCH)
        must(status, &err, "get_json");
    int same = text == NULL ? expected == NULL : expected != NULL && strcmp(text, expected) == 0;
    bitcask_free(text);
    return same;
}

/* A merge patch (RFC 7396) replaces the members it names, removes those it calls null, leaves the others. */
static void patch_document(bitcask_t *db, entry *e, const char *round) {
    bitcask_error err = BITCASK_ERROR_INIT;
    char patch[128], *kept = NULL;
    void *value = NULL;
    size_t len = 0;

    must(bitcask_get_json(db, e->key, e->key_len, key_pointer, &kept, NULL, &err), &err, "get_json");
    snprintf(patch, sizeof patch, "{\"demo_review\":{\"by\":\"packages.c\",\"round\":%s}}", round);
    must(bitcask_patch_json(db, e->key, e->key_len, patch, strlen(patch), &err), &err, "patch_json");
    check(field_is(db, e, "/demo_review/by", "\"packages.c\""), "a patch adds members", e->key, e->key_len);

    const char *removal = "{\"demo_review\":{\"by\":null}}";
    must(bitcask_patch_json(db, e->key, e->key_len, removal, strlen(removal), &err), &err, "patch_json");
    check(field_is(db, e, "/demo_review/by", NULL), "null removes a member", e->key, e->key_len);
    check(field_is(db, e, "/demo_review/round", round), "its neighbour stays", e->key, e->key_len);
    check(field_is(db, e, key_pointer, kept), "a patch leaves other members alone", e->key, e->key_len);

    must(bitcask_get(db, e->key, e->key_len, &value, &len, &err), &err, "get");
    e->digest = digest(value, len);
    e->state = PATCHED;
    bitcask_free(value);
    bitcask_free(kept);
}

/* Arrays are not patched: a patch that is an object would turn them into one. */
static int is_object(const bitcask_t *db, const entry *e) {
    bitcask_error err = BITCASK_ERROR_INIT;
    void *value = NULL;
    size_t len = 0;
    must(bitcask_get(db, e->key, e->key_len, &value, &len, &err), &err, "get");
    /* The value has a NUL after its last byte, so that string functions may be used on it. */
    const char *text = value;
    int object = text[strspn(text, " \t\r\n")] == '{';
    bitcask_free(value);
    return object;
}

/* Every tenth document goes, every seventh of the others is patched. */
static void change(bitcask_t *db, model *m) {
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t patched = 0, deleted = 0;

    printf("\nChange\n");
    for (size_t i = 0; i < m->count; i++) {
        entry *e = &m->entries[i];
        if (i % DELETE_EVERY == 0) {
            must(bitcask_delete(db, e->key, e->key_len, &err), &err, "delete");
            check(bitcask_exists(db, e->key, e->key_len, &err) == BITCASK_NOT_FOUND, "a deleted key is gone",
                  e->key, e->key_len);
            check(bitcask_delete(db, e->key, e->key_len, &err) == BITCASK_NOT_FOUND,
                  "deleting twice says so", e->key, e->key_len);
            e->state = DELETED;
            deleted++;
        } else if (i % PATCH_EVERY == 0 && is_object(db, e)) {
            patch_document(db, e, number(patched % 1000));
            patched++;
        }
    }
    printf("  %s documents patched twice, %s deleted\n", number(patched), number(deleted));
}

/* Every key of the model against the store: nothing lost, nothing changed, nothing back from the dead. */
static void check_all(const bitcask_t *db, const model *m) {
    bitcask_error err = BITCASK_ERROR_INIT;
    uint64_t count = 0, live = 0;
    double start = seconds();

    for (size_t i = 0; i < m->count; i++) {
        const entry *e = &m->entries[i];
        if (e->state == DELETED) {
            void *value = NULL;
            size_t len = 0;
            check(bitcask_get(db, e->key, e->key_len, &value, &len, &err) == BITCASK_NOT_FOUND,
                  "a deleted key stays deleted", e->key, e->key_len);
        } else {
            check_document(db, e, 0);
            live++;
        }
    }
    must(bitcask_count(db, &count, &err), &err, "count");
    if (count != live)
        fail("check failed: the store counts %s keys, the model %s", number(count), number(live));
    printf("  %s keys there and %s deleted ones absent, every byte compared: %.3f s\n", number(live),
           number(m->count - live), seconds() - start);
}

/* ---- A writer that is killed ----------------------------------------------------------------------------- */

/* A report fills a page: a pipe holds few of them, so the child cannot run far ahead of its reader. */
typedef struct {
    uint64_t acknowledged;
    char padding[4096 - sizeof(uint64_t)];
} report;

/* In the child: load, and after each acknowledged write say how many there were. Never returns. */
static void write_until_killed(int pipe_end) {
    source s;
    report r;
    bitcask_t *db = open_store("crash");
    memset(&r, 0, sizeof r);
    source_open(&s, file_path, key_pointer, document_limit);
    while (source_next(&s)) {
        store_document(db, &s);
        r.acknowledged = s.documents;
        if (write(pipe_end, &r, sizeof r) != (ssize_t)sizeof r)
            fail("the pipe to the parent: %s", strerror(errno));
    }
    for (;;) /* the file was too short to be killed half-way through: the store is still open */
        pause();
}

/* 1 and a report, or 0 at the pipe's end; half a report is one that was never finished. */
static int next_report(int pipe_end, report *r) {
    size_t have = 0;
    while (have < sizeof *r) {
        ssize_t got = read(pipe_end, (char *)r + have, sizeof *r - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        have += (size_t)got;
    }
    return 1;
}

static void crash(uint64_t documents) {
    int ends[2], status = 0;
    uint64_t acknowledged = 0, count = 0, extra = 0;
    report r;

    printf("\nCrash\n");
    fflush(stdout); /* or the child would inherit what is buffered */
    if (pipe(ends) != 0)
        fail("pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0)
        fail("fork: %s", strerror(errno));
    if (child == 0) {
        close(ends[0]);
        write_until_killed(ends[1]);
    }
    close(ends[1]);
    while (acknowledged < (documents + 1) / 2 && next_report(ends[0], &r))
        acknowledged = r.acknowledged;
    kill(child, SIGKILL);
    /* What the child reported before it died is still in the pipe, and counts. */
    while (next_report(ends[0], &r))
        acknowledged = r.acknowledged;
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail("the child was to die by SIGKILL and did not");

    /* After the crash: the acknowledged documents, and at most the one that was under way. */
    model m = {0};
    source s;
    source_open(&s, file_path, key_pointer, document_limit);
    while (s.documents < acknowledged && source_next(&s))
        model_put(&m, s.key, s.key_len, digest(s.line, s.len));
    int next = source_next(&s);

    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_t *db = open_store("crash");
    if (next) {
        void *value = NULL;
        size_t len = 0;
        bitcask_status got = bitcask_get(db, s.key, s.key_len, &value, &len, &err);
        if (got != BITCASK_NOT_FOUND)
            must(got, &err, "get");
        if (got == BITCASK_OK && digest(value, len) == digest(s.line, s.len)) {
            extra = model_find(&m, s.key, s.key_len) == NULL;
            model_put(&m, s.key, s.key_len, digest(s.line, s.len));
        }
        bitcask_free(value);
    }
    for (size_t i = 0; i < m.count; i++)
        check_document(db, &m.entries[i], 0);
    must(bitcask_count(db, &count, &err), &err, "count");
    if (count != m.count)
        fail("check failed: after the crash the store counts %s keys, the model %s", number(count),
             number(m.count));
    printf("  a child was killed with SIGKILL after %s of %s writes were acknowledged\n", number(acknowledged),
           number(documents));
    printf("  opened again: %s keys%s, every byte compared; acknowledged writes lost: 0\n", number(count),
           extra ? ", one of them not yet acknowledged" : "");
    source_close(&s);
    close_store(db);
    model_free(&m);
}

/* ---- Statistics ------------------------------------------------------------------------------------------ */

static void show_stats(const bitcask_t *db) {
    static const struct {
        const char *name, *label;
    } rows[] = {
        {"keys", "keys"},
        {"segments", "segment files"},
        {"live_bytes", "bytes of live records"},
        {"dead_bytes", "bytes of dead records"},
        {"disk_bytes", "bytes on disk"},
        {"keydir_bytes", "bytes of index in memory"},
        {"syncs", "syncs since open"},
        {"corrupt_records", "damaged records"},
    };
    bitcask_error err = BITCASK_ERROR_INIT;
    char *json = NULL, *degraded = NULL;
    size_t len = 0;

    printf("\nStats\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 0;
        must(bitcask_stat_u64(db, rows[i].name, &value, &err), &err, rows[i].name);
        printf("  %-26s %14s\n", rows[i].label, number(value));
    }
    /* All of them come as one JSON text, which the library itself can take apart. */
    must(bitcask_stats(db, &json, &len, &err), &err, "stats");
    must(bitcask_json_get(json, len, "/degraded", &degraded, NULL, &err), &err, "stats");
    printf("  %-26s %14s\n", "state", strcmp(degraded, "null") == 0 ? "good" : degraded);
    check(strcmp(degraded, "null") == 0, "the store is not degraded", "", 0);
    bitcask_free(degraded);
    bitcask_free(json);
}

/* ---- Beginning and end ----------------------------------------------------------------------------------- */

static void remove_store(const char *name) {
    char path[sizeof directory + 16], file[sizeof directory + 300];
    struct dirent *item;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    while ((item = readdir(dir)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, item->d_name);
        unlink(file); /* "." and ".." refuse, which is as well */
    }
    closedir(dir);
    rmdir(path);
}

static void remove_directory(void) {
    if (directory_owner == getpid()) {
        remove_store("store");
        remove_store("crash");
        rmdir(directory);
    }
}

static void read_arguments(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int has_value = i + 1 < argc;
        if (strcmp(argv[i], "--quick") == 0)
            document_limit = QUICK_DOCUMENTS;
        else if (strcmp(argv[i], "--key") == 0 && has_value)
            key_pointer = argv[++i];
        else if (strcmp(argv[i], "--show") == 0 && has_value && shown_count < MAX_SHOWN)
            shown[shown_count++] = argv[++i];
        else if (argv[i][0] != '-' && file_path == NULL)
            file_path = argv[i];
        else
            fail("unexpected argument: %s", argv[i]);
        if (key_pointer[0] != '/')
            fail("a key's pointer begins with a slash, as in /name: %s", key_pointer);
    }
    if (file_path == NULL)
        fail("usage: packages [--quick] [--key POINTER] [--show POINTER]... FILE");
}

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/bitcask-demo-XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    if (mkdtemp(directory) == NULL)
        fail("%s: %s", directory, strerror(errno));
    directory_owner = getpid();
    atexit(remove_directory);
    printf("libbitcask %s: %s, key %s\n", bitcask_version(), file_path, key_pointer);

    model m = {0};
    bitcask_t *db = open_store("store");
    uint64_t documents = load(db, &m);
    read_back(db, &m);
    change(db, &m);
    check_all(db, &m);
    close_store(db);

    printf("\nReopen\n");
    db = open_store("store");
    check_all(db, &m);
    show_stats(db);
    close_store(db);

    crash(documents);

    model_free(&m);
    printf("\nall checks passed\n");
    return 0;
}
