template <class T>
SIMT_KERNEL(256)
void scale(T* x) {}
