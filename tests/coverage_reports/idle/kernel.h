// clang-format off
template <class T>
SIMT_KERNEL(128, 4)
void scale(T* x) {
  *x *= 2;
}
