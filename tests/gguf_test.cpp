#include "formats/gguf.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "gguf_visit.h"
#include "gguf_writer.h"
#include "runtime/error.h"
#include "test_data.h"

namespace inlay::test {
namespace {

std::pmr::memory_resource* memory() { return std::pmr::get_default_resource(); }

GgufFile open(const std::vector<std::byte>& bytes) {
  return GgufFile::open(open_memory(bytes.data(), bytes.size(), memory()), memory());
}

struct Failure {
  inlay_status status = INLAY_OK;
  std::string message;
};

template <typename Call>
Failure failure_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.status(), error.what()};
  }
  return {};
}

/// That opening these bytes gives this status, and a message with all of these words.
void check_refused(const GgufWriter& writer, inlay_status status, const std::vector<std::string>& words) {
  const std::vector<std::byte> bytes = writer.build();
  const Failure failure = failure_of([&] { open(bytes); });
  INFO("message: ", failure.message);
  CHECK(failure.status == status);
  for (const std::string& word : words) {
    INFO("expected in it: ", word);
    CHECK(failure.message.find(word) != std::string::npos);
  }
}

/// A file with every kind of value and tensors of several types.
GgufWriter rich_file() {
  GgufWriter w;
  w.text("general.architecture", "qwen35").uint32("general.alignment", 32);
  w.value<uint8_t>("u8", GgufType::Uint8, 200).value<int8_t>("i8", GgufType::Int8, -100);
  w.value<uint16_t>("u16", GgufType::Uint16, 60000).value<int16_t>("i16", GgufType::Int16, -30000);
  w.value<uint32_t>("u32", GgufType::Uint32, 4000000000U).value<int32_t>("i32", GgufType::Int32, -2000000000);
  w.value<uint64_t>("u64", GgufType::Uint64, UINT64_MAX).value<int64_t>("i64", GgufType::Int64, INT64_MIN);
  w.value<float>("f32", GgufType::Float32, 1e-6f).value<double>("f64", GgufType::Float64, 1e100);
  w.value<uint8_t>("yes", GgufType::Bool, 1).value<uint8_t>("no", GgufType::Bool, 0);
  w.text("empty", "").strings("words", {"a", "", "a longer one", "\xc4\xa0the"}).strings("none", {});
  w.array<int32_t>("numbers", GgufType::Int32, {1, -2, 3})
      .array<float>("reals", GgufType::Float32, {0.5f, -1.5f});
  w.array<uint8_t>("flags", GgufType::Bool, {1, 0})
      .array<uint64_t>("wide", GgufType::Uint64, {1, UINT64_MAX});
  w.tensor("token_embd.weight", {32, 4}, TensorType::Q8_0, std::string(4 * 34, 'q'));
  w.tensor("output_norm.weight", {8}, TensorType::F32, std::string(32, 'f'));
  w.tensor("blk.0.conv", {2, 3, 4, 5}, TensorType::F16, std::string(240, 'h'));
  w.tensor("blk.0.ffn_up.weight", {256, 2}, TensorType::Q4_K, std::string(288, 'k'));
  return w;
}

