# Finds a C BLAS: CBLAS::CBLAS. OpenBLAS is looked for first, then any library that has cblas_sgemm.
# Sets CBLAS_FOUND, CBLAS_INCLUDE_DIR, CBLAS_LIBRARY.
find_path(CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas-pthread openblas-openmp openblas-serial
                                                  openblas)
find_library(CBLAS_LIBRARY NAMES openblas cblas blas PATH_SUFFIXES openblas-pthread openblas-openmp
                                                                   openblas-serial openblas)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CBLAS REQUIRED_VARS CBLAS_LIBRARY CBLAS_INCLUDE_DIR)
mark_as_advanced(CBLAS_INCLUDE_DIR CBLAS_LIBRARY)
if(CBLAS_FOUND AND NOT TARGET CBLAS::CBLAS)
  add_library(CBLAS::CBLAS UNKNOWN IMPORTED)
  set_target_properties(
    CBLAS::CBLAS PROPERTIES IMPORTED_LOCATION ${CBLAS_LIBRARY}
                            INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${CBLAS_INCLUDE_DIR}
                            INTERFACE_INCLUDE_DIRECTORIES ${CBLAS_INCLUDE_DIR})
endif()
