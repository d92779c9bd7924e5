# Debian's cross compiler, with the libraries of its multiarch packages (libutf8proc-dev:arm64 and
# libstdc++6:arm64); what is built runs under qemu-user. `sh tests/run.sh aarch64` installs all of it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Multiarch keeps arm64 libraries in /usr/lib/aarch64-linux-gnu; CMake also asks /usr/lib itself, whose
# libraries would be the build machine's.
set(CMAKE_SYSTEM_IGNORE_PATH /usr/lib /usr/lib64 /usr/lib/x86_64-linux-gnu /lib/x86_64-linux-gnu)

# No -L: the loader, libc and libstdc++ that run must be of one origin, and that is the multiarch packages.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
