#include <unistd.h>

#include "command.h"

namespace command {
namespace {

inlay_status show_progress(void* user_data, uint64_t done, uint64_t total) {
  const uint64_t percent = total == 0 ? 100 : done * 100 / total;
  auto* shown = static_cast<uint64_t*>(user_data);
  if (percent == *shown) return INLAY_OK;
  *shown = percent;
  std::fprintf(stderr, "\r%3llu %% of %s ", static_cast<unsigned long long>(percent),
               readable_bytes(total).c_str());
  return INLAY_OK;
}

}  // namespace

int run_pack(int count, char** words) {
  const Options options(count, words, common_options({"-o", "--quant", "--imatrix", "--layout"}), {"--json"});
  if (!options.has("-o")) throw Failure("-o OUT.inlay is missing");
  const std::string output = options.text("-o", "");
  const std::string quantisation = options.text("--quant", "");
  const std::string imatrix = options.text("--imatrix", "");
  const std::string layout = options.text("--layout", "");
  const Runtime runtime = make_runtime(options);
  inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
  if (options.has("--quant")) params.quantisation = quantisation.c_str();
  if (options.has("--imatrix")) params.imatrix = imatrix.c_str();
  if (options.has("--layout")) params.layout = layout.c_str();
  uint64_t shown = UINT64_MAX;
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (terminal) params.progress = show_progress;
  params.progress_user_data = &shown;
  const auto start = std::chrono::steady_clock::now();
  const inlay_status status = inlay_pack(runtime.get(), options.model().c_str(), output.c_str(), &params);
  if (terminal) std::fprintf(stderr, "\r%*s\r", 40, "");
  check(status, runtime.get(), "packing");
  const double seconds = seconds_since(start);
  const File file = open_file(runtime.get(), output);
  const inlay_model_info info = info_of(file.get());
  if (options.has("--json")) {
    std::printf("{\"package\":%s,\"bytes\":%llu,\"quantisation\":%s,\"seconds\":%.3f}\n",
                json_text(output).c_str(), static_cast<unsigned long long>(info.file_bytes),
                json_text(info.quantisation).c_str(), seconds);
  } else {
    std::printf("%s: %s, %s, in %.1f s\n", output.c_str(), readable_bytes(info.file_bytes).c_str(),
                info.quantisation, seconds);
  }
  return 0;
}

}  // namespace command