/// A folder that goes with the test.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / "inlay_gguf_test_") {
    path_ += std::to_string(std::random_device{}());
    std::filesystem::create_directory(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string write(const std::string& name, const std::vector<std::byte>& bytes) const {
    std::string path = this->path(name);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Counts what is taken and given back.
class CountingResource : public std::pmr::memory_resource {
 public:
  uint64_t held = 0, largest = 0, calls = 0;

 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    held += bytes;
    largest = std::max<uint64_t>(largest, bytes);
    ++calls;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, size_t bytes, size_t alignment) override {
    held -= bytes;
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

void check_rich_file(const GgufFile& file, bool mapped) {
  CHECK(file.key_count() == 21);
  CHECK(file.key(0) == "general.architecture");
  CHECK(file.string_value("general.architecture") == "qwen35");
  CHECK(file.string_value("empty") == "");
  CHECK(file.unsigned_value("u8") == 200);
  CHECK(file.unsigned_value("u16") == 60000);
  CHECK(file.unsigned_value("u32") == 4000000000U);
  CHECK(file.unsigned_value("u64") == UINT64_MAX);
  CHECK(file.signed_value("i8") == -100);
  CHECK(file.signed_value("i16") == -30000);
  CHECK(file.signed_value("i32") == -2000000000);
  CHECK(file.signed_value("i64") == INT64_MIN);
  CHECK(file.signed_value("u32") == 4000000000);
  CHECK(file.real_value("f32") == static_cast<double>(1e-6f));
  CHECK(file.real_value("f64") == 1e100);
  CHECK(file.real_value("u64") == 18446744073709551616.0);
  CHECK(file.real_value("i8") == -100.0);
  CHECK(file.bool_value("yes") == true);
  CHECK(file.bool_value("no") == false);
  CHECK_FALSE(file.has("absent"));
  CHECK_FALSE(file.unsigned_value("absent"));
  CHECK_FALSE(file.string_array("absent"));

  std::vector<std::string> words;
  const GgufStrings strings = file.string_array("words").value();
  for (const std::string_view word : strings) words.emplace_back(word);
  CHECK(words == std::vector<std::string>{"a", "", "a longer one", "\xc4\xa0the"});
  CHECK(file.string_array("none")->size() == 0);
  const GgufNumbers numbers = file.integer_array("numbers").value();
  CHECK(numbers.size() == 3);
  CHECK(numbers.integer(1) == -2);
  CHECK(file.integer_array("flags")->integer(0) == 1);
  CHECK(file.integer_array("wide")->integer(1) == -1);
  CHECK(file.real_array("reals")->real(1) == -1.5);

  REQUIRE(file.tensors().size() == 4);
  const GgufTensor* conv = file.find_tensor("blk.0.conv");
  REQUIRE(conv != nullptr);
  CHECK(conv->type == TensorType::F16);
  CHECK(conv->dimension_count == 4);
  CHECK(conv->dimensions == std::array<uint64_t, 4>{2, 3, 4, 5});
  CHECK(conv->elements() == 120);
  CHECK(conv->bytes == 240);
  const GgufTensor* norm = file.find_tensor("output_norm.weight");
  REQUIRE(norm != nullptr);
  CHECK(norm->dimensions == std::array<uint64_t, 4>{8, 1, 1, 1});
  CHECK(norm->offset % 32 == 0);
  CHECK(file.find_tensor("blk.0.ffn_up.weight")->bytes == 288);
  CHECK(file.find_tensor("output.weight") == nullptr);
  std::string copy(240, ' ');
  file.read(*conv, copy.data());
  CHECK(copy == std::string(240, 'h'));
  CHECK((conv->data != nullptr) == mapped);
  if (mapped) CHECK(std::string_view(reinterpret_cast<const char*>(conv->data), 240) == copy);
}

}  // namespace

TEST_CASE("a GGUF file reads alike from a path, from memory at any alignment and through a host's table") {
  for (const uint32_t version : {2U, 3U}) {
    CAPTURE(version);
    GgufWriter writer = rich_file();
    writer.version = version;
    const std::vector<std::byte> bytes = writer.build();
    const uint64_t visited = visit(open(bytes));

    const Folder folder;
    const GgufFile from_path = GgufFile::open(folder.write("rich.gguf", bytes), memory());
    CHECK(from_path.version() == version);
    CHECK(from_path.file_bytes() == bytes.size());
    check_rich_file(from_path, true);

    std::vector<std::byte> shifted(bytes.size() + 8);
    for (size_t shift = 0; shift < 8; ++shift) {
      std::copy(bytes.begin(), bytes.end(), shifted.begin() + static_cast<std::ptrdiff_t>(shift));
      const GgufFile file =
          GgufFile::open(open_memory(shifted.data() + shift, bytes.size(), memory()), memory());
      check_rich_file(file, true);
      CHECK(visit(file) == visited);
    }

    for (const bool mapped : {false, true}) {
      HostFile host(bytes);
      {
        const GgufFile file = GgufFile::open(open_io(host.table(mapped), memory()), memory());
        CHECK(host.reads == (mapped ? 0 : 1));
        check_rich_file(file, mapped);
        CHECK(host.closes == 0);
      }
      CHECK(host.closes == 1);
    }
  }
}

TEST_CASE("all memory comes from the resource handed in and goes back to it") {
  const std::vector<std::byte> bytes = rich_file().build();
  CountingResource counting;
  std::pmr::memory_resource* before = std::pmr::set_default_resource(std::pmr::null_memory_resource());
  HostFile host(bytes);
  const Failure failure = failure_of([&] {
    const GgufFile mapped = GgufFile::open(open_memory(bytes.data(), bytes.size(), &counting), &counting);
    const GgufFile read = GgufFile::open(open_io(host.table(false), &counting), &counting);
    const uint64_t held = counting.calls;
    const GgufStrings strings = mapped.string_array("words").value();
    uint64_t length = 0;
    for (const std::string_view word : strings) length += word.size();
    if (length != 18) throw Error(INLAY_ERROR_INTERNAL, "not all words were walked");
    (void)read.find_tensor("blk.0.conv");
    if (counting.calls != held) throw Error(INLAY_ERROR_INTERNAL, "reading allocates");
  });
  std::pmr::set_default_resource(before);
  CHECK(failure.message == "");
  CHECK(counting.held == 0);
  CHECK(counting.calls > 0);
}

TEST_CASE(
    "an array's elements cost no memory where the file is mapped, and the header's bytes where it is not") {
  GgufWriter writer;
  writer.strings("tokens", std::vector<std::string>(20000, "token"));
  writer.tensor("data", {1 << 20}, TensorType::F32, std::string(4 << 20, 'x'));
  const std::vector<std::byte> bytes = writer.build();
  CountingResource counting;
  {
    const GgufFile file = GgufFile::open(open_memory(bytes.data(), bytes.size(), &counting), &counting);
    CHECK(file.string_array("tokens")->size() == 20000);
    CHECK(counting.largest < 1000);
  }
  HostFile host(bytes);
  const GgufFile file = GgufFile::open(open_io(host.table(false), &counting), &counting);
  CHECK(counting.held < 20000 * 13 + 2000);
  CHECK(host.bytes_read < 20000 * 13 * 2 + (uint64_t{64} << 10));
  CHECK(visit(file) != 0);
}

TEST_CASE("a value of another kind than was asked for is an error, not an absence") {
  const std::vector<std::byte> bytes = rich_file().build();
  const GgufFile file = open(bytes);
  const auto check = [&](const auto& call, const std::string& words) {
    const Failure failure = failure_of(call);
    INFO("message: ", failure.message);
    CHECK(failure.status == INLAY_ERROR_CORRUPT_FILE);
    CHECK(failure.message.find(words) != std::string::npos);
  };
  check([&] { (void)file.unsigned_value("f32"); },
        "key \"f32\": its value is float32, an integer was expected");
  check([&] { (void)file.unsigned_value("i8"); },
        "its value is int8 -100, an integer of 0 or more was expected");
  check([&] { (void)file.unsigned_value("i64"); }, "int64 -9223372036854775808");
  check([&] { (void)file.signed_value("u64"); }, "uint64 18446744073709551615, an integer below 2^63");
  check([&] { (void)file.signed_value("empty"); }, "is string, an integer");
  check([&] { (void)file.real_value("yes"); }, "is bool, a number");
  check([&] { (void)file.bool_value("u8"); }, "is uint8 200, a boolean");
  check([&] { (void)file.string_value("words"); }, "is array of string, a string");
  check([&] { (void)file.integer_array("reals"); }, "is array of float32, an array of integers");
  check([&] { (void)file.integer_array("u8"); }, "an array of integers");
  check([&] { (void)file.real_array("numbers"); }, "an array of floating-point numbers");
  check([&] { (void)file.string_array("numbers"); }, "is array of int32, an array of strings");
}

TEST_CASE("what is not a little-endian GGUF file of version 2 or 3 says so") {
  const auto with_start = [](std::string_view start) {
    std::vector<std::byte> bytes = rich_file().build();
    std::memcpy(bytes.data(), start.data(), start.size());
    return failure_of([&] { open(bytes); });
  };
  CHECK(with_start("ggjt").message == "file in memory: byte 0: not a GGUF file: it does not begin with GGUF");
  CHECK(with_start("ggjt").status == INLAY_ERROR_CORRUPT_FILE);
  for (const char version : {1, 4}) {
    const Failure failure = with_start(std::string("GGUF") + version);
    CHECK(failure.status == INLAY_ERROR_UNSUPPORTED);
    CHECK(failure.message.find("Inlay reads 2 and 3") != std::string::npos);
  }
  const Failure big_endian = with_start(std::string_view("GGUF\0\0\0\3", 8));
  CHECK(big_endian.status == INLAY_ERROR_UNSUPPORTED);
  CHECK(big_endian.message.find("version 3, big endian") != std::string::npos);
  CHECK(with_start(std::string_view("GGUF\0\0\0\0", 8)).status == INLAY_ERROR_CORRUPT_FILE);
  const std::vector<std::byte> nothing;
  CHECK(failure_of([&] { open(nothing); }).message.find("the magic of 4 bytes was expected") !=
        std::string::npos);
}

TEST_CASE("damaged metadata is refused with its place") {
  const auto corrupt = INLAY_ERROR_CORRUPT_FILE;
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\x7f";
  GgufWriter count;
  count.extra_values = uint64_t{1} << 62;
  check_refused(count, corrupt,
                {"byte 16", "the number of metadata entries is 4611686018427387904", "0 at most"});
  count.extra_values = 0;
  count.extra_tensors = 5;
  check_refused(count, corrupt, {"byte 8", "the number of tensors is 5"});
  GgufWriter many;
  for (int i = 0; i < 16385; ++i) many.value<uint8_t>(std::to_string(i), GgufType::Uint8, 0);
  check_refused(many, INLAY_ERROR_UNSUPPORTED, {"is 16385, Inlay reads 16384 at most"});

  check_refused(GgufWriter().uint32("", 1), corrupt, {"byte 24, metadata entry 0: a key of 0 bytes"});
  check_refused(GgufWriter().uint32(std::string(65536, 'k'), 1), corrupt, {"a key of 65536 bytes"});
  check_refused(GgufWriter().uint32("a", 1).uint32("b", 2).uint32("a", 3), corrupt,
                {"key \"a\" is there twice"});
  check_refused(GgufWriter().raw("k", 13, "x"), corrupt,
                {"byte 33, metadata entry 0 \"k\": value type 13, 0 to 12 were expected"});
  check_refused(GgufWriter().raw("k", 8, huge + "text"), corrupt,
                {"metadata entry 0 \"k\": a string of 9223372036854775807 bytes was expected, the file ends "
                 "4 bytes on"});
  check_refused(GgufWriter().raw("k", 7, "\2"), corrupt, {"a boolean is 2, 0 or 1 was expected"});
  check_refused(GgufWriter().raw("k", 10, "1234"), corrupt,
                {"a value of 8 bytes was expected, the file ends 4 bytes on"});
  check_refused(GgufWriter().raw("k", 9, GgufWriter::array_start(9, 1) + GgufWriter::array_start(4, 0)),
                INLAY_ERROR_UNSUPPORTED, {"an array of arrays"});
  check_refused(GgufWriter().raw("k", 9, GgufWriter::array_start(14, 1)), corrupt, {"value type 14"});
  check_refused(GgufWriter().raw("k", 9, GgufWriter::array_start(12, uint64_t{1} << 61)), corrupt,
                {"an array of 2305843009213693952 elements, the 0 bytes that follow hold 0 at most"});
  check_refused(GgufWriter().raw("k", 9, GgufWriter::array_start(8, 2) + std::string(8, '\0') + huge),
                corrupt, {"a string of the array of 9223372036854775807 bytes"});
  check_refused(GgufWriter().uint32("bad\n\x1bname", 1).uint32("bad\n\x1bname", 1), corrupt,
                {"\"bad??name\""});
  for (const uint32_t alignment : {0U, 24U, uint32_t{1} << 21}) {
    check_refused(GgufWriter().uint32("general.alignment", alignment), corrupt,
                  {"general.alignment is " + std::to_string(alignment) + ", a power of two"});
  }
  check_refused(GgufWriter().text("general.alignment", "32"), corrupt,
                {"general.alignment is of type string"});
}

TEST_CASE("damaged tensors are refused with their place") {
  const auto corrupt = INLAY_ERROR_CORRUPT_FILE;
  const auto f32 = TensorType::F32;
  const std::string data(256, 'x');
  check_refused(GgufWriter().tensor("", {4}, f32, data), corrupt, {"a tensor's name of 0 bytes"});
  check_refused(GgufWriter().tensor("t", {}, f32, data), corrupt, {"tensor 0 \"t\": 0 dimensions, 1 to 4"});
  check_refused(GgufWriter().tensor("t", {1, 1, 1, 1, 1}, f32, data), corrupt, {"5 dimensions"});
  check_refused(GgufWriter().tensor("t", {4, 0}, f32, data), corrupt, {"dimension 1 is 0"});
  check_refused(GgufWriter().tensor("t", {uint64_t{1} << 40, uint64_t{1} << 40}, f32, data), corrupt,
                {"dimension 1 is 1099511627776"});
  check_refused(GgufWriter().tensor("t", {uint64_t{1} << 63}, f32, data), corrupt, {"dimension 0"});
  check_refused(GgufWriter().entry("t", {4}, 16, 0), INLAY_ERROR_UNSUPPORTED,
                {"tensor type 16 (IQ2_XXS), which Inlay does not read"});
  check_refused(GgufWriter().entry("t", {4}, 4242, 0), INLAY_ERROR_UNSUPPORTED, {"tensor type 4242, which"});
  check_refused(GgufWriter().tensor("t", {128, 2}, TensorType::Q4_K, data), corrupt,
                {"rows of 128 elements, Q4_K needs a multiple of 256"});
  check_refused(GgufWriter().tensor("t", {4}, f32, data).entry("u", {4}, 0, 16), corrupt,
                {"tensor 1 \"u\": its offset 16 is no multiple of the alignment, 32"});
  check_refused(GgufWriter().tensor("t", {65}, f32, data), corrupt,
                {"its 260 bytes at offset 0 end beyond the file's data, which has 256 bytes"});
  check_refused(GgufWriter().tensor("t", {4}, f32, data).entry("u", {4}, 0, UINT64_MAX - 31), corrupt,
                {"tensor 1 \"u\": its 16 bytes at offset 18446744073709551584 end beyond"});
  check_refused(GgufWriter().entry("t", {4}, 0, 0), corrupt, {"which has 0 bytes"});
  check_refused(GgufWriter().tensor("t", {16}, f32, data).entry("u", {4}, 0, 32), corrupt,
                {"tensors \"t\" and \"u\" overlap"});
  check_refused(GgufWriter().tensor("t", {4}, f32, data).tensor("t", {4}, f32, data), corrupt,
                {"tensor \"t\" is there twice"});
}

TEST_CASE("an alignment other than the default is the data's") {
  GgufWriter writer;
  writer.alignment = 4096;
  writer.uint32("general.alignment", 4096).tensor("t", {4}, TensorType::F32, std::string(16, 't'));
  writer.tensor("u", {1}, TensorType::F32, "last");
  const std::vector<std::byte> bytes = writer.build();
  const GgufFile file = open(bytes);
  CHECK(file.find_tensor("t")->offset == 4096);
  CHECK(file.find_tensor("u")->offset == 8192);
  CHECK(std::memcmp(file.find_tensor("u")->data, "last", 4) == 0);
}

TEST_CASE("what goes wrong with a path or in a host's table is an I/O error in words") {
  const Folder folder;
  const auto path_failure = [&](const std::string& path) {
    return failure_of([&] { GgufFile::open(path, memory()); });
  };
  const Failure absent = path_failure(folder.path("absent.gguf"));
  CHECK(absent.status == INLAY_ERROR_IO);
  CHECK(absent.message == folder.path("absent.gguf") + ": cannot be opened: No such file or directory");
  CHECK(path_failure(folder.path("")).message.find("is a folder") != std::string::npos);
  CHECK(path_failure(folder.write("empty", {})).status == INLAY_ERROR_CORRUPT_FILE);

  const std::vector<std::byte> bytes = rich_file().build();
  const auto host_failure = [&](bool mapped, const auto& damage) {
    HostFile host(bytes);
    damage(host);
    const Failure failure =
        failure_of([&] { GgufFile::open(open_io(host.table(mapped), memory()), memory()); });
    CHECK(host.closes == 1);
    CHECK(failure.status == INLAY_ERROR_IO);
    return failure.message;
  };
  CHECK(host_failure(false, [](HostFile& h) { h.size_status = INLAY_ERROR_IO; }) ==
        "file of the host: its size callback returned status -4");
  CHECK(host_failure(true, [](HostFile& h) { h.map_status = INLAY_ERROR_CALLBACK; }) ==
        "file of the host: its map callback returned status -11");
  CHECK(host_failure(true, [](HostFile& h) { h.null_map = true; }).find("returned no address") !=
        std::string::npos);
  CHECK(host_failure(false, [](HostFile& h) {
          h.read_status = INLAY_ERROR_IO;
        }).find("its read_at callback returned status -4 for") != std::string::npos);

  HostFile host(bytes);
  CHECK_THROWS_AS(open_io(host.table(false), std::pmr::null_memory_resource()), std::bad_alloc);
  CHECK(host.closes == 1);
}

TEST_CASE("a split model opens from its first part") {
  const auto part = [](uint16_t number, uint16_t count, int32_t total) {
    GgufWriter w;
    w.value("split.no", GgufType::Uint16, number).value("split.count", GgufType::Uint16, count);
    w.value("split.tensors.count", GgufType::Int32, total);
    if (number == 0) return w.text("general.architecture", "qwen35");
    const std::string data(64, static_cast<char>('a' + number));
    return w.tensor("first." + std::to_string(number), {16}, TensorType::F32, data)
        .tensor("second." + std::to_string(number), {16}, TensorType::F32, data);
  };
  const Folder folder;
  const std::string first = folder.write("model-00001-of-00003.gguf", part(0, 3, 4).build());
  const std::string second = folder.write("model-00002-of-00003.gguf", part(1, 3, 4).build());
  const auto third = [&](const GgufWriter& writer) {
    folder.write("model-00003-of-00003.gguf", writer.build());
    return failure_of([&] { GgufFile::open(first, memory()); });
  };

  const Failure missing = failure_of([&] { GgufFile::open(first, memory()); });
  CHECK(missing.status == INLAY_ERROR_IO);
  CHECK(missing.message == "part 3 of 3 of the split model: " + folder.path("model-00003-of-00003.gguf") +
                               ": cannot be opened: No such file or directory");

  CHECK(third(part(2, 3, 4)).message == "");
  {
    const GgufFile file = GgufFile::open(first, memory());
    CHECK(file.part_count() == 3);
    CHECK(file.file_bytes() == file.source(0)->size() + file.source(1)->size() + file.source(2)->size());
    CHECK(file.string_value("general.architecture") == "qwen35");
    REQUIRE(file.tensors().size() == 4);
    CHECK(file.tensors()[3].name == "second.2");
    const GgufTensor* tensor = file.find_tensor("second.2");
    REQUIRE(tensor != nullptr);
    CHECK(tensor->part == 2);
    CHECK(std::string_view(reinterpret_cast<const char*>(tensor->data), 64) == std::string(64, 'c'));
    std::string copy(64, ' ');
    file.read(*tensor, copy.data());
    CHECK(copy == std::string(64, 'c'));
    CHECK(visit(file) != 0);
  }

  const auto has = [](const Failure& failure, inlay_status status, std::string_view words) {
    INFO("message: ", failure.message);
    CHECK(failure.status == status);
    CHECK(failure.message.find(words) != std::string::npos);
  };
  has(third(part(2, 4, 4)), INLAY_ERROR_CORRUPT_FILE, "part 3 of 4 of a model, part 3 of 3 was expected");
  has(third(part(1, 3, 4)), INLAY_ERROR_CORRUPT_FILE, "part 2 of 3 of a model");
  has(third(GgufWriter()), INLAY_ERROR_CORRUPT_FILE, "part 1 of 1 of a model");
  has(third(part(2, 3, 4).entry("x", {16}, 0, 0)), INLAY_ERROR_CORRUPT_FILE, "overlap");
  has(third(part(2, 3, 4).tensor("extra", {4}, TensorType::F32, std::string(16, 'x'))),
      INLAY_ERROR_CORRUPT_FILE, "split.tensors.count is 4, the parts have 5 tensors");
  GgufWriter twice;
  twice.value<uint16_t>("split.no", GgufType::Uint16, 2).value<uint16_t>("split.count", GgufType::Uint16, 3);
  twice.tensor("first.1", {1}, TensorType::F32, "1234").tensor("other", {1}, TensorType::F32, "1234");
  has(third(twice), INLAY_ERROR_CORRUPT_FILE, "tensor \"first.1\" is there twice, first in " + second);
  has(failure_of([&] { GgufFile::open(second, memory()); }), INLAY_ERROR_UNSUPPORTED,
      "it is part 2 of 3 of a split model, which opens from its first part");
  const std::string renamed = folder.write("other.gguf", part(0, 3, 4).build());
  has(failure_of([&] { GgufFile::open(renamed, memory()); }), INLAY_ERROR_UNSUPPORTED,
      "by a name that ends in -00001-of-00003.gguf");
  const std::vector<std::byte> alone = part(0, 3, 4).build();
  has(failure_of([&] { open(alone); }), INLAY_ERROR_UNSUPPORTED,
      "a split model, which opens from a path only");
  const std::vector<std::byte> single = part(0, 1, 0).build();
  CHECK(failure_of([&] { open(single); }).message == "");
}

TEST_CASE("a file cut short anywhere is an error") {
  const std::vector<std::byte> bytes = rich_file().build();
  std::vector<std::byte> large = bytes;
  std::mt19937 random(1);
  {
    GgufWriter writer = rich_file();
    writer.strings("tokenizer.ggml.tokens", std::vector<std::string>(2000, "token"));
    writer.tensor("large", {256, 64}, TensorType::Q6_K, std::string(64 * 210, 'q'));
    large = writer.build();
  }
  const auto check_cut = [&](const std::vector<std::byte>& whole, size_t length) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    HostFile host(cut);
    const Failure mapped = failure_of([&] { open(cut); });
    const Failure read = failure_of([&] { GgufFile::open(open_io(host.table(false), memory()), memory()); });
    CAPTURE(length);
    CHECK(mapped.status == INLAY_ERROR_CORRUPT_FILE);
    CHECK(read.status == INLAY_ERROR_CORRUPT_FILE);
    CHECK(mapped.message.size() > 20);
    CHECK(read.message.substr(read.message.find(':')) == mapped.message.substr(mapped.message.find(':')));
  };
  for (size_t length = 0; length < std::min<size_t>(bytes.size(), 4096); ++length) check_cut(bytes, length);
  REQUIRE(large.size() > 4096);
  for (size_t length = 0; length < 4096; ++length) check_cut(large, length);
  for (int i = 0; i < 200; ++i) check_cut(large, random() % large.size());
}

TEST_CASE("a file with flipped bytes is an error or reads within its bounds") {
  const std::vector<std::byte> whole = rich_file().build();
  const size_t header = open(whole).tensors().front().offset;
  std::mt19937 random(2);
  int opened = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<std::byte> flipped = whole;
    for (uint32_t flips = 1 + random() % 3; flips > 0; --flips) {
      flipped[random() % header] ^= static_cast<std::byte>(1 + random() % 255);
    }
    HostFile host(flipped);
    uint64_t mapped = 0, read = 0;
    const Failure failure = failure_of([&] { mapped = visit(open(flipped)); });
    (void)failure_of([&] { read = visit(GgufFile::open(open_io(host.table(false), memory()), memory())); });
    CHECK((mapped != 0) == (read != 0));
    CHECK((mapped != 0) == (failure.status == INLAY_OK));
    opened += mapped != 0 ? 1 : 0;
  }
  CHECK(opened > 0);
  CHECK(opened < 4000);
}

TEST_CASE("the golden models open") {
  for (const char* name : {"blocks32", "blocks256", "fp4", "floats"}) {
    CAPTURE(name);
    const GgufFile file = GgufFile::open(own_data(std::string(name) + ".gguf").string(), memory());
    CHECK(file.string_value("general.architecture") == "qwen35");
    const GgufTensor* embedding = file.find_tensor("token_embd.weight");
    REQUIRE(embedding != nullptr);
    CHECK(embedding->dimensions[0] == file.unsigned_value("qwen35.embedding_length"));
    CHECK(visit(file) != 0);
  }
}

}  // namespace inlay::test
