#include "formats/package.h"

#include <doctest/doctest.h>
#include <sys/types.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "formats/checksum.h"
#include "runtime/error.h"
#include "runtime/package_model.h"
#include "runtime/tokenizer_plan.h"
#include "tests/gguf_writer.h"
#include "tests/small_package.h"
#include "tests/temporary_folder.h"

namespace inlay {
namespace {

using test::TemporaryFolder;

std::vector<std::byte> small_package() {
  const TemporaryFolder folder;
  test::write_small_package(folder.file("small.inlay"));
  CHECK(folder.files() == 1);
  return test::read_bytes(folder.path() / "small.inlay");
}

/// Bytes at an address that is `past` beyond a multiple of 64.
class Placed {
 public:
  Placed(std::span<const std::byte> bytes, size_t past) : storage_(bytes.size() + 128), size_(bytes.size()) {
    const size_t offset = (64 - reinterpret_cast<uintptr_t>(storage_.data()) % 64) % 64 + past;
    data_ = storage_.data() + offset;
    std::memcpy(data_, bytes.data(), bytes.size());
  }
  std::byte* data() const { return data_; }
  ByteSourcePointer source() const { return open_memory(data_, size_, std::pmr::get_default_resource()); }

 private:
  std::vector<std::byte> storage_;
  size_t size_;
  std::byte* data_;
};

PackageFile open(const ByteSourcePointer& source) {
  return PackageFile::open(source, std::pmr::get_default_resource());
}

/// INLAY_OK where it opens and its checksums are right.
inlay_status outcome(const ByteSourcePointer& source) {
  try {
    open(source).verify(nullptr, nullptr, std::pmr::get_default_resource());
  } catch (const Error& error) {
    return error.status();
  }
  return INLAY_OK;
}

std::vector<int32_t> encode(const ModelSource& model, std::string_view text) {
  const auto plan = TokenizerPlan::of(model);
  REQUIRE(plan);
  std::vector<std::byte> memory(plan->bytes() + 64);
  void* at = memory.data();
  size_t room = memory.size();
  auto* block = static_cast<std::byte*>(std::align(64, plan->bytes(), at, room));
  alignas(Tokenizer) std::byte place[sizeof(Tokenizer)];
  Tokenizer* tokenizer = plan->make(place, {block, static_cast<size_t>(plan->bytes())});
  std::vector<int32_t> tokens(text.size() * 3);
  tokens.resize(tokenizer->encode(text, true, tokens, std::pmr::get_default_resource()));
  const std::string back = [&] {
    std::string decoded(tokenizer->decode(tokens, true, {}), '\0');
    tokenizer->decode(tokens, true, decoded);
    return decoded;
  }();
  CHECK(back.size() <= 1 << 20);
  tokenizer->~Tokenizer();
  return tokens;
}

TEST_CASE("package: what is written is read") {
  const std::vector<std::byte> bytes = small_package();
  for (const size_t past : {0, 8, 4, 1}) {
    CAPTURE(past);
    const Placed placed(bytes, past);
    const PackageModel model(open(placed.source()));
    CHECK(model.architecture() == "qwen35");
    CHECK(model.name() == "small");
    CHECK(model.chat_template() == "{{ messages }}");
    CHECK(model.number(ModelNumber::BlockCount) == uint64_t{4});
    CHECK(!model.number(ModelNumber::KeyHeads));
    CHECK(model.real(ModelReal::RmsEpsilon) == doctest::Approx(1e-6));
    CHECK(model.kv_type() == INLAY_KV_FP8);
    REQUIRE(model.tensors().size() == 4);
    const StoredTensor* embedding = model.find_tensor("token_embd.weight");
    REQUIRE(embedding != nullptr);
    CHECK(embedding->offset % kPackagePage == 0);
    CHECK(embedding->type == TensorType::Q8_0);
    CHECK(embedding->dimensions == std::array<uint64_t, 4>{64, 80, 1, 1});
    CHECK(embedding->data == placed.data() + embedding->offset);
    CHECK(embedding->data[8] == static_cast<std::byte>(56));
    CHECK(model.find_tensor("blk.0.ffn_up.weight")->type == TensorType::FP8);
    CHECK(model.find_tensor("output_norm.weight")->layout == TensorLayout::kRows);
    CHECK(model.find_tensor("blk.0.ssm_conv1d.weight")->layout == TensorLayout::kColumns);
    CHECK(model.find_tensor("missing") == nullptr);
    model.file().verify(nullptr, nullptr, std::pmr::get_default_resource());
    const auto plan = TokenizerPlan::of(model);
    REQUIRE(plan);
    CHECK((plan->bytes() == 0) == (past % 4 == 0));
    const std::vector<int32_t> tokens = encode(model, "the lazy dog<|im_end|> <think>");
    CHECK(tokens == encode(PackageModel(open(Placed(bytes, 0).source())), "the lazy dog<|im_end|> <think>"));
    CHECK(tokens.size() < 15);
  }
}

TEST_CASE("package: through the host's table, mapped or read") {
  const std::vector<std::byte> bytes = small_package();
  test::HostFile host(bytes);
  for (const bool mapped : {false, true}) {
    const PackageModel model(open(open_io(host.table(mapped), std::pmr::get_default_resource())));
    CHECK((model.tensors()[0].data != nullptr) == mapped);
    std::vector<std::byte> tensor(model.tensors()[0].bytes);
    model.read(model.tensors()[0], tensor.data());
    CHECK(tensor[9] == static_cast<std::byte>(63));
    CHECK(encode(model, "the quick fox").size() < 13);
    model.file().verify(nullptr, nullptr, std::pmr::get_default_resource());
  }
}

TEST_CASE("package: equal contents give equal files") { CHECK(small_package() == small_package()); }

TEST_CASE("package: every truncation is refused") {
  const std::vector<std::byte> bytes = small_package();
  const Placed placed(bytes, 0);
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto source = open_memory(placed.data(), size, std::pmr::get_default_resource());
    REQUIRE(outcome(source) == INLAY_ERROR_CORRUPT_FILE);
  }
  CHECK(outcome(placed.source()) == INLAY_OK);
}

TEST_CASE("package: every flipped byte is found, but in the gaps between segments") {
  const std::vector<std::byte> bytes = small_package();
  const Placed placed(bytes, 0);
  const PackageFile file = open(placed.source());
  std::vector<bool> covered(bytes.size(), false);
  const auto cover = [&](uint64_t begin, uint64_t count) {
    std::fill_n(covered.begin() + static_cast<ptrdiff_t>(begin), count, true);
  };
  PackagePreamble preamble;
  std::memcpy(&preamble, bytes.data(), sizeof preamble);
  cover(0, sizeof preamble + preamble.header_bytes);
  for (const StoredTensor& tensor : file.tensors()) cover(tensor.offset, tensor.bytes);
  const auto tokenizer = PackageModel(open(placed.source())).tokenizer();
  cover(tokenizer->offset, tokenizer->bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    placed.data()[i] ^= std::byte{0x10};
    const inlay_status status = outcome(placed.source());
    placed.data()[i] ^= std::byte{0x10};
    if (covered[i]) {
      REQUIRE((status == INLAY_ERROR_CORRUPT_FILE || status == INLAY_ERROR_UNSUPPORTED));
    } else {
      REQUIRE(status == INLAY_OK);
    }
  }
}

/// A header whose checksum was made to fit is still checked, and so are the tokenizer's tables.
TEST_CASE("package: a header or a table that was changed on purpose does no harm") {
  const std::vector<std::byte> bytes = small_package();
  const Placed placed(bytes, 0);
  PackagePreamble preamble;
  std::memcpy(&preamble, bytes.data(), sizeof preamble);
  const auto use = [&] {
    try {
      const PackageModel model(open(placed.source()));
      for (const StoredTensor& tensor : model.tensors()) {
        std::vector<std::byte> copy(tensor.bytes);
        model.read(tensor, copy.data());
      }
      (void)model.chat_template();
      if (model.tokenizer()) encode(model, "the quick\n brown<think> fox 12 <|im_end|>");
    } catch (const Error& error) {
      CHECK(error.status() < 0);
    }
  };
  for (size_t i = sizeof preamble; i < sizeof preamble + preamble.header_bytes; ++i) {
    for (const uint8_t flip : {1, 0x80, 0xFF}) {
      placed.data()[i] ^= static_cast<std::byte>(flip);
      const uint64_t checksum = checksum_of(placed.data() + sizeof preamble, preamble.header_bytes);
      std::memcpy(placed.data() + offsetof(PackagePreamble, header_checksum), &checksum, sizeof checksum);
      use();
      placed.data()[i] ^= static_cast<std::byte>(flip);
    }
  }
  std::memcpy(placed.data(), &preamble, sizeof preamble);
  const auto tokenizer = PackageModel(open(placed.source())).tokenizer();
  for (size_t i = tokenizer->offset; i < tokenizer->offset + tokenizer->bytes; ++i) {
    placed.data()[i] ^= std::byte{0x81};
    use();
    placed.data()[i] ^= std::byte{0x81};
  }
}

TEST_CASE("package: a later version is not this library's") {
  std::vector<std::byte> bytes = small_package();
  bytes[8] = std::byte{2};
  CHECK(outcome(Placed(bytes, 0).source()) == INLAY_ERROR_UNSUPPORTED);
  bytes[8] = std::byte{0};
  CHECK(outcome(Placed(bytes, 0).source()) == INLAY_ERROR_CORRUPT_FILE);
}

TEST_CASE("package: what is not finished leaves nothing, what was there stays") {
  const TemporaryFolder folder;
  const std::string path = folder.file("p.inlay");
  test::write_text(path, "earlier");
  {
    PackageContents contents(std::pmr::get_default_resource());
    contents.architecture = "qwen35";
    StoredTensor tensor;
    tensor.name = "t";
    tensor.dimensions = {8, 1, 1, 1};
    tensor.dimension_count = 1;
    contents.tensors.push_back(tensor);
    PackageWriter writer(path, contents, std::pmr::get_default_resource());
    CHECK(std::filesystem::exists(path + ".partial"));
    CHECK_THROWS_AS(PackageWriter(path, contents, std::pmr::get_default_resource()), Error);
    CHECK_THROWS_AS(writer.finish(), Error);
  }
  CHECK(folder.files() == 1);
  CHECK(test::read_bytes(path).size() == 7);
  test::write_text(path + ".partial", "of a program that was killed");
  test::write_small_package(path);
  CHECK(folder.files() == 1);
  CHECK(test::read_bytes(path).size() > 4096);
}

TEST_CASE("package: a disk without room is refused before anything is written") {
  const TemporaryFolder folder;
  PackageContents contents(std::pmr::get_default_resource());
  StoredTensor tensor;
  tensor.name = "t";
  tensor.dimensions = {uint64_t{1} << 50, 1, 1, 1};
  tensor.dimension_count = 1;
  contents.tensors.push_back(tensor);
  try {
    PackageWriter writer(folder.file("p.inlay"), contents, std::pmr::get_default_resource());
    FAIL("a petabyte found room");
  } catch (const Error& error) {
    CHECK(error.status() == INLAY_ERROR_IO);
  }
  CHECK(folder.files() == 0);
}

}  // namespace
}  // namespace inlay
