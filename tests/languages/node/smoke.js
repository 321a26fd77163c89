// Loads the installed libbitcask by koffi: node smoke.js LIBRARY DIRECTORY. Ends non-zero at the first difference.
'use strict';

const assert = require('node:assert/strict');
const koffi = require('koffi');

const [OK, NOT_FOUND, NO_MATCH, E_INVALID] = [0, 1, 6, -1];
const [path, directory] = process.argv.slice(2);
const library = koffi.load(path);

koffi.opaque('bitcask_t');
const errorType = koffi.struct('bitcask_error', {
  struct_size: 'uint32_t',
  code: 'int32_t',
  os_errno: 'int32_t',
  message: koffi.array('char', 256),
});

const E = '_Inout_ bitcask_error *err';
const K = 'const void *key, size_t key_len';
const bitcask = {
  open: library.func(`int32_t bitcask_open(const char *path, const char *options, _Out_ bitcask_t **db, ${E})`),
  close: library.func(`int32_t bitcask_close(bitcask_t *db, ${E})`),
  put: library.func(`int32_t bitcask_put(bitcask_t *db, ${K}, const void *value, size_t len, ${E})`),
  putJson: library.func(`int32_t bitcask_put_json(bitcask_t *db, ${K}, const char *json, size_t len, ${E})`),
  get: library.func(`int32_t bitcask_get(bitcask_t *db, ${K}, _Out_ void **value, _Out_ size_t *len, ${E})`),
  getJson: library.func(
    `int32_t bitcask_get_json(bitcask_t *db, ${K}, const char *pointer, _Out_ void **json, _Out_ size_t *len, ${E})`),
  count: library.func(`int32_t bitcask_count(bitcask_t *db, _Out_ uint64_t *count, ${E})`),
  free: library.func('void bitcask_free(void *bytes)'),
  version: library.func('const char *bitcask_version()'),
};

const err = { struct_size: koffi.sizeof(errorType), code: 0, os_errno: 0, message: '' };

// [status, a copy of the bytes or null]; the library's own are freed.
function buffer(call) {
  const value = [null];
  const length = [0];
  const status = call(value, length);
  if (value[0] === null) return [status, null];
  const count = Number(length[0]); // koffi has no arrays of length 0
  const bytes = count === 0 ? Buffer.alloc(0) : Buffer.from(koffi.decode(value[0], 'uint8_t', count));
  bitcask.free(value[0]);
  return [status, bytes];
}

const get = (db, key) =>
  buffer((value, length) => bitcask.get(db, Buffer.from(key), key.length, value, length, err));
const getJson = (db, key, pointer) =>
  buffer((value, length) => bitcask.getJson(db, Buffer.from(key), key.length, pointer, value, length, err));

function open(options = null) {
  const out = [null];
  const status = bitcask.open(directory, options, out, err);
  return [status, out[0]];
}

const value = Buffer.from('a value\0with a zero \xff', 'latin1');
const document = Buffer.from('{"name":"Ünïcode","n":[1,2.50]}');

assert.equal(bitcask.version(), '1.0.0');
assert.equal(open('{"colour": 1}')[0], E_INVALID, 'unknown option');
assert.equal(err.code, E_INVALID);
assert.match(err.message, /colour/, 'the error names the option');

let [status, db] = open();
assert.equal(status, OK, 'open');
assert.equal(bitcask.put(db, Buffer.from('key'), 3, value, value.length, err), OK, 'put');
assert.equal(bitcask.put(db, Buffer.from('empty'), 5, null, 0, err), OK, 'put an empty value');
assert.equal(bitcask.putJson(db, Buffer.from('doc'), 3, document.toString(), document.length, err), OK, 'put_json');
for (const round of ['', ' after close and open']) {
  assert.deepEqual(get(db, 'key'), [OK, value], `get${round}`);
  assert.deepEqual(get(db, 'empty'), [OK, Buffer.alloc(0)], `get an empty value${round}`);
  assert.deepEqual(get(db, 'none'), [NOT_FOUND, null], `missing key${round}`);
  assert.deepEqual(getJson(db, 'doc', '/n/1'), [OK, Buffer.from('2.50')], `get_json${round}`);
  assert.deepEqual(getJson(db, 'doc', '/x'), [NO_MATCH, null], `get_json, no match${round}`);
  assert.deepEqual(getJson(db, 'doc', null), [OK, document], `get_json, whole${round}`);
  const count = [0];
  assert.equal(bitcask.count(db, count, err), OK, `count${round}`);
  assert.equal(Number(count[0]), 3, `count${round}`);
  assert.equal(bitcask.close(db, err), OK, `close${round}`);
  if (round === '') {
    [status, db] = open();
    assert.equal(status, OK, 'open again');
  }
}
console.log('ok');
