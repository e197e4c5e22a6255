// The machine's own sgemm rate: what every result is a fraction of.
#include <cmath>
#include <stdexcept>

#include "bench/contestant.h"

#ifdef LACUNA_HAVE_CBLAS
#include <cblas.h>

namespace bench {
namespace {

constexpr int k_size = 1024;

class Sgemm : public Contestant {
 public:
  explicit Sgemm([[maybe_unused]] int threads) : a_(make_tensor({k_size, k_size})), b_(a_), c_(a_) {
#ifdef OPENBLAS_VERSION
    openblas_set_num_threads(threads);
#endif
    for (std::size_t i = 0; i < a_.data.size(); ++i) {
      a_.data[i] = static_cast<float>(i % 61) / 61 - 0.5f;
      b_.data[i] = static_cast<float>(i % 53) / 53 - 0.5f;
    }
    step();
    check();
  }

  void step() override {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k_size, k_size, k_size, 1,
                a_.data.data(), k_size, b_.data.data(), k_size, 0, c_.data.data(), k_size);
  }

  Tensors results() override { return {}; }

 private:
  // One element per row, and per column, against a plain sum in double.
  void check() const {
    for (int row = 0; row < k_size; ++row) {
      const int column = (row * 7) % k_size;
      double sum = 0, magnitude = 0;
      for (int k = 0; k < k_size; ++k) {
        const double term = static_cast<double>(at(a_, row, k)) * at(b_, k, column);
        sum += term;
        magnitude += std::abs(term);
      }
      if (!(std::abs(at(c_, row, column) - sum) <= 0x1p-24 * std::log2(k_size) * magnitude)) {
        throw std::runtime_error("this BLAS multiplies wrongly");
      }
    }
  }

  static float at(const Tensor& tensor, int row, int column) {
    return tensor.data[static_cast<std::size_t>(row) * k_size + static_cast<std::size_t>(column)];
  }

  Tensor a_, b_, c_;
};

}  // namespace

std::unique_ptr<Contestant> make_sgemm(int threads) { return std::make_unique<Sgemm>(threads); }

Library about_sgemm() {
#ifdef OPENBLAS_VERSION
  return {"sgemm", std::string(openblas_get_config()) + ", " + openblas_get_corename()};
#else
  return {"sgemm", "a C BLAS that does not name itself"};
#endif
}

}  // namespace bench

#else

namespace bench {

std::unique_ptr<Contestant> make_sgemm(int) {
  throw std::runtime_error("this program was built without a C BLAS");
}

Library about_sgemm() { return {"sgemm", ""}; }

}  // namespace bench

#endif
