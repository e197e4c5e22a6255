void scale(float* x) {
  x[0] *= 2;
  x[1] *= 2;
}
