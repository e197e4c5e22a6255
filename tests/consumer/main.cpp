// Lacuna as somebody else's project uses it: the installed package and nothing of the source tree.
#include <lacuna/lacuna.h>

#include <iostream>

int main() {
  std::cout << "C++: lacuna " << lacuna_version() << '\n';
  return 0;
}
