module bitcask-smoke-test

go 1.19
