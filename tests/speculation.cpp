#include "tests/speculation.h"

#include <algorithm>
#include <stdexcept>

namespace inlay::test {
namespace {

[[noreturn]] void give_up(const std::string& what, inlay_status status, const std::string& words) {
  throw std::runtime_error(what + ": " + inlay_status_name(status) + ": " + words);
}

uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

LoadedModel::LoadedModel(const std::filesystem::path& path, uint32_t threads) {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.threads = threads;
  inlay_runtime* runtime = nullptr;
  inlay_status status = inlay_runtime_create(&params, &runtime);
  runtime_.reset(runtime);
  if (status != INLAY_OK) give_up("runtime", status, "");
  const std::string name = path.string();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = name.c_str();
  inlay_model* model = nullptr;
  status = inlay_model_open(runtime, &source, nullptr, &model);
  model_.reset(model);
  char words[512] = "";
  inlay_runtime_message(runtime, words, sizeof words);
  if (status != INLAY_OK) give_up(name, status, words);
  inlay_model_get_info(model, &info_);
}

Handle<inlay_session> LoadedModel::session(uint32_t context, bool mtp) const {
  inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
  params.context_length = context;
  params.mtp = mtp ? 1 : 0;
  inlay_session* session = nullptr;
  const inlay_status status = inlay_session_create(model_.get(), &params, &session);
  char words[512] = "";
  inlay_runtime_message(runtime_.get(), words, sizeof words);
  if (status != INLAY_OK) give_up("session", status, words);
  return Handle<inlay_session>(session);
}

std::vector<Drafting> all_draftings(bool mtp) {
  std::vector<Drafting> all = {
      {"lookup:5", INLAY_DRAFT_LOOKUP, 5, 0, {}},
      {"lookup", INLAY_DRAFT_LOOKUP, 0, 0, {}},
      {"random:7", INLAY_DRAFT_HOST, 7, 0, Guesses::kRandom},
      {"wrong:7", INLAY_DRAFT_HOST, 7, 0, Guesses::kWrong},
      {"right:7", INLAY_DRAFT_HOST, 7, 0, Guesses::kRight},
      {"mixed:5", INLAY_DRAFT_HOST, 5, 0, Guesses::kMixed},
      {"mixed", INLAY_DRAFT_HOST, 0, 0, Guesses::kMixed},
      {"rubbish:4", INLAY_DRAFT_HOST, 4, 0, Guesses::kRubbish},
      {"failing:4", INLAY_DRAFT_HOST, 4, 0, Guesses::kFailing},
  };
  if (!mtp) return all;
  for (const uint32_t length : {1u, 2u, 3u, 7u}) {
    all.push_back({"mtp:" + std::to_string(length), INLAY_DRAFT_MTP, length, 0, {}});
  }
  all.push_back({"mtp", INLAY_DRAFT_MTP, 0, 0, {}});
  all.push_back({"mtp:5 above 0.02", INLAY_DRAFT_MTP, 5, 0.02f, {}});
  all.push_back({"lookup else mtp:3", INLAY_DRAFT_LOOKUP_MTP, 3, 0, {}});
  return all;
}

Generation generate(const LoadedModel& model, const Wish& wish, const Drafting& drafting,
                    std::span<const int32_t> truth) {
  const bool mtp = drafting.kind == INLAY_DRAFT_MTP || drafting.kind == INLAY_DRAFT_LOOKUP_MTP;
  const Handle<inlay_session> session = model.session(wish.context, mtp);
  const auto vocabulary = static_cast<int32_t>(model.info().vocabulary_size);
  GuessingDrafter drafter(drafting.guesses, vocabulary, truth, wish.sampler.seed + wish.prompt.size());
  const inlay_drafter table = drafter.table();
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  params.sampler = &wish.sampler;
  params.draft = drafting.kind;
  params.draft_length = drafting.length;
  params.draft_min_probability = drafting.min_probability;
  params.drafter = &table;
  params.max_tokens = wish.max_tokens;
  params.ignore_end = wish.ignore_end ? 1 : 0;
  inlay_generator* made = nullptr;
  inlay_status status = inlay_generator_create(session.get(), &params, &made);
  const Handle<inlay_generator> generator(made);
  if (status == INLAY_OK) status = inlay_generator_prompt_tokens(made, wish.prompt.data(), wish.prompt.size());
  Generation result;
  while (status >= INLAY_OK && status != INLAY_END) {
    inlay_output output = INLAY_OUTPUT_INIT;
    status = inlay_generator_next(made, wish.budget_us, &output);
    result.tokens.insert(result.tokens.end(), output.tokens, output.tokens + output.token_count);
    result.text.append(output.text == nullptr ? "" : output.text, output.text_bytes);
    result.stop = output.stop;
    if (status == INLAY_ERROR_CALLBACK && drafting.guesses == Guesses::kFailing) status = INLAY_OK;
  }
  char words[512] = "";
  inlay_generator_message(made, words, sizeof words);
  if (status != INLAY_END) give_up("generate, " + drafting.name, status, words);
  inlay_generator_get_stats(made, &result.stats);
  const int32_t* fed = inlay_session_tokens(session.get());
  result.timeline.assign(fed, fed + inlay_session_position(session.get()));
  if (!result.tokens.empty() && result.timeline.size() < wish.context) {
    const float* logits = nullptr;
    status = inlay_session_step(session.get(), result.tokens.back());
    if (status == INLAY_OK) status = inlay_session_logits(session.get(), 0, &logits);
    if (status != INLAY_OK) give_up("a step more, " + drafting.name, status, "");
    result.logits.assign(logits, logits + vocabulary);
  }
  return result;
}

GuessingDrafter::GuessingDrafter(Guesses guesses, int32_t vocabulary, std::span<const int32_t> truth, uint64_t seed)
    : guesses_(guesses), vocabulary_(vocabulary), truth_(truth.begin(), truth.end()), state_(mixed(seed)) {}

inlay_drafter GuessingDrafter::table() {
  inlay_drafter table = INLAY_DRAFTER_INIT;
  table.user_data = this;
  table.propose = [](void* self, const int32_t* tokens, size_t count, size_t max, int32_t* out, size_t* out_count) {
    return static_cast<GuessingDrafter*>(self)->propose({tokens, count}, max, out, out_count);
  };
  table.observe = [](void* self, const int32_t* tokens, size_t count, size_t accepted) {
    auto* drafter = static_cast<GuessingDrafter*>(self);
    drafter->observed.insert(drafter->observed.end(), tokens, tokens + count);
    drafter->accepted += accepted;
  };
  table.reset = [](void* self) { static_cast<GuessingDrafter*>(self)->observed.clear(); };
  return table;
}

uint32_t GuessingDrafter::random(uint32_t below) {
  state_ = mixed(state_);
  return static_cast<uint32_t>(state_ % below);
}

inlay_status GuessingDrafter::propose(std::span<const int32_t> timeline, size_t max, int32_t* out,
                                      size_t* out_count) {
  ++proposals;
  if (inside) inside();
  if (guesses_ == Guesses::kFailing && random(2) == 0) return INLAY_ERROR_IO;
  const size_t count = guesses_ == Guesses::kRight || guesses_ == Guesses::kWrong ? max : random(max + 1);
  const size_t wrong_from = guesses_ == Guesses::kMixed ? random(max + 1) : max;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = timeline.size() + i;
    const int32_t right = at < truth_.size() ? truth_[at] : 0;
    switch (guesses_) {
      case Guesses::kRight: out[i] = right; break;
      case Guesses::kWrong: out[i] = (right + 1) % vocabulary_; break;
      case Guesses::kMixed: out[i] = i < wrong_from ? right : static_cast<int32_t>(random(vocabulary_)); break;
      case Guesses::kRubbish: out[i] = random(3) == 0 ? right : static_cast<int32_t>(state_); break;
      default: out[i] = static_cast<int32_t>(random(vocabulary_)); break;
    }
  }
  *out_count = count;
  if (guesses_ == Guesses::kRubbish && random(4) == 0) *out_count = max + 1 + random(1000);
  return guesses_ == Guesses::kRubbish && random(5) == 0 ? INLAY_END : INLAY_OK;
}

std::vector<int32_t> made_up_prompt(uint64_t seed, size_t count, uint32_t vocabulary) {
  uint64_t state = mixed(seed);
  std::vector<int32_t> tokens;
  while (tokens.size() < count) {
    state = mixed(state);
    const size_t length = 1 + state % 6;
    if (tokens.size() > 8 && state % 3 == 0) {
      const size_t from = (state >> 20) % (tokens.size() - 7);  // something that was said before
      for (size_t i = 0; i < length; ++i) tokens.push_back(tokens[from + i]);
    } else {
      for (size_t i = 0; i < length; ++i) tokens.push_back(static_cast<int32_t>(mixed(state + i) % vocabulary));
    }
  }
  tokens.resize(count);
  return tokens;
}

}  // namespace inlay::test
