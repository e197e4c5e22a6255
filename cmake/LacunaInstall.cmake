# Install rules: library, public headers, CMake package and pkg-config file.
include(CMakePackageConfigHelpers)

install(
  TARGETS lacuna
  EXPORT lacuna
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lacuna DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lacuna)
install(
  EXPORT lacuna
  NAMESPACE lacuna::
  FILE lacuna-targets.cmake
  DESTINATION ${package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/lacuna-config.cmake.in ${PROJECT_BINARY_DIR}/lacuna-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# SameMinorVersion: see the soname in host/CMakeLists.txt.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lacuna-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lacuna-config.cmake
              ${PROJECT_BINARY_DIR}/lacuna-config-version.cmake DESTINATION ${package_dir})

# An install directory may be given absolute or relative to the prefix; the .pc file needs it whole.
foreach(kind LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}}")
    set(LACUNA_PC_${kind} "${CMAKE_INSTALL_${kind}}")
  else()
    set(LACUNA_PC_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
  endif()
endforeach()
# The prefix is filled in while installing, so that `cmake --install --prefix` gives the right one.
set(at "@")
configure_file(${PROJECT_SOURCE_DIR}/cmake/lacuna.pc.in ${PROJECT_BINARY_DIR}/lacuna.pc.part @ONLY)
install(
  CODE "set(LACUNA_PC_PREFIX \"\${CMAKE_INSTALL_PREFIX}\")
configure_file(\"${PROJECT_BINARY_DIR}/lacuna.pc.part\" \"${PROJECT_BINARY_DIR}/lacuna.pc\" @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/lacuna.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
