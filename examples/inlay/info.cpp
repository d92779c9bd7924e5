#include "command.h"

namespace command {
namespace {

void print_person(const inlay_model_info& info, uint32_t tensors) {
  std::printf("architecture      %s\n", info.architecture);
  std::printf("name              %s\n", info.name);
  if (info.has_weights != 0) {
    std::printf("size              %s, %.2f B parameters, %u tensors\n",
                readable_bytes(info.file_bytes).c_str(), static_cast<double>(info.parameters) / 1e9, tensors);
    std::printf("quantisation      %s\n", info.quantisation);
    std::printf("layers            %u, every %uth full attention, %s\n", info.layers, info.attention_interval,
                info.mtp_layers > 0 ? "with an MTP head" : "no MTP head");
    std::printf("width             %u, feed-forward %u\n", info.embedding_length, info.feed_forward_length);
    std::printf("attention         %u heads, %u of keys and values, %u each\n", info.attention_heads,
                info.attention_kv_heads, info.attention_head_length);
    std::printf("DeltaNet          %u key heads, %u value heads, %u each\n", info.delta_net_key_heads,
                info.delta_net_value_heads, info.delta_net_state_length);
    std::printf("context           %u tokens\n", info.context_length);
  } else {
    std::printf("weights           none\n");
  }
  std::printf("vocabulary        %u tokens, %s\n", info.vocabulary_size,
              info.has_tokenizer != 0 ? "with a tokenizer" : "no tokenizer");
  std::printf("chat template     %s\n", info.chat_template[0] != '\0' ? "in the file" : "none");
}

void print_json(const inlay_model_info& info, uint32_t tensors) {
  std::printf(
      "{\"architecture\":%s,\"name\":%s,\"quantisation\":%s,\"file_bytes\":%llu,\"parameters\":%llu,"
      "\"tensors\":%u,\"layers\":%u,\"attention_interval\":%u,\"embedding_length\":%u,"
      "\"feed_forward_length\":%u,\"attention_heads\":%u,\"attention_kv_heads\":%u,"
      "\"attention_head_length\":%u,\"delta_net_key_heads\":%u,\"delta_net_value_heads\":%u,"
      "\"delta_net_state_length\":%u,\"vocabulary_size\":%u,\"context_length\":%u,\"mtp_layers\":%u,"
      "\"has_weights\":%s,\"has_tokenizer\":%s,\"has_chat_template\":%s}\n",
      json_text(info.architecture).c_str(), json_text(info.name).c_str(),
      json_text(info.quantisation).c_str(), static_cast<unsigned long long>(info.file_bytes),
      static_cast<unsigned long long>(info.parameters), tensors, info.layers, info.attention_interval,
      info.embedding_length, info.feed_forward_length, info.attention_heads, info.attention_kv_heads,
      info.attention_head_length, info.delta_net_key_heads, info.delta_net_value_heads,
      info.delta_net_state_length, info.vocabulary_size, info.context_length, info.mtp_layers,
      info.has_weights != 0 ? "true" : "false", info.has_tokenizer != 0 ? "true" : "false",
      info.chat_template[0] != '\0' ? "true" : "false");
}

struct Row {
  const char* name;
  const char* key;
  uint64_t bytes;
};

}  // namespace

int run_info(int count, char** words) {
  const Options options(count, words, common_options({}), {"--json", "--verify"});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  if (options.has("--verify"))
    check(inlay_file_verify(file.get(), nullptr, nullptr), runtime.get(), "not as it was written");
  const inlay_model_info info = info_of(file.get());
  const uint32_t tensors = inlay_file_tensor_count(file.get());
  options.has("--json") ? print_json(info, tensors) : print_person(info, tensors);
  return 0;
}

int run_plan(int count, char** words) {
  const Options options(count, words, common_options({}), {"--json", "--no-mtp"});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  inlay_session_params params = session_params(options);
  params.mtp = info_of(file.get()).mtp_layers > 0 && !options.has("--no-mtp") ? 1 : 0;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  check(inlay_file_plan(file.get(), &params, &plan), runtime.get(), "cannot plan");
  const Row rows[] = {
      {"weights, mapped", "weights_mapped", plan.weights_mapped},
      {"model, host", "model_host", plan.model_host},
      {"model, device", "model_device", plan.model_device},
      {"session, host", "session_host", plan.session_host},
      {"session, device", "session_device", plan.session_device},
      {"  KV cache", "kv_cache", plan.kv_cache},
      {"  DeltaNet state", "delta_net_state", plan.delta_net_state},
      {"  window", "window", plan.window},
      {"scratch, host", "scratch_host", plan.scratch_host},
      {"scratch, device", "scratch_device", plan.scratch_device},
  };
  if (options.has("--json")) {
    for (const Row& row : rows) {
      std::printf("%s\"%s\":%llu", &row == rows ? "{" : ",", row.key,
                  static_cast<unsigned long long>(row.bytes));
    }
    std::printf("}\n");
  } else {
    for (const Row& row : rows) {
      std::printf("%-18s %16llu bytes  %10s\n", row.name, static_cast<unsigned long long>(row.bytes),
                  readable_bytes(row.bytes).c_str());
    }
  }
  return 0;
}

}  // namespace command
