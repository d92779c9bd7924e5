#include "runtime/text_stream.h"

#include <cstring>

#include "runtime/utf8.h"

namespace inlay {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Writes as long as there is room, and counts on.
class Writer {
 public:
  explicit Writer(std::span<char> out) : out_(out) {}

  void write(std::string_view bytes) {
    if (size_ + bytes.size() <= out_.size()) bytes.copy(out_.data() + size_, bytes.size());
    size_ += bytes.size();
  }
  size_t size() const { return size_; }

 private:
  std::span<char> out_;
  size_t size_ = 0;
};

/// Writes all of the text but a character that its end leaves unfinished, and returns that character's bytes.
std::string_view write_whole(std::string_view text, Writer& writer) {
  while (!text.empty()) {
    const Utf8Step step = read_utf8(text);
    if (step.state == Utf8State::kTruncated) break;
    writer.write(step.state == Utf8State::kValid ? text.substr(0, step.length) : kReplacement);
    text.remove_prefix(step.length);
  }
  return text;
}

}  // namespace

size_t TextStream::push(std::string_view bytes, std::span<char> out) {
  Writer writer(out);
  // Only what was held back needs joining with what comes; the rest is read where it lies.
  char joint[2 * kMostHeld];
  std::string_view rest = bytes;
  std::string_view unfinished;
  if (held_count_ != 0) {
    std::memcpy(joint, held_.data(), kMostHeld);
    const size_t added = rest.copy(joint + held_count_, kMostHeld);
    std::string_view joined(joint, held_count_ + added);
    const Utf8Step step = read_utf8(joined);
    if (step.state == Utf8State::kTruncated) {
      unfinished = joined;
      rest = {};
    } else {
      // A first step is always past the held bytes: they were the start of a character as they stood.
      writer.write(step.state == Utf8State::kValid ? joined.substr(0, step.length) : kReplacement);
      rest.remove_prefix(step.length - held_count_);
    }
  }
  if (unfinished.empty()) unfinished = write_whole(rest, writer);
  if (writer.size() > out.size()) return writer.size();
  held_ = {};
  held_count_ = static_cast<uint8_t>(unfinished.copy(reinterpret_cast<char*>(held_.data()), kMostHeld));
  return writer.size();
}

size_t TextStream::flush(std::span<char> out) {
  if (held_count_ == 0) return 0;
  if (out.size() < kReplacement.size()) return kReplacement.size();
  kReplacement.copy(out.data(), kReplacement.size());
  reset();
  return kReplacement.size();
}

bool TextStream::is_valid() const {
  if (held_count_ == 0) return true;
  if (held_count_ > kMostHeld) return false;
  char bytes[kMostHeld];
  std::memcpy(bytes, held_.data(), kMostHeld);
  const Utf8Step step = read_utf8({bytes, held_count_});
  return step.state == Utf8State::kTruncated && step.length == held_count_;
}

}  // namespace inlay
