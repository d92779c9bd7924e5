#include "test_data.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <stdexcept>

namespace inlay::test {

TEST_CASE("nmse is the squared error over the reference's power") {
  const float reference[] = {1, 2, 2};
  const float output[] = {1, 2, 5};
  CHECK(nmse(reference, reference) == 0);
  CHECK(nmse(output, reference) == doctest::Approx(1));
  CHECK(std::isinf(nmse(std::span(output, 2), reference)));
  const float broken[] = {1, 2, std::numeric_limits<float>::quiet_NaN()};
  CHECK(std::isinf(nmse(broken, reference)));
}

TEST_CASE("safetensors are read by name") {
  const auto path = std::filesystem::temp_directory_path() / "inlay_test_data_test.safetensors";
  const std::string header = R"({"tokens":{"dtype":"I32","shape":[2],"data_offsets":[0,8]},)"
                             R"("logits":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}})";
  {
    std::ofstream file(path, std::ios::binary);
    const uint64_t length = header.size();
    const int32_t tokens[] = {7, -1};
    const float logits[] = {0.5f, -2.0f};
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << header;
    file.write(reinterpret_cast<const char*>(tokens), sizeof tokens);
    file.write(reinterpret_cast<const char*>(logits), sizeof logits);
  }
  const Safetensors tensors(path);
  CHECK(tensors.i32("tokens") == std::vector<int32_t>{7, -1});
  CHECK(tensors.f32("logits") == std::vector<float>{0.5f, -2.0f});
  CHECK(tensors.shape("logits") == std::vector<uint64_t>{1, 2});
  CHECK_THROWS_AS(tensors.f32("tokens"), std::runtime_error);
  CHECK_THROWS_AS(tensors.f32("absent"), std::runtime_error);
  std::filesystem::remove(path);
}

}  // namespace inlay::test
