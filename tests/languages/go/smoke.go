// Smoke links the installed libbitcask by cgo and pkg-config: smoke DIRECTORY. It ends non-zero at the first
// difference.
package main

/*
#cgo pkg-config: bitcask
#include <bitcask.h>
#include <stdlib.h>
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

func check(claim string, holds bool, got ...any) {
	if !holds {
		fmt.Fprintln(os.Stderr, "go:", claim+": got", fmt.Sprint(got...))
		os.Exit(1)
	}
}

// A goroutine may move between threads, so errors come by the parameter, never from bitcask_last_error.
func newError() *C.bitcask_error {
	return &C.bitcask_error{struct_size: C.uint32_t(unsafe.Sizeof(C.bitcask_error{}))}
}

func message(err *C.bitcask_error) string {
	return C.GoString(&err.message[0])
}

// pointer is the address of the first byte, or nil for none: the library ignores it where the length is 0.
func pointer(data []byte) unsafe.Pointer {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Pointer(&data[0])
}

func open(directory, options string) (C.bitcask_status, *C.bitcask_t, *C.bitcask_error) {
	path := C.CString(directory)
	defer C.free(unsafe.Pointer(path))
	var json *C.char
	if options != "" {
		json = C.CString(options)
		defer C.free(unsafe.Pointer(json))
	}
	var db *C.bitcask_t
	err := newError()
	status := C.bitcask_open(path, json, &db, err)
	return status, db, err
}

func get(db *C.bitcask_t, key string) (C.bitcask_status, []byte) {
	name := []byte(key)
	var value unsafe.Pointer
	var length C.size_t
	status := C.bitcask_get(db, pointer(name), C.size_t(len(name)), &value, &length, nil)
	if value == nil {
		return status, nil
	}
	defer C.bitcask_free(value)
	return status, C.GoBytes(value, C.int(length))
}

func getJSON(db *C.bitcask_t, key, path string) (C.bitcask_status, string) {
	name, at := []byte(key), C.CString(path)
	defer C.free(unsafe.Pointer(at))
	var text *C.char
	var length C.size_t
	status := C.bitcask_get_json(db, pointer(name), C.size_t(len(name)), at, &text, &length, nil)
	defer C.bitcask_free(unsafe.Pointer(text))
	return status, C.GoStringN(text, C.int(length))
}

func main() {
	directory := os.Args[1]
	value := []byte("a value\x00with a zero \xff")
	document := []byte(`{"name":"Ünïcode","n":[1,2.50]}`)
	key, empty, doc := []byte("key"), []byte("empty"), []byte("doc")

	check("version", C.GoString(C.bitcask_version()) == "1.0.0", C.GoString(C.bitcask_version()))
	status, _, err := open(directory, `{"colour": 1}`)
	check("unknown option", status == C.BITCASK_E_INVALID, status)
	check("the error's code", err.code == C.BITCASK_E_INVALID, err.code)
	check("the error names the option", strings.Contains(message(err), "colour"), message(err))

	status, db, err := open(directory, "")
	check("open", status == C.BITCASK_OK, message(err))
	status = C.bitcask_put(db, pointer(key), C.size_t(len(key)), pointer(value), C.size_t(len(value)), err)
	check("put", status == C.BITCASK_OK, message(err))
	status = C.bitcask_put(db, pointer(empty), C.size_t(len(empty)), nil, 0, err)
	check("put an empty value", status == C.BITCASK_OK, message(err))
	status = C.bitcask_put_json(db, pointer(doc), C.size_t(len(doc)), (*C.char)(pointer(document)),
		C.size_t(len(document)), err)
	check("put_json", status == C.BITCASK_OK, message(err))

	for _, round := range []string{"", " after close and open"} {
		status, got := get(db, "key")
		check("get"+round, status == C.BITCASK_OK && bytes.Equal(got, value), status, got)
		status, got = get(db, "empty")
		check("get an empty value"+round, status == C.BITCASK_OK && got != nil && len(got) == 0, status, got)
		status, got = get(db, "none")
		check("missing key"+round, status == C.BITCASK_NOT_FOUND && got == nil, status, got)
		status, text := getJSON(db, "doc", "/n/1")
		check("get_json"+round, status == C.BITCASK_OK && text == "2.50", status, text)
		status, text = getJSON(db, "doc", "/x")
		check("get_json, no match"+round, status == C.BITCASK_NO_MATCH && text == "", status, text)
		status, text = getJSON(db, "doc", "")
		check("get_json, whole"+round, status == C.BITCASK_OK && text == string(document), status, text)
		var count C.uint64_t
		status = C.bitcask_count(db, &count, err)
		check("count"+round, status == C.BITCASK_OK && count == 3, status, count)
		status = C.bitcask_close(db, err)
		check("close"+round, status == C.BITCASK_OK, message(err))
		if round == "" {
			status, db, err = open(directory, "")
			check("open again", status == C.BITCASK_OK, message(err))
		}
	}
	fmt.Println("ok")
}
