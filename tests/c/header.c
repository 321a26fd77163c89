/* The header alone must do, in C89 to C11 and C++, and its macros must work where macros are used. */
#include "bitcask.h"

#if BITCASK_E_INVALID >= 0 || BITCASK_OK != 0 || BITCASK_E_INVALID - BITCASK_E_IO != 1
#error "negative constants must be usable in #if and in arithmetic"
#endif

#if BITCASK_VERSION_NUMBER < 10000
#error "the version number must be usable in #if"
#endif

#define TEXT_OF(macro) TEXT_OF_EXPANSION(macro)
#define TEXT_OF_EXPANSION(text) #text

int main(void) {
    bitcask_error err = BITCASK_ERROR_INIT;
    bitcask_write_options options = BITCASK_WRITE_OPTIONS_INIT;
    const bitcask_status status = BITCASK_OK;
    const char *negative = TEXT_OF(BITCASK_E_INVALID);
    return !(options.struct_size == sizeof options && options.flags == 0 && BITCASK_NO_TTL + 1 == 0 &&
             err.struct_size == sizeof err && err.code == status && err.message[0] == '\0' &&
             negative[0] == '(');
}
