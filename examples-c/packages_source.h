/*
 * For packages.c: a JSON Lines file read one document at a time, whatever its size, with the key that a JSON
 * pointer finds in each. Errors name the line.
 */
#ifndef PACKAGES_SOURCE_H
#define PACKAGES_SOURCE_H

#include <bitcask.h>

#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "packages_model.h"

typedef struct {
    const char *path, *key_pointer;
    uint64_t limit; /* of documents */
    FILE *file;
    char *line; /* the document; `len` bytes without the line's end */
    size_t len, capacity;
    char *key;
    size_t key_len, key_capacity;
    uint64_t line_number, documents, bytes, file_bytes;
} source;

static void source_open(source *s, const char *path, const char *key_pointer, uint64_t limit) {
    struct stat info;
    memset(s, 0, sizeof *s);
    s->path = path;
    s->key_pointer = key_pointer;
    s->limit = limit;
    s->file = fopen(path, "r");
    if (s->file == NULL || fstat(fileno(s->file), &info) != 0)
        fail("%s: %s", s->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        fail("%s: not a regular file, and it is read more than once", s->path);
    s->file_bytes = (uint64_t)info.st_size;
}

static void source_close(source *s) {
    fclose(s->file);
    free(s->line);
    free(s->key);
}

/* The four hex digits at `text`, or -1. */
static long hex4(const char *text, const char *end) {
    long value = 0;
    if (end - text < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF", *found = strchr(digits, text[i]);
        if (text[i] == '\0' || found == NULL)
            return -1;
        value = value * 16 + (found - digits) % 16;
    }
    return value;
}

/* Turns the inside of a JSON string into the bytes it means, UTF-8; never longer than the text. Answers the
 * length, or -1 where the text has no meaning as bytes: half of a surrogate pair. */
static long unescape(const char *text, size_t len, char *out) {
    const char *end = text + len;
    char *to = out;
    while (text < end) {
        if (*text != '\\') {
            *to++ = *text++;
            continue;
        }
        const char *names = "\"\\/bfnrt", *bytes = "\"\\/\b\f\n\r\t";
        char name = text[1];
        text += 2;
        if (name != 'u') {
            *to++ = bytes[strchr(names, name) - names];
            continue;
        }
        long code = hex4(text, end), low;
        text += 4;
        if (code >= 0xD800 && code < 0xDC00 && end - text >= 6 && text[0] == '\\' && text[1] == 'u' &&
            (low = hex4(text + 2, end)) >= 0xDC00 && low < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            text += 6;
        }
        if (code < 0 || (code >= 0xD800 && code < 0xE000))
            return -1;
        if (code < 0x80) {
            *to++ = (char)code;
        } else {
            int tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            *to++ = (char)((0xFF00 >> (tail + 1) & 0xFF) | code >> (6 * tail));
            while (tail-- > 0)
                *to++ = (char)(0x80 | (code >> (6 * tail) & 0x3F));
        }
    }
    return to - out;
}

/* Takes the key out of the document in s->line. */
static void source_key(source *s) {
    bitcask_error err = BITCASK_ERROR_INIT;
    char *text = NULL;
    size_t text_len = 0;
    long key_len = -1;

    bitcask_status status = bitcask_json_get(s->line, s->len, s->key_pointer, &text, &text_len, &err);
    if (status == BITCASK_NO_MATCH)
        fail("%s: line %s has no member %s", s->path, number(s->line_number), s->key_pointer);
    if (status != BITCASK_OK)
        fail("%s: line %s: %s", s->path, number(s->line_number),
             status < 0 ? err.message : bitcask_strerror(status));
    if (text_len + 1 > s->key_capacity)
        s->key = allocate(s->key, s->key_capacity = (text_len + 1) * 2);
    if (text[0] == '"') {
        key_len = unescape(text + 1, text_len - 2, s->key);
        if (key_len < 0)
            fail("%s: line %s: %s is no text: half of a surrogate pair", s->path, number(s->line_number),
                 s->key_pointer);
    } else if (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) {
        memcpy(s->key, text, text_len);
        key_len = (long)text_len;
    } else {
        fail("%s: line %s: %s is neither a string nor a number: %.60s", s->path, number(s->line_number),
             s->key_pointer, text);
    }
    s->key_len = (size_t)key_len;
    bitcask_free(text);
}

/* The next document and its key; 0 at the end. Blank lines are passed over. */
static int source_next(source *s) {
    ssize_t got = -1;
    while (s->documents < s->limit && (got = getline(&s->line, &s->capacity, s->file)) >= 0) {
        s->line_number++;
        s->bytes += (uint64_t)got;
        s->len = (size_t)got;
        while (s->len > 0 && strchr("\r\n", s->line[s->len - 1]) != NULL && s->line[s->len - 1] != '\0')
            s->len--;
        if (s->len == strspn(s->line, " \t") && memchr(s->line, '\0', s->len) == NULL)
            continue;
        source_key(s);
        s->documents++;
        return 1;
    }
    if (got < 0 && ferror(s->file))
        fail("%s: after line %s: %s", s->path, number(s->line_number), strerror(errno));
    return 0;
}

#endif
