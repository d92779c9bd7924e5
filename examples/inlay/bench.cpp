#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "command.h"

namespace command {
namespace {

using Clock = std::chrono::steady_clock;

/// Bytes of weights that one step reads: all but the embedding (one row of it, unless it is the head too) and
/// the MTP block.
uint64_t step_bytes(const inlay_file* file, const inlay_memory_plan& plan, uint64_t kv_tokens,
                    uint64_t context) {
  const inlay_model_info info = info_of(file);
  const std::string mtp = "blk." + std::to_string(info.layers) + ".";
  uint64_t bytes = 0;
  uint64_t embedding = 0;
  bool head = false;
  for (uint32_t i = 0; i < inlay_file_tensor_count(file); ++i) {
    inlay_tensor_info tensor = INLAY_TENSOR_INFO_INIT;
    inlay_file_get_tensor(file, i, &tensor);
    const std::string_view name(tensor.name, tensor.name_bytes);
    if (name == "token_embd.weight") {
      embedding = tensor.bytes;
    } else if (name.substr(0, mtp.size()) != mtp) {
      bytes += tensor.bytes;
    }
    head = head || name == "output.weight";
  }
  if (!head) bytes += embedding;
  // The state is read and written; keys and values of the tokens so far are read.
  return bytes + 2 * plan.delta_net_state + plan.kv_cache * kv_tokens / context;
}

struct Spread {
  double p50 = 0, p99 = 0, most = 0;
};

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[std::min(values.size() - 1, values.size() * 99 / 100)],
          values.back()};
}

std::vector<int32_t> random_tokens(size_t count, uint32_t vocabulary) {
  std::vector<int32_t> tokens(count);
  uint64_t state = 0x9E3779B97F4A7C15u;
  for (int32_t& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<int32_t>((state >> 33) % vocabulary);
  }
  return tokens;
}

struct Decode {
  double tokens_a_second = 0;
  Spread round;
  inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
};

/// Greedy generation after one prompt, round by round.
Decode decode(inlay_runtime* runtime, inlay_session* session, inlay_generator_params params,
              const std::vector<int32_t>& prompt, uint64_t count) {
  check(inlay_session_reset(session), session, "emptying the session");
  params.max_tokens = count;
  params.ignore_end = 1;
  inlay_generator* made = nullptr;
  check(inlay_generator_create(session, &params, &made), runtime, "cannot make a generator");
  const Generator generator(made);
  check(inlay_generator_prompt_tokens(made, prompt.data(), prompt.size()), made, "the prompt");
  inlay_output output = INLAY_OUTPUT_INIT;
  // The first call feeds the prompt and samples one token.
  inlay_status status = inlay_generator_next(made, INLAY_NO_BUDGET, &output);
  check(status, made, "the prompt");
  std::vector<double> rounds;
  uint64_t tokens = 0;
  const Clock::time_point start = Clock::now();
  while (status != INLAY_END) {
    const Clock::time_point round = Clock::now();
    status = inlay_generator_next(made, INLAY_NO_BUDGET, &output);
    check(status, made, "generating");
    if (output.token_count > 0) rounds.push_back(seconds_since(round) * 1e3);
    tokens += output.token_count;
  }
  Decode result;
  result.tokens_a_second = static_cast<double>(tokens) / seconds_since(start);
  result.round = spread_of(rounds);
  inlay_generator_get_stats(made, &result.stats);
  return result;
}

/// Greedy generation of several sessions that share their scratch: a pass over the weights gives each of up
/// to INLAY_MAX_WIDTH of them a token.
Decode decode_together(inlay_runtime* runtime, inlay_model* model, inlay_session_params params,
                       const std::vector<int32_t>& prompt, uint64_t count, uint64_t sessions) {
  std::vector<Session> owned;
  std::vector<inlay_session*> all;
  for (uint64_t i = 0; i < sessions; ++i) {
    params.share_scratch = all.empty() ? nullptr : all[0];
    owned.push_back(make_session(runtime, model, params));
    all.push_back(owned.back().get());
  }
  inlay_sampler* sampler = nullptr;
  check(inlay_sampler_create(model, nullptr, &sampler), runtime, "cannot make a sampler");
  std::unique_ptr<inlay_sampler, void (*)(inlay_sampler*)> owned_sampler(sampler, inlay_sampler_destroy);
  std::vector<int32_t> next(sessions);
  const auto sample = [&](uint64_t i) {
    const float* logits = nullptr;
    check(inlay_session_logits(all[i], 0, &logits), all[i], "the logits");
    check(inlay_sampler_sample(sampler, logits, nullptr, 0, 0, &next[i]), all[i], "sampling");
  };
  for (uint64_t i = 0; i < sessions; ++i) {
    check(inlay_session_prefill(all[i], prompt.data(), prompt.size()), all[i], "the prompt");
    sample(i);
  }
  std::vector<double> rounds;
  const Clock::time_point start = Clock::now();
  for (uint64_t token = 0; token < count; ++token) {
    const Clock::time_point round = Clock::now();
    for (uint64_t first = 0; first < sessions; first += INLAY_MAX_WIDTH) {
      const size_t width = std::min<uint64_t>(INLAY_MAX_WIDTH, sessions - first);
      check(inlay_session_begin_steps(&all[first], &next[first], width), all[first], "a pass");
      check(inlay_session_finish(all[first]), all[first], "a pass");
      for (uint64_t i = first; i < first + width; ++i) sample(i);
    }
    rounds.push_back(seconds_since(round) * 1e3);
  }
  Decode result;
  result.tokens_a_second = static_cast<double>(count * sessions) / seconds_since(start);
  result.round = spread_of(rounds);
  result.stats.generated_tokens = count * sessions;
  result.stats.rounds = count * ((sessions + INLAY_MAX_WIDTH - 1) / INLAY_MAX_WIDTH);
  return result;
}

}  // namespace

