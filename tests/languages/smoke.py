"""Loads the installed libbitcask by ctypes: smoke.py LIBRARY DIRECTORY. Ends non-zero at the first difference."""

import ctypes
import sys
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_size_t, c_uint32, c_void_p

OK, NOT_FOUND, NO_MATCH, E_INVALID = 0, 1, 6, -1


class Error(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("code", c_int32), ("os_errno", c_int32), ("message", c_char * 256)]

    def __init__(self):
        super().__init__(struct_size=ctypes.sizeof(Error))


def load(path):
    """Every function with its argument types: without them ctypes would pass pointers as 32-bit integers."""
    library = ctypes.CDLL(path)
    error, db, size_out = POINTER(Error), c_void_p, POINTER(c_size_t)
    for name, arguments in {
        "open": [c_char_p, c_char_p, POINTER(c_void_p), error],
        "close": [db, error],
        "put": [db, c_char_p, c_size_t, c_char_p, c_size_t, error],
        "put_json": [db, c_char_p, c_size_t, c_char_p, c_size_t, error],
        "get": [db, c_char_p, c_size_t, POINTER(c_void_p), size_out, error],
        "get_json": [db, c_char_p, c_size_t, c_char_p, POINTER(c_void_p), size_out, error],
        "count": [db, POINTER(ctypes.c_uint64), error],
    }.items():
        function = getattr(library, "bitcask_" + name)
        function.argtypes, function.restype = arguments, c_int32
    library.bitcask_free.argtypes, library.bitcask_free.restype = [c_void_p], None
    library.bitcask_version.argtypes, library.bitcask_version.restype = [], c_char_p
    return library


def check(claim, got, expected):
    if got != expected:
        sys.exit(f"python: {claim}: got {got!r}, expected {expected!r}")


def taken(library, pointer, length):
    """A copy of the library's bytes, which are then freed."""
    data = ctypes.string_at(pointer, length.value) if pointer else None
    library.bitcask_free(pointer)
    return data


def main(path, directory):
    library, err = load(path), Error()

    def opened(options=None):
        db = c_void_p()
        status = library.bitcask_open(directory.encode(), options, byref(db), byref(err))
        return status, db

    def get(db, key):
        value, length = c_void_p(), c_size_t()
        status = library.bitcask_get(db, key, len(key), byref(value), byref(length), byref(err))
        return status, taken(library, value, length)

    def get_json(db, key, pointer):
        text, length = c_void_p(), c_size_t()
        status = library.bitcask_get_json(db, key, len(key), pointer, byref(text), byref(length), byref(err))
        return status, taken(library, text, length)

    value, document = b"a value\0with a zero \xff", '{"name":"Ünïcode","n":[1,2.50]}'.encode()
    check("version", library.bitcask_version(), b"1.0.0")
    check("unknown option", opened(b'{"colour": 1}')[0], E_INVALID)
    check("the error's code", err.code, E_INVALID)
    check("the error names the option", b"colour" in err.message, True)

    status, db = opened()
    check("open", (status, err.message if status else b""), (OK, b""))
    check("put", library.bitcask_put(db, b"key", 3, value, len(value), byref(err)), OK)
    check("put an empty value", library.bitcask_put(db, b"empty", 5, b"", 0, byref(err)), OK)
    check("put_json", library.bitcask_put_json(db, b"doc", 3, document, len(document), byref(err)), OK)
    for round_name in ("", " after close and open"):
        check("get" + round_name, get(db, b"key"), (OK, value))
        check("get an empty value" + round_name, get(db, b"empty"), (OK, b""))
        check("missing key" + round_name, get(db, b"none"), (NOT_FOUND, None))
        check("get_json" + round_name, get_json(db, b"doc", b"/n/1"), (OK, b"2.50"))
        check("get_json, no match" + round_name, get_json(db, b"doc", b"/x"), (NO_MATCH, None))
        check("get_json, whole" + round_name, get_json(db, b"doc", None), (OK, document))
        count = ctypes.c_uint64()
        check("count" + round_name, (library.bitcask_count(db, byref(count), byref(err)), count.value), (OK, 3))
        check("close" + round_name, library.bitcask_close(db, byref(err)), OK)
        if not round_name:
            status, db = opened()
            check("open again", status, OK)
    print("ok")


main(sys.argv[1], sys.argv[2])
