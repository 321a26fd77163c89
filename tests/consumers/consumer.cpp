// A C++ program outside of the source tree: open, put, get, close in the directory that it is given.
#include <bitcask.h>

#include <cstddef>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

struct Free {
    void operator()(void *bytes) const { bitcask_free(bytes); }
};

// Gathers the error of the call that it is passed to, and throws it.
class Outcome {
public:
    operator bitcask_error *() { return &error_; }
    void check(bitcask_status status) const {
        if (status != BITCASK_OK) {
            throw std::runtime_error(status < 0 ? error_.message : bitcask_strerror(status));
        }
    }

private:
    bitcask_error error_ = BITCASK_ERROR_INIT;
};

void run(const std::string &directory) {
    Outcome outcome;
    bitcask_t *db = nullptr;
    const std::string key = "key", given = "a value from C++";
    void *bytes = nullptr;
    std::size_t length = 0;

    outcome.check(bitcask_open(directory.c_str(), nullptr, &db, outcome));
    outcome.check(bitcask_put(db, key.data(), key.size(), given.data(), given.size(), outcome));
    outcome.check(bitcask_get(db, key.data(), key.size(), &bytes, &length, outcome));
    const std::unique_ptr<void, Free> owned(bytes);
    if (std::string(static_cast<const char *>(bytes), length) != given) {
        throw std::runtime_error("the value read is not the value written");
    }
    outcome.check(bitcask_close(db, outcome));
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " DIRECTORY\n";
        return 2;
    }
    try {
        run(argv[1]);
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
    std::cout << "ok " << bitcask_version() << '\n';
    return 0;
}
