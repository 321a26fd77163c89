/*
 * Every number, structure and function of the ABI, written down a second time. If the header says anything
 * else this does not compile. Lines may be added here; none may be changed within a major version.
 */
#include "bitcask.h"

bitcask_status bitcask_open(const char *, const char *, bitcask_t **, bitcask_error *);
bitcask_status bitcask_close(bitcask_t *, bitcask_error *);

bitcask_status bitcask_put(bitcask_t *, const void *, size_t, const void *, size_t, bitcask_error *);
bitcask_status bitcask_delete(bitcask_t *, const void *, size_t, bitcask_error *);
bitcask_status bitcask_sync(bitcask_t *, bitcask_error *);
bitcask_status bitcask_backup(const bitcask_t *, const char *, char **, size_t *, bitcask_error *);
bitcask_status bitcask_verify(const char *, char **, size_t *, bitcask_error *);
bitcask_status bitcask_repair(const char *, const char *, char **, size_t *, bitcask_error *);
bitcask_status bitcask_merge(bitcask_t *, const char *, bitcask_error *);
bitcask_status bitcask_refresh(const bitcask_t *, bitcask_error *);

bitcask_status bitcask_put_with(bitcask_t *, const void *, size_t, const void *, size_t,
                                const bitcask_write_options *, uint64_t *, bitcask_error *);
bitcask_status bitcask_delete_with(bitcask_t *, const void *, size_t, const bitcask_write_options *, uint64_t *,
                                   bitcask_error *);
bitcask_status bitcask_batch_write_with(bitcask_t *, bitcask_batch_t *, const bitcask_write_options *, uint64_t *,
                                        bitcask_error *);
bitcask_status bitcask_counter_add(bitcask_t *, const void *, size_t, int64_t, int64_t *, bitcask_error *);
bitcask_status bitcask_get_version(const bitcask_t *, const void *, size_t, void **, size_t *, uint64_t *,
                                   uint64_t *, bitcask_error *);
bitcask_status bitcask_expire(bitcask_t *, const void *, size_t, uint64_t, bitcask_error *);
bitcask_status bitcask_ttl(const bitcask_t *, const void *, size_t, uint64_t *, bitcask_error *);
bitcask_status bitcask_persist(bitcask_t *, const void *, size_t, bitcask_error *);

bitcask_status bitcask_get(const bitcask_t *, const void *, size_t, void **, size_t *, bitcask_error *);
bitcask_status bitcask_get_into(const bitcask_t *, const void *, size_t, void *, size_t, size_t *,
                                bitcask_error *);
bitcask_status bitcask_get_pinned(const bitcask_t *, const void *, size_t, bitcask_pin_t **, const void **,
                                  size_t *, bitcask_error *);
void bitcask_pin_free(bitcask_pin_t *);
bitcask_status bitcask_get_many(const bitcask_t *, const void *, const size_t *, size_t, void **, size_t *,
                                bitcask_status *, bitcask_error *);
bitcask_status bitcask_exists(const bitcask_t *, const void *, size_t, bitcask_error *);
bitcask_status bitcask_count(const bitcask_t *, uint64_t *, bitcask_error *);

bitcask_status bitcask_batch_new(bitcask_batch_t **, bitcask_error *);
bitcask_status bitcask_batch_put(bitcask_batch_t *, const void *, size_t, const void *, size_t,
                                 bitcask_error *);
bitcask_status bitcask_batch_put_json(bitcask_batch_t *, const void *, size_t, const char *, size_t,
                                      bitcask_error *);
bitcask_status bitcask_batch_delete(bitcask_batch_t *, const void *, size_t, bitcask_error *);
bitcask_status bitcask_batch_expect(bitcask_batch_t *, const void *, size_t, uint64_t, bitcask_error *);
bitcask_status bitcask_batch_write(bitcask_t *, bitcask_batch_t *, bitcask_error *);
void bitcask_batch_clear(bitcask_batch_t *);
void bitcask_batch_free(bitcask_batch_t *);

