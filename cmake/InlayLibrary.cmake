# Every source of the library is compiled once, into inlay_objects; the shared library, the static library,
# the tests and the benchmarks are made of those objects. The tests therefore reach what the libraries hide.
set(INLAY_DEPENDENCIES Utf8proc::utf8proc Threads::Threads ${CMAKE_DL_LIBS})
if(INLAY_CUDA)
  list(APPEND INLAY_DEPENDENCIES CUDA::cudart_static)
endif()

add_library(inlay_objects OBJECT)
target_include_directories(inlay_objects PUBLIC
  "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}")
target_link_libraries(inlay_objects PUBLIC ${INLAY_DEPENDENCIES})
target_compile_definitions(inlay_objects PRIVATE INLAY_BUILDING)

function(inlay_add_library target export_name type)
  add_library(${target} ${type} "$<TARGET_OBJECTS:inlay_objects>")
  add_library(inlay::${export_name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME inlay
    EXPORT_NAME ${export_name}
    LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}"
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}"
    ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
  target_include_directories(${target} INTERFACE
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_link_libraries(${target} PRIVATE ${INLAY_DEPENDENCIES})
endfunction()

if(INLAY_BUILD_SHARED)
  inlay_add_library(inlay inlay SHARED)
  if(UNIX AND NOT APPLE)
    # Visibility hides Inlay's own symbols; the script also hides what the standard library instantiates.
    set(INLAY_EXPORTS "${PROJECT_SOURCE_DIR}/cmake/exports.map")
    target_link_options(inlay PRIVATE "LINKER:--version-script=${INLAY_EXPORTS}")
    set_property(TARGET inlay APPEND PROPERTY LINK_DEPENDS "${INLAY_EXPORTS}")
    if(NOT INLAY_SANITIZERS AND NOT INLAY_BUILD_FUZZERS)
      target_link_options(inlay PRIVATE "LINKER:--no-undefined")
    endif()
  endif()
endif()
if(INLAY_BUILD_STATIC)
  inlay_add_library(inlay_static inlay_static STATIC)
  if(MSVC)
    set_target_properties(inlay_static PROPERTIES OUTPUT_NAME inlay_static)
  endif()
  target_compile_definitions(inlay_static INTERFACE INLAY_STATIC)
endif()

# What the command, the examples and the consumers link: the shared library where there is one.
if(INLAY_BUILD_SHARED)
  set(INLAY_LINK_TARGET inlay::inlay)
else()
  set(INLAY_LINK_TARGET inlay::inlay_static)
endif()
