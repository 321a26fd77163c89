/*
 * For packages.c: what the store should hold, kept in plain memory; a hash table from key to the document's
 * digest and fate. With it what every part of the program needs: failing, allocating, printing numbers.
 */
#ifndef PACKAGES_MODEL_H
#define PACKAGES_MODEL_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fputs("\nerror: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(void *old, size_t bytes) {
    void *memory = realloc(old, bytes);
    if (memory == NULL)
        fail("out of memory");
    return memory;
}

/* 1234567 as "1,234,567". The answer is good until the eighth call after this one. */
static const char *number(uint64_t value) {
    static char buffers[8][32];
    static unsigned turn;
    char *end = buffers[turn++ % 8] + 31, *at = end;
    int digits = 0;
    *at = '\0';
    do {
        if (digits != 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + value % 10);
        value /= 10;
        digits++;
    } while (value != 0);
    return at;
}

typedef enum { LIVE, PATCHED, DELETED } state;

typedef struct {
    char *key;
    size_t key_len;
    uint64_t digest; /* of the document; 64 bits stand for it, so that a file of any size can be checked */
    state state;
} entry;

typedef struct {
    entry *entries; /* in the order the keys first came */
    size_t count, capacity;
    size_t *buckets; /* index into entries plus one; 0 is free; at most half are taken */
    size_t bucket_count;
} model;

/* FNV-1a */
static uint64_t digest(const void *bytes, size_t len) {
    const unsigned char *at = bytes;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static int has_key(const entry *e, const char *key, size_t key_len) {
    return e->key_len == key_len && (key_len == 0 || memcmp(e->key, key, key_len) == 0);
}

/* The bucket that holds the key, or the free one where it belongs. */
static size_t *model_bucket(const model *m, const char *key, size_t key_len) {
    size_t i = digest(key, key_len) & (m->bucket_count - 1);
    while (m->buckets[i] != 0 && !has_key(&m->entries[m->buckets[i] - 1], key, key_len))
        i = (i + 1) & (m->bucket_count - 1);
    return &m->buckets[i];
}

static const entry *model_find(const model *m, const char *key, size_t key_len) {
    size_t found = m->bucket_count == 0 ? 0 : *model_bucket(m, key, key_len);
    return found == 0 ? NULL : &m->entries[found - 1];
}

static void model_put(model *m, const char *key, size_t key_len, uint64_t document) {
    if (m->count * 2 >= m->bucket_count) {
        m->bucket_count = m->bucket_count == 0 ? 1024 : m->bucket_count * 2;
        m->capacity = m->bucket_count / 2;
        m->entries = allocate(m->entries, m->capacity * sizeof *m->entries);
        free(m->buckets);
        m->buckets = allocate(NULL, m->bucket_count * sizeof *m->buckets);
        memset(m->buckets, 0, m->bucket_count * sizeof *m->buckets);
        for (size_t i = 0; i < m->count; i++)
            *model_bucket(m, m->entries[i].key, m->entries[i].key_len) = i + 1;
    }
    size_t *bucket = model_bucket(m, key, key_len);
    if (*bucket == 0) {
        entry *e = &m->entries[m->count];
        e->key = allocate(NULL, key_len + 1);
        memcpy(e->key, key, key_len);
        e->key_len = key_len;
        *bucket = ++m->count;
    }
    m->entries[*bucket - 1].digest = document;
    m->entries[*bucket - 1].state = LIVE;
}

static void model_free(model *m) {
    for (size_t i = 0; i < m->count; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m->buckets);
    memset(m, 0, sizeof *m);
}

#endif
