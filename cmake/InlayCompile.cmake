# Flags that all of Inlay's own code is compiled with, and nothing of the project that includes it.
if(MSVC)
  add_compile_options(/W4 /utf-8 /fp:precise)
else()
  # Contraction would make results depend on the compiler; kernels ask for fused operations explicitly.
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-ffp-contract=off>")
  # Vectors wider than the target's registers pass between functions of one file only: there is no ABI.
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-psabi>")
  # GCC 12 sees overlapping copies in plain std::string concatenation (its bug 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>")
  endif()
endif()

if(INLAY_SANITIZERS)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${INLAY_SANITIZERS};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  if(INLAY_SANITIZERS MATCHES "undefined")
    # The address sanitizer sees these where they do harm; they double the time that the kernels take to compile.
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-fno-sanitize=null,object-size,pointer-overflow>")
  endif()
  add_link_options(-fsanitize=${INLAY_SANITIZERS})
endif()

if(INLAY_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "INLAY_BUILD_FUZZERS needs clang")
  endif()
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=fuzzer-no-link>")
endif()
