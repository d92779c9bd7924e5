#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "runtime/error.h"
#include "runtime/platform.h"

// A mapped file that is cut short raises SIGBUS in who reads beyond its new end. Signals belong to the
// process, so this is the one thing that Inlay keeps beside its handles, and only while a host has asked for
// it.

namespace inlay::platform {
namespace {

/// A mapping that is guarded. A handler may read it at any moment; a slot in use by a faulting thread is not
/// changed, for that thread reads the mapping, which therefore stays.
struct Slot {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> lost{false};
};

constexpr uint32_t kSlots = 1024;

Slot slots[kSlots];
std::atomic<uint32_t> losses{0};

std::mutex mutex;            // of what follows
uint32_t guards = 0;         // alive
bool installed = false;      // the handler, or a later one that may call it
struct sigaction former {};  // what was there before the handler
uintptr_t page_size = 0;

/// The slot of the mapping that the address lies in; null where it is none of Inlay's.
Slot* slot_of(uintptr_t address) {
  for (Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin) continue;
    const uintptr_t end = slot.end.load(std::memory_order_acquire);
    if (address < end && slot.begin.load(std::memory_order_acquire) == begin) return &slot;
  }
  return nullptr;
}

/// Puts zeros where the file is gone: from the page of the fault to the mapping's end, so that there are few
/// faults. The mark is set before, so that whoever has read a zero can see it.
bool replace(uintptr_t address) {
  Slot* slot = slot_of(address);
  if (slot == nullptr) return false;
  slot->lost.store(true);
  losses.fetch_add(1);
  const uintptr_t begin = address / page_size * page_size;
  const uintptr_t end = slot->end.load(std::memory_order_relaxed);
  auto* page = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr): the system says where
  void* zeros = ::mmap(page, end - begin, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return zeros != MAP_FAILED;
}

/// What would have happened without this handler.
void pass_on(int signal, siginfo_t* info, void* context) {
  if ((former.sa_flags & SA_SIGINFO) != 0) {
    former.sa_sigaction(signal, info, context);
  } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
    former.sa_handler(signal);
  } else {
    // Blocked until the handler returns, and fatal then.
    struct sigaction fatal {};
    fatal.sa_handler = SIG_DFL;
    ::sigaction(signal, &fatal, nullptr);
    ::raise(signal);
  }
}

void handle(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  // Only the system tells of addresses; what another process sends has none.
  const bool ours = info->si_code > 0 && replace(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = error;
  if (!ours) pass_on(signal, info, context);
}

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == handle;
}

}  // namespace

MappingGuard::MappingGuard() {
  const std::lock_guard lock(mutex);
  if (!installed) {
    page_size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = handle;
    // On the alternate stack where a thread has one: some languages' runtimes want that of every handler.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    if (::sigaction(SIGBUS, &action, &former) != 0) {
      throw Error(INLAY_ERROR_UNSUPPORTED, "the handler of SIGBUS could not be set");
    }
    installed = true;
  }
  ++guards;
}

MappingGuard::~MappingGuard() {
  const std::lock_guard lock(mutex);
  if (--guards > 0) return;
  // A handler that was set after this one may call it: then it stays.
  struct sigaction now {};
  if (::sigaction(SIGBUS, nullptr, &now) != 0 || !is_ours(now)) return;
  ::sigaction(SIGBUS, &former, nullptr);
  installed = false;
}

uint32_t lost_mappings() noexcept { return losses.load(std::memory_order_relaxed); }

uint32_t guard_range(const std::byte* base, uint64_t size) {
  const std::lock_guard lock(mutex);
  if (guards == 0 || base == nullptr) return 0;
  for (uint32_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots[i];
    if (slot.begin.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<uintptr_t>(base);
    slot.lost.store(false, std::memory_order_relaxed);
    slot.end.store(begin + static_cast<uintptr_t>(size), std::memory_order_release);
    slot.begin.store(begin, std::memory_order_release);
    return i + 1;
  }
  throw Error(INLAY_ERROR_UNSUPPORTED,
              "more than " + std::to_string(kSlots) + " mapped files cannot be guarded at once");
}

void release_range(uint32_t guarded) noexcept {
  if (guarded != 0) slots[guarded - 1].begin.store(0, std::memory_order_release);
}

void set_range_lost(uint32_t guarded) noexcept {
  slots[guarded - 1].lost.store(true);
  losses.fetch_add(1);
}

bool is_lost(uint32_t guarded) noexcept {
  return guarded != 0 && slots[guarded - 1].lost.load(std::memory_order_acquire);
}

}  // namespace inlay::platform
