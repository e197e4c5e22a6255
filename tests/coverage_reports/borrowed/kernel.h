// clang-format off
void scale(float* x, int count) {
  if (count > 0) simt::launch({.grid = {1}}, stream,
                              scale_kernel, x, count);  // never; what is beside counts not
  x = nullptr;
}
