# Sanitizers make hundreds of megabytes of the library and of the emulated CUDA backend. Their tests then share these, of which
# they reach the inside, where otherwise each links its own.
set(LACUNA_SHARED_INSIDE OFF)
if(LACUNA_BUILD_TESTS AND LACUNA_SANITIZE AND NOT LACUNA_WITH_CUDA)
  set(LACUNA_SHARED_INSIDE ON)
endif()
