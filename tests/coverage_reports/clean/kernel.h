// clang-format off
template <class T>
void scale(T* x, int count) {
  simt::launch(
      {.grid = {1}},  // ");" in a comment ends nothing
      stream, scale_kernel<T>, x, count);
  if (count < 0) abort();  // gcov: callers have checked
}
