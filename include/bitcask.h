/*
 * bitcask.h - an embeddable key-value store: a log on disk, an index in memory.
 *
 * Generated from the sources of libbitcask; do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * This header is the manual. First the conventions that hold for every function,
 * then the functions one by one. C89, C11 and C++ programs can include it; a
 * first program is examples-c/open_and_errors.c.
 *
 *
 * CONTENTS
 *
 *   Statuses and errors      Options
 *   Buffers                  Statistics
 *   Ownership and lifetimes  The log
 *   Threads                  Limits
 *   Durability               JSON
 *   Damage, mmap and SIGBUS  Versions
 *   fork(), signals          Conditional writes
 *                            Expiry
 *                            Replicas
 *                            Backups
 *                            Verify and repair
 *
 *
 * STATUSES AND ERRORS
 *
 * Nearly every function answers a bitcask_status:
 *
 *   0            BITCASK_OK: it did what it says
 *   positive     an answer that is no failure, such as BITCASK_NOT_FOUND
 *   negative     an error, BITCASK_E_...
 *
 * A number never changes its meaning and is never used again for another; later
 * versions may add some, so treat an unknown negative one as an error like E_IO.
 * BITCASK_OK is 0: compare the status, do not use it as a truth value. Each function
 * says which statuses it answers; any of them may also answer E_PANIC.
 *
 * The last parameter of a call that can fail is a bitcask_error *, which may be
 * NULL. Set the structure up once with
 *
 *     bitcask_error err = BITCASK_ERROR_INIT;
 *
 * It is written when the status is negative, and not touched otherwise: look at
 * the status first. A structure whose struct_size this library does not know is
 * never written. bitcask_last_error() gives the same text without a structure,
 * for C programs that stay on one thread; languages whose tasks move between
 * threads must not use it.
 *
 *
 * BUFFERS
 *
 * Keys and values are bytes with a length; they may hold any byte and may be
 * empty. Where the length is 0 the pointer is ignored and may be NULL; NULL with
 * a length is E_INVALID, and the message names the argument. Nothing is kept of
 * what is passed in: it may be freed when the call returns.
 *
 * On BITCASK_OK all outputs are set. On a positive answer those that the function
 * names are set, and all other outputs are zero (NULL, 0), as they all are on an
 * error. An empty value comes back as a pointer that is not NULL. A buffer or
 * text that the library allocates has one more byte behind it, a NUL that its
 * length does not count.
 *
 *
 * OWNERSHIP AND LIFETIMES
 *
 *   what                              made by                 ended by
 *   bitcask_t                         bitcask_open            bitcask_close
 *   bitcask_pin_t and its bytes       bitcask_get_pinned      bitcask_pin_free
 *   bitcask_batch_t                   bitcask_batch_new       bitcask_batch_free
 *   bitcask_snapshot_t                bitcask_snapshot_new    bitcask_snapshot_free
 *   bitcask_iter_t                    bitcask_iter_new        bitcask_iter_free
 *   values, JSON texts, log messages  bitcask_get, ...        bitcask_free
 *   the context of a log callback     the program             bitcask_log_drop
 *   bitcask_strerror, bitcask_version constant                never
 *   bitcask_last_error                the thread              its next failing call
 *
 * Ending NULL does nothing. bitcask_close() always releases its handle, also when
 * it answers an error; using a handle after that is undefined, as it is with
 * free(). Pins may outlive their store: their bytes stay as they are until
 * bitcask_pin_free(). Batches belong to no store. Snapshots and iterators may be freed
 * after their store was closed; every other call on them answers E_CLOSED then.
 *
 *
 * THREADS
 *
 * Every function that takes a bitcask_t may be called from any number of threads
 * at once on one handle; reads do not wait for writes. The one exception is
 * bitcask_close(): the caller sees to it that no other thread is in, or will
 * enter, a call on that handle. A batch or an iterator is used by one thread at a
 * time; a pin or a snapshot by any number. Objects may be freed by another thread than the one that made
 * them. A read sees every write that was answered before the read began.
 *
 * The library has threads of its own: a log thread and a merge thread for each store
 * that is open for writing, and while bitcask_open() runs, also with "read_only", up
 * to 15 that help it to load. They block all signals that come from outside the
 * thread.
 * They call the program back for one purpose, if it asks for it: see THE LOG.
 *
 *
 * READERS
 *
 * One handle at a time has a directory open for writing; with "read_only" any number
 * of others, of this process and of others, have it open beside that one or by
 * themselves. They take no lock, write nothing, and need no more than permission to
 * read. A reader shows what was answered before bitcask_open() began, and after
 * bitcask_refresh() what was answered before that call; what comes later it does
 * not show until the next one. What it shows is then an exact prefix of the writes,
 * batches whole. Segments that a merge removes stay readable to a handle that knows
 * them, and their space is given back when it is refreshed or closed.
 *
 * A reader keeps the deletions in its index until a merge has dropped them, at the
 * price of a key each.
 *
 *
 * DURABILITY
 *
 * There is no buffer in this process at any level: a write that was answered is in
 * the kernel, and survives the death of the process by any cause. What a power cut
 * or a crash of the system can take is chosen with the option "sync":
 *
 *   "always"            nothing that was answered
 *   {"interval_ms": n}  what was written in about the last n milliseconds
 *   "none"              what the library and the system had not yet written behind
 *                       the writer: tens of megabytes, or the last half minute
 *
 * At every level what is left is an exact prefix of the writes in their order: no
 * write is there without those before it, and a batch is there whole or not at
 * all. bitcask_sync() makes everything so far durable at any level. With
 * "always", threads that write at the same time share one sync.
 *
 * A write is visible to readers before it is durable. A write that answered an
 * error may or may not be there after a crash, but never half of it. After a
 * failed sync the handle takes no more writes (E_POISONED), because the system may
 * have dropped the bytes; reads go on. Close and open the store to go on.
 *
 *
 * DAMAGE, MMAP AND SIGBUS
 *
 * Keys and values have checksums, which every read checks. A damaged value makes
 * its key answer E_CORRUPT; all others read on, and an older value is never shown
 * in its place.
 *
 * With "io": "mmap", and "auto" on local file systems, values are read through a
 * mapping of the file. If the device fails to deliver a page, or another process
 * cuts a file short, the system then sends SIGBUS to this process, as with any
 * mapped file. With "io": "pread" the same comes back as E_IO or E_CORRUPT.
 *
 *
 * FORK(), SIGNALS
 *
 * A store does not cross fork(): in the child every call on it answers E_FORKED,
 * and bitcask_close() there frees the child's memory and leaves the parent's
 * store and lock alone. Open a store in the child anew, after the parent closed it.
 *
 * No function may be called from a signal handler. The library installs none, and
 * repeats system calls that a signal interrupted (EINTR).
 *
 * A write past the process's file size limit (RLIMIT_FSIZE, ulimit -f) makes the
 * system send SIGXFSZ, which ends the process. A program that may run under such a
 * limit must ignore the signal; then the call answers E_NO_SPACE:
 *
 *     signal(SIGXFSZ, SIG_IGN);
 *
 *
 * OPTIONS
 *
 * One JSON object, e.g. {"sync": "always", "max_segment_bytes": 67108864}. NULL, ""
 * and {} give the defaults. An unknown name, a wrong type or a value out of range is
 * E_INVALID, and the message says which, what was given and what is accepted.
 *
 *   name               default      meaning
 *   create             true         make the store if there is none
 *   read_only          false        write nothing; writes answer E_READ_ONLY: see
 *                                   READERS
 *   sync               "none"       "none", "always" or {"interval_ms": n} with n
 *                                   from 1 to 3600000: see DURABILITY
 *   io                 "auto"       "auto", "mmap" or "pread": see DAMAGE
 *   max_segment_bytes  268435456    when a segment is followed by the next, from
 *                                   65536 to 8589934592; a large value or batch may
 *                                   exceed it
 *   expected_keys      0            make room in memory for so many keys at once
 *   default_ttl_ms     0            after how many milliseconds a value expires that is
 *                                   put without a word about it, up to 31536000000000;
 *                                   0: never. See EXPIRY
 *   file_mode          "0600"       permissions of the files in octal, up to "0666"
 *   checkpoint         true         write the index at close and open from it: see
 *                                   OPENING
 *   merge              "auto"       who starts merges: "auto", "manual" or "off", or
 *                                   an object with that as "mode": see MERGE
 *   feed_retention_bytes  0         how many of the newest bytes of complete segments
 *                                   merges leave alone, up to 2^50: see REPLICAS
 *   compression        "none"       "none", "lz4" or "zstd", or an object with that as
 *                                   "codec": see COMPRESSION
 *
 *
 * CONDITIONAL WRITES
 *
 * Every write has a version, greater than all before it in the store. The calls
 * that end in _with tell it; bitcask_get_version(), bitcask_snapshot_get_version()
 * and bitcask_iter_version() tell that of a value. Who has read a value at some
 * version can have a write made only if it is still that one:
 *
 *     bitcask_write_options options = BITCASK_WRITE_OPTIONS_INIT;
 *     options.flags = BITCASK_WRITE_EXPECT;
 *     options.expected_version = version;
 *     status = bitcask_put_with(db, key, key_len, value, value_len, &options,
 *                               &version, &err);
 *
 * BITCASK_CONFLICT says that it is not, and `version` which one is there now: read
 * again, and try again. Version 0 stands for a key without a value, so a write that
 * expects 0 makes a key that must be new. A batch may expect versions of any keys,
 * see bitcask_batch_expect(); then all of it is written, or nothing.
 *
 * bitcask_patch_json() and bitcask_counter_add() do such a loop by themselves. No
 * other write waits while a call reads what is there.
 *
 *
 * EXPIRY
 *
 * A value may have a deadline: that of bitcask_put_with(), of a batch, of
 * bitcask_expire(), or by the option "default_ttl_ms". From then on the key is gone,
 * for all calls alike and in snapshots, too; only bitcask_count() and the statistic
 * "keys" count it until a merge drops its record. What lay below it, an older value
 * of the key, does not come back, whatever is done to the clock, and whatever options
 * the store is opened with.
 *
 * A put without a word about it has no deadline or the default one, whatever the value
 * before it had. bitcask_patch_json() and bitcask_counter_add() keep the deadline of
 * the value that they change; bitcask_expire() and bitcask_persist() change nothing
 * else. The option is about what is put, not about what is there: the deadline is
 * stored with the value and stays when the option is another at the next open.
 *
 * Deadlines are times of the system's clock (UTC). If that is set forward values
 * expire sooner. If it is set back they expire later, and one that had expired, which
 * no merge, put or bitcask_delete() has met since, is there again until its deadline.
 *
 *
 * OPENING
 *
 * A close writes the index, 24 bytes a key, to the file keydir.checkpoint, and the
 * next bitcask_open() answers at once, whatever the number of keys: a part of the
 * index is read when a call first needs it, and a thread of the library reads the
 * rest (not with "read_only"). Such a call may take some tens of microseconds
 * longer, or a read of the device. After a crash, or when the file is not that of
 * the last close or "checkpoint" is false, the open reads the hints of the segments,
 * on all cores; the statistic opened_from_checkpoint says which it was. A damaged
 * checkpoint costs time and nothing else. A close takes longer by the time to read
 * what was not read yet and to write the file, unless nothing was written since an
 * open from it; it does not wait for the device.
 *
 *
 * MERGE
 *
 * Values that were overwritten or deleted lie in the segments until these are
 * merged. With "auto" a thread of the library merges segments that are worth it,
 * and bitcask_merge() merges on demand; with "manual" only the latter does; with
 * "off" nobody. Thresholds and pace are members of the object that "merge" may be,
 * and of the options of bitcask_merge():
 *
 *   name                 default      meaning
 *   trigger_percent      60 (1)       a segment with this share of dead bytes is
 *                                     merged, 1 to 100
 *   trigger_bytes        536870912    so is one with this many dead bytes
 *   threshold_percent    40 (1)       its neighbours are merged with it if they have
 *                                     this share of dead bytes, 1 to 100,
 *   threshold_bytes      134217728    or this many,
 *   small_segment_bytes  10485760     or are smaller than this; four such side by
 *                                     side are joined in any case (never more than
 *                                     1/16 of max_segment_bytes)
 *   max_input_bytes      17179869184  how much one merge takes at the most
 *   bytes_per_second     0            the pace of reading and writing; 0: no limit
 *   window               none         [from, to]: hours, UTC, 0 to 23, in which
 *                                     merges begin by themselves
 *
 * In brackets the defaults of bitcask_merge(). A merge needs free space for what it
 * keeps, until the old segments are removed. Closing the store ends a merge of the
 * library's own at once. A degraded store is not merged, nor is a damaged segment.
 *
 *
 * REPLICAS
 *
 * A feed gives every change of a store in the order in which they were written, and
 * bitcask_apply() takes them over in another store, together with a cursor that says
 * how far they came. Whoever copies the changes between the two, over a network or
 * not, does
 *
 *     bitcask_applied_cursor() of the replica       NOT_FOUND: fill it, see below
 *     bitcask_feed_open() of the source, from there RESNAPSHOT: empty it and fill it
 *     for ever:
 *         bitcask_feed_next() until the flags have BITCASK_CHANGE_BATCH_END
 *         bitcask_feed_cursor()
 *         bitcask_apply() of the changes and the cursor
 *
 * and may be stopped anywhere: the replica holds just the changes before its cursor,
 * so each is applied once, in order. To fill an empty replica: bitcask_snapshot_new()
 * and bitcask_snapshot_cursor() of the source, bitcask_feed_open() from there, then all
 * that an iterator over the snapshot shows, by bitcask_iter_change() and
 * bitcask_apply(), and the snapshot's cursor with the last call. A replica that holds
 * something and has no cursor is a fill that was cut short: empty it.
 *
 * A feed can go on from a cursor as long as what was written after it has not been
 * merged. Merges leave alone what an open feed has not read, and the newest bytes that
 * the option "feed_retention_bytes" names, so that a replica may be away for a while;
 * bitcask_merge() does so, too. A close, a crash of the process and a merge of older
 * segments do no harm. A power cut that takes the newest writes takes the cursors behind
 * them: a replica that has those writes already is told to begin anew.
 *
 * Versions are those of the source. Write nothing but such changes to a replica's keys:
 * its own writes would stand until the source changes the same keys.
 *
 *
 * BACKUPS
 *
 * bitcask_backup() makes a directory hold what the store holds at one moment. It is a
 * store: open it with "read_only" as often as you like. Segments that are complete
 * are hard links to the store's files where both are on one file system that has
 * such, and copies elsewhere. They never change, neither by the store nor by what is
 * done to the backup; but what damages a linked file damages both, so that a backup
 * against a failing device belongs on another one.
 *
 * The next backup into the same directory brings what is new. Its first open for
 * writing, which is how one restores, ends that: it is a store of its own then, and
 * bitcask_backup() refuses it. To keep the backup, restore from a copy of it.
 *
 * The report is one JSON object; names may be added in later versions:
 *
 *   segments_linked, _copied, _kept     what became of the store's segments; kept are
 *                    those that the directory had from an earlier backup
 *   segments_removed segments of the earlier backup that the store has no more
 *   bytes_linked, _copied, _kept        their bytes
 *   keys             keys that have a value, counted while writes go on
 *   last_version     the version of the newest record, a decimal string
 *   database_id, history_id             of the store, as in its statistics
 *   degraded         null, or why unknown and older keys answer E_CORRUPT in the
 *                    store, and so in the backup
 *   ms               how long it took
 *
 * A backup that copies much tells the log every few seconds how far it is. To end one
 * early, end the process: the earlier backup is still good, and the next one clears up.
 *
 *
 * VERIFY AND REPAIR
 *
 * bitcask_verify() reads every byte of a store that need not be open, and changes
 * nothing. Its report is one JSON object; names may be added in later versions:
 *
 *   sound          whether all that the store holds is as it was written
 *   files, bytes   how much was read
 *   records        records of keys, deletions among them; tombstones: the deletions
 *   damage_count   how many damages there are; damages: the first 1000 of them
 *   note_count     things that cost nothing, notes: the first 1000 of them: the torn end
 *                  of a log, which the next open discards, a hint or checkpoint that
 *                  is made anew, a file that does not belong to the store
 *
 * A damage or note has "file", the name in the directory, "offset" and "length" in bytes
 * (0 when that is not known), "what" in English, and "key" where the record's key is
 * known and not longer than 1024 bytes: as text if it is UTF-8, else as "key_hex".
 *
 * bitcask_repair() makes a new store of what is intact in a damaged one, which it never
 * changes. The newest intact record of each key wins, with its version and deadline.
 * So a key whose newest record is lost comes back with the value before it, or not at
 * all, and a key whose deletion is lost comes back: look at the report before you go on.
 *
 *   keys           keys that have a value in the new store
 *   segments, bytes_written            of the new store
 *   lost_count     keys whose newest record is known to be lost; lost: the first 1000 of
 *                  them, as damages are, with what became of the key
 *   holes          stretches of the log in which records of unknown keys may be lost
 *   doubtful_keys  keys that have a value older than the newest hole
 *   left_out       records of a batch that lacks its end, at the end of the log: it was
 *                  never acknowledged
 *   source         what bitcask_verify() would have told of the damaged store
 *
 * The new store is of the same database with a history of its own: feeds and replicas
 * begin anew. docs/RELIABILITY.md says what to do with a damaged store, step by step.
 *
 *
 * COMPRESSION
 *
 * With "compression": "zstd" or "lz4" each new value is stored compressed if that
 * makes it smaller by a sixteenth at least. Reads show values as they were put,
 * whatever was chosen when they were and whatever is chosen now: any open reads any
 * store. The option may also be an object, {"codec": "zstd", "min_bytes": 200}:
 *
 *   name       default      meaning
 *   codec                   "none", "lz4" or "zstd"
 *   min_bytes  64           shorter values are stored as they are, up to 4294967295
 *   level      3 (12)       of "zstd": how hard it tries, 1 to 19; in brackets for
 *                           merges that have a dictionary
 *
 * A merge compresses what was not, and with "zstd" makes a dictionary of what the
 * values have in common if that saves more than it takes: small documents that are
 * alike, which hardly shrink one by one, then take a third. Each such segment keeps
 * its dictionary; in memory it takes 0.15 MiB at most once a value was read with it,
 * once for all segments of a merge. A put uses none. bitcask_merge() with the
 * defaults merges what has dead bytes; nothing is merged for compression alone.
 *
 * A put compresses before it waits for other writers. A compressed value is not read
 * in place: bitcask_get_pinned() gives a copy, and an iterator shows one. A thread
 * that puts or reads such values keeps up to 4 MiB of memory for the next ones, 0.3
 * MiB where values are small, until it ends.
 *
 *
 * STATISTICS
 *
 * bitcask_stats() answers one JSON object; bitcask_stat_u64() its numbers one by
 * one. Counts "since open" begin at 0 with every open. The most useful:
 *
 *   keys             keys that have a value
 *   segments         segments, the active one and a prepared spare included
 *   live_bytes       bytes of records that a key points to, within a few percent
 *   dead_bytes       bytes that a merge could give back, within a few percent
 *   disk_bytes       bytes of all segment files
 *   keydir_bytes     memory that the index takes
 *   bytes_written    bytes appended since open
 *   records_written  records appended since open
 *   compressed_raw_bytes  bytes of the values that puts compressed since open,
 *   compressed_bytes      and the bytes that they were stored in
 *   merge_raw_bytes         likewise of merges
 *   merge_compressed_bytes
 *   dictionary_bytes  memory that compression dictionaries take
 *   unsynced_bytes   appended bytes not yet known to be durable
 *   syncs            syncs of segment files since open
 *   rotations        segments completed since open
 *   merges           merges since open
 *   merge_written_bytes  bytes that merges wrote since open
 *   merge_input_bytes  bytes of the segments being merged now, 0 when none are
 *   merge_done_bytes  how many of them were passed
 *   corrupt_records  damage met: each damaged record that the open found, and each
 *                    read since that met damage, also of the same record again
 *   damaged_hints    hints that iterators and snapshots found damaged since open, and
 *                    did without
 *   feeds            feeds that are open
 *   background_errors  failures of background work since open
 *   degraded         null, or why unknown and older keys answer E_CORRUPT
 *   poisoned         null, or why writes are refused
 *
 * In JSON last_version is a decimal string, because it exceeds 2^53. Asked for as
 * numbers, degraded and poisoned are 1 if there is a reason, else 0.
 *
 *
 * THE LOG
 *
 * What no call answers - what an open found, what fails behind the writer's back,
 * the first damage met in a file - the library tells in messages: one line of UTF-8
 * in English that begins with the path of the store. The wording may change with
 * every version; what a program acts on are statuses and statistics. At first nobody
 * listens, and then messages cost nothing.
 *
 *   BITCASK_LOG_ERROR  writes stopped; background work fails (told once, until it
 *                      succeeds again)
 *   BITCASK_LOG_WARN   an open discarded bytes or found damage; a read met damage (told
 *                      once a file); a close could not make everything durable
 *   BITCASK_LOG_INFO   a store was opened, closed or backed up, segments were
 *                      merged
 *   BITCASK_LOG_DEBUG  a segment was sealed, a hint was written, a merge begins
 *
 * There are two ways to listen, for the process as a whole, and both may be used at
 * once. bitcask_set_log() has a function called with each message. bitcask_log_keep()
 * keeps messages until bitcask_log_next() takes them, which suits languages whose
 * functions cannot be called from foreign threads.
 *
 * The callback runs in the middle of other calls and on any thread, the library's own
 * included, maybe on several at once. It
 *
 *   - calls no function of this library. In it bitcask_set_log() is refused, and what
 *     other calls would tell is not told;
 *   - waits for no thread that may be in a call of this library, and for no lock that
 *     such a thread may hold: that call may be waiting for the callback;
 *   - returns: no longjmp(), no C++ exception and no other way out.
 *
 * The log does not cross fork(). In a child the parent's callback is never called, its
 * context is not dropped and the parent's messages are not there; nobody listens until
 * the child asks anew, which it may do at once.
 *
 *
 * LIMITS
 *
 *   a key            65536 bytes
 *   a value          2^32 - 1 bytes
 *   a batch          256 MiB in all; 512 MiB for bitcask_apply()
 *   a JSON document  as a value; arrays and objects nested 128 deep
 *   a log message    8191 bytes; the rest is cut off
 *   the index        about 28 to 32 bytes of memory a key past some 100,000 keys,
 *                    plus up to 2 MiB, whatever the keys' length
 *
 * Over a limit is E_TOO_LARGE. Memory that cannot be had for a result, a batch, a
 * patch or the index is E_NO_MEMORY.
 *
 *
 * JSON
 *
 * A document is a value that is JSON text (RFC 8259, UTF-8). The *_json functions
 * check it, store it as given, and answer its parts as they stand in it: order of
 * names, spacing and numbers of any length survive. Pointers are RFC 6901 ("/a/0"),
 * patches RFC 7396. An answer is JSON again: a string has its quotes.
 *
 *
 * VERSIONS
 *
 * The ABI is stable within a major version, which is the number in the name of the
 * shared library (libbitcask.so.1). Each function says since when it exists.
 * Structures that may grow begin with struct_size.
 */

