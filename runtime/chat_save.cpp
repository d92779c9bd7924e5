#include <algorithm>
#include <cstring>

#include "runtime/chat.h"
#include "runtime/error.h"
#include "runtime/python_text.h"
#include "runtime/snapshot.h"

// Conversations as bytes: a header, the messages as a JSON array, the mark's save and the generator's, each
// with a checksum of its own.

namespace inlay {
namespace {

constexpr char kMagic[8] = {'I', 'N', 'L', 'A', 'Y', 'C', 'H', 'T'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMostMessageBytes = uint64_t{1} << 30;

}  // namespace

struct Chat::SavedHeader {
  char magic[8];
  uint32_t version;
  uint32_t reserved;
  uint64_t total_bytes;  // of all, this included
  uint64_t settings;     // of tools and format
  uint64_t message_bytes;
  uint64_t message_checksum;
  uint64_t mark_bytes;
  uint64_t generator_bytes;
  uint64_t rendered;
  uint64_t settled;
  uint64_t settled_tokens;
  int64_t last_query;
  uint64_t more[3];   // zero
  uint64_t checksum;  // of all before it

  uint64_t own_checksum() const { return checksum_of(this, offsetof(SavedHeader, checksum)); }
  bool is_whole() const {
    const bool sizes = message_bytes <= kMostMessageBytes && mark_bytes <= UINT64_MAX / 4 &&
                       generator_bytes <= UINT64_MAX / 4 &&
                       total_bytes == sizeof *this + message_bytes + mark_bytes + generator_bytes;
    return checksum == own_checksum() && sizes;
  }
};

void Chat::check_between_answers() {
  static_assert(sizeof(SavedHeader) == 128);
  if (phase_ != Phase::kIdle && phase_ != Phase::kEnd) {
    throw Error(INLAY_ERROR_WRONG_STATE, "chat: an answer is under way");
  }
}

/// What has to be equal where the conversation goes on.
uint64_t Chat::settings() const {
  Checksum sum;
  std::pmr::string tools(memory_);
  append_python_json(tools_.root(), tools);
  sum.add(tools.data(), tools.size());
  const uint8_t switches[] = {template_.thinks_by_default,
                              template_.json_arguments,
                              template_.may_keep_reasoning,
                              template_.keeps_reasoning,
                              template_.opens_first_tool,
                              template_.think_marks,
                              keeps_reasoning_};
  sum.add(switches, sizeof switches);
  return sum.value();
}

/// Fills the header in and gives the messages.
std::pmr::string Chat::describe(SavedHeader* header) {
  check_between_answers();
  take_answer();
  std::pmr::string text("[", memory_);
  for (const Message& message : messages_) {
    if (text.size() > 1) text += ",\n";
    append_python_json(message.document.root(), text);
  }
  text += "]";
  if (text.size() > kMostMessageBytes)
    throw Error(INLAY_ERROR_UNSUPPORTED, "chat: more than 1 GiB of messages");
  *header = SavedHeader{};
  std::memcpy(header->magic, kMagic, sizeof kMagic);
  header->version = kVersion;
  header->settings = settings();
  header->message_bytes = text.size();
  header->message_checksum = checksum_of(text.data(), text.size());
  header->mark_bytes = mark_->save_bytes();
  SnapshotHeader generator;
  header->generator_bytes = generator_->snapshot(&generator);
  if (header->mark_bytes == 0 || header->generator_bytes == 0) {
    throw Error(INLAY_ERROR_DEVICE, "chat: the state could not be read from the device");
  }
  header->total_bytes = sizeof *header + text.size() + header->mark_bytes + header->generator_bytes;
  header->rendered = rendered_;
  header->settled = settled_;
  header->settled_tokens = settled_tokens_;
  header->last_query = last_query_;
  header->checksum = header->own_checksum();
  return text;
}

uint64_t Chat::save_bytes() {
  SavedHeader header;
  describe(&header);
  return header.total_bytes;
}

inlay_status Chat::save(const inlay_writer& host) {
  SavedHeader header;
  const std::pmr::string text = describe(&header);
  const bool written = host.write(host.user_data, &header, sizeof header) >= 0 &&
                       host.write(host.user_data, text.data(), text.size()) >= 0;
  if (!written) return fail(INLAY_ERROR_CALLBACK, "chat: the writer reported an error");
  if (const inlay_status status = mark_->save(host); status != INLAY_OK)
    return fail(status, mark_->message());
  const inlay_status status = generator_->save(host);
  return status == INLAY_OK ? status : fail(status, generator_->message());
}

inlay_status Chat::check_saved(const SavedHeader& header) {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return fail(INLAY_ERROR_CORRUPT_FILE, "this is not a saved chat: its first bytes are not INLAYCHT");
  }
  if (header.version != kVersion) {
    return fail(INLAY_ERROR_UNSUPPORTED, "the saved chat is of another version than this library reads");
  }
  if (!header.is_whole()) {
    return fail(INLAY_ERROR_CORRUPT_FILE, "the saved chat is damaged: its header's checksum differs");
  }
  if (header.settings != settings()) {
    return fail(INLAY_ERROR_MISMATCH, "the saved chat has other tools or another format");
  }
  return INLAY_OK;
}

/// As it was made.
void Chat::forget() {
  messages_.clear();
  rendered_ = settled_ = 0;
  settled_tokens_ = 0;
  last_query_ = -1;
  answered_ = false;
  prefix_.clear();
  prompt_.clear();
  phase_ = Phase::kIdle;
}

inlay_status Chat::load(const inlay_reader& host) {
  check_between_answers();
  SavedHeader header;
  if (host.read(host.user_data, &header, sizeof header) < 0) {
    return fail(INLAY_ERROR_CALLBACK, "chat: the reader reported an error");
  }
  if (const inlay_status status = check_saved(header); status != INLAY_OK) return status;
  std::pmr::string text(header.message_bytes, '\0', memory_);
  if (host.read(host.user_data, text.data(), text.size()) < 0) {
    return fail(INLAY_ERROR_CALLBACK, "chat: the reader reported an error");
  }
  if (checksum_of(text.data(), text.size()) != header.message_checksum) {
    return fail(INLAY_ERROR_CORRUPT_FILE, "the saved chat is damaged: its messages' checksum differs");
  }
  const JsonDocument document(text, "messages", memory_);
  if (!document.root().is_array()) throw Error(INLAY_ERROR_CORRUPT_FILE, "the saved chat has no messages");
  std::pmr::list<Message> messages = read_messages(document.root());
  const auto count = static_cast<int64_t>(messages.size());
  const bool possible = header.rendered <= messages.size() && header.settled <= header.rendered &&
                        header.last_query >= -1 && header.last_query < count &&
                        header.settled_tokens <= session_->context_length();
  if (!possible) return fail(INLAY_ERROR_CORRUPT_FILE, "the saved chat contradicts itself");
  // What the mark refuses changes nothing yet, unless it was in the middle of reading.
  inlay_status status = mark_->load(host);
  const bool refused = status == INLAY_ERROR_MISMATCH || status == INLAY_ERROR_UNSUPPORTED;
  if (refused) return fail(status, mark_->message());
  forget();
  if (status != INLAY_OK) fail(status, mark_->message());
  if (status == INLAY_OK) {
    status = generator_->load(host);
    if (status != INLAY_OK) fail(status, generator_->message());
  }
  if (status == INLAY_OK && header.settled_tokens > generator_->timeline().size()) {
    status = fail(INLAY_ERROR_CORRUPT_FILE, "the saved chat contradicts itself");
  }
  if (status != INLAY_OK) {
    mark_->reset();
    session_->reset();
    return status;
  }
  messages_.splice(messages_.end(), messages);
  rendered_ = header.rendered;
  settled_ = header.settled;
  settled_tokens_ = header.settled_tokens;
  last_query_ = header.last_query;
  return INLAY_OK;
}

bool Chat::is_damaged(const void* data, uint64_t bytes) {
  SavedHeader header;
  if (bytes < sizeof header) return true;
  std::memcpy(&header, data, sizeof header);
  // What does not begin like a saved chat is not called damaged: loading it says more.
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kVersion) return false;
  if (!header.is_whole() || header.total_bytes != bytes) return true;
  const auto* text = static_cast<const std::byte*>(data) + sizeof header;
  const auto* mark = text + header.message_bytes;
  return checksum_of(text, header.message_bytes) != header.message_checksum ||
         inlay::is_damaged(mark, header.mark_bytes) ||
         inlay::is_damaged(mark + header.mark_bytes, header.generator_bytes);
}

}  // namespace inlay
