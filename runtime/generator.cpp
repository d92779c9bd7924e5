#include "runtime/generator.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <utility>

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/tokenizer.h"

namespace inlay {
namespace {

constexpr uint64_t kNoDeadline = UINT64_MAX;

bool uses_mtp(int32_t draft) { return draft == INLAY_DRAFT_MTP || draft == INLAY_DRAFT_LOOKUP_MTP; }
bool uses_lookup(int32_t draft) { return draft == INLAY_DRAFT_LOOKUP || draft == INLAY_DRAFT_LOOKUP_MTP; }

inlay_sampler_params sampler_params(const inlay_generator_params& params) {
  return params.sampler == nullptr ? inlay_sampler_params INLAY_SAMPLER_PARAMS_INIT : *params.sampler;
}

uint64_t deadline_of(uint64_t budget_us) {
  const uint64_t now = Session::now_ns();
  return budget_us >= (kNoDeadline - now) / 1000 ? kNoDeadline : now + budget_us * 1000;
}

}  // namespace

// Create and destroy

Generator::Parts::Parts(Layout& layout, const Session& session, const inlay_generator_params& params,
                        bool guided) {
  const uint32_t context = session.context_length();
  const uint32_t vocabulary = session.shape().vocabulary;
  const inlay_sampler_params sampling = sampler_params(params);
  const Tokenizer* tokenizer = session.tokenizer();
  const uint64_t round_bytes =
      tokenizer == nullptr ? 0 : uint64_t{INLAY_MAX_WIDTH} * tokenizer->longest_token();
  object = layout.take<Generator>(1);
  timeline = layout.take<int32_t>(uint64_t{context} + kMostDrafts);
  text_bytes = TextStream::most_bytes(round_bytes) + 1;
  text = layout.take<char>(text_bytes);
  const Guide::Shape shape = guide_shape(session);
  sampler_bytes = Sampler::bytes(sampling, vocabulary, guided);
  sampler = layout.take<std::byte>(sampler_bytes);
  lookup_bytes = uses_lookup(params.draft) ? LookupDrafter::bytes(context) : 0;
  lookup = layout.take<std::byte>(lookup_bytes);
  Layout guide_layout;
  if (guided) Guide::lay_out(shape, guide_layout);
  guide_bytes = guide_layout.bytes();
  guide = layout.take<std::byte>(guide_bytes);
}

Guide::Shape Generator::guide_shape(const Session& session) {
  const Tokenizer* tokenizer = session.tokenizer();
  Guide::Shape shape;
  shape.vocabulary = session.shape().vocabulary;
  shape.longest_token = tokenizer == nullptr ? 0 : tokenizer->longest_token();
  shape.masks = true;
  return shape;
}

void Generator::check(const Session& session, const inlay_generator_params& params) {
  const auto require = [](bool condition, const char* message) {
    if (!condition) throw Error(INLAY_ERROR_INVALID_ARGUMENT, message);
  };
  require(params.draft >= INLAY_DRAFT_NONE && params.draft <= INLAY_DRAFT_HOST,
          "generator: draft is not one of inlay_draft_kind");
  require(params.draft_length <= kMostDrafts, "generator: draft_length must lie in 0 to 7");
  require(params.draft_min_probability >= 0.0f && params.draft_min_probability <= 1.0f,
          "generator: draft_min_probability must lie in 0 to 1");
  require(!uses_mtp(params.draft) || session.mtp(),
          "generator: drafts of the MTP head need a session that was made with mtp");
  if (params.draft == INLAY_DRAFT_HOST) HostDrafter::check(params.drafter);
  require(params.grammar == nullptr ||
              &reinterpret_cast<GrammarObject*>(params.grammar)->model() == &session.model(),
          "generator: the grammar is of another model");
  require(params.mask == nullptr || params.mask->allow != nullptr, "generator: the mask has no allow");
  Sampler::check(sampler_params(params), session.shape().vocabulary);
}

Generator* Generator::create(Session& session, const inlay_generator_params& params, bool guided) {
  check(session, params);
  guided = guided || params.mask != nullptr || params.grammar != nullptr;
  Layout counting;
  Parts(counting, session, params, guided);
  Block block(session.resource(), counting.bytes());
  Layout placing(block.data(), block.bytes());
  const Parts parts(placing, session, params, guided);
  return new (parts.object) Generator(session, params, parts, guided, block);
}

/// Takes the block over last: the object lies in it, and must not lose it while it is given up.
Generator::Generator(Session& session, const inlay_generator_params& params, const Parts& parts, bool guided,
                     Block& block)
    : session_(&session),
      parts_(parts),
      params_(params),
      sampler_(sampler_params(params), session.shape().vocabulary, guided,
               {parts.sampler, parts.sampler_bytes}) {
  params_.sampler = nullptr;
  params_.drafter = nullptr;
  params_.mask = nullptr;
  params_.grammar = nullptr;
  if (guided) {
    Layout layout(parts.guide, parts.guide_bytes);
    guide_.emplace(guide_shape(session), session.tokenizer(), params.mask, layout);
  }
  if (params.grammar != nullptr) {
    grammar_ = Held<GrammarObject>(reinterpret_cast<GrammarObject*>(params.grammar));
    need_matcher();
  }
  if (uses_lookup(params.draft)) {
    lookup_.emplace(session.context_length(), std::span(parts.lookup, parts.lookup_bytes));
  }
  if (params.draft == INLAY_DRAFT_HOST) host_.emplace(*params.drafter, session.shape().vocabulary);
  parts_.text[0] = '\0';
  std::copy(session.tokens().begin(), session.tokens().end(), parts_.timeline);
  state_.fed = state_.end = session.position();
  probe_sampling();
  block_ = std::move(block);
}

Generator::~Generator() { take_back(); }

void Generator::destroy() {
  const Held<Session> session(session_.get());
  const Block block(std::move(block_));
  this->~Generator();
}

void Generator::need_matcher() {
  if (!matcher_) matcher_.emplace(session_->shape().vocabulary, session_->resource());
  guide_->set_matcher(&*matcher_);
}

void Generator::need_call_matcher() {
  if (!call_matcher_) call_matcher_.emplace(session_->shape().vocabulary, session_->resource());
  guide_->set_call_matcher(&*call_matcher_);
}

inlay_status Generator::fail(inlay_status status, const char* message) {
  std::snprintf(message_, sizeof message_, "%s", message);
  return status;
}

// Prompts

inlay_status Generator::check_prompt() {
  const bool under_way = phase_ == Phase::kPrefill || phase_ == Phase::kDraft || phase_ == Phase::kVerify ||
                         (phase_ == Phase::kSample && verified_);
  if (under_way) {
    return fail(INLAY_ERROR_WRONG_STATE,
                "generator: a round is under way; call next until it is not pending");
  }
  if (state_.prompt_waits == 0) follow_session();
  return INLAY_OK;
}

/// Goes on from where the session is, if the caller has moved it since the last round.
void Generator::follow_session() {
  const std::span<const int32_t> tokens = session_->tokens();
  const std::span<const int32_t> fed = timeline().first(state_.fed);
  if (std::equal(tokens.begin(), tokens.end(), fed.begin(), fed.end())) return;
  const auto differ = std::mismatch(tokens.begin(), tokens.end(), fed.begin(), fed.end());
  if (lookup_) lookup_->rewind(timeline(), static_cast<size_t>(differ.first - tokens.begin()));
  if (host_) host_->reset();
  std::copy(tokens.begin(), tokens.end(), parts_.timeline);
  state_.fed = state_.end = tokens.size();
}

/// The tokens lie behind the timeline already.
inlay_status Generator::append_prompt(size_t count) {
  state_.end += count;
  state_.prompt_waits = 1;
  state_.answer_tokens = 0;
  state_.stop = INLAY_STOP_NONE;
  state_.text.reset();
  if (guide_) {
    GuideWish wish;
    wish.grammar = grammar_.get();
    wish.same_grammar = true;
    guide_->begin(wish);
  }
  phase_ = Phase::kFeed;
  return INLAY_OK;
}

inlay_status Generator::prompt(std::span<const int32_t> tokens) {
  if (tokens.empty()) return fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: the prompt has no tokens");
  const uint32_t vocabulary = session_->shape().vocabulary;
  for (const int32_t token : tokens) {
    if (token < 0 || static_cast<uint32_t>(token) >= vocabulary) {
      return fail(INLAY_ERROR_INVALID_ARGUMENT,
                  "generator: a token of the prompt lies outside the vocabulary");
    }
  }
  if (const inlay_status status = check_prompt(); status != INLAY_OK) return status;
  if (tokens.size() > session_->context_length() - state_.end) {
    return fail(INLAY_ERROR_CONTEXT_FULL, "generator: the prompt does not fit into the context");
  }
  std::copy(tokens.begin(), tokens.end(), parts_.timeline + state_.end);
  return append_prompt(tokens.size());
}

inlay_status Generator::prompt(std::string_view text, bool parse_special) {
  return abi::guard([&] { return encode_prompt(text, parse_special); },
                    [this](const char* message) { fail(INLAY_ERROR_INVALID_ARGUMENT, message); });
}

inlay_status Generator::encode_prompt(std::string_view text, bool parse_special) {
  const Tokenizer* tokenizer = session_->tokenizer();
  if (tokenizer == nullptr) return fail(INLAY_ERROR_UNSUPPORTED, "generator: the model has no tokenizer");
  if (const inlay_status status = check_prompt(); status != INLAY_OK) return status;
  const std::span<int32_t> room(parts_.timeline + state_.end, session_->context_length() - state_.end);
  const size_t count = tokenizer->encode(text, parse_special, room, session_->resource());
  if (count == 0) return fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: the prompt is empty");
  if (count > room.size()) {
    return fail(INLAY_ERROR_CONTEXT_FULL, "generator: the prompt does not fit into the context");
  }
  return append_prompt(count);
}

// Rounds

inlay_status Generator::next(uint64_t budget_us, GeneratorOutput* output) {
  inlay_generator_stats& stats = state_.stats;
  const auto pass_ns = [&stats] { return stats.prompt_ns + stats.draft_ns + stats.verify_ns; };
  const uint64_t begin = Session::now_ns();
  const uint64_t passes_before = pass_ns();
  parts_.text[0] = '\0';
  *output = {std::string_view(parts_.text), {}, INLAY_STOP_NONE};
  if (budget_us == 0 && phase_ != Phase::kIdle) return INLAY_PENDING;
  const inlay_status status = run(deadline_of(budget_us), output);
  stats.rest_ns += Session::now_ns() - begin - (pass_ns() - passes_before);
  return status;
}

inlay_status Generator::run(uint64_t deadline, GeneratorOutput* output) {
  for (;;) {
    inlay_status status = INLAY_OK;
    switch (phase_) {
      case Phase::kIdle:
        if (state_.stop == INLAY_STOP_NONE) {
          return fail(INLAY_ERROR_WRONG_STATE, "generator: there is no prompt to answer");
        }
        output->stop = static_cast<inlay_stop>(state_.stop);
        return INLAY_END;
      case Phase::kFeed:
      case Phase::kPrefill: status = feed_prompt(deadline); break;
      case Phase::kPropose: status = propose(); break;
      case Phase::kDraft: status = draft(deadline); break;
      case Phase::kVerify: status = verify(deadline); break;
      case Phase::kSample:
        status = sample_rows(deadline);
        if (status == INLAY_OK) return finish_round(output);
        break;
    }
    if (status != INLAY_OK) return status;
  }
}

/// Runs the session's work for what is left of the budget.
inlay_status Generator::advance(uint64_t deadline, uint64_t* spent_ns) {
  const uint64_t begin = Session::now_ns();
  uint64_t budget_us = INLAY_NO_BUDGET;
  // A session does nothing in no time; with a microsecond it gets on in the end.
  if (deadline != kNoDeadline) budget_us = begin + 2000 < deadline ? (deadline - begin) / 1000 : 1;
  const inlay_status status = session_->advance(budget_us, nullptr, guide_ ? this : nullptr);
  *spent_ns += Session::now_ns() - begin;
  return status;
}

inlay_status Generator::feed_prompt(uint64_t deadline) {
  if (phase_ == Phase::kFeed) {
    if (session_->position() != state_.fed) {
      return fail(INLAY_ERROR_WRONG_STATE, "generator: the session was changed while a prompt waited");
    }
    const inlay_status status = session_->begin_prefill(waiting());
    if (status != INLAY_OK) return fail_as_session(status);
    drafts_ = 0;
    restart_masks();
    phase_ = Phase::kPrefill;
  }
  const inlay_status status = advance(deadline, &state_.stats.prompt_ns);
  state_.stats.prompt_tokens += session_->position() - state_.fed;
  state_.fed = session_->position();  // whole chunks stay fed, whatever happens
  if (status == INLAY_PENDING) return status;
  if (status != INLAY_OK) {
    phase_ = Phase::kFeed;
    return fail_as_session(status);
  }
  state_.prompt_waits = 0;
  if (state_.end >= session_->context_length()) {
    state_.stop = INLAY_STOP_CONTEXT_FULL;
    phase_ = Phase::kIdle;
    return INLAY_OK;
  }
  considered_ = {};
  verified_ = false;
  drafts_ = accepted_ = row_ = 0;
  phase_ = Phase::kSample;
  return INLAY_OK;
}

/// Drafts that can be of use: the last token of the answer and of the context need none after them.
uint32_t Generator::most_drafts() const {
  uint64_t most = automatic() ? kMostDrafts : params_.draft_length;
  most = std::min(most, session_->context_length() - state_.end - 1);
  if (params_.max_tokens > 0) most = std::min(most, params_.max_tokens - state_.answer_tokens - 1);
  return static_cast<uint32_t>(most);
}

inlay_status Generator::propose() {
  if (session_->position() != state_.fed) {
    return fail(INLAY_ERROR_WRONG_STATE, "generator: the session was changed in the middle of an answer");
  }
  considered_ = {};
  asked_ = drafts_ = accepted_ = row_ = 0;
  draft_ns_ = verify_ns_ = 0;
  restart_masks();
  const uint32_t most = most_drafts();
  inlay_status status = INLAY_OK;
  propose_forced(most);
  if (forced_) return begin_verify();
  if (host_) status = propose_from(DraftSource::kHost, most);
  if (lookup_) status = propose_from(DraftSource::kLookup, most);
  if (uses_mtp(params_.draft) && drafts_ == 0) status = propose_from(DraftSource::kMtp, most);
  if (status != INLAY_OK || phase_ == Phase::kDraft) return status;
  return begin_verify();
}

/// What the guide forces is known without guessing.
void Generator::propose_forced(uint32_t most) {
  forced_ = false;
  if (!guide_ || params_.draft == INLAY_DRAFT_NONE) return;
  guide_->rewind();
  for (int32_t token; drafts_ < most && (token = guide_->forced()) >= 0; ++drafts_) {
    parts_.timeline[state_.end + drafts_] = token;
    guide_->push(token);
  }
  forced_ = drafts_ > 0;
}

inlay_status Generator::propose_from(DraftSource source, uint32_t most) {
  considered_[static_cast<size_t>(source)] = most > 0;
  if (automatic()) most = planner_.choose(source, most);
  if (most == 0) return INLAY_OK;
  source_ = source;
  if (source == DraftSource::kMtp) {
    const inlay_status status = session_->begin_draft(certain(), most);
    if (status != INLAY_OK) return fail_as_session(status);
    asked_ = most;
    phase_ = Phase::kDraft;
    return INLAY_OK;
  }
  const uint64_t begin = Session::now_ns();
  const std::span<int32_t> out(parts_.timeline + state_.end, most);
  size_t count = 0;
  inlay_status status = INLAY_OK;
  if (source == DraftSource::kLookup) {
    count = lookup_->propose(timeline(), out);
  } else {
    status = host_->propose(timeline(), out, &count);
  }
  const uint64_t spent = Session::now_ns() - begin;
  state_.stats.draft_ns += spent;
  longest_piece_ns_ = std::max(longest_piece_ns_, spent);
  if (status != INLAY_OK) return fail(status, "generator: the drafter's propose reported an error");
  drafts_ = static_cast<uint32_t>(count);
  if (drafts_ > 0) planner_.record_draft(source, most, spent);
  return INLAY_OK;
}

inlay_status Generator::draft(uint64_t deadline) {
  const uint64_t before = draft_ns_;
  const inlay_status status = advance(deadline, &draft_ns_);
  state_.stats.draft_ns += draft_ns_ - before;
  if (status == INLAY_PENDING) return status;
  if (status != INLAY_OK) {
    phase_ = Phase::kPropose;
    return fail_as_session(status);
  }
  planner_.record_draft(DraftSource::kMtp, asked_, draft_ns_);
  std::span<const int32_t> tokens = session_->draft_tokens();
  tokens = tokens.first(std::min<size_t>(tokens.size(), asked_));
  if (params_.draft_min_probability > 0.0f) {
    const auto probabilities = session_->draft_probabilities().first(tokens.size());
    tokens = tokens.first(confident_drafts(probabilities, params_.draft_min_probability));
  }
  std::copy(tokens.begin(), tokens.end(), parts_.timeline + state_.end);
  drafts_ = static_cast<uint32_t>(tokens.size());
  return begin_verify();
}

/// Drops the drafts that the grammar forbids, or a mask that is there already. The host is not asked for
/// others: that is done during the pass.
void Generator::cut_drafts() {
  if (!guide_) return;
  guide_->rewind();
  for (uint32_t row = 0; row < drafts_; ++row) {
    const int32_t draft = parts_.timeline[state_.end + row];
    const int32_t forced = guide_->forced();
    const bool may_come = forced >= 0    ? forced == draft
                          : row < masks_ ? guide_->allows(row, draft)
                                         : guide_->may_follow(draft, left_after(row));
    if (!may_come) {
      drafts_ = row;
      return;
    }
    guide_->push(draft);
    if (guide_->stop() != INLAY_STOP_NONE) drafts_ = row + 1;
  }
}

// Masks are found while the device has the pass whose rows they are for: its tokens are known.

void Generator::restart_masks() {
  masks_ = guided_ = 0;
  forbids_ = false;
  mask_status_ = INLAY_OK;
  if (guide_) guide_->rewind();
}

inlay_status Generator::find_mask(uint32_t row) {
  const inlay_status status = guide_->find_allowed(row, {parts_.timeline, state_.end + row}, left_after(row));
  return status == INLAY_OK ? status : fail(status, "generator: the mask's allow reported an error");
}

bool Generator::has_more() const {
  return guide_ && masks_ <= drafts_ && !forbids_ && mask_status_ == INLAY_OK;
}

/// The next row's mask.
void Generator::do_piece() {
  const uint64_t begin = Session::now_ns();
  while (guided_ < masks_) guide_->push(parts_.timeline[state_.end + guided_++]);
  mask_status_ = find_mask(masks_);
  const uint64_t spent = Session::now_ns() - begin;
  mask_cost_.add(spent);
  longest_piece_ns_ = std::max(longest_piece_ns_, spent);
  if (mask_status_ != INLAY_OK) return;
  // A row behind a draft that cannot be accepted is never sampled.
  forbids_ = masks_ < drafts_ && guide_->forced() < 0 &&
             !guide_->allows(masks_, parts_.timeline[state_.end + masks_]);
  ++masks_;
}

inlay_status Generator::begin_verify() {
  cut_drafts();
  if (guide_) guide_->rewind();
  guided_ = 0;
  const inlay_status status = session_->begin_verify({parts_.timeline + state_.end - 1, drafts_ + 1});
  phase_ = status == INLAY_OK ? Phase::kVerify : Phase::kPropose;
  return status == INLAY_OK ? status : fail_as_session(status);
}

inlay_status Generator::verify(uint64_t deadline) {
  const uint64_t before = verify_ns_;
  const inlay_status status = advance(deadline, &verify_ns_);
  state_.stats.verify_ns += verify_ns_ - before;
  if (status == INLAY_PENDING) return status;
  if (status != INLAY_OK) {
    phase_ = Phase::kPropose;
    return fail_as_session(status);
  }
  planner_.record_verify(drafts_ + 1, verify_ns_);
  verified_ = true;
  phase_ = Phase::kSample;
  return INLAY_OK;
}

/// Whether a piece of that cost may begin. An estimate that a slow one has spoilt must not stop the work for
/// good.
bool Generator::fits(SliceCost& cost, uint64_t now, uint64_t deadline) {
  if (deadline == kNoDeadline || now + cost.longest() <= deadline) return true;
  cost.relax();
  return false;
}

/// Samples row after row as long as the token is the next row's draft, piece by piece.
inlay_status Generator::sample_rows(uint64_t deadline) {
  for (;;) {
    const uint64_t begin = Session::now_ns();
    SliceCost& cost = drawing_ ? draw_cost_ : lacks_mask() ? mask_cost_ : row_cost_;
    if (!fits(cost, begin, deadline)) {
      session_->hold_logits();
      return INLAY_PENDING;
    }
    int32_t token = -1;
    const inlay_status status = sample_piece(&token);
    bool accepted = false;
    if (status == INLAY_OK) {
      int32_t* place = parts_.timeline + state_.end + row_;
      if (guide_) guide_->push(token);
      accepted = row_ < drafts_ && *place == token;
      *place = token;
      accepted_ += accepted;
      ++row_;
    }
    const uint64_t spent = Session::now_ns() - begin;
    cost.add(spent);
    longest_piece_ns_ = std::max(longest_piece_ns_, spent);
    if (status == INLAY_PENDING) continue;
    if (status != INLAY_OK) return status;
    stop_ = stop_after(token, row_);
    if (!accepted || stop_ != INLAY_STOP_NONE) return INLAY_OK;
  }
}

/// A piece of the work on row_'s token: PENDING until it is there.
inlay_status Generator::sample_piece(int32_t* token) {
  const float* logits = nullptr;
  if (const inlay_status status = session_->logits(row_, &logits); status != INLAY_OK) {
    return abandon_round(status, "generator: the session's logits are gone");
  }
  if (!drawing_) return begin_row(logits, token);
  const inlay_status status = sampler_.advance(token);
  drawing_ = status == INLAY_PENDING;
  return status < 0 ? abandon_round(status, sampler_.message()) : status;
}

/// The token where the guide has only one; else begins to draw it.
inlay_status Generator::begin_row(const float* logits, int32_t* token) {
  const uint64_t position = state_.end + row_;
  const uint32_t* allowed = nullptr;
  if (guide_) {
    if (row_ == 0) guide_->rewind();
    if (const inlay_status status = std::exchange(mask_status_, INLAY_OK); status != INLAY_OK) return status;
    if (lacks_mask()) {
      const inlay_status status = find_mask(row_);
      if (status != INLAY_OK) return status;
      masks_ = row_ + 1;
      return INLAY_PENDING;
    }
    *token = guide_->forced();
    if (*token >= 0) return INLAY_OK;
    allowed = guide_->allowed(row_);
  }
  const inlay_status status = sampler_.begin(logits, {parts_.timeline, position}, position, allowed);
  if (status != INLAY_OK) return abandon_round(status, sampler_.message());
  drawing_ = true;
  return INLAY_PENDING;
}

inlay_status Generator::abandon_round(inlay_status status, const char* message) {
  row_ = accepted_ = 0;
  drawing_ = false;
  session_->release_logits();
  if (verified_) {
    session_->commit(0);
    phase_ = Phase::kPropose;
  }
  return fail(status, message);
}

/// Tokens that may follow the next `sampled` of the round.
uint64_t Generator::left_after(uint64_t sampled) const {
  uint64_t left = session_->context_length() - state_.end - sampled;
  if (params_.max_tokens > 0) left = std::min(left, params_.max_tokens - state_.answer_tokens - sampled);
  return left;
}

/// Whether the answer ends with this token, the `sampled`-th of the round.
inlay_stop Generator::stop_after(int32_t token, uint64_t sampled) const {
  const Tokenizer* tokenizer = session_->tokenizer();
  const bool ends =
      tokenizer != nullptr && tokenizer->contains(token) && tokenizer->is_end_of_generation(token);
  if (ends && params_.ignore_end == 0) return INLAY_STOP_END_OF_TEXT;
  if (guide_ && guide_->stop() != INLAY_STOP_NONE) return guide_->stop();
  if (params_.max_tokens > 0 && state_.answer_tokens + sampled >= params_.max_tokens)
    return INLAY_STOP_MAX_TOKENS;
  if (state_.end + sampled >= session_->context_length()) return INLAY_STOP_CONTEXT_FULL;
  return INLAY_STOP_NONE;
}

inlay_status Generator::finish_round(GeneratorOutput* output) {
  const uint64_t begin = Session::now_ns();
  session_->release_logits();
  if (verified_) {
    // The certain token and the accepted drafts; the last token sampled waits, be it a draft's equal or not.
    const inlay_status status = session_->commit(row_);
    if (status != INLAY_OK) return abandon_round(status, session_->message());
    state_.fed += row_;
    ++state_.stats.rounds;
    state_.stats.drafted += drafts_;
    state_.stats.accepted += accepted_;
    for (size_t i = 0; automatic() && i < kDraftSources; ++i) {
      const DraftSource source = static_cast<DraftSource>(i);
      if (considered_[i] && !forced_) {
        planner_.record_round(source, source == source_ ? drafts_ : 0, accepted_);
      }
    }
  }
  const std::span<const int32_t> tokens(parts_.timeline + state_.end, row_);
  if (guide_) guide_->commit();
  state_.end += row_;
  state_.answer_tokens += row_;
  state_.stats.generated_tokens += row_;
  state_.stop = stop_;
  phase_ = stop_ == INLAY_STOP_NONE ? Phase::kPropose : Phase::kIdle;
  if (lookup_) lookup_->observe(timeline());
  if (host_) host_->observe(timeline(), accepted_);
  *output = {write_text(tokens, stop_ != INLAY_STOP_NONE), tokens, stop_};
  longest_piece_ns_ = std::max(longest_piece_ns_, Session::now_ns() - begin);
  return stop_ == INLAY_STOP_NONE ? INLAY_OK : INLAY_END;
}

std::string_view Generator::write_text(std::span<const int32_t> tokens, bool ends) {
  const Tokenizer* tokenizer = session_->tokenizer();
  const std::span<char> out(parts_.text, parts_.text_bytes - 1);
  size_t bytes = 0;
  for (const int32_t token : tokens) {
    if (tokenizer == nullptr || !tokenizer->contains(token)) continue;
    const std::string_view visible = tokenizer->visible_bytes(token, params_.show_special != 0);
    bytes += state_.text.push(visible, out.subspan(bytes));
  }
  if (ends) bytes += state_.text.flush(out.subspan(bytes));
  parts_.text[bytes] = '\0';
  return {parts_.text, bytes};
}

}  // namespace inlay
