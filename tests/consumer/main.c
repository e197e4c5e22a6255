/* The C ABI from C11, through the installed header and library. */
#include <lacuna/lacuna.h>
#include <stdio.h>

int main(void) {
  printf("C: lacuna %s\n", lacuna_version());
  return 0;
}
