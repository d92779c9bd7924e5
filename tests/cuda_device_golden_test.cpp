#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tests/cuda_model.h"
#include "tests/test_data.h"

// The CUDA device below the runtime, on the golden micro models. Skipped where there is no CUDA device.

namespace inlay {
namespace {

using test::CudaDeviceHolder;
using test::DeviceModel;
using test::DeviceTimeline;
using test::nmse;

struct Golden {
  std::string quantisation;
  double llama_cpp_nmse;
};
const Golden kGolden[] = {{"bf16", 5.744856389355846e-05},    {"q8_0", 0.0006448664353229105},
                          {"q6_k", 0.0018295139307156205},    {"q5_k_m", 0.0010514624882489443},
                          {"q4_k_m", 0.00027293284074403346}, {"q2_k", 0.0011934551876038313}};

constexpr SessionShape kSession{1024, 64, KvType::kF16, true};

#define INLAY_CUDA_DEVICE(holder) \
  CudaDeviceHolder holder;        \
  if (holder.device == nullptr) INLAY_SKIP("no CUDA device")

std::vector<float> steps(DeviceTimeline& timeline, std::span<const int32_t> tokens) {
  std::vector<float> all;
  for (const int32_t token : tokens) {
    const auto logits = timeline.step(token);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

std::vector<int32_t> text(uint32_t count, uint32_t seed, uint32_t vocabulary) {
  std::vector<int32_t> tokens(count);
  uint32_t x = seed * 2654435761u + 1;
  for (int32_t& token : tokens) {
    x = x * 1664525u + 1013904223u;
    token = static_cast<int32_t>((x >> 8) % vocabulary);
  }
  return tokens;
}

bool same(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

TEST_CASE("cuda: logits of both paths and of the MTP head are as good as llama.cpp's") {
  INLAY_CUDA_DEVICE(holder);
  for (const Golden& golden : kGolden) {
    INLAY_SHARED_DATA(path, "golden/gguf/micro-" + golden.quantisation + ".gguf");
    INLAY_SHARED_DATA(answers, "golden/gguf/micro-" + golden.quantisation + ".golden.safetensors");
    const test::Safetensors reference(answers);
    const auto tokens = reference.i32("tokens");
    const auto logits = reference.f32("logits"), mtp = reference.f32("mtp_logits");
    DeviceModel model(*holder.device, path);
    const uint32_t vocabulary = model.shape().vocabulary;
    CAPTURE(golden.quantisation);

    DeviceTimeline narrow(model, kSession);
    std::vector<float> out, drafts;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto row = narrow.step(tokens[i]);
      out.insert(out.end(), row.begin(), row.end());
      if (i + 1 == tokens.size()) break;
      const PassResult& guess = narrow.draft({&tokens[i + 1], 1}, 1);
      drafts.insert(drafts.end(), guess.draft_logits, guess.draft_logits + vocabulary);
      const auto* end = guess.draft_logits + vocabulary;
      CHECK(guess.draft_tokens[0] == std::max_element(guess.draft_logits, end) - guess.draft_logits);
    }
    MESSAGE(golden.quantisation, ": step ", nmse(out, logits), ", MTP ", nmse(drafts, mtp), ", llama.cpp ",
            golden.llama_cpp_nmse);
    CHECK(nmse(out, logits) <= golden.llama_cpp_nmse);
    CHECK(nmse(drafts, mtp) <= 4 * golden.llama_cpp_nmse);

    // The wide path gives its last row's logits, so a prompt of every length in turn.
    DeviceTimeline wide(model, kSession);
    std::vector<float> prompt, expected;
    for (const size_t count : {1, 2, 3, 5, 16, 17, 31, 63, 64}) {
      wide.reset();
      const auto row = wide.prefill(std::span(tokens).first(count));
      prompt.insert(prompt.end(), row.begin(), row.end());
      expected.insert(expected.end(), logits.begin() + (count - 1) * vocabulary,
                      logits.begin() + count * vocabulary);
    }
    MESSAGE(golden.quantisation, ": prompt ", nmse(prompt, expected));
    CHECK(nmse(prompt, expected) <= golden.llama_cpp_nmse);

    // A prompt in two chunks, then steps, then the MTP head on what the prompt left in its cache.
    wide.reset();
    (void)wide.prefill(std::span(tokens).first(60));
    (void)wide.prefill(std::span(tokens).subspan(60, 20));
    const auto rest = steps(wide, std::span(tokens).subspan(80, 15));
    CHECK(nmse(rest, std::span(logits).subspan(80 * vocabulary, 15 * vocabulary)) <=
          2 * golden.llama_cpp_nmse);
  }
}

TEST_CASE("cuda: a row's bits are the same at every width and place, and over page borders") {
  INLAY_CUDA_DEVICE(holder);
  for (const Golden& golden : kGolden) {
    INLAY_SHARED_DATA(path, "golden/gguf/micro-" + golden.quantisation + ".gguf");
    DeviceModel model(*holder.device, path);
    const uint32_t vocabulary = model.shape().vocabulary;
    for (const KvType kv : {KvType::kF16, KvType::kFp8, KvType::kQ8}) {
      SessionShape session = kSession;
      session.kv_type = kv;
      session.prefill_chunk = 512;
      DeviceTimeline one(model, session), other(model, session);
      for (const uint32_t depth : {1u, 250u, 507u}) {
        const auto prompt = text(depth, depth, vocabulary), tail = text(16, depth + 1, vocabulary);
        one.reset();
        (void)one.prefill(prompt);
        const auto expected = steps(one, tail);
        for (uint32_t width = 1; width <= kMaxWidth; ++width) {
          INFO(golden.quantisation, " at ", depth, ", width ", width, ", KV ", static_cast<int>(kv));
          other.reset();
          (void)other.prefill(prompt);
          bool equal = true;
          // Verifies of `width` rows, of which only some are kept, with wrong guesses behind them.
          for (uint32_t at = 0, turn = 0; at < tail.size(); ++turn) {
            const uint32_t left = std::min<uint32_t>(width, static_cast<uint32_t>(tail.size()) - at);
            const uint32_t kept = 1 + turn % left;
            std::vector<int32_t> guess(tail.begin() + at, tail.begin() + at + left);
            for (uint32_t i = kept; i < left; ++i)
              guess[i] = (guess[i] + 7) % static_cast<int32_t>(vocabulary);
            const auto logits = other.verify(guess, turn % 3 == 2);
            equal = equal &&
                    same(logits.first(size_t{kept} * vocabulary),
                         std::span(expected).subspan(size_t{at} * vocabulary, size_t{kept} * vocabulary));
            other.keep(kept);
            at += kept;
          }
          CHECK(equal);
        }
      }
    }
  }
}

TEST_CASE(
    "cuda: runs repeat, timelines do not mix, copies go on alike, an abandoned prompt leaves no trace") {
  INLAY_CUDA_DEVICE(holder);
  INLAY_SHARED_DATA(path, "golden/gguf/micro-q4_k_m.gguf");
  DeviceModel model(*holder.device, path);
  const uint32_t vocabulary = model.shape().vocabulary;
  SessionShape session = kSession;
  session.prefill_chunk = 128;
  const auto prompt = text(100, 1, vocabulary), tail = text(24, 2, vocabulary),
             noise = text(24, 3, vocabulary);
  DeviceTimeline first(model, session), second(model, session), third(model, session);
  (void)first.prefill(prompt);
  const auto expected = steps(first, tail);

  (void)second.prefill(prompt, true);
  (void)third.prefill(noise);
  std::vector<float> interleaved;
  for (size_t i = 0; i < tail.size(); ++i) {
    const auto logits = second.step(tail[i]);
    interleaved.insert(interleaved.end(), logits.begin(), logits.end());
    (void)third.step(noise[i]);
  }
  CHECK(same(interleaved, expected));

  second.reset();
  (void)second.prefill(prompt);
  (void)steps(second, std::span(tail).first(5));
  const auto before = steps(second, std::span(tail).subspan(5, 1));
  (void)before;
  third.copy_from(second);
  second.abandon_prefill(noise, 5);
  CHECK(same(steps(second, std::span(tail).subspan(6)), std::span(expected).subspan(size_t{6} * vocabulary)));
  CHECK(same(steps(third, std::span(tail).subspan(6)), std::span(expected).subspan(size_t{6} * vocabulary)));
}

TEST_CASE("cuda: a prompt after an answer does not see how the answer was cut into passes") {
  INLAY_CUDA_DEVICE(holder);
  INLAY_SHARED_DATA(path, "golden/gguf/micro-q6_k.gguf");
  DeviceModel model(*holder.device, path);
  const uint32_t vocabulary = model.shape().vocabulary;
  const auto prompt = text(50, 8, vocabulary), answer = text(9, 9, vocabulary),
             next = text(33, 10, vocabulary);
  std::vector<float> expected;
  for (const uint32_t width : {1u, 2u, 3u, 5u, 8u}) {
    DeviceTimeline timeline(model, kSession);
    (void)timeline.prefill(prompt);
    for (uint32_t at = 0; at < answer.size(); at += width) {
      const auto rows = std::min<uint32_t>(width, static_cast<uint32_t>(answer.size()) - at);
      (void)timeline.verify(std::span(answer).subspan(at, rows));
      timeline.keep(rows);
    }
    const auto logits = timeline.prefill(next);
    if (expected.empty()) expected.assign(logits.begin(), logits.end());
    INFO("width ", width);
    CHECK(same(logits, expected));
  }
}

TEST_CASE("cuda: segments of several timelines in one pass give the bits that each gives alone") {
  INLAY_CUDA_DEVICE(holder);
  INLAY_SHARED_DATA(path, "golden/gguf/micro-q5_k_m.gguf");
  DeviceModel model(*holder.device, path);
  const uint32_t vocabulary = model.shape().vocabulary;
  DeviceTimeline a(model, kSession), b(model, kSession);
  const auto prompt_a = text(40, 5, vocabulary), prompt_b = text(64, 6, vocabulary),
             tail = text(5, 7, vocabulary);
  (void)a.prefill(prompt_a);
  (void)b.prefill(prompt_b);
  const auto alone_a = a.verify(std::span(tail).first(2));
  const std::vector<float> expected_a(alone_a.begin(), alone_a.end());
  const auto alone_b = b.verify(std::span(tail).subspan(2, 3));
  const std::vector<float> expected_b(alone_b.begin(), alone_b.end());
  const Segment segments[] = {{&a.state(), 0, 2, a.position(), 0}, {&b.state(), 2, 3, b.position(), 0}};
  const Pass pass{PassKind::kNarrow, tail.data(), 5, segments};
  PassResult result;
  Device& device = *holder.device;
  REQUIRE(device.run(a.scratch(), pass, 0, device.slice_count(a.scratch(), pass)) == INLAY_OK);
  REQUIRE(device.finish(a.scratch(), pass, &result) == INLAY_OK);
  CHECK(same({result.logits, size_t{2} * vocabulary}, expected_a));
  CHECK(same({result.logits + size_t{2} * vocabulary, size_t{3} * vocabulary}, expected_b));
}

}  // namespace
}  // namespace inlay
