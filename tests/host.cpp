#include "tests/host.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "tests/test_data.h"

namespace inlay::test {
namespace {

void require(inlay_status status, const std::string& what, const std::string& words) {
  if (status != INLAY_OK) throw std::runtime_error(what + ": " + inlay_status_name(status) + ": " + words);
}

template <typename F>
std::string message_by(F&& copy) {
  std::string words(copy(nullptr, 0), '\0');
  copy(words.data(), words.size() + 1);
  return words;
}

}  // namespace

inlay_allocator CountingAllocator::table() {
  inlay_allocator table = INLAY_ALLOCATOR_INIT;
  table.user_data = this;
  table.allocate = [](void* self, size_t size, size_t alignment) {
    return static_cast<CountingAllocator*>(self)->allocate(size, alignment);
  };
  table.release = [](void* self, void* memory, size_t size, size_t alignment) {
    static_cast<CountingAllocator*>(self)->release(memory, size, alignment);
  };
  return table;
}

void CountingAllocator::fail_at(uint64_t call) {
  const std::lock_guard lock(mutex_);
  fail_in_ = call;
  failed_ = false;
}

void* CountingAllocator::allocate(size_t size, size_t alignment) {
  const std::lock_guard lock(mutex_);
  ++calls_;
  if (fail_in_ > 0 && --fail_in_ == 0) {
    failed_ = true;
    return nullptr;
  }
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > 4096 || size == 0) ++mistakes_;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) return nullptr;
  std::memset(memory, 0xA5, size);  // nothing may rely on fresh memory
  blocks_[memory] = {size, alignment};
  live_bytes_ += size;
  return memory;
}

void CountingAllocator::release(void* memory, size_t size, size_t alignment) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(memory);
  if (found == blocks_.end() || found->second.size != size || found->second.alignment != alignment) {
    ++mistakes_;
    if (found == blocks_.end()) return;
  }
  live_bytes_ -= found->second.size;
  blocks_.erase(found);
  std::free(memory);
}

uint64_t Random::next() {
  uint64_t x = state_ += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::vector<int32_t> random_tokens(uint64_t seed, size_t count, uint32_t vocabulary) {
  Random random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(vocabulary));
  return tokens;
}

std::string message_of(const inlay_runtime* runtime) {
  return message_by(
      [&](char* buffer, size_t capacity) { return inlay_runtime_message(runtime, buffer, capacity); });
}
std::string message_of(const inlay_session* session) {
  return message_by(
      [&](char* buffer, size_t capacity) { return inlay_session_message(session, buffer, capacity); });
}
std::string message_of(const inlay_generator* generator) {
  return message_by(
      [&](char* buffer, size_t capacity) { return inlay_generator_message(generator, buffer, capacity); });
}

Handle<inlay_runtime> make_runtime(const RuntimeWish& wish) {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  inlay_allocator allocator = INLAY_ALLOCATOR_INIT;
  if (wish.allocator != nullptr) {
    allocator = wish.allocator->table();
    params.allocator = &allocator;
  }
  params.threads = wish.threads;
  params.instruction_set = wish.instruction_set;
  params.memory_limit = wish.memory_limit;
  params.device = wish.device;
  params.cuda_stream = wish.cuda_stream;
  params.low_priority = wish.low_priority ? 1 : 0;
  params.device_index = wish.device_index;
  params.weight_placement = wish.weight_placement;
  inlay_runtime* runtime = nullptr;
  require(inlay_runtime_create(&params, &runtime), "runtime", "");
  return Handle<inlay_runtime>(runtime);
}

Handle<inlay_file> open_file(inlay_runtime* runtime, const std::filesystem::path& path) {
  const std::string name = path.string();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = name.c_str();
  inlay_file* file = nullptr;
  if (inlay_file_open(runtime, &source, &file) != INLAY_OK) throw std::runtime_error(message_of(runtime));
  return Handle<inlay_file>(file);
}

