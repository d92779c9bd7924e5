# What `cmake --install` puts down: header, libraries, command, CMake package, pkg-config file.
include(CMakePackageConfigHelpers)

set(INLAY_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/inlay")
set(INLAY_INSTALLED_TARGETS "")
if(INLAY_BUILD_SHARED)
  list(APPEND INLAY_INSTALLED_TARGETS inlay)
endif()
if(INLAY_BUILD_STATIC)
  list(APPEND INLAY_INSTALLED_TARGETS inlay_static)
endif()

install(TARGETS ${INLAY_INSTALLED_TARGETS} EXPORT inlay-targets)
install(DIRECTORY include/inlay TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(EXPORT inlay-targets NAMESPACE inlay:: DESTINATION "${INLAY_PACKAGE_DIR}")
if(TARGET inlay_command)
  file(RELATIVE_PATH library_from_command
    "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
  set_target_properties(inlay_command PROPERTIES INSTALL_RPATH "$ORIGIN/${library_from_command}")
  install(TARGETS inlay_command)
endif()

configure_package_config_file(cmake/inlay-config.cmake.in inlay-config.cmake
  INSTALL_DESTINATION "${INLAY_PACKAGE_DIR}")
write_basic_package_version_file(inlay-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/inlay-config.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/inlay-config-version.cmake"
  cmake/FindUtf8proc.cmake
  DESTINATION "${INLAY_PACKAGE_DIR}")

# A static libinlay also needs the C++ library that its objects were compiled against.
set(INLAY_PC_PRIVATE_LIBS ${CMAKE_THREAD_LIBS_INIT} ${CMAKE_DL_LIBS})
foreach(library IN LISTS CMAKE_CXX_IMPLICIT_LINK_LIBRARIES)
  if(library MATCHES "^(stdc\\+\\+|c\\+\\+|m)$")
    list(APPEND INLAY_PC_PRIVATE_LIBS "${library}")
  endif()
endforeach()
if(INLAY_CUDA)
  list(APPEND INLAY_PC_PRIVATE_LIBS "-L${CUDAToolkit_LIBRARY_DIR}" cudart_static rt)
endif()
list(TRANSFORM INLAY_PC_PRIVATE_LIBS PREPEND "-l" REGEX "^[^-]")
list(JOIN INLAY_PC_PRIVATE_LIBS " " INLAY_PC_PRIVATE_LIBS)
# Relative to the file itself, so that an installed tree may be moved.
file(RELATIVE_PATH INLAY_PC_PREFIX
  "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" INLAY_PC_PREFIX "${INLAY_PC_PREFIX}")
configure_file(cmake/inlay.pc.in inlay.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/inlay.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
# pkg-config prefers this one where PKG_CONFIG_PATH names the build folder: bindings and examples use the library
# as it was built there. The rpath spares them LD_LIBRARY_PATH.
configure_file(cmake/inlay-uninstalled.pc.in inlay-uninstalled.pc @ONLY)
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
