# Loads the installed libbitcask by Fiddle: smoke.rb LIBRARY DIRECTORY. Ends non-zero at the first difference.

require 'fiddle'
require 'fiddle/import'

OK = 0
NOT_FOUND = 1
NO_MATCH = 6
E_INVALID = -1

# The C functions. Fiddle knows no int32_t and no size_t by these names on every version, so they are given.
module Bitcask
  extend Fiddle::Importer
  dlload ARGV.fetch(0)
  typealias 'status', 'int'
  typealias 'size_t', 'unsigned long' unless Fiddle.const_defined?(:TYPE_SIZE_T)

  Error = struct ['unsigned int struct_size', 'int code', 'int os_errno', 'char message[256]']

  extern 'status bitcask_open(const char *, const char *, void *, void *)'
  extern 'status bitcask_close(void *, void *)'
  extern 'status bitcask_put(void *, const void *, size_t, const void *, size_t, void *)'
  extern 'status bitcask_put_json(void *, const void *, size_t, const void *, size_t, void *)'
  extern 'status bitcask_get(void *, const void *, size_t, void *, void *, void *)'
  extern 'status bitcask_get_json(void *, const void *, size_t, const char *, void *, void *, void *)'
  extern 'status bitcask_count(void *, void *, void *)'
  extern 'void bitcask_free(void *)'
  extern 'const char *bitcask_version()'
end

def check(claim, got, expected)
  abort "ruby: #{claim}: got #{got.inspect}, expected #{expected.inspect}" unless got == expected
end

# A place for one pointer, size or count that a function fills in.
def place
  Fiddle::Pointer.malloc(8, Fiddle::RUBY_FREE).tap { |pointer| pointer[0, 8] = "\0" * 8 }
end

def number(pointer)
  pointer[0, 8].unpack1('Q')
end

ERR = Bitcask::Error.malloc(Fiddle::RUBY_FREE)
ERR.struct_size = Bitcask::Error.size

# Calls with places for a buffer and its length; answers the status and a copy of the bytes, which are then freed.
def buffer
  value = place
  length = place
  status = yield value, length
  bytes = number(value).zero? ? nil : value.ptr[0, number(length)]
  Bitcask.bitcask_free(value.ptr)
  [status, bytes]
end

def get(db, key)
  buffer { |value, length| Bitcask.bitcask_get(db, key, key.bytesize, value, length, ERR) }
end

def get_json(db, key, pointer)
  buffer { |value, length| Bitcask.bitcask_get_json(db, key, key.bytesize, pointer, value, length, ERR) }
end

def open_store(options = nil)
  out = place
  status = Bitcask.bitcask_open(ARGV.fetch(1), options, out, ERR)
  [status, out.ptr]
end

value = "a value\0with a zero \xFF".b
document = '{"name":"Ünïcode","n":[1,2.50]}'.b

check 'version', Bitcask.bitcask_version.to_s, '1.0.0'
check 'unknown option', open_store('{"colour": 1}')[0], E_INVALID
check "the error's code", ERR.code, E_INVALID
message = ERR.message.pack('c*').unpack1('Z*')
check 'the error names the option', message.include?('colour'), true

status, db = open_store
check 'open', status, OK
check 'put', Bitcask.bitcask_put(db, 'key', 3, value, value.bytesize, ERR), OK
check 'put an empty value', Bitcask.bitcask_put(db, 'empty', 5, '', 0, ERR), OK
check 'put_json', Bitcask.bitcask_put_json(db, 'doc', 3, document, document.bytesize, ERR), OK
['', ' after close and open'].each do |round|
  check "get#{round}", get(db, 'key'), [OK, value]
  check "get an empty value#{round}", get(db, 'empty'), [OK, '']
  check "missing key#{round}", get(db, 'none'), [NOT_FOUND, nil]
  check "get_json#{round}", get_json(db, 'doc', '/n/1'), [OK, '2.50']
  check "get_json, no match#{round}", get_json(db, 'doc', '/x'), [NO_MATCH, nil]
  check "get_json, whole#{round}", get_json(db, 'doc', nil), [OK, document]
  count = place
  check "count#{round}", [Bitcask.bitcask_count(db, count, ERR), number(count)], [OK, 3]
  check "close#{round}", Bitcask.bitcask_close(db, ERR), OK
  if round.empty?
    status, db = open_store
    check 'open again', status, OK
  end
end
puts 'ok'