uint64_t memory_of(inlay_runtime* runtime) {
  inlay_memory_use use = INLAY_MEMORY_USE_INIT;
  require(inlay_runtime_memory(runtime, 0, &use), "memory", "");
  return use.now;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets;
  for (const char* name : {"", "scalar", "avx2", "avx512", "amx", "neon"}) {
    inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
    params.threads = 1;
    params.instruction_set = name;
    inlay_runtime* runtime = nullptr;
    if (inlay_runtime_create(&params, &runtime) == INLAY_OK) sets.emplace_back(name);
    inlay_runtime_destroy(runtime);
  }
  return sets;
}

OpenModel::OpenModel(const std::filesystem::path& path, const RuntimeWish& wish)
    : runtime_(make_runtime(wish)) {
  const std::string name = path.string();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = name.c_str();
  inlay_file* file = nullptr;
  inlay_status status = inlay_file_open(runtime_.get(), &source, &file);
  file_.reset(file);
  require(status, name, message_of(runtime_.get()));
  inlay_model* model = nullptr;
  status = inlay_model_create(file, nullptr, &model);
  model_.reset(model);
  require(status, name, message_of(runtime_.get()));
  require(inlay_model_get_info(model, &info_), name, "");
}

Handle<inlay_session> OpenModel::session(const inlay_session_params& params) const {
  inlay_session* session = nullptr;
  const inlay_status status = inlay_session_create(model_.get(), &params, &session);
  require(status, "session", message_of(runtime_.get()));
  return Handle<inlay_session>(session);
}

std::vector<std::filesystem::path> own_models() {
  return {own_data("blocks32.gguf"), own_data("blocks256.gguf"), own_data("fp4.gguf"),
          own_data("floats.gguf")};
}

inlay_session_params session_params(uint32_t context, bool mtp, int32_t kv_type, uint32_t prefill_chunk) {
  inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
  params.context_length = context;
  params.mtp = mtp ? 1 : 0;
  params.kv_type = kv_type;
  params.prefill_chunk = prefill_chunk;
  return params;
}

Logits logits_of(const inlay_session* session, size_t row, uint32_t vocabulary) {
  const float* logits = nullptr;
  require(inlay_session_logits(session, row, &logits), "logits", "row " + std::to_string(row));
  return {logits, logits + vocabulary};
}

Logits prefill(inlay_session* session, std::span<const int32_t> tokens, uint32_t vocabulary) {
  const inlay_status status = inlay_session_prefill(session, tokens.data(), tokens.size());
  require(status, "prefill", message_of(session));
  return logits_of(session, 0, vocabulary);
}

Logits step(inlay_session* session, int32_t token, uint32_t vocabulary) {
  const inlay_status status = inlay_session_step(session, token);
  require(status, "step", message_of(session));
  return logits_of(session, 0, vocabulary);
}

std::vector<Logits> verify(inlay_session* session, std::span<const int32_t> tokens, uint32_t vocabulary) {
  const inlay_status status = inlay_session_verify(session, tokens.data(), tokens.size());
  require(status, "verify", message_of(session));
  std::vector<Logits> rows;
  for (size_t row = 0; row < tokens.size(); ++row) rows.push_back(logits_of(session, row, vocabulary));
  return rows;
}

void commit(inlay_session* session, size_t count) {
  const inlay_status status = inlay_session_commit(session, count);
  require(status, "commit", message_of(session));
}

std::vector<std::byte> save_to_memory(inlay_session* session) {
  std::vector<std::byte> saved(inlay_session_save_bytes(session));
  uint64_t bytes = 0;
  if (inlay_session_save_memory(session, saved.data(), saved.size(), &bytes) != INLAY_OK ||
      bytes != saved.size()) {
    throw std::runtime_error("saving: " + message_of(session));
  }
  return saved;
}

std::vector<std::byte> save_to_memory(inlay_generator* generator) {
  std::vector<std::byte> saved(inlay_generator_save_bytes(generator));
  uint64_t bytes = 0;
  if (inlay_generator_save_memory(generator, saved.data(), saved.size(), &bytes) != INLAY_OK ||
      bytes != saved.size()) {
    throw std::runtime_error("saving: " + message_of(generator));
  }
  return saved;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace inlay::test
