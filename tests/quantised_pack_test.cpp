#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "formats/dequantize.h"
#include "runtime/model_source.h"
#include "tests/gguf_writer.h"
#include "tests/host.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Models quantised on the way into a package.

namespace {

inlay_status pack(const std::filesystem::path& from, const std::string& to, const char* quantisation,
                  const char* imatrix = nullptr, uint32_t threads = 2) {
  const Handle<inlay_runtime> runtime = make_runtime({.threads = threads});
  inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
  params.quantisation = quantisation;
  params.imatrix = imatrix;
  return inlay_pack(runtime.get(), from.string().c_str(), to.c_str(), &params);
}

/// Of the first model of the own set that is not quantised all through.
std::filesystem::path model_of_floats() {
  for (const std::filesystem::path& path : own_models()) {
    if (path.stem() == "floats") return path;
  }
  throw std::runtime_error("no floats.gguf");
}

std::vector<float> logits_of_file(const std::filesystem::path& path) {
  const OpenModel model(path);
  const Handle<inlay_session> session = model.session(session_params(64, model.mtp()));
  std::vector<float> all;
  for (const int32_t token : random_tokens(6, 16, model.vocabulary())) {
    const Logits row = step(session.get(), token, model.vocabulary());
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

inlay::ModelSourcePointer source_of(const std::filesystem::path& path) {
  const std::string name = path.string();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = name.c_str();
  return inlay::open_model(source, std::pmr::get_default_resource());
}

std::vector<float> weights_of(const inlay::ModelSource& model, std::string_view name) {
  const inlay::StoredTensor* tensor = model.find_tensor(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  std::vector<std::byte> bytes(tensor->bytes);
  model.read(*tensor, bytes.data());
  std::vector<float> weights(tensor->elements());
  inlay::dequantize_row(tensor->type, bytes.data(), tensor->elements(), weights.data());
  return weights;
}

constexpr char kWeighed[] = "blk.0.ffn_gate.weight";
constexpr uint64_t kColumns = 256;  // of it

/// Column i matters as the square of columns[i].
void write_imatrix(const std::string& path, const std::vector<float>& columns, float count,
                   const char* type = "imatrix") {
  std::string sums;
  for (const float column : columns) GgufWriter::append(sums, column * column * count);
  GgufWriter writer;
  writer.text("general.type", type);
  writer.tensor(std::string(kWeighed) + ".in_sum2", {columns.size(), 1}, inlay::TensorType::F32, sums);
  writer.tensor(std::string(kWeighed) + ".counts", {1, 1}, inlay::TensorType::F32,
                {reinterpret_cast<const char*>(&count), sizeof count});
  const std::vector<std::byte> bytes = writer.build();
  write_text(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

TEST_CASE("quantised packs run, and stay as near to their model as their bits allow") {
  // Twice what is measured: weights' errors come out of this model's layers about ten times as large.
  struct Kind {
    const char* name;
    double bound;  // of the logits' error
  };
  constexpr Kind kKinds[] = {{"q8_0", 2e-3}, {"q6_k", 1.5e-2}, {"q5_k_m", 3e-2}, {"q4_k_m", 0.12},
                             {"q2_k", 0.5},  {"fp8", 1e-2},    {"nvfp4", 0.1}};
  const TemporaryFolder folder;
  const std::filesystem::path model = model_of_floats();
  const std::vector<float> exact = logits_of_file(model);
  for (const Kind& kind : kKinds) {
    CAPTURE(std::string(kind.name));
    const std::string one = folder.file("one.inlay");
    const std::string other = folder.file("other.inlay");
    REQUIRE(pack(model, one, kind.name, nullptr, 1) == INLAY_OK);
    REQUIRE(pack(model, other, kind.name, nullptr, 3) == INLAY_OK);
    CHECK(read_bytes(one) == read_bytes(other));
    const double error = nmse(logits_of_file(one), exact);
    CAPTURE(error);
    CHECK(error < kind.bound);
    // What has the wanted types already is copied.
    REQUIRE(pack(one, other, kind.name) == INLAY_OK);
    CHECK(read_bytes(one) == read_bytes(other));
  }
}

TEST_CASE("an importance matrix in llama.cpp's form says which columns matter") {
  const TemporaryFolder folder;
  const std::filesystem::path model = model_of_floats();
  std::vector<float> columns(kColumns);
  Random random(1);
  for (float& column : columns) column = std::exp(2.0f * random.real());
  const std::string imatrix = folder.file("imatrix.gguf");
  write_imatrix(imatrix, columns, 64);
  REQUIRE(pack(model, folder.file("with.inlay"), "q4_k_m", imatrix.c_str()) == INLAY_OK);
  REQUIRE(pack(model, folder.file("without.inlay"), "q4_k_m") == INLAY_OK);
  const auto exact = weights_of(*source_of(model), kWeighed);
  const auto error_of = [&](const std::string& path) {
    const auto weights = weights_of(*source_of(path), kWeighed);
    double error = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      const double difference = (double{weights[i]} - exact[i]) * columns[i % kColumns];
      error += difference * difference;
    }
    return error;
  };
  CHECK(error_of(folder.file("with.inlay")) < 0.98 * error_of(folder.file("without.inlay")));
  // Tensors that it does not speak of are quantised as without it.
  constexpr char kOther[] = "blk.1.ffn_gate.weight";
  CHECK(weights_of(*source_of(folder.file("with.inlay")), kOther) ==
        weights_of(*source_of(folder.file("without.inlay")), kOther));

  // Nothing was counted: as if it were not there.
  write_imatrix(imatrix, columns, 0);
  REQUIRE(pack(model, folder.file("with.inlay"), "q4_k_m", imatrix.c_str()) == INLAY_OK);
  CHECK(read_bytes(folder.file("with.inlay")) == read_bytes(folder.file("without.inlay")));
}

TEST_CASE("an importance matrix that is wrong is refused, and leaves nothing") {
  const TemporaryFolder folder;
  const std::filesystem::path model = model_of_floats();
  const std::string imatrix = folder.file("imatrix.gguf");
  const auto refusal = [&] { return pack(model, folder.file("o.inlay"), "q4_k_m", imatrix.c_str()); };
  CHECK(refusal() == INLAY_ERROR_IO);
  write_imatrix(imatrix, std::vector<float>(kColumns - 1, 1.0f), 1);
  CHECK(refusal() == INLAY_ERROR_CORRUPT_FILE);
  write_imatrix(imatrix, std::vector<float>(kColumns, NAN), 1);
  CHECK(refusal() == INLAY_ERROR_CORRUPT_FILE);
  write_imatrix(imatrix, std::vector<float>(kColumns, 1.0f), 1, "model");
  CHECK(refusal() == INLAY_ERROR_UNSUPPORTED);
  CHECK(folder.files() == 1);
}