#ifndef BITCASK_H
#define BITCASK_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; bitcask_version_number() gives that of the library loaded. */
#define BITCASK_VERSION_MAJOR 1
#define BITCASK_VERSION_MINOR 0
#define BITCASK_VERSION_PATCH 0
#define BITCASK_VERSION_NUMBER \
    (BITCASK_VERSION_MAJOR * 10000 + BITCASK_VERSION_MINOR * 100 + BITCASK_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/** The start value of a bitcask_error: bitcask_error err = BITCASK_ERROR_INIT; */
#define BITCASK_ERROR_INIT { (uint32_t)sizeof(bitcask_error), 0, 0, { 0 } }

/** The start value of a bitcask_write_options, which asks for nothing. */
#define BITCASK_WRITE_OPTIONS_INIT { (uint32_t)sizeof(bitcask_write_options), 0, 0, 0 }

/** The start value of a bitcask_change. */
#define BITCASK_CHANGE_INIT { (uint32_t)sizeof(bitcask_change), 0, 0, 0, NULL, 0, NULL, 0, 0, 0 }

/** What bitcask_ttl() tells of a value that does not expire. */
#define BITCASK_NO_TTL UINT64_MAX

/** The start value of a bitcask_iter_options, which lets every key through. */
#define BITCASK_ITER_OPTIONS_INIT { (uint32_t)sizeof(bitcask_iter_options), 0, NULL, 0, NULL, 0, NULL, 0 }

/** A flag of a write: `ttl_ms` holds. */
#define BITCASK_WRITE_TTL 1

/** A flag of a write: `expected_version` holds. */
#define BITCASK_WRITE_EXPECT 2

/** A flag of a write: the value must be a JSON document, and is stored as one. */
#define BITCASK_WRITE_JSON 4

/** A flag of an iterator: from the last key to the first. */
#define BITCASK_ITER_REVERSE 1

/** A flag of an iterator: values are not read and come out empty. */
#define BITCASK_ITER_KEYS_ONLY 2

/** The kind of a change: a value was put. */
#define BITCASK_CHANGE_PUT 1

/** The kind of a change: the key was deleted. */
#define BITCASK_CHANGE_DELETE 2

/**
 * A flag of a change: it is the last of those that are there together or not at all. A change that is written alone has
 * it, too.
 */
#define BITCASK_CHANGE_BATCH_END 1

/** A flag of a change: the value was put as a JSON document. */
#define BITCASK_CHANGE_JSON 2

/** A flag of a change: `deadline_ns` holds. */
#define BITCASK_CHANGE_EXPIRES 4

/** No messages. */
#define BITCASK_LOG_OFF 0

/** Something failed for good, or keeps failing. */
#define BITCASK_LOG_ERROR 1

/** Something is not as it should be, and the store goes on; and errors. */
#define BITCASK_LOG_WARN 2

/** What happens once in a store's life; and warnings and errors. */
#define BITCASK_LOG_INFO 3

/** What happens behind the writer's back; and all others. */
#define BITCASK_LOG_DEBUG 4

/**
 * Writes to be made together: after a crash all of them are there or none. Made by `bitcask_batch_new`, ended
 * by `bitcask_batch_free`. It belongs to no store, and one thread at a time may use it. Since 1.0.0.
 */
typedef struct bitcask_batch_t bitcask_batch_t;

/**
 * What is written to a store from some moment on. Made by `bitcask_feed_open`, ended by `bitcask_feed_free`; one thread at
 * a time may use it. Since 1.0.0.
 */
typedef struct bitcask_feed_t bitcask_feed_t;

/**
 * An open store. Made by `bitcask_open`, ended by `bitcask_close`. Every function that takes one may be called
 * from many threads at once. Since 1.0.0.
 */
typedef struct bitcask_t bitcask_t;

/**
 * A walk through the keys of a snapshot. Made by `bitcask_iter_new`, ended by `bitcask_iter_free`; one thread at a
 * time may use it. Since 1.0.0.
 */
typedef struct bitcask_iter_t bitcask_iter_t;

/**
 * A value held in place for reading without a copy. Made by `bitcask_get_pinned`, ended by
 * `bitcask_pin_free`; it and its bytes outlive the close of its store. Since 1.0.0.
 */
typedef struct bitcask_pin_t bitcask_pin_t;

/**
 * A store as it was at one moment. Made by `bitcask_snapshot_new`, ended by `bitcask_snapshot_free`. Many threads may
 * use one at once. Since 1.0.0.
 */
typedef struct bitcask_snapshot_t bitcask_snapshot_t;

/** What a call answers: 0 is success, a positive number an answer that is no failure, a negative one an error. */
typedef int32_t bitcask_status;

/**
 * Where a call that fails says why. Set it up with `BITCASK_ERROR_INIT`; it may be used for any number of
 * calls, but by one thread at a time.
 *
 * It is written only when a call answers a negative status, and only when `struct_size` is a size that this
 * library knows; otherwise it is left as it is. Since 1.0.0.
 */
typedef struct bitcask_error {
    /** sizeof(bitcask_error) as the caller was compiled; `BITCASK_ERROR_INIT` sets it. */
    uint32_t struct_size;
    /** The status that the call answered. */
    int32_t code;
    /** The system's `errno` behind it, or 0. */
    int32_t os_errno;
    /** What happened and what to do, UTF-8, always NUL-terminated, cut to fit. */
    char message[256];
} bitcask_error;

/**
 * How a write is to be made. Set it up with `BITCASK_WRITE_OPTIONS_INIT`, which asks for nothing. A field counts only
 * with its flag. Since 1.0.0.
 */
typedef struct bitcask_write_options {
    /** sizeof(bitcask_write_options) as the caller was compiled; `BITCASK_WRITE_OPTIONS_INIT` sets it. */
    uint32_t struct_size;
    /** 0, or some of the `BITCASK_WRITE_...` added together; each function says which it takes. */
    uint32_t flags;
    /** After how many milliseconds the value expires; 0: never, also when the store has a default. */
    uint64_t ttl_ms;
    /** The version at which the key must be; 0: it must have no value. */
    uint64_t expected_version;
} bitcask_write_options;

/**
 * What an iterator goes through, and how. Set it up with `BITCASK_ITER_OPTIONS_INIT`, which lets every key through.
 * Prefix and bounds intersect; a bound of length 0 is none, whatever its address. Keys are compared byte by byte as
 * unsigned numbers, and a key comes before all longer ones that begin with it. Since 1.0.0.
 */
typedef struct bitcask_iter_options {
    /** sizeof(bitcask_iter_options) as the caller was compiled; `BITCASK_ITER_OPTIONS_INIT` sets it. */
    uint32_t struct_size;
    /** 0, or `BITCASK_ITER_REVERSE` and `BITCASK_ITER_KEYS_ONLY` added together. */
    uint32_t flags;
    /** Only keys that begin with these bytes. */
    const void *prefix;
    /** Their number. */
    size_t prefix_len;
    /** Only this key and those after it. */
    const void *lower;
    /** Its length. */
    size_t lower_len;
    /** Only keys before this one. */
    const void *upper;
    /** Its length. */
    size_t upper_len;
} bitcask_iter_options;

/** What was done to one key. Set it up with `BITCASK_CHANGE_INIT`. Since 1.0.0. */
typedef struct bitcask_change {
    /** sizeof(bitcask_change) as the caller was compiled; `BITCASK_CHANGE_INIT` sets it. */
    uint32_t struct_size;
    /** `BITCASK_CHANGE_PUT` or `BITCASK_CHANGE_DELETE`. */
    uint32_t kind;
    /** Some of `BITCASK_CHANGE_BATCH_END`, `BITCASK_CHANGE_JSON` and `BITCASK_CHANGE_EXPIRES` added together. */
    uint32_t flags;
    /** 0. */
    uint32_t reserved;
    /** The key. */
    const void *key;
    /** Its length in bytes. */
    size_t key_len;
    /** The value of a put; NULL for a deletion. */
    const void *value;
    /** Its length in bytes. */
    size_t value_len;
    /** The version, see CONDITIONAL WRITES. */
    uint64_t version;
    /** When the value expires, nanoseconds since 1970 UTC; with `BITCASK_CHANGE_EXPIRES` only, else 0. */
    uint64_t deadline_ns;
} bitcask_change;

/**
 * Hears a message of the log: `context` is that of bitcask_set_log(), `level` the message's own level, `message` one
 * line of `message_len` bytes and a NUL, valid during the call only. "The log" above says what it may not do.
 * Since 1.0.0.
 */
typedef void (*bitcask_log_callback)(void *context,
                                     int32_t level,
                                     const char *message,
                                     size_t message_len);

/** Ends the context of a log callback. The same rules hold in it as in the callback. Since 1.0.0. */
typedef void (*bitcask_log_drop)(void *context);

/** The call did what it says. */
#define BITCASK_OK 0

/** There is no such key. */
#define BITCASK_NOT_FOUND 1

/** Nothing is left to iterate over, or to take. */
#define BITCASK_DONE 2

/** The key is not at the expected version; nothing was written. */
#define BITCASK_CONFLICT 3

/** The buffer is too small; nothing was copied and the length needed was reported. */
#define BITCASK_BUFFER_TOO_SMALL 4

/** The feed cannot go on from this cursor; start again from a snapshot. */
#define BITCASK_RESNAPSHOT 5

/** The document has nothing at this JSON pointer. */
#define BITCASK_NO_MATCH 6

/** An argument or an option is wrong; the message names it. */
#define BITCASK_E_INVALID (-1)

/** The operating system refused a call; `os_errno` says why. */
#define BITCASK_E_IO (-2)

/** Stored bytes are damaged. Other keys are not affected unless the message says so. */
#define BITCASK_E_CORRUPT (-3)

/**
 * The device, a quota or a file size limit is exhausted (for the limit see "Signals" above). Nothing stored is
 * lost, reads go on, and writes resume when there is space.
 */
#define BITCASK_E_NO_SPACE (-4)

/** Memory could not be obtained. */
#define BITCASK_E_NO_MEMORY (-5)

/** The directory is open elsewhere, in this process or another. */
#define BITCASK_E_LOCKED (-6)

/** The handle was opened with `read_only`. */
#define BITCASK_E_READ_ONLY (-7)

/** The store that this object belongs to was closed. */
#define BITCASK_E_CLOSED (-8)

/** The handle was inherited through fork(); open the store anew in the child. */
#define BITCASK_E_FORKED (-9)

/** An earlier failure made further writes unsafe. Reads go on; close and reopen to write. */
#define BITCASK_E_POISONED (-10)

/** A defect in the library was caught. The handle is poisoned as above. */
#define BITCASK_E_PANIC (-11)

/** A key, value, batch or document is over its limit. */
#define BITCASK_E_TOO_LARGE (-12)

/** The bytes are not a JSON document. */
#define BITCASK_E_NOT_JSON (-13)

/** The files are of a newer version, or not of this library. */
#define BITCASK_E_FORMAT (-14)

/**
 * Opens the store in a directory and locks it against every other writer.
 *
 * The directory is made if there is none and `create` is on (its parent must exist). One writer may have a
 * directory open at a time, and beside it any number of readers (`read_only`), see "Readers" above. No call is needed to
 * repair anything that a crash can do: the log then ends before the first write that is not whole, and what of its tail
 * was not known to be durable is copied to a new segment before this returns. No file is cut back, and with `read_only`
 * nothing is written.
 *
 * @param path          the directory, in the system's own encoding; not NULL, not empty
 * @param options_json  the options as one JSON object, see "Options" above; NULL for the defaults
 * @param out           receives the handle; not NULL; set to NULL unless the call answers BITCASK_OK
 * @param err           receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (an argument or an option), E_LOCKED (open for writing elsewhere), E_CORRUPT (the
 *         manifest or a segment's file is missing, or the manifest is damaged: nothing was touched), E_FORMAT
 *         (of a newer version or the original Bitcask: nothing was touched), E_TOO_LARGE (more than 32 GiB of
 *         the log were not known to be durable, or there are more than a million segments), E_IO, E_NO_SPACE,
 *         E_NO_MEMORY
 *
 * Ownership: release the handle with bitcask_close(). Threads: any; it starts some, see "Threads". Blocks while
 * it reads the hints of the segments, or the segments that have none, and after a crash also while it reads the
 * unsealed part of the log and copies that tail. Since 1.0.0.
 */
bitcask_status bitcask_open(const char *path,
                            const char *options_json,
                            bitcask_t **out,
                            bitcask_error *err);

/**
 * Closes a store: makes everything written so far durable, stops its background work, releases the directory
 * and frees the handle.
 *
 * The handle is gone after this call **also when it answers an error**; the error then says what could not be
 * made durable. The caller sees to it that no other thread is in, or will enter, a call on `db`. Pins stay
 * valid and must still be freed.
 *
 * In a child of fork() it answers E_FORKED, frees the child's memory and leaves the parent's store alone.
 *
 * @param db   the store; NULL does nothing and answers BITCASK_OK
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_IO, E_NO_SPACE, E_NO_MEMORY (not everything is durable), E_POISONED (an earlier
 *         failure, see bitcask_sync()), E_FORKED
 *
 * Ownership: ends `db`. Threads: one, the last. Blocks for one sync of what is not yet durable.
 * Since 1.0.0.
 */
bitcask_status bitcask_close(bitcask_t *db,
                             bitcask_error *err);

/**
 * Stores a value under a key, in place of any earlier one and its deadline.
 *
 * When it answers BITCASK_OK the write has reached the kernel, so it survives the death of this process; what
 * it takes to survive a power cut is said under "Durability". When it answers an error the write may or may
 * not be there after a crash, but never half of it.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param value      `value_len` bytes, at most 2^32 - 1; may be NULL if `value_len` is 0
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE, E_NO_SPACE (nothing was changed; try again when there is
 *         space), E_IO, E_NO_MEMORY, E_READ_ONLY, E_POISONED, E_FORKED
 *
 * Ownership: nothing is kept of `key` and `value`. Threads: any number on one store; writes take their turn.
 * Blocks: for one write to the kernel; with "sync": "always" until the device has it. A write that fails after
 * the system may have taken some of it is cut off again, and that waits for one sync of the segment, as do the
 * writes behind it. Since 1.0.0.
 */
bitcask_status bitcask_put(bitcask_t *db,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           bitcask_error *err);

/**
 * Removes a key and its value.
 *
 * @param db   the store; not NULL
 * @param key  `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK: the key was there and is not any more, as durable as any write; BITCASK_NOT_FOUND: there
 *         was no such key and nothing was written, or its value had expired; or an error as for bitcask_put()
 *
 * That a value which had expired is gone is written down, so that no clock that is set back shows it again.
 *
 * In a store that is degraded, see "Statistics", it writes the removal and answers BITCASK_OK also for a key that
 * the store cannot vouch for, where bitcask_get() answers E_CORRUPT: the key may have been there or not, and is
 * not any more.
 *
 * Threads and blocking: as bitcask_put(). Since 1.0.0.
 */
bitcask_status bitcask_delete(bitcask_t *db,
                              const void *key,
                              size_t key_len,
                              bitcask_error *err);

/**
 * Waits until every write that was answered before this call is durable against power loss.
 *
 * A sync that fails is final: the system may have dropped the bytes and say OK the next time, so the handle
 * stops taking writes (E_POISONED). Reads go on. Close and open the store to see what the device really has.
 *
 * @param db   the store; not NULL
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_IO, E_NO_SPACE, E_NO_MEMORY, E_POISONED, E_READ_ONLY, E_FORKED
 *
 * Threads: any number; callers at the same time share one sync. Blocks until the device answers.
 * Since 1.0.0.
 */
bitcask_status bitcask_sync(bitcask_t *db,
                            bitcask_error *err);

/**
 * Stores a value under a key as bitcask_put() does, with a deadline, if the key is at an expected version, or both; and
 * tells the version of what it wrote.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param value      `value_len` bytes, at most 2^32 - 1; may be NULL if `value_len` is 0
 * @param options    any of BITCASK_WRITE_TTL, BITCASK_WRITE_EXPECT and BITCASK_WRITE_JSON; NULL for none
 * @param version    receives, on BITCASK_OK, the version that the value has now; on BITCASK_CONFLICT that of the value
 *                   that is there, 0 for none; may be NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_CONFLICT: the key is at another version and nothing was written; or: E_NOT_JSON, E_CORRUPT
 *         (a version is expected, and the record that would tell it is damaged), or an error as for bitcask_put()
 *
 * Two threads that expect the same version never both get BITCASK_OK. Ownership, threads: as bitcask_put(). Blocks: as
 * bitcask_put(), and with an expected version for at most one read from the disk, before it is its turn. Since 1.0.0.
 */
bitcask_status bitcask_put_with(bitcask_t *db,
                                const void *key,
                                size_t key_len,
                                const void *value,
                                size_t value_len,
                                const bitcask_write_options *options,
                                uint64_t *version,
                                bitcask_error *err);

/**
 * Removes a key and its value as bitcask_delete() does, if the key is at an expected version.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param options    BITCASK_WRITE_EXPECT or no flag; NULL for none
 * @param version    receives, on BITCASK_OK, the version of the removal, above that of the value removed; on
 *                   BITCASK_CONFLICT that of the value that is there, 0 for none; may be NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND: there is no such key, and none was expected; BITCASK_CONFLICT: the key is at
 *         another version than the one expected, or has no value, and nothing was written; or: E_CORRUPT as for
 *         bitcask_put_with(), or an error as for bitcask_delete()
 *
 * Threads and blocking: as bitcask_put_with(). Since 1.0.0.
 */
bitcask_status bitcask_delete_with(bitcask_t *db,
                                   const void *key,
                                   size_t key_len,
                                   const bitcask_write_options *options,
                                   uint64_t *version,
                                   bitcask_error *err);

/**
 * Writes all of a batch, or nothing of it, as bitcask_batch_write() does, with one deadline for all that it puts; and
 * tells the version that all its records have.
 *
 * @param db       the store; not NULL
 * @param batch    the batch; not NULL; keeps its operations and what it expects unless BITCASK_OK
 * @param options  BITCASK_WRITE_TTL or no flag; NULL for none. Versions are expected by bitcask_batch_expect().
 * @param version  receives, on BITCASK_OK, the version of the batch (of an empty batch: that of the newest write to the
 *                 store); on BITCASK_CONFLICT that of the first key, in the order of the calls of
 *                 bitcask_batch_expect(), that is not at the version expected, 0 if it has no value; may be NULL
 * @param err      receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_CONFLICT: nothing was written; or an error as for bitcask_batch_write()
 *
 * Threads and blocking: as bitcask_batch_write(). Since 1.0.0.
 */
bitcask_status bitcask_batch_write_with(bitcask_t *db,
                                        bitcask_batch_t *batch,
                                        const bitcask_write_options *options,
                                        uint64_t *version,
                                        bitcask_error *err);

/**
 * Adds to a counter, in one step that no other write comes between.
 *
 * A counter is a value of 8 bytes, a signed number, the lowest byte first and negative ones in two's complement: it can
 * be put and read like any other value. A key without a value counts as 0 and then expires as the option
 * "default_ttl_ms" says; an existing counter keeps its deadline.
 *
 * @param db     the store; not NULL
 * @param key    `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param delta  what to add, maybe less than 0
 * @param value  receives the sum; may be NULL
 * @param err    receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (also: the value is not 8 bytes long, or the sum is no int64_t; nothing was written),
 *         or an error as for bitcask_put() and bitcask_get()
 *
 * Threads: any number, also on one key; the sum is exact. Blocks: as bitcask_put_with(). Since 1.0.0.
 */
bitcask_status bitcask_counter_add(bitcask_t *db,
                                   const void *key,
                                   size_t key_len,
                                   int64_t delta,
                                   int64_t *value,
                                   bitcask_error *err);

/**
 * Fetches a copy of a key's value.
 *
 * One NUL that `value_len` does not count follows the bytes, so that text can be printed as it is.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param value      receives the copy, never NULL on BITCASK_OK, also for an empty value; not NULL
 * @param value_len  receives its length in bytes; not NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND; or: E_INVALID, E_TOO_LARGE (the key), E_CORRUPT (this key's value is
 *         damaged, or the store is degraded and cannot tell), E_IO, E_NO_MEMORY, E_FORKED. Unless BITCASK_OK, both
 *         outputs are zero.
 *
 * Ownership: free `*value` with bitcask_free(). Threads: any number on one store, also beside writers.
 * Blocks: for at most one read from the disk. Since 1.0.0.
 */
bitcask_status bitcask_get(const bitcask_t *db,
                           const void *key,
                           size_t key_len,
                           void **value,
                           size_t *value_len,
                           bitcask_error *err);

/**
 * Copies a key's value into the caller's buffer. Allocates nothing, unless the value is compressed; appends no NUL.
 *
 * A value that does not fit is not copied at all: the answer is BITCASK_BUFFER_TOO_SMALL and `value_len` says
 * what it takes. With `cap` 0 this asks for the size only, for which nothing is decompressed; an empty value
 * "fits" and answers BITCASK_OK. The value may have changed by the next call, so be ready to be told again.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param buf        where the value goes; may be NULL if `cap` is 0
 * @param cap        the room at `buf` in bytes
 * @param value_len  receives the value's length in bytes; not NULL; 0 unless the answer is BITCASK_OK or
 *                   BITCASK_BUFFER_TOO_SMALL
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND; BITCASK_BUFFER_TOO_SMALL; or an error as for bitcask_get(). Unless
 *         BITCASK_OK, `buf` is as it was.
 *
 * Threads and blocking: as bitcask_get(). Since 1.0.0.
 */
bitcask_status bitcask_get_into(const bitcask_t *db,
                                const void *key,
                                size_t key_len,
                                void *buf,
                                size_t cap,
                                size_t *value_len,
                                bitcask_error *err);

/**
 * Gives a key's value in place, without a copy where the store is mapped ("io": "mmap" or "auto") and the value is not
 * compressed.
 *
 * The bytes do not change and stay valid until bitcask_pin_free(), whatever is written, deleted, merged or
 * closed meanwhile. A pin keeps its segment's file from being given back to the system, so do not hold pins
 * longer than needed. No NUL follows the bytes.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param pin        receives the pin; not NULL
 * @param value      receives the address of the bytes, never NULL on BITCASK_OK; not NULL
 * @param value_len  receives their number; not NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND; or an error as for bitcask_get(). Unless BITCASK_OK, all outputs are
 *         zero.
 *
 * Ownership: the bytes are the library's and read-only; free the pin with bitcask_pin_free(). Threads: any
 * number; a pin may be read by many threads and freed by any. Blocks: as bitcask_get(). Since 1.0.0.
 */
bitcask_status bitcask_get_pinned(const bitcask_t *db,
                                  const void *key,
                                  size_t key_len,
                                  bitcask_pin_t **pin,
                                  const void **value,
                                  size_t *value_len,
                                  bitcask_error *err);

/**
 * Ends a pin; the bytes it held must not be read any more.
 *
 * @param pin  a pin, also of a store that was closed since; NULL does nothing
 *
 * Threads: any, but not while another reads the bytes. Does not block, cannot fail. Since 1.0.0.
 */
void bitcask_pin_free(bitcask_pin_t *pin);

/**
 * Tells whether a key has a value. The index knows; only for a value with a deadline, and in a store that is degraded,
 * see "Statistics", the record is read, and of that not the value, so that a damaged one goes unnoticed.
 *
 * @param db   the store; not NULL
 * @param key  `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK: it has; BITCASK_NOT_FOUND: it has not; or: E_INVALID, E_TOO_LARGE, E_CORRUPT, E_IO,
 *         E_NO_MEMORY, E_FORKED. Note that BITCASK_OK is 0: compare, do not use the status as a truth value.
 *
 * Threads: any number. Does not block; where the record is read as bitcask_get(). Since 1.0.0.
 */
bitcask_status bitcask_exists(const bitcask_t *db,
                              const void *key,
                              size_t key_len,
                              bitcask_error *err);

/**
 * Counts the keys. Exact, but for keys whose values have expired: they count until a merge. As cheap as a look-up.
 *
 * @param db     the store; not NULL
 * @param count  receives the number of keys; not NULL; 0 unless BITCASK_OK
 * @param err    receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_FORKED
 *
 * Threads: any number. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_count(const bitcask_t *db,
                             uint64_t *count,
                             bitcask_error *err);

/**
 * Fetches a key's value together with its version and its time to live, all of one moment; or these alone, without a
 * look at the value.
 *
 * The version is what bitcask_put_with() takes as the expected one. Every write has a version greater than all before
 * it in its store, and a value keeps its own through merges and reopening.
 *
 * @param db         the store; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param value      receives a copy as bitcask_get() gives; NULL if it is not wanted, then a damaged value goes unnoticed
 * @param value_len  receives its length in bytes; not NULL unless `value` is
 * @param version    receives the version, not 0; may be NULL
 * @param ttl_ms     receives how long the value has, as bitcask_ttl() does; may be NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return as bitcask_get(). Unless BITCASK_OK, the outputs are zero.
 *
 * Ownership, threads and blocking: as bitcask_get(). Since 1.0.0.
 */
bitcask_status bitcask_get_version(const bitcask_t *db,
                                   const void *key,
                                   size_t key_len,
                                   void **value,
                                   size_t *value_len,
                                   uint64_t *version,
                                   uint64_t *ttl_ms,
                                   bitcask_error *err);

/**
 * Fetches the value that a key had when the snapshot was taken, with its version and its time to live; as
 * bitcask_get_version().
 *
 * @param snapshot   the snapshot; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param value      receives a copy; NULL if it is not wanted
 * @param value_len  receives its length in bytes; not NULL unless `value` is
 * @param version    receives the version, not 0; may be NULL
 * @param ttl_ms     receives how long the value has from now, as bitcask_ttl() does; may be NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return as bitcask_snapshot_get(). Unless BITCASK_OK, the outputs are zero.
 *
 * Ownership, threads and blocking: as bitcask_snapshot_get(). Since 1.0.0.
 */
bitcask_status bitcask_snapshot_get_version(const bitcask_snapshot_t *snapshot,
                                            const void *key,
                                            size_t key_len,
                                            void **value,
                                            size_t *value_len,
                                            uint64_t *version,
                                            uint64_t *ttl_ms,
                                            bitcask_error *err);

/**
 * Fetches many values in one call, at least twice as fast a key as bitcask_get() when they are not in the
 * processor's caches, because the look-ups overlap.
 *
 * The keys lie back to back in one buffer, and so do the values that come back: the first value begins at
 * `*values`, each next one where the one before it ends, and a key without a value takes no room. No pointer
 * to a pointer is needed, which suits languages that may not pass such.
 *
 * Every key has its own status: BITCASK_OK, BITCASK_NOT_FOUND, or the error that bitcask_get() would answer
 * for it, such as E_CORRUPT. Such an error concerns that key alone: the call itself still answers BITCASK_OK,
 * and `err` is not written; call bitcask_get() for the text. The keys are looked up one after the other, so a
 * write by another thread may fall between two of them.
 *
 * @param db          the store; not NULL
 * @param keys        the keys, back to back; may be NULL if they are all empty
 * @param key_lens    `count` lengths in bytes; may be NULL if `count` is 0
 * @param count       how many keys; 0 is legal
 * @param values      receives one buffer with the values, never NULL on BITCASK_OK; not NULL
 * @param value_lens  receives `count` lengths, 0 where there is no value; may be NULL if `count` is 0
 * @param statuses    receives `count` statuses; may be NULL if `count` is 0
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK; or: E_INVALID, E_TOO_LARGE (the sizes given cannot lie in memory), E_NO_MEMORY,
 *         E_FORKED. Unless BITCASK_OK, all outputs are zero, so look at it before the statuses.
 *
 * Ownership: free `*values` with bitcask_free(). Threads and blocking: as bitcask_get(), once a key.
 * Since 1.0.0.
 */
bitcask_status bitcask_get_many(const bitcask_t *db,
                                const void *keys,
                                const size_t *key_lens,
                                size_t count,
                                void **values,
                                size_t *value_lens,
                                bitcask_status *statuses,
                                bitcask_error *err);

/**
 * Has a key's value expire after some time, in place of any deadline that it had. See EXPIRY above.
 *
 * The value is written again as it is, under a new version.
 *
 * @param db      the store; not NULL
 * @param key     `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param ttl_ms  milliseconds from now, at least 1; what lies past the year 2554 is never
 * @param err     receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND: no such key, nothing was written; or: E_INVALID (also: `ttl_ms` is 0; it could
 *         mean bitcask_persist() or bitcask_delete()), or an error as for bitcask_put() and bitcask_get()
 *
 * Threads: any number. Blocks: as bitcask_put_with(). Since 1.0.0.
 */
bitcask_status bitcask_expire(bitcask_t *db,
                              const void *key,
                              size_t key_len,
                              uint64_t ttl_ms,
                              bitcask_error *err);

/**
 * Tells how long a key's value has before it expires.
 *
 * @param db      the store; not NULL
 * @param key     `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param ttl_ms  receives milliseconds, rounded up and so at least 1; BITCASK_NO_TTL if the value does not expire; not
 *                NULL; 0 unless BITCASK_OK
 * @param err     receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND; or an error as for bitcask_get(), except that a damaged value goes unnoticed
 *
 * Threads and blocking: as bitcask_get(). Since 1.0.0.
 */
bitcask_status bitcask_ttl(const bitcask_t *db,
                           const void *key,
                           size_t key_len,
                           uint64_t *ttl_ms,
                           bitcask_error *err);

/**
 * Has a key's value expire no more. A value that does not expire stays as it is, and nothing is written.
 *
 * @param db   the store; not NULL
 * @param key  `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND: no such key, or it has expired already, and nothing was written; or an error as
 *         for bitcask_put() and bitcask_get()
 *
 * Threads: any number. Blocks: as bitcask_put_with(). Since 1.0.0.
 */
bitcask_status bitcask_persist(bitcask_t *db,
                               const void *key,
                               size_t key_len,
                               bitcask_error *err);

/**
 * Makes an empty batch. It belongs to no store and may be filled before one is open.
 *
 * @param out  receives the batch; not NULL; NULL unless BITCASK_OK
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY
 *
 * Ownership: free it with bitcask_batch_free(). Threads: any. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_batch_new(bitcask_batch_t **out, bitcask_error *err);

/**
 * Adds a put to a batch. Of several operations on one key the last one counts.
 *
 * @param batch      the batch; not NULL
 * @param key        `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
 * @param value      `value_len` bytes, copied; may be NULL if `value_len` is 0
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE (the key, the value, or the batch as a whole: 256 MiB),
 *         E_NO_MEMORY; on an error the batch is as it was
 *
 * Threads: one at a time a batch. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_batch_put(bitcask_batch_t *batch,
                                 const void *key,
                                 size_t key_len,
                                 const void *value,
                                 size_t value_len,
                                 bitcask_error *err);

/**
 * Adds a put of a JSON document to a batch: as bitcask_batch_put(), but refuses what is not JSON.
 *
 * @param batch     the batch; not NULL
 * @param key       `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
 * @param json      one JSON document, `json_len` bytes, copied as given
 * @param json_len  its length
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_NOT_JSON, E_TOO_LARGE (also: nested too deep), or an error as for
 *         bitcask_batch_put()
 *
 * Threads: one at a time a batch. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_batch_put_json(bitcask_batch_t *batch,
                                      const void *key,
                                      size_t key_len,
                                      const char *json,
                                      size_t json_len,
                                      bitcask_error *err);

/**
 * Adds a removal to a batch. It is no error if there is no such key when the batch is written.
 *
 * @param batch  the batch; not NULL
 * @param key    `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
 * @param err    receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or an error as for bitcask_batch_put()
 *
 * Threads: one at a time a batch. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_batch_delete(bitcask_batch_t *batch,
                                    const void *key,
                                    size_t key_len,
                                    bitcask_error *err);

/**
 * Has a batch written only if a key is at an expected version when it is. May be called for several keys, those that the
 * batch writes and any others; all must be as expected, before any operation of the batch counts.
 *
 * @param batch    the batch; not NULL
 * @param key      `key_len` bytes, at most 65536, copied; may be NULL if `key_len` is 0
 * @param version  the version, as bitcask_get_version() and the writes tell it; 0: the key must have no value
 * @param err      receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or an error as for bitcask_batch_put()
 *
 * Threads: one at a time a batch. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_batch_expect(bitcask_batch_t *batch,
                                    const void *key,
                                    size_t key_len,
                                    uint64_t version,
                                    bitcask_error *err);

/**
 * Writes all of a batch, or nothing of it: a crash or a power cut, too, leaves all or nothing. On BITCASK_OK,
 * and only then, the batch is emptied and can be filled again.
 *
 * Readers of single keys may see one key's change before another's. An empty batch writes nothing and answers
 * BITCASK_OK.
 *
 * @param db     the store; not NULL
 * @param batch  the batch; not NULL; keeps its operations and what it expects unless BITCASK_OK, so the call can be
 *               repeated
 * @param err    receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_CONFLICT: a key is not at the version that bitcask_batch_expect() named, and nothing was
 *         written (bitcask_batch_write_with() tells its version); or: E_TOO_LARGE (more than 256 MiB as records, which
 *         take some 30 bytes more than key and value), E_CORRUPT as for bitcask_put_with(), or an error as for
 *         bitcask_put()
 *
 * Threads: any number on one store, one at a time a batch. Blocks: as bitcask_put(), once for the whole batch.
 * Since 1.0.0.
 */
bitcask_status bitcask_batch_write(bitcask_t *db,
                                   bitcask_batch_t *batch,
                                   bitcask_error *err);

/**
 * Empties a batch without writing it, also of what it expects. It keeps its memory for what comes next.
 *
 * @param batch  the batch; NULL does nothing
 *
 * Threads: one at a time a batch. Does not block, cannot fail. Since 1.0.0.
 */
void bitcask_batch_clear(bitcask_batch_t *batch);

/**
 * Frees a batch; what it holds is not written.
 *
 * @param batch  the batch; NULL does nothing
 *
 * Threads: any one. Does not block, cannot fail. Since 1.0.0.
 */
void bitcask_batch_free(bitcask_batch_t *batch);

/**
 * Holds the store as it is now: all writes that have returned, batches as a whole or not at all. Whatever is put,
 * deleted or merged afterwards, the snapshot stays as it is. Values with a deadline expire in it, too.
 *
 * A snapshot costs the same whatever the store holds, and no write waits for it. It keeps the files of its segments
 * from being given back to the system, so do not hold it longer than needed.
 *
 * @param db   the store; not NULL
 * @param out  receives the snapshot; not NULL; NULL unless BITCASK_OK
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_FORKED
 *
 * Ownership: free it with bitcask_snapshot_free(), before or after the store is closed; after that all calls on it
 * but this answer E_CLOSED. Threads: any number. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_snapshot_new(const bitcask_t *db,
                                    bitcask_snapshot_t **out,
                                    bitcask_error *err);

/**
 * Copies the value that a key had when the snapshot was taken.
 *
 * Costs about as much as bitcask_get() if the key was not written since. Otherwise the hints of the segments are
 * asked, newest first.
 *
 * @param snapshot   the snapshot; not NULL
 * @param key        `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param value      receives a copy, never NULL on BITCASK_OK, also for an empty value, and a NUL follows it that
 *                   `value_len` does not count; not NULL
 * @param value_len  receives its length; not NULL
 * @param err        receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND; or: E_INVALID, E_TOO_LARGE, E_CORRUPT, E_IO, E_NO_MEMORY, E_CLOSED,
 *         E_FORKED. Unless BITCASK_OK, the outputs are zero.
 *
 * Ownership: free the value with bitcask_free(). Threads: any number. Blocks: while the device reads. Since 1.0.0.
 */
bitcask_status bitcask_snapshot_get(const bitcask_snapshot_t *snapshot,
                                    const void *key,
                                    size_t key_len,
                                    void **value,
                                    size_t *value_len,
                                    bitcask_error *err);

/**
 * Ends a snapshot. Iterators over it go on.
 *
 * @param snapshot  a snapshot, also of a store that was closed since; NULL does nothing
 *
 * Threads: any, but not while another uses it. May close and so remove files of merged segments; cannot fail.
 * Since 1.0.0.
 */
void bitcask_snapshot_free(bitcask_snapshot_t *snapshot);

/**
 * Makes an iterator. It stands before its first key: call bitcask_iter_next() to come to it.
 *
 * The first iterator after new writes sorts these in memory, about a microsecond each; those of segments that have a
 * hint, which the library makes in the background, need nothing. The keys of a segment are read in pieces of 64 KiB.
 *
 * @param db        the store; not NULL
 * @param snapshot  what to go through: a snapshot of `db`, or NULL for the store as it is now
 * @param options   bounds and flags, copied; NULL for all keys in order
 * @param out       receives the iterator; not NULL; NULL unless BITCASK_OK
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE (a bound longer than any key), E_CORRUPT (also in a store that is
 *         degraded, see "Statistics"), E_IO, E_NO_MEMORY, E_CLOSED, E_FORKED
 *
 * Ownership: free it with bitcask_iter_free(), before or after the snapshot or the store. Threads: any number.
 * Blocks: while the device reads. Since 1.0.0.
 */
bitcask_status bitcask_iter_new(const bitcask_t *db,
                                const bitcask_snapshot_t *snapshot,
                                const bitcask_iter_options *options,
                                bitcask_iter_t **out,
                                bitcask_error *err);

/**
 * Comes to the next key.
 *
 * @param iter  the iterator; not NULL
 * @param err   receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_DONE: there is none, also when asked again; or: E_INVALID, E_CORRUPT (this record is
 *         damaged: the next call goes on behind it; two in a row: more than a record is, and bitcask_iter_seek() may
 *         lead past it), E_IO and E_NO_MEMORY (the next call tries the same), E_CLOSED, E_FORKED, E_POISONED (after
 *         E_PANIC)
 *
 * Threads: one at a time an iterator. Blocks: while the device reads. Since 1.0.0.
 */
bitcask_status bitcask_iter_next(bitcask_iter_t *iter,
                                 bitcask_error *err);

/**
 * Comes to many next keys at once, for languages in which a call costs more than what it does.
 *
 * As many entries as fit are written to `buf`, one behind the other without gaps: the key's length and the value's as
 * uint32_t in the machine's byte order, then the bytes of both. Copy the lengths out, they need not be aligned.
 * bitcask_iter_key() has nothing to show afterwards; calls of this function and of bitcask_iter_next() may take turns.
 *
 * @param iter   the iterator; not NULL
 * @param buf    memory for `cap` bytes; may be NULL if `cap` is 0
 * @param cap    its size
 * @param count  receives the number of entries; not NULL
 * @param len    receives the number of bytes they take; not NULL
 * @param err    receives the reason of a failure; may be NULL
 * @return BITCASK_OK: there is at least one; BITCASK_DONE: there are no more keys; BITCASK_BUFFER_TOO_SMALL: `len` is
 *         what the next entry takes, and the iterator did not move; or an error as for bitcask_iter_next(), which
 *         concerns the entry after those that earlier calls gave. Unless BITCASK_OK, `count` is 0.
 *
 * Threads: one at a time an iterator. Blocks: while the device reads. Since 1.0.0.
 */
bitcask_status bitcask_iter_next_many(bitcask_iter_t *iter,
                                      void *buf,
                                      size_t cap,
                                      size_t *count,
                                      size_t *len,
                                      bitcask_error *err);

/**
 * Goes elsewhere: the next call of bitcask_iter_next() comes to the first key that is `key` or after it, with
 * BITCASK_ITER_REVERSE to the first that is `key` or before it, within the iterator's bounds.
 *
 * @param iter  the iterator; not NULL
 * @param key   `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param err   receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_TOO_LARGE, E_CLOSED, E_FORKED, E_POISONED (after E_PANIC)
 *
 * Threads: one at a time an iterator. Does not block: reading is left to the next call. Since 1.0.0.
 */
bitcask_status bitcask_iter_seek(bitcask_iter_t *iter,
                                 const void *key,
                                 size_t key_len,
                                 bitcask_error *err);

/**
 * The key that the iterator has come to.
 *
 * @param iter  the iterator; may be NULL
 * @param len   receives the key's length, 0 if there is none; may be NULL
 * @return the bytes, valid until the next call on the iterator; NULL before the first key, after the last, and after
 *         an error. An empty key is not NULL.
 *
 * Threads: one at a time an iterator. Does not block. Since 1.0.0.
 */
const void *bitcask_iter_key(const bitcask_iter_t *iter,
                             size_t *len);

/**
 * The value of the key that the iterator has come to; of length 0 with BITCASK_ITER_KEYS_ONLY. No NUL follows it.
 *
 * @param iter  the iterator; may be NULL
 * @param len   receives the value's length, 0 if there is none; may be NULL
 * @return as bitcask_iter_key()
 *
 * Threads: one at a time an iterator. Does not block. Since 1.0.0.
 */
const void *bitcask_iter_value(const bitcask_iter_t *iter,
                               size_t *len);

/**
 * The version of the value that the iterator has come to, as bitcask_get_version() tells it; also with
 * BITCASK_ITER_KEYS_ONLY.
 *
 * @param iter  the iterator; may be NULL
 * @return the version; 0 where bitcask_iter_key() answers NULL
 *
 * Threads: one at a time an iterator. Does not block. Since 1.0.0.
 */
uint64_t bitcask_iter_version(const bitcask_iter_t *iter);

/**
 * Ends an iterator; the bytes it showed must not be read any more.
 *
 * @param iter  an iterator, also of a store that was closed since; NULL does nothing
 *
 * Threads: any, but not while another uses it. May close and so remove files of merged segments; cannot fail.
 * Since 1.0.0.
 */
void bitcask_iter_free(bitcask_iter_t *iter);

/**
 * Removes all keys of a range and their values, except those that are written meanwhile: they keep what they are given.
 *
 * A deletion of a range is not atomic. It goes through a snapshot of the store, reading no values, and writes batches of
 * some hundred deletions, each of which is atomic: after a crash it is there whole or not at all. When an error or a
 * crash ends it early, calling it again removes the rest. Values that have expired are not looked at.
 *
 * @param db       the store; not NULL
 * @param range    prefix and bounds as for an iterator, flags 0; not NULL: to remove all keys, give
 *                 BITCASK_ITER_OPTIONS_INIT
 * @param deleted  receives how many keys had a value and were removed, 0 unless BITCASK_OK; may be NULL
 * @param err      receives the reason of a failure, and how many keys were removed before it; may be NULL
 * @return BITCASK_OK, also if there were none, or: E_INVALID, E_TOO_LARGE (a bound longer than any key), E_CORRUPT, or an
 *         error as for bitcask_batch_write()
 *
 * Threads: any number; other writers wait for one batch at the longest. Blocks: as long as it takes, see
 * bitcask_iter_new() and bitcask_batch_write(). Since 1.0.0.
 */
bitcask_status bitcask_delete_range(bitcask_t *db,
                                    const bitcask_iter_options *range,
                                    uint64_t *deleted,
                                    bitcask_error *err);

/**
 * Gives the cursor of a snapshot: a feed from there has all that was written after it was taken, and nothing else.
 *
 * To copy a store and keep the copy up to date: take a snapshot, take its cursor, open the feed, and then go through the
 * snapshot and follow the feed. The feed comes first, because merges leave alone what an open feed has not read.
 *
 * @param snapshot    the snapshot; not NULL; one of a store that is open "read_only" will do
 * @param cursor      receives the cursor, bytes to be kept as they are; not NULL
 * @param cursor_len  receives its length; not NULL
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY, E_CLOSED, E_FORKED. Unless BITCASK_OK, the outputs are zero.
 *
 * Ownership: free the cursor with bitcask_free(). Threads: any number. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_snapshot_cursor(const bitcask_snapshot_t *snapshot,
                                       void **cursor,
                                       size_t *cursor_len,
                                       bitcask_error *err);

/**
 * Opens the feed of all changes behind a cursor, in the order in which they were written.
 *
 * The feed reads the log itself, as far as it was not merged. A cursor is good as long as everything behind it is as it was
 * written: until segments behind it are merged, and until writes before it are lost by a power cut or the store is
 * repaired. Then the answer is BITCASK_RESNAPSHOT, and whoever follows must begin with nothing and a new snapshot. See
 * REPLICAS above for how to keep cursors good.
 *
 * While a feed is open, merges leave alone what it has not read, so read on or free it.
 *
 * @param db          the store; not NULL; open for writing
 * @param cursor      a cursor of bitcask_snapshot_cursor() or bitcask_feed_cursor() of this store, also of an earlier
 *                    open; may be NULL if `cursor_len` is 0
 * @param cursor_len  its length; 0 for all changes since the store was made, if nothing was merged yet
 * @param out         receives the feed; not NULL; NULL unless BITCASK_OK
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_RESNAPSHOT: the log does not go on from there; or: E_INVALID (also: the bytes are no
 *         cursor), E_READ_ONLY (a store open for reading has no feed), E_IO, E_FORKED
 *
 * Ownership: free it with bitcask_feed_free(), before or after the store is closed; after that all calls on it but this
 * answer E_CLOSED. Threads: any number; any number of feeds. Blocks: while the device reads a few bytes. Since 1.0.0.
 */
bitcask_status bitcask_feed_open(const bitcask_t *db,
                                 const void *cursor,
                                 size_t cursor_len,
                                 bitcask_feed_t **out,
                                 bitcask_error *err);

/**
 * Gives the next change, and waits for one if there is none.
 *
 * A change comes as soon as reads see it, maybe before it is durable. Changes that were written together come one after the
 * other, the last with BITCASK_CHANGE_BATCH_END: whoever takes changes over takes over whole batches. That a value expires
 * is no change of its own; the deadline came with it.
 *
 * @param feed        the feed; not NULL
 * @param timeout_ms  how long to wait; 0: not at all; UINT64_MAX: for ever. Nothing is polled meanwhile.
 * @param change      receives the change; not NULL; its `struct_size` must be set (BITCASK_CHANGE_INIT); all else is zero
 *                    unless BITCASK_OK
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_DONE: there was no change in that time; BITCASK_RESNAPSHOT: the log does not go on; or:
 *         E_INVALID, E_CORRUPT (the next record is damaged; the feed stays before it), E_IO, E_NO_MEMORY, E_CLOSED (also
 *         when the store is closed while the call waits), E_FORKED, E_POISONED (after E_PANIC)
 *
 * Ownership: key and value belong to the feed and stay valid until the next call on it, after the store is closed, too.
 * Threads: one at a time a feed. Blocks: up to `timeout_ms`, and while the device reads. Since 1.0.0.
 */
bitcask_status bitcask_feed_next(bitcask_feed_t *feed,
                                 uint64_t timeout_ms,
                                 bitcask_change *change,
                                 bitcask_error *err);

/**
 * Gives the cursor behind the last change that a feed has given together with all of its batch; before that, the one that
 * it was opened with, or one that stands for the same place.
 *
 * @param feed        the feed; not NULL
 * @param cursor      receives the cursor, bytes to be kept as they are; not NULL
 * @param cursor_len  receives its length; not NULL
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY, E_CLOSED, E_FORKED, E_POISONED (after E_PANIC). Unless BITCASK_OK, the
 *         outputs are zero.
 *
 * Ownership: free the cursor with bitcask_free(). Threads: one at a time a feed. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_feed_cursor(const bitcask_feed_t *feed,
                                   void **cursor,
                                   size_t *cursor_len,
                                   bitcask_error *err);

/**
 * Ends a feed. What it had not read may be merged from now on.
 *
 * @param feed  a feed, also of a store that was closed since; NULL does nothing
 *
 * Threads: any, but not while another uses it. Cannot fail. Since 1.0.0.
 */
void bitcask_feed_free(bitcask_feed_t *feed);

/**
 * Gives what an iterator is at as the change that put it, for bitcask_apply() to fill a copy.
 *
 * @param iter    an iterator that is not of keys only; not NULL
 * @param change  receives the change; not NULL; its `struct_size` must be set (BITCASK_CHANGE_INIT); all else is zero unless
 *                BITCASK_OK
 * @param err     receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_DONE: the iterator is at no key; or: E_INVALID, E_POISONED (after E_PANIC)
 *
 * Ownership: key and value belong to the iterator and stay valid until the next call on it. Threads: one at a time an
 * iterator. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_iter_change(const bitcask_iter_t *iter,
                                   bitcask_change *change,
                                   bitcask_error *err);

/**
 * Takes over changes of another store and stores a cursor with them, all together or not at all.
 *
 * The changes are done in their order, with their versions and deadlines; of several to one key the last counts. The
 * store's own versions go on above the highest of them, of which there are none left above 2^63 - 2. With the cursor of
 * the feed behind them, the store holds just the changes before bitcask_applied_cursor(), whenever it may be stopped, so
 * going on from there does each change once.
 *
 * Give whole batches in the order of the feed, any number of them. To fill an empty store give what bitcask_iter_change()
 * shows of a snapshot, in as many calls as you like, and the snapshot's cursor with the last of them.
 *
 * @param db          the store; not NULL
 * @param changes     `count` changes, one behind the other, all with the same `struct_size`; may be NULL if `count` is 0
 * @param count       how many changes; 0 stores the cursor alone
 * @param cursor      up to 1024 bytes that bitcask_applied_cursor() is to give; may be NULL if `cursor_len` is 0
 * @param cursor_len  their number; 0 leaves the cursor that is there
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (also: a kind or flag that is unknown, a deletion with a value or deadline, a version
 *         that is 0 or not below 2^63, a cursor that is too long; nothing was written), E_NOT_JSON, E_TOO_LARGE (also:
 *         several changes take more than 512 MiB; a batch of the store they come from never does), or an error as for
 *         bitcask_batch_write()
 *
 * Ownership: everything is copied. Threads: any number, but whoever follows a feed does so in one. Blocks: as
 * bitcask_batch_write(). Since 1.0.0.
 */
bitcask_status bitcask_apply(bitcask_t *db,
                             const bitcask_change *changes,
                             size_t count,
                             const void *cursor,
                             size_t cursor_len,
                             bitcask_error *err);

/**
 * Gives the cursor that the last bitcask_apply() with one stored.
 *
 * @param db          the store; not NULL; one that is open "read_only" tells what it knew at its last refresh
 * @param cursor      receives the cursor; not NULL
 * @param cursor_len  receives its length; not NULL
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND: none was ever stored; or: E_INVALID, E_NO_MEMORY, E_FORKED. Unless BITCASK_OK, the
 *         outputs are zero.
 *
 * Ownership: free the cursor with bitcask_free(). Threads: any number. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_applied_cursor(const bitcask_t *db,
                                      void **cursor,
                                      size_t *cursor_len,
                                      bitcask_error *err);

/**
 * Stores a JSON document under a key: as bitcask_put(), but refuses what is not JSON.
 *
 * The text is stored as given: the order of names, spacing and numbers of any length come back as they were.
 *
 * @param db        the store; not NULL
 * @param key       `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param json      one JSON document (RFC 8259, UTF-8), `json_len` bytes, no NUL needed
 * @param json_len  its length; 0 is no document
 * @param err       receives the reason of a failure, with the place in the text; may be NULL
 * @return BITCASK_OK, or: E_NOT_JSON (nothing was written), E_TOO_LARGE (also: nested too deep), or an error as
 *         for bitcask_put()
 *
 * Ownership, threads and blocking: as bitcask_put(). Since 1.0.0.
 */
bitcask_status bitcask_put_json(bitcask_t *db,
                                const void *key,
                                size_t key_len,
                                const char *json,
                                size_t json_len,
                                bitcask_error *err);

/**
 * Fetches a document, or the part of it that a JSON pointer (RFC 6901) names.
 *
 * Any value will do that is JSON, however it was put. The answer is JSON text as it stands in the document, so
 * a string comes with its quotes and escapes; a NUL that `json_len` does not count follows.
 *
 * @param db        the store; not NULL
 * @param key       `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param pointer   e.g. "/authors/0/name", a C string in UTF-8; NULL or "" for the whole document
 * @param json      receives the text; not NULL; NULL unless BITCASK_OK
 * @param json_len  receives its length in bytes; may be NULL
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND: no such key; BITCASK_NO_MATCH: nothing in the document at `pointer`;
 *         or: E_NOT_JSON (the value is no document), E_TOO_LARGE (also: it is nested too deep), E_INVALID
 *         (also: `pointer` is malformed), or an error as for bitcask_get()
 *
 * Ownership: free `*json` with bitcask_free(). Threads and blocking: as bitcask_get(). Since 1.0.0.
 */
bitcask_status bitcask_get_json(const bitcask_t *db,
                                const void *key,
                                size_t key_len,
                                const char *pointer,
                                char **json,
                                size_t *json_len,
                                bitcask_error *err);

/**
 * Changes parts of a document by a JSON merge patch (RFC 7396), in one step that no other write comes between.
 *
 * Names in the patch replace those in the document, null removes them, and objects are merged name by name.
 * What the patch does not touch stays as it was, and so does the value's deadline; a patch that is no object replaces
 * the whole document.
 *
 * @param db           the store; not NULL
 * @param key          `key_len` bytes, at most 65536; may be NULL if `key_len` is 0
 * @param merge_patch  one JSON document, `patch_len` bytes, no NUL needed
 * @param patch_len    its length
 * @param err          receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NOT_FOUND: no such key, nothing was written; or: E_NOT_JSON (the patch or the
 *         stored value is no document; the message says which), E_TOO_LARGE (also: one is nested too deep, or
 *         the result is too large), or an error as for bitcask_put() and bitcask_get()
 *
 * Ownership, threads and blocking: as bitcask_put(). Since 1.0.0.
 */
bitcask_status bitcask_patch_json(bitcask_t *db,
                                  const void *key,
                                  size_t key_len,
                                  const char *merge_patch,
                                  size_t patch_len,
                                  bitcask_error *err);

/**
 * Fetches the part of a JSON text that a pointer names; as bitcask_get_json(), but from memory.
 *
 * @param json      one JSON document, `json_len` bytes, no NUL needed
 * @param json_len  its length
 * @param pointer   a C string in UTF-8; NULL or "" for the whole document
 * @param out       receives the text, with an uncounted NUL behind it; not NULL; NULL unless BITCASK_OK
 * @param out_len   receives its length in bytes; may be NULL
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_NO_MATCH; or: E_NOT_JSON, E_INVALID, E_TOO_LARGE, E_NO_MEMORY
 *
 * Ownership: free `*out` with bitcask_free(). Threads: any. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_json_get(const char *json,
                                size_t json_len,
                                const char *pointer,
                                char **out,
                                size_t *out_len,
                                bitcask_error *err);

/**
 * Merges segments now: what is dead in them is left behind, and their space is given back.
 *
 * Reads and writes go on. Without options whatever has dead bytes is merged, all but the segment that is being
 * written to; see "Merge" for what can be chosen.
 * Progress is in the statistics: merge_done_bytes of merge_input_bytes. Until the last moment of each merge
 * everything is as it was before it, so a merge that fails, or whose process dies, costs nothing but its work.
 *
 * @param db            the store; not NULL
 * @param options_json  a JSON object of options, NUL-terminated; NULL or "" for none
 * @param err           receives the reason of a failure; may be NULL
 * @return BITCASK_OK, also when there was nothing to merge; or: E_INVALID (an option, or the store was opened
 *         with "merge": "off"), E_CORRUPT (a segment turned out damaged: it is left alone from now on),
 *         E_NO_SPACE, E_IO, E_NO_MEMORY, E_POISONED, E_READ_ONLY, E_FORKED
 *
 * Threads: any number; merges take their turn. Blocks until the merges are done, which may take as long as
 * reading and writing all segments. Since 1.0.0.
 */
bitcask_status bitcask_merge(bitcask_t *db,
                             const char *options_json,
                             bitcask_error *err);

/**
 * Makes a directory a backup of the store as it is now: all writes that have returned, batches as a whole or not at all.
 * Writes and merges go on meanwhile. See "Backups" above for what a backup is and what the report says.
 *
 * The directory is made, with mode 0700, if there is none (its parent must exist). It may be empty, or hold an earlier
 * backup of the same store that was never opened for writing: then only what is new is brought, and what is no longer of
 * the store is removed at the end. When this answers BITCASK_OK, all of the backup is durable, also writes that the store
 * itself has not synced yet. Until then, and whenever it fails or is cut off, the earlier backup is there as it was.
 *
 * A store that takes no more writes (E_POISONED) can be backed up, as it reads. So can a degraded one, and the backup is
 * degraded as it is.
 *
 * @param db          the store, which may be read-only: then what it shows is backed up; not NULL
 * @param dest        the directory, in the system's own encoding; not NULL, not empty
 * @param report      receives a report as one JSON object, with an uncounted NUL behind it; may be NULL; NULL unless
 *                    BITCASK_OK
 * @param report_len  receives its length in bytes; may be NULL
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (`dest` is the store's own directory or in it, holds files that are not a backup's, a
 *         backup of another database, one that was opened for writing, or one of a later state than the store is in),
 *         E_LOCKED (another backup into it is under way, or it is open for writing), E_CORRUPT (its manifest is damaged,
 *         or a segment of the store that had to be read turned out so), E_FORMAT (it is of a newer version), E_IO,
 *         E_NO_SPACE, E_NO_MEMORY, E_FORKED
 *
 * Ownership: free `*report` with bitcask_free(). Threads: any number; backups into different directories run at the same
 * time. Blocks until the backup is complete, which takes as long as copying what cannot be linked, and for a moment while
 * the store's manifest is replaced. Since 1.0.0.
 */
bitcask_status bitcask_backup(const bitcask_t *db,
                              const char *dest,
                              char **report,
                              size_t *report_len,
                              bitcask_error *err);

/**
 * Reads every byte of a store and reports each damage, with file, offset and key where that is known. Changes nothing, and
 * takes no lock: the store need not be open, and may be, here or in another process. See "Verify and repair" above for
 * what the report says.
 *
 * Damage is no failure of this call: it answers BITCASK_OK whenever all could be read, and the report says whether the
 * store is sound. So does a sector that the device cannot read. What a crash leaves at the end of the log is no damage.
 *
 * @param path        the store's directory, in the system's own encoding; not NULL, not empty
 * @param report      receives a report as one JSON object, with an uncounted NUL behind it; not NULL; NULL unless
 *                    BITCASK_OK
 * @param report_len  receives its length in bytes; may be NULL
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (an argument), E_IO (also: there is no such directory, or no store in it), E_FORMAT
 *         (of a newer version), E_NO_MEMORY
 *
 * Ownership: free `*report` with bitcask_free(). Threads: any number. Blocks for as long as reading the whole store takes;
 * between segments, at most every two seconds, the log is told how far it is (BITCASK_LOG_INFO). Takes as much memory as an
 * open if there is a checkpoint, else little. Since 1.0.0.
 */
bitcask_status bitcask_verify(const char *path,
                              char **report,
                              size_t *report_len,
                              bitcask_error *err);

/**
 * Salvages every intact record of a damaged store into a new, sound one, also when the manifest is gone. The damaged store
 * is only read, and never changed. See "Verify and repair" above for what is salvaged and what the report says.
 *
 * @param source      the damaged store's directory, in the system's own encoding; not NULL, not empty
 * @param dest        the directory of the new store, which must be empty or not exist (its parent must); not NULL, not
 *                    empty
 * @param report      receives a report as one JSON object, with an uncounted NUL behind it; may be NULL; NULL unless
 *                    BITCASK_OK
 * @param report_len  receives its length in bytes; may be NULL
 * @param err         receives the reason of a failure; may be NULL
 * @return BITCASK_OK, whatever was lost, or: E_INVALID (an argument; `dest` is not empty, or is `source` or in it), E_LOCKED
 *         (one of them is open for writing), E_IO (also: there is no store in `source`), E_FORMAT (of a newer version),
 *         E_NO_SPACE, E_NO_MEMORY. Then nothing stays in `dest`. A repair that is killed leaves files there that no call
 *         opens: remove them and begin again.
 *
 * Ownership: free `*report` with bitcask_free(). Threads: any number; no writer can open either directory meanwhile. Blocks
 * for as long as reading the store twice and writing what is left of it takes; between segments, at most every two
 * seconds, the log is told how far it is (BITCASK_LOG_INFO). Takes as much memory as an open, and 16 MiB at the most for keys that are lost. When it
 * answers BITCASK_OK the new store is durable. Since 1.0.0.
 */
bitcask_status bitcask_repair(const char *source,
                              const char *dest,
                              char **report,
                              size_t *report_len,
                              bitcask_error *err);

/**
 * Brings a read-only handle up to date: it then shows every write that was answered, by the writer's process, before
 * this call. A handle that writes sees everything anyway, and the call does nothing.
 *
 * Reads by other threads go on meanwhile; each key goes from the value it had to the one it has at once. The cost
 * goes with what was written since the last call; after a merge also with the number of keys. In a backup all is read anew
 * if its store was opened again meanwhile.
 *
 * @param db   the store; not NULL
 * @param err  receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_CORRUPT (what is new is damaged, or the store was opened degraded: a new handle tells
 *         what can still be vouched for), E_IO (also when another store is in the directory now, or none: open the
 *         path anew), E_FORMAT, E_NO_MEMORY, E_INVALID, E_FORKED. The handle then goes on with what it had and
 *         perhaps some of what is new, never with an older value than it showed, and the next call goes on.
 *
 * Threads: any number; refreshes of one handle take their turn. Blocks while it reads. Since 1.0.0.
 */
bitcask_status bitcask_refresh(const bitcask_t *db,
                               bitcask_error *err);

/**
 * Describes the store as one JSON object; "Statistics" above lists what is in it. Names may be added in later
 * versions, so do not mind those you do not know.
 *
 * @param db        the store; not NULL
 * @param json      receives the text, with an uncounted NUL behind it; not NULL; NULL unless BITCASK_OK
 * @param json_len  receives its length in bytes; may be NULL
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID, E_NO_MEMORY, E_FORKED
 *
 * Ownership: free `*json` with bitcask_free(). Threads: any number. Blocks: it takes its turn with the writes for
 * a moment, so it may wait for one that is under way, such as a large batch, and for the sync that follows a
 * write that failed. Since 1.0.0.
 */
bitcask_status bitcask_stats(const bitcask_t *db,
                             char **json,
                             size_t *json_len,
                             bitcask_error *err);

/**
 * One number of bitcask_stats(), without the JSON.
 *
 * @param db     the store; not NULL
 * @param name   the name of a numeric entry, e.g. "disk_bytes"; not NULL
 * @param value  receives the number; not NULL; 0 unless BITCASK_OK
 * @param err    receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (also: there is no number of that name), E_FORKED
 *
 * Threads: any number. Blocks: as bitcask_stats(). Since 1.0.0.
 */
bitcask_status bitcask_stat_u64(const bitcask_t *db,
                                const char *name,
                                uint64_t *value,
                                bitcask_error *err);

/**
 * The version of the library that is loaded, e.g. "1.0.0". Constant, never NULL, never freed.
 *
 * Any thread, does not block, cannot fail. Since 1.0.0.
 */
const char *bitcask_version(void);

/**
 * The version of the library that is loaded, as major * 10000 + minor * 100 + patch. Compare it with
 * BITCASK_VERSION_NUMBER, which is the version that the program was compiled against: a library with the same
 * major number that is not older will do.
 *
 * Any thread, does not block, cannot fail. Since 1.0.0.
 */
uint32_t bitcask_version_number(void);

/**
 * Has `callback` called with every message of `level` or more severe, in place of the callback before it.
 *
 * When this returns BITCASK_OK, no thread is in the callback before it, none will enter it, and its `drop` was called
 * with its `context`, once. Unless BITCASK_OK, all is as it was, and `context` is still the caller's.
 *
 * Threads of the library may call it for as long as a store is open, also while the process ends: put NULL in its
 * place before what it uses is gone.
 *
 * @param level     from BITCASK_LOG_OFF to BITCASK_LOG_DEBUG
 * @param callback  the function; NULL for none, and then `context` and `drop` are ignored
 * @param context   passed to `callback`, on whichever thread; may be NULL
 * @param drop      called with `context` when the callback is replaced, in the thread that replaces it, and never
 *                  at the end of the process; may be NULL
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (`level` is none of those, or this was called from inside of a log callback or
 *         drop, which would wait for itself)
 *
 * Threads: any. Blocks until every thread has left the callback before it. Since 1.0.0.
 */
bitcask_status bitcask_set_log(int32_t level,
                               bitcask_log_callback callback,
                               void *context,
                               bitcask_log_drop drop,
                               bitcask_error *err);

/**
 * Keeps messages of `level` or more severe in memory, for bitcask_log_next() to take: the newest `capacity` of them.
 *
 * When a message comes and there is no room, the oldest is dropped. The next that bitcask_log_next() hands out then
 * is a message of BITCASK_LOG_WARN, whatever `level` is, that says how many were dropped in its place. Called again,
 * it goes on with the messages that are kept, as far as there is room.
 *
 * @param level     from BITCASK_LOG_OFF to BITCASK_LOG_DEBUG
 * @param capacity  how many, at most 65536; with 0, or BITCASK_LOG_OFF for `level`, nothing is kept any more and what
 *                  was kept is freed, as it is at the start
 * @param err       receives the reason of a failure; may be NULL
 * @return BITCASK_OK, or: E_INVALID (and then nothing changes)
 *
 * Threads: any. Does not block. Since 1.0.0.
 */
bitcask_status bitcask_log_keep(int32_t level,
                                size_t capacity,
                                bitcask_error *err);

/**
 * Takes the oldest message that bitcask_log_keep() keeps.
 *
 * @param level        receives the message's level; may be NULL
 * @param message      receives the message, one line with an uncounted NUL behind it; not NULL; NULL unless
 *                     BITCASK_OK
 * @param message_len  receives its length in bytes; may be NULL
 * @param err          receives the reason of a failure; may be NULL
 * @return BITCASK_OK; BITCASK_DONE: there is none; or: E_INVALID, E_NO_MEMORY (the message stays)
 *
 * Ownership: free `*message` with bitcask_free(). Threads: any number, each message goes to one of them. Does not
 * block. Since 1.0.0.
 */
bitcask_status bitcask_log_next(int32_t *level,
                                char **message,
                                size_t *message_len,
                                bitcask_error *err);

/**
 * Gives back memory that a function of this library put into an output: values, JSON texts.
 *
 * NULL does nothing. Handles (`bitcask_t`, `bitcask_batch_t`, `bitcask_pin_t`) have their own functions.
 * Use this and not free(): the program and the library may have different C libraries or allocators.
 *
 * Any thread, does not block, cannot fail. Since 1.0.0.
 */
void bitcask_free(void *ptr);

/**
 * The message of the last call that failed in this thread, or `""` when none did.
 *
 * A convenience for C programs that stay on one thread. Programs in languages that move work between threads
 * (Go, async runtimes) must use the `err` parameter, because another thread's text, or none, would come back.
 * Calls that succeed or give a positive answer leave it alone.
 *
 * Never NULL. The text is UTF-8 and stays valid until this thread's next failing call or its end.
 * Does not block, cannot fail. Since 1.0.0.
 */
const char *bitcask_last_error(void);

/**
 * The meaning of a status in a few words of English, e.g. `"key not found"`.
 *
 * Never NULL; a number that this version does not know gives `"unknown status"`. The string is constant and
 * lives as long as the process. It says what kind of thing happened; `bitcask_error.message` says what did.
 *
 * Any thread, does not block, cannot fail. Since 1.0.0.
 */
const char *bitcask_strerror(bitcask_status status);

#ifdef __cplusplus
}
#endif

#endif /* BITCASK_H */