bitcask_status bitcask_snapshot_new(const bitcask_t *, bitcask_snapshot_t **, bitcask_error *);
bitcask_status bitcask_snapshot_get(const bitcask_snapshot_t *, const void *, size_t, void **, size_t *,
                                    bitcask_error *);
bitcask_status bitcask_snapshot_get_version(const bitcask_snapshot_t *, const void *, size_t, void **, size_t *,
                                            uint64_t *, uint64_t *, bitcask_error *);
void bitcask_snapshot_free(bitcask_snapshot_t *);

bitcask_status bitcask_iter_new(const bitcask_t *, const bitcask_snapshot_t *, const bitcask_iter_options *,
                                bitcask_iter_t **, bitcask_error *);
bitcask_status bitcask_iter_next(bitcask_iter_t *, bitcask_error *);
bitcask_status bitcask_iter_next_many(bitcask_iter_t *, void *, size_t, size_t *, size_t *, bitcask_error *);
bitcask_status bitcask_iter_seek(bitcask_iter_t *, const void *, size_t, bitcask_error *);
const void *bitcask_iter_key(const bitcask_iter_t *, size_t *);
const void *bitcask_iter_value(const bitcask_iter_t *, size_t *);
uint64_t bitcask_iter_version(const bitcask_iter_t *);
void bitcask_iter_free(bitcask_iter_t *);
bitcask_status bitcask_delete_range(bitcask_t *, const bitcask_iter_options *, uint64_t *, bitcask_error *);

bitcask_status bitcask_snapshot_cursor(const bitcask_snapshot_t *, void **, size_t *, bitcask_error *);
bitcask_status bitcask_feed_open(const bitcask_t *, const void *, size_t, bitcask_feed_t **, bitcask_error *);
bitcask_status bitcask_feed_next(bitcask_feed_t *, uint64_t, bitcask_change *, bitcask_error *);
bitcask_status bitcask_feed_cursor(const bitcask_feed_t *, void **, size_t *, bitcask_error *);
void bitcask_feed_free(bitcask_feed_t *);
bitcask_status bitcask_iter_change(const bitcask_iter_t *, bitcask_change *, bitcask_error *);
bitcask_status bitcask_apply(bitcask_t *, const bitcask_change *, size_t, const void *, size_t, bitcask_error *);
bitcask_status bitcask_applied_cursor(const bitcask_t *, void **, size_t *, bitcask_error *);

bitcask_status bitcask_put_json(bitcask_t *, const void *, size_t, const char *, size_t, bitcask_error *);
bitcask_status bitcask_get_json(const bitcask_t *, const void *, size_t, const char *, char **, size_t *,
                                bitcask_error *);
bitcask_status bitcask_patch_json(bitcask_t *, const void *, size_t, const char *, size_t, bitcask_error *);
bitcask_status bitcask_json_get(const char *, size_t, const char *, char **, size_t *, bitcask_error *);

bitcask_status bitcask_stats(const bitcask_t *, char **, size_t *, bitcask_error *);
bitcask_status bitcask_stat_u64(const bitcask_t *, const char *, uint64_t *, bitcask_error *);

bitcask_status bitcask_set_log(int32_t, void (*)(void *, int32_t, const char *, size_t), void *, void (*)(void *),
                               bitcask_error *);
bitcask_status bitcask_log_keep(int32_t, size_t, bitcask_error *);
bitcask_status bitcask_log_next(int32_t *, char **, size_t *, bitcask_error *);

void bitcask_free(void *);
const char *bitcask_strerror(bitcask_status);
const char *bitcask_last_error(void);
const char *bitcask_version(void);
uint32_t bitcask_version_number(void);

/* A wrong number makes an array of negative size. */
#define SAME(name, holds) typedef char name[(holds) ? 1 : -1]