int run_bench(int count, char** words) {
  const Options options(count, words,
                        common_options({"--prefill", "--decode", "--depth", "--draft", "--draft-p-min",
                                        "--sessions", "--repeat"}),
                        {"--json"});
  const uint64_t prefill = options.number("--prefill", 256);
  const uint64_t count_decoded = std::max<uint64_t>(options.number("--decode", 64), 1);
  const uint64_t depth = options.number("--depth", 0);
  const uint64_t sessions = std::max<uint64_t>(options.number("--sessions", 1), 1);
  const uint64_t repeat = std::max<uint64_t>(options.number("--repeat", 3), 1);
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  const Model model = make_model(runtime.get(), file.get());
  inlay_runtime_info where = INLAY_RUNTIME_INFO_INIT;
  inlay_runtime_get_info(runtime.get(), &where);
  const uint32_t vocabulary = info_of(file.get()).vocabulary_size;

  inlay_generator_params generator_params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_session_params params = session_params(options);
  params.mtp = read_draft(options, &generator_params) ? 1 : 0;
  if (params.context_length == 0) {
    params.context_length =
        static_cast<uint32_t>(std::max(prefill, std::max<uint64_t>(depth, 16) + count_decoded) + 16);
  }
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  check(inlay_file_plan(file.get(), &params, &plan), runtime.get(), "cannot plan");
  const Session session = make_session(runtime.get(), model.get(), params);

  double bandwidth = 0;
  check(inlay_runtime_measure_bandwidth(runtime.get(), &bandwidth), runtime.get(),
        "measuring the read bandwidth");
  bandwidth /= 1e9;
  std::vector<double> prompt_speeds;
  if (prefill > 0) {
    const std::vector<int32_t> prompt = random_tokens(prefill, vocabulary);
    for (uint64_t i = 0; i < repeat; ++i) {
      check(inlay_session_reset(session.get()), session.get(), "emptying the session");
      const Clock::time_point start = Clock::now();
      check(inlay_session_prefill(session.get(), prompt.data(), prompt.size()), session.get(), "the prompt");
      prompt_speeds.push_back(static_cast<double>(prefill) / seconds_since(start));
    }
  }

  const std::vector<int32_t> prompt = random_tokens(std::max<uint64_t>(depth, 16), vocabulary);
  std::vector<Decode> decodes;
  double together = 0;
  if (sessions == 1) {
    for (uint64_t i = 0; i < repeat; ++i) {
      decodes.push_back(decode(runtime.get(), session.get(), generator_params, prompt, count_decoded));
    }
  } else if (params.mtp == 0 && generator_params.draft == INLAY_DRAFT_NONE) {
    for (uint64_t i = 0; i < repeat; ++i) {
      decodes.push_back(decode_together(runtime.get(), model.get(), params, prompt, count_decoded, sessions));
    }
    std::sort(decodes.begin(), decodes.end(),
              [](const Decode& a, const Decode& b) { return a.tokens_a_second < b.tokens_a_second; });
    together = decodes[decodes.size() / 2].tokens_a_second;
  } else {
    std::vector<Session> several;
    for (uint64_t i = 0; i < sessions; ++i)
      several.push_back(make_session(runtime.get(), model.get(), params));
    std::vector<Decode> results(sessions);
    std::vector<std::string> failures(sessions);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < sessions; ++i) {
      threads.emplace_back([&, i] {
        try {
          results[i] = decode(runtime.get(), several[i].get(), generator_params, prompt, count_decoded);
        } catch (const std::exception& error) {
          failures[i] = error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::string& failure : failures) {
      if (!failure.empty()) throw Failure(failure);
    }
    for (const Decode& result : results) together += result.tokens_a_second;
    decodes = std::move(results);
  }
  std::sort(decodes.begin(), decodes.end(),
            [](const Decode& a, const Decode& b) { return a.tokens_a_second < b.tokens_a_second; });
  const Decode& median = decodes[decodes.size() / 2];
  const double tokens_a_second = sessions == 1 ? median.tokens_a_second : together;
  const uint64_t bytes = step_bytes(file.get(), plan, prompt.size() + count_decoded / 2,
                                    inlay_session_context_length(session.get()));
  const double rounds = std::max<double>(1.0, static_cast<double>(median.stats.rounds));
  const double passes_a_second =
      sessions == 1 ? 1e3 / median.round.p50
                    : tokens_a_second * rounds / static_cast<double>(median.stats.generated_tokens);
  const double reading = static_cast<double>(bytes) * passes_a_second / 1e9;
  const Spread prompts = spread_of(prompt_speeds);
  const double total_ns = std::max(
      1.0, static_cast<double>(median.stats.draft_ns + median.stats.verify_ns + median.stats.rest_ns));

  if (options.has("--json")) {
    std::printf(
        "{\"device\":%s,\"instruction_set\":%s,\"threads\":%u,\"prefill\":%llu,\"prefill_tokens_a_second\":%."
        "2f,"
        "\"decode\":%llu,\"depth\":%llu,\"sessions\":%llu,\"decode_tokens_a_second\":%.3f,"
        "\"decode_tokens_a_second_least\":%.3f,\"decode_tokens_a_second_most\":%.3f,\"step_bytes\":%llu,"
        "\"read_gb_s\":%.2f,\"bandwidth_gb_s\":%.2f,\"round_ms_p50\":%.4f,\"round_ms_p99\":%.4f,"
        "\"round_ms_max\":%.4f,\"tokens_a_round\":%.3f,\"drafted\":%llu,\"accepted\":%llu,"
        "\"draft_share\":%.4f,\"verify_share\":%.4f,\"rest_share\":%.4f}\n",
        json_text(where.device_name).c_str(), json_text(where.instruction_set).c_str(), where.threads,
        static_cast<unsigned long long>(prefill), prompts.p50, static_cast<unsigned long long>(count_decoded),
        static_cast<unsigned long long>(depth), static_cast<unsigned long long>(sessions), tokens_a_second,
        decodes.front().tokens_a_second, decodes.back().tokens_a_second,
        static_cast<unsigned long long>(bytes), reading, bandwidth, median.round.p50, median.round.p99,
        median.round.most, static_cast<double>(median.stats.generated_tokens) / rounds,
        static_cast<unsigned long long>(median.stats.drafted),
        static_cast<unsigned long long>(median.stats.accepted),
        static_cast<double>(median.stats.draft_ns) / total_ns,
        static_cast<double>(median.stats.verify_ns) / total_ns,
        static_cast<double>(median.stats.rest_ns) / total_ns);
    return 0;
  }
  std::printf("%s, %s, %u threads\n", where.device_name, where.instruction_set, where.threads);
  if (prefill > 0)
    std::printf("prompt   %8.1f tok/s   (%llu tokens, median of %llu)\n", prompts.p50,
                static_cast<unsigned long long>(prefill), static_cast<unsigned long long>(repeat));
  std::printf("decode   %8.2f tok/s   (%.2f to %.2f; %llu tokens at depth %llu, %llu at once)\n",
              tokens_a_second, decodes.front().tokens_a_second, decodes.back().tokens_a_second,
              static_cast<unsigned long long>(count_decoded), static_cast<unsigned long long>(depth),
              static_cast<unsigned long long>(sessions));
  std::printf("reading  %8.2f GB/s    (%s a pass", reading, readable_bytes(bytes).c_str());
  if (bandwidth > 0)
    std::printf("; %.0f %% of the %.2f GB/s that a plain read reached", 100 * reading / bandwidth, bandwidth);
  std::printf(")\nround    %8.3f ms p50, %.3f p99, %.3f max\n", median.round.p50, median.round.p99,
              median.round.most);
  if (median.stats.drafted > 0) {
    std::printf(
        "drafts   %8.2f tokens a round, %llu of %llu accepted; draft %.0f %%, verify %.0f %%, rest %.0f %% "
        "of the time\n",
        static_cast<double>(median.stats.generated_tokens) / rounds,
        static_cast<unsigned long long>(median.stats.accepted),
        static_cast<unsigned long long>(median.stats.drafted),
        100.0 * static_cast<double>(median.stats.draft_ns) / total_ns,
        100.0 * static_cast<double>(median.stats.verify_ns) / total_ns,
        100.0 * static_cast<double>(median.stats.rest_ns) / total_ns);
  }
  return 0;
}

}  // namespace command
