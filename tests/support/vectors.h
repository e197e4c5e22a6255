// Reads the stored vectors of tests/vectors, whose format make_vectors.py describes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace support {

struct StoredTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;  // row-major
};

struct StoredCase {
  std::string name;
  std::string module;  // lstm, gru, rnn_tanh or rnn_relu
  std::int64_t sequences = 0, features = 0, hidden = 0, directions = 1;
  std::int64_t projection = 0;        // 0: none
  std::vector<std::int64_t> offsets;  // [B+1]
  std::map<std::string, StoredTensor> tensors;

  // Throws std::out_of_range, naming the case and the tensor, where there is none.
  const std::vector<double>& operator[](const std::string& tensor) const;
};

struct StoredVectors {
  std::string made_with;
  std::vector<StoredCase> cases;
};

// Throws std::runtime_error, naming the file and the line, where it cannot be read or understood.
StoredVectors read_vectors(const std::string& path);

// The stored vectors of PyTorch's recurrent modules; tests run in the project's root folder.
inline constexpr const char* pytorch_vectors = "tests/vectors/pytorch.txt";
inline constexpr const char* projected_vectors = "tests/vectors/pytorch_projected.txt";

}  // namespace support