SAME(ok, BITCASK_OK == 0);
SAME(not_found, BITCASK_NOT_FOUND == 1);
SAME(done, BITCASK_DONE == 2);
SAME(conflict, BITCASK_CONFLICT == 3);
SAME(buffer_too_small, BITCASK_BUFFER_TOO_SMALL == 4);
SAME(resnapshot, BITCASK_RESNAPSHOT == 5);
SAME(no_match, BITCASK_NO_MATCH == 6);
SAME(e_invalid, BITCASK_E_INVALID == -1);
SAME(e_io, BITCASK_E_IO == -2);
SAME(e_corrupt, BITCASK_E_CORRUPT == -3);
SAME(e_no_space, BITCASK_E_NO_SPACE == -4);
SAME(e_no_memory, BITCASK_E_NO_MEMORY == -5);
SAME(e_locked, BITCASK_E_LOCKED == -6);
SAME(e_read_only, BITCASK_E_READ_ONLY == -7);
SAME(e_closed, BITCASK_E_CLOSED == -8);
SAME(e_forked, BITCASK_E_FORKED == -9);
SAME(e_poisoned, BITCASK_E_POISONED == -10);
SAME(e_panic, BITCASK_E_PANIC == -11);
SAME(e_too_large, BITCASK_E_TOO_LARGE == -12);
SAME(e_not_json, BITCASK_E_NOT_JSON == -13);
SAME(e_format, BITCASK_E_FORMAT == -14);

SAME(log_off, BITCASK_LOG_OFF == 0);
SAME(log_error, BITCASK_LOG_ERROR == 1);
SAME(log_warn, BITCASK_LOG_WARN == 2);
SAME(log_info, BITCASK_LOG_INFO == 3);
SAME(log_debug, BITCASK_LOG_DEBUG == 4);

SAME(write_ttl, BITCASK_WRITE_TTL == 1);
SAME(write_expect, BITCASK_WRITE_EXPECT == 2);
SAME(write_json, BITCASK_WRITE_JSON == 4);
SAME(no_ttl, BITCASK_NO_TTL == UINT64_MAX);
SAME(write_options_size, sizeof(bitcask_write_options) == 24);
SAME(write_options_flags, offsetof(bitcask_write_options, flags) == 4);
SAME(write_options_ttl_ms, offsetof(bitcask_write_options, ttl_ms) == 8);
SAME(write_options_expected_version, offsetof(bitcask_write_options, expected_version) == 16);

SAME(change_put, BITCASK_CHANGE_PUT == 1);
SAME(change_delete, BITCASK_CHANGE_DELETE == 2);
SAME(change_batch_end, BITCASK_CHANGE_BATCH_END == 1);
SAME(change_json, BITCASK_CHANGE_JSON == 2);
SAME(change_expires, BITCASK_CHANGE_EXPIRES == 4);
SAME(change_size, sizeof(bitcask_change) == 32 + 4 * sizeof(void *));
SAME(change_kind, offsetof(bitcask_change, kind) == 4);
SAME(change_flags, offsetof(bitcask_change, flags) == 8);
SAME(change_reserved, offsetof(bitcask_change, reserved) == 12);
SAME(change_key, offsetof(bitcask_change, key) == 16);
SAME(change_key_len, offsetof(bitcask_change, key_len) == 16 + sizeof(void *));
SAME(change_value, offsetof(bitcask_change, value) == 16 + 2 * sizeof(void *));
SAME(change_value_len, offsetof(bitcask_change, value_len) == 16 + 3 * sizeof(void *));
SAME(change_version, offsetof(bitcask_change, version) == 16 + 4 * sizeof(void *));
SAME(change_deadline_ns, offsetof(bitcask_change, deadline_ns) == 24 + 4 * sizeof(void *));

SAME(status_is_int32, sizeof(bitcask_status) == 4 && (bitcask_status)-1 < 0);
SAME(error_size, sizeof(bitcask_error) == 268);
SAME(error_struct_size, offsetof(bitcask_error, struct_size) == 0);
SAME(error_code, offsetof(bitcask_error, code) == 4);
SAME(error_os_errno, offsetof(bitcask_error, os_errno) == 8);
SAME(error_message, offsetof(bitcask_error, message) == 12);

int main(void) { return 0; }
