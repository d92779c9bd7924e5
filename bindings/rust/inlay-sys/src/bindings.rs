/* Generated from inlay.h by generate.sh: do not edit. */

pub const INLAY_VERSION_MAJOR: u32 = 0;
pub const INLAY_VERSION_MINOR: u32 = 1;
pub const INLAY_VERSION_PATCH: u32 = 0;
pub const INLAY_CUDA_GRAPH_BYTES: u32 = 16777216;
pub const INLAY_MAX_WIDTH: u32 = 8;
pub const INLAY_OK: inlay_status = 0;
pub const INLAY_PENDING: inlay_status = 1;
pub const INLAY_END: inlay_status = 2;
pub const INLAY_ERROR_INVALID_ARGUMENT: inlay_status = -1;
pub const INLAY_ERROR_OUT_OF_MEMORY: inlay_status = -2;
pub const INLAY_ERROR_MEMORY_LIMIT: inlay_status = -3;
pub const INLAY_ERROR_IO: inlay_status = -4;
pub const INLAY_ERROR_CORRUPT_FILE: inlay_status = -5;
pub const INLAY_ERROR_UNSUPPORTED: inlay_status = -6;
pub const INLAY_ERROR_CONTEXT_FULL: inlay_status = -7;
pub const INLAY_ERROR_WRONG_STATE: inlay_status = -8;
pub const INLAY_ERROR_BUSY: inlay_status = -9;
pub const INLAY_ERROR_CANCELLED: inlay_status = -10;
pub const INLAY_ERROR_CALLBACK: inlay_status = -11;
pub const INLAY_ERROR_DEVICE: inlay_status = -12;
pub const INLAY_ERROR_MISMATCH: inlay_status = -13;
pub const INLAY_ERROR_INTERNAL: inlay_status = -14;
pub const INLAY_ERROR_CHAT_TEMPLATE: inlay_status = -15;
pub type inlay_status = ::std::os::raw::c_int;
extern "C" {
    pub fn inlay_status_name(status: inlay_status) -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn inlay_version() -> u32;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_runtime {
    _unused: [u8; 0],
}
pub const INLAY_DEVICE_CPU: inlay_device = 0;
pub const INLAY_DEVICE_CUDA: inlay_device = 1;
pub type inlay_device = ::std::os::raw::c_uint;
#[repr(C)]
pub struct inlay_allocator {
    pub struct_size: u32,
    pub user_data: *mut ::std::os::raw::c_void,
    pub allocate: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            size: usize,
            alignment: usize,
        ) -> *mut ::std::os::raw::c_void,
    >,
    pub release: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            memory: *mut ::std::os::raw::c_void,
            size: usize,
            alignment: usize,
        ),
    >,
}
pub const INLAY_LOG_ERROR: inlay_log_level = 0;
pub const INLAY_LOG_WARNING: inlay_log_level = 1;
pub const INLAY_LOG_INFO: inlay_log_level = 2;
pub type inlay_log_level = ::std::os::raw::c_uint;
pub type inlay_log_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user_data: *mut ::std::os::raw::c_void,
        level: inlay_log_level,
        message: *const ::std::os::raw::c_char,
    ),
>;
pub const INLAY_WEIGHTS_DEFAULT: inlay_weight_placement = 0;
pub const INLAY_WEIGHTS_COPIED: inlay_weight_placement = 1;
pub const INLAY_WEIGHTS_IN_PLACE: inlay_weight_placement = 2;
pub type inlay_weight_placement = ::std::os::raw::c_uint;
#[repr(C)]
pub struct inlay_runtime_params {
    pub struct_size: u32,
    pub device: i32,
    pub device_index: u32,
    pub threads: u32,
    pub allocator: *const inlay_allocator,
    pub log: inlay_log_fn,
    pub log_user_data: *mut ::std::os::raw::c_void,
    pub memory_limit: u64,
    pub instruction_set: *const ::std::os::raw::c_char,
    pub cuda_stream: *mut ::std::os::raw::c_void,
    pub low_priority: u32,
    pub reserved: u32,
    pub guard_mappings: u32,
    pub weight_placement: i32,
}
extern "C" {
    pub fn inlay_runtime_create(
        params: *const inlay_runtime_params,
        out_runtime: *mut *mut inlay_runtime,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_runtime_destroy(runtime: *mut inlay_runtime);
}
extern "C" {
    pub fn inlay_runtime_message(
        runtime: *const inlay_runtime,
        buffer: *mut ::std::os::raw::c_char,
        capacity: usize,
    ) -> usize;
}
#[repr(C)]
pub struct inlay_memory_use {
    pub struct_size: u32,
    pub now: u64,
    pub high_water: u64,
}
extern "C" {
    pub fn inlay_runtime_memory(
        runtime: *mut inlay_runtime,
        reset: i32,
        out_use: *mut inlay_memory_use,
    ) -> inlay_status;
}
pub const INLAY_MEMORY_OTHER: inlay_memory_kind = 0;
pub const INLAY_MEMORY_MODEL: inlay_memory_kind = 1;
pub const INLAY_MEMORY_STATE: inlay_memory_kind = 2;
pub const INLAY_MEMORY_SCRATCH: inlay_memory_kind = 3;
pub type inlay_memory_kind = ::std::os::raw::c_uint;
extern "C" {
    pub fn inlay_runtime_memory_of(
        runtime: *mut inlay_runtime,
        kind: inlay_memory_kind,
        reset: i32,
        out_use: *mut inlay_memory_use,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_runtime_info {
    pub struct_size: u32,
    pub device: i32,
    pub device_index: u32,
    pub threads: u32,
    pub instruction_set: *const ::std::os::raw::c_char,
    pub device_name: *const ::std::os::raw::c_char,
}
extern "C" {
    pub fn inlay_runtime_get_info(
        runtime: *const inlay_runtime,
        out_info: *mut inlay_runtime_info,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_runtime_measure_bandwidth(
        runtime: *mut inlay_runtime,
        out_bytes_a_second: *mut f64,
    ) -> inlay_status;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_file {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_model {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct inlay_io {
    pub struct_size: u32,
    pub user_data: *mut ::std::os::raw::c_void,
    pub size: ::std::option::Option<
        unsafe extern "C" fn(user_data: *mut ::std::os::raw::c_void, out_bytes: *mut u64) -> inlay_status,
    >,
    pub read_at: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            offset: u64,
            destination: *mut ::std::os::raw::c_void,
            bytes: usize,
        ) -> inlay_status,
    >,
    pub map: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            out_base: *mut *const ::std::os::raw::c_void,
        ) -> inlay_status,
    >,
    pub close: ::std::option::Option<unsafe extern "C" fn(user_data: *mut ::std::os::raw::c_void)>,
}
#[repr(C)]
pub struct inlay_source {
    pub struct_size: u32,
    pub path: *const ::std::os::raw::c_char,
    pub data: *const ::std::os::raw::c_void,
    pub data_size: u64,
    pub io: *const inlay_io,
}
extern "C" {
    pub fn inlay_file_open(
        runtime: *mut inlay_runtime,
        source: *const inlay_source,
        out_file: *mut *mut inlay_file,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_file_destroy(file: *mut inlay_file);
}
#[repr(C)]
pub struct inlay_model_info {
    pub struct_size: u32,
    pub architecture: *const ::std::os::raw::c_char,
    pub name: *const ::std::os::raw::c_char,
    pub quantisation: *const ::std::os::raw::c_char,
    pub file_bytes: u64,
    pub parameters: u64,
    pub layers: u32,
    pub attention_interval: u32,
    pub embedding_length: u32,
    pub feed_forward_length: u32,
    pub attention_heads: u32,
    pub attention_kv_heads: u32,
    pub attention_head_length: u32,
    pub delta_net_key_heads: u32,
    pub delta_net_value_heads: u32,
    pub delta_net_state_length: u32,
    pub vocabulary_size: u32,
    pub context_length: u32,
    pub mtp_layers: u32,
    pub has_weights: u32,
    pub has_tokenizer: u32,
    pub chat_template: *const ::std::os::raw::c_char,
    pub kv_type: i32,
}
extern "C" {
    pub fn inlay_file_get_info(file: *const inlay_file, out_info: *mut inlay_model_info) -> inlay_status;
}
#[repr(C)]
pub struct inlay_tensor_info {
    pub struct_size: u32,
    pub name: *const ::std::os::raw::c_char,
    pub name_bytes: usize,
    pub type_: *const ::std::os::raw::c_char,
    pub dimensions: [u64; 4usize],
    pub bytes: u64,
}
extern "C" {
    pub fn inlay_file_tensor_count(file: *const inlay_file) -> u32;
}
extern "C" {
    pub fn inlay_file_get_tensor(
        file: *const inlay_file,
        index: u32,
        out_tensor: *mut inlay_tensor_info,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_memory_plan {
    pub struct_size: u32,
    pub weights_mapped: u64,
    pub model_host: u64,
    pub model_device: u64,
    pub session_host: u64,
    pub session_device: u64,
    pub scratch_host: u64,
    pub scratch_device: u64,
    pub kv_cache: u64,
    pub delta_net_state: u64,
    pub window: u64,
    pub pooled_session_host: u64,
    pub pooled_session_device: u64,
}
extern "C" {
    pub fn inlay_file_plan(
        file: *const inlay_file,
        params: *const inlay_session_params,
        out_plan: *mut inlay_memory_plan,
    ) -> inlay_status;
}
pub type inlay_progress_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user_data: *mut ::std::os::raw::c_void,
        bytes_done: u64,
        bytes_total: u64,
    ) -> inlay_status,
>;
#[repr(C)]
pub struct inlay_model_params {
    pub struct_size: u32,
    pub read_ahead: u32,
    pub progress: inlay_progress_fn,
    pub progress_user_data: *mut ::std::os::raw::c_void,
    pub arena: *mut ::std::os::raw::c_void,
    pub arena_bytes: u64,
}
extern "C" {
    pub fn inlay_model_create(
        file: *mut inlay_file,
        params: *const inlay_model_params,
        out_model: *mut *mut inlay_model,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_model_open(
        runtime: *mut inlay_runtime,
        source: *const inlay_source,
        params: *const inlay_model_params,
        out_model: *mut *mut inlay_model,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_model_destroy(model: *mut inlay_model);
}
extern "C" {
    pub fn inlay_model_get_info(model: *const inlay_model, out_info: *mut inlay_model_info) -> inlay_status;
}
extern "C" {
    pub fn inlay_model_plan(
        model: *const inlay_model,
        params: *const inlay_session_params,
        out_plan: *mut inlay_memory_plan,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_pack_params {
    pub struct_size: u32,
    pub quantisation: *const ::std::os::raw::c_char,
    pub imatrix: *const ::std::os::raw::c_char,
    pub progress: inlay_progress_fn,
    pub progress_user_data: *mut ::std::os::raw::c_void,
    pub layout: *const ::std::os::raw::c_char,
}
extern "C" {
    pub fn inlay_pack(
        runtime: *mut inlay_runtime,
        input: *const ::std::os::raw::c_char,
        output: *const ::std::os::raw::c_char,
        params: *const inlay_pack_params,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_file_verify(
        file: *const inlay_file,
        progress: inlay_progress_fn,
        user_data: *mut ::std::os::raw::c_void,
    ) -> inlay_status;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_tokenizer {
    _unused: [u8; 0],
}
extern "C" {
    pub fn inlay_tokenizer_create(
        file: *mut inlay_file,
        out_tokenizer: *mut *mut inlay_tokenizer,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_tokenizer_destroy(tokenizer: *mut inlay_tokenizer);
}
extern "C" {
    pub fn inlay_model_tokenizer(model: *const inlay_model) -> *const inlay_tokenizer;
}
extern "C" {
    pub fn inlay_tokenizer_encode(
        tokenizer: *const inlay_tokenizer,
        text: *const ::std::os::raw::c_char,
        text_bytes: usize,
        parse_special: i32,
        tokens: *mut i32,
        capacity: usize,
        out_count: *mut usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_tokenizer_decode(
        tokenizer: *const inlay_tokenizer,
        tokens: *const i32,
        count: usize,
        show_special: i32,
        text: *mut ::std::os::raw::c_char,
        capacity: usize,
        out_bytes: *mut usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_tokenizer_size(tokenizer: *const inlay_tokenizer) -> u32;
}
extern "C" {
    pub fn inlay_tokenizer_end_of_text(tokenizer: *const inlay_tokenizer) -> i32;
}
extern "C" {
    pub fn inlay_tokenizer_is_end(tokenizer: *const inlay_tokenizer, token: i32) -> i32;
}
extern "C" {
    pub fn inlay_tokenizer_find(
        tokenizer: *const inlay_tokenizer,
        text: *const ::std::os::raw::c_char,
        text_bytes: usize,
    ) -> i32;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_session {
    _unused: [u8; 0],
}
pub const INLAY_KV_DEFAULT: inlay_kv_type = 0;
pub const INLAY_KV_F16: inlay_kv_type = 1;
pub const INLAY_KV_FP8: inlay_kv_type = 2;
pub const INLAY_KV_Q8: inlay_kv_type = 3;
pub type inlay_kv_type = ::std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_pool {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct inlay_pool_params {
    pub struct_size: u32,
    pub tokens: u64,
    pub kv_type: i32,
    pub mtp: u32,
    pub arena: *mut ::std::os::raw::c_void,
    pub arena_bytes: u64,
}
#[repr(C)]
pub struct inlay_pool_plan {
    pub struct_size: u32,
    pub host: u64,
    pub device: u64,
    pub pages: u64,
    pub page_tokens: u64,
}
extern "C" {
    pub fn inlay_file_plan_pool(
        file: *const inlay_file,
        params: *const inlay_pool_params,
        out_plan: *mut inlay_pool_plan,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_pool_create(
        model: *mut inlay_model,
        params: *const inlay_pool_params,
        out_pool: *mut *mut inlay_pool,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_pool_destroy(pool: *mut inlay_pool);
}
extern "C" {
    pub fn inlay_pool_free_pages(pool: *const inlay_pool) -> u64;
}
#[repr(C)]
pub struct inlay_session_params {
    pub struct_size: u32,
    pub context_length: u32,
    pub kv_type: i32,
    pub mtp: u32,
    pub prefill_chunk: u32,
    pub state_arena: *mut ::std::os::raw::c_void,
    pub state_arena_bytes: u64,
    pub scratch_arena: *mut ::std::os::raw::c_void,
    pub scratch_arena_bytes: u64,
    pub pool: *mut inlay_pool,
    pub share_scratch: *mut inlay_session,
}
extern "C" {
    pub fn inlay_session_create(
        model: *mut inlay_model,
        params: *const inlay_session_params,
        out_session: *mut *mut inlay_session,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_destroy(session: *mut inlay_session);
}
extern "C" {
    pub fn inlay_session_message(
        session: *const inlay_session,
        buffer: *mut ::std::os::raw::c_char,
        capacity: usize,
    ) -> usize;
}
extern "C" {
    pub fn inlay_session_fork(
        session: *mut inlay_session,
        out_session: *mut *mut inlay_session,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_fork_params {
    pub struct_size: u32,
    pub share_scratch: u32,
    pub state_arena: *mut ::std::os::raw::c_void,
    pub state_arena_bytes: u64,
    pub scratch_arena: *mut ::std::os::raw::c_void,
    pub scratch_arena_bytes: u64,
}
extern "C" {
    pub fn inlay_session_fork_with(
        session: *mut inlay_session,
        params: *const inlay_fork_params,
        out_session: *mut *mut inlay_session,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_rewind_to(session: *mut inlay_session, mark: *mut inlay_session) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_prefill(
        session: *mut inlay_session,
        tokens: *const i32,
        count: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_step(session: *mut inlay_session, token: i32) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_verify(
        session: *mut inlay_session,
        tokens: *const i32,
        count: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_begin_prefill(
        session: *mut inlay_session,
        tokens: *const i32,
        count: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_begin_step(session: *mut inlay_session, token: i32) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_begin_verify(
        session: *mut inlay_session,
        tokens: *const i32,
        count: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_commit(session: *mut inlay_session, count: usize) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_rewind(session: *mut inlay_session, count: usize) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_rewindable(session: *const inlay_session) -> usize;
}
extern "C" {
    pub fn inlay_session_reset(session: *mut inlay_session) -> inlay_status;
}
#[repr(C)]
pub struct inlay_progress {
    pub struct_size: u32,
    pub slices_done: u64,
    pub slices_total: u64,
    pub longest_slice_ns: u64,
    pub remaining_ns: u64,
    pub position: u64,
    pub tokens_done: u64,
    pub tokens_total: u64,
}
extern "C" {
    pub fn inlay_session_advance(
        session: *mut inlay_session,
        budget_us: u64,
        out_progress: *mut inlay_progress,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_poll(session: *mut inlay_session) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_finish(session: *mut inlay_session) -> inlay_status;
}
#[repr(C)]
pub struct inlay_estimate {
    pub struct_size: u32,
    pub expected_ns: u64,
    pub p99_ns: u64,
    pub longest_slice_ns: u64,
}
extern "C" {
    pub fn inlay_session_estimate(
        session: *mut inlay_session,
        prompt: usize,
        rounds: usize,
        width: u32,
        out_estimate: *mut inlay_estimate,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_begin_steps(
        sessions: *const *mut inlay_session,
        tokens: *const i32,
        count: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_cancel(session: *mut inlay_session);
}
extern "C" {
    pub fn inlay_session_position(session: *const inlay_session) -> u64;
}
extern "C" {
    pub fn inlay_session_context_length(session: *const inlay_session) -> u32;
}
extern "C" {
    pub fn inlay_session_tokens(session: *const inlay_session) -> *const i32;
}
extern "C" {
    pub fn inlay_session_logits(
        session: *const inlay_session,
        row: usize,
        out_logits: *mut *const f32,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_hidden(
        session: *const inlay_session,
        row: usize,
        out_hidden: *mut *const f32,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_writer {
    pub struct_size: u32,
    pub user_data: *mut ::std::os::raw::c_void,
    pub write: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            data: *const ::std::os::raw::c_void,
            bytes: usize,
        ) -> inlay_status,
    >,
}
#[repr(C)]
pub struct inlay_reader {
    pub struct_size: u32,
    pub user_data: *mut ::std::os::raw::c_void,
    pub read: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            destination: *mut ::std::os::raw::c_void,
            bytes: usize,
        ) -> inlay_status,
    >,
}
extern "C" {
    pub fn inlay_session_save_bytes(session: *const inlay_session) -> u64;
}
extern "C" {
    pub fn inlay_session_save(session: *mut inlay_session, writer: *const inlay_writer) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_load(session: *mut inlay_session, reader: *const inlay_reader) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_save_memory(
        session: *mut inlay_session,
        buffer: *mut ::std::os::raw::c_void,
        capacity: u64,
        out_bytes: *mut u64,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_load_memory(
        session: *mut inlay_session,
        data: *const ::std::os::raw::c_void,
        bytes: u64,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_session_mtp_logits(
        session: *mut inlay_session,
        tokens: *const i32,
        count: usize,
        out_logits: *mut f32,
    ) -> inlay_status;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_sampler {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct inlay_logit_bias {
    pub token: i32,
    pub bias: f32,
}
#[repr(C)]
pub struct inlay_sampler_params {
    pub struct_size: u32,
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub repeat_penalty: f32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    pub penalty_window: u32,
    pub seed: u64,
    pub biases: *const inlay_logit_bias,
    pub bias_count: usize,
}
extern "C" {
    pub fn inlay_sampler_create(
        model: *mut inlay_model,
        params: *const inlay_sampler_params,
        out_sampler: *mut *mut inlay_sampler,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_sampler_destroy(sampler: *mut inlay_sampler);
}
extern "C" {
    pub fn inlay_sampler_sample(
        sampler: *mut inlay_sampler,
        logits: *const f32,
        history: *const i32,
        history_count: usize,
        position: u64,
        out_token: *mut i32,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_drafter {
    pub struct_size: u32,
    pub user_data: *mut ::std::os::raw::c_void,
    pub propose: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            tokens: *const i32,
            count: usize,
            max: usize,
            out_tokens: *mut i32,
            out_count: *mut usize,
        ) -> inlay_status,
    >,
    pub observe: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            tokens: *const i32,
            count: usize,
            accepted: usize,
        ),
    >,
    pub reset: ::std::option::Option<unsafe extern "C" fn(user_data: *mut ::std::os::raw::c_void)>,
}
pub const INLAY_DRAFT_NONE: inlay_draft_kind = 0;
pub const INLAY_DRAFT_MTP: inlay_draft_kind = 1;
pub const INLAY_DRAFT_LOOKUP: inlay_draft_kind = 2;
pub const INLAY_DRAFT_LOOKUP_MTP: inlay_draft_kind = 3;
pub const INLAY_DRAFT_HOST: inlay_draft_kind = 4;
pub type inlay_draft_kind = ::std::os::raw::c_uint;
#[repr(C)]
pub struct inlay_mask {
    pub struct_size: u32,
    pub user_data: *mut ::std::os::raw::c_void,
    pub allow: ::std::option::Option<
        unsafe extern "C" fn(
            user_data: *mut ::std::os::raw::c_void,
            tokens: *const i32,
            count: usize,
            allowed: *mut u32,
            vocabulary: u32,
        ) -> inlay_status,
    >,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_grammar {
    _unused: [u8; 0],
}
pub const INLAY_GRAMMAR_JSON_SCHEMA: inlay_grammar_kind = 1;
pub const INLAY_GRAMMAR_GBNF: inlay_grammar_kind = 2;
pub type inlay_grammar_kind = ::std::os::raw::c_uint;
extern "C" {
    pub fn inlay_grammar_create(
        model: *mut inlay_model,
        kind: inlay_grammar_kind,
        text: *const ::std::os::raw::c_char,
        text_bytes: usize,
        out_grammar: *mut *mut inlay_grammar,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_grammar_destroy(grammar: *mut inlay_grammar);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_generator {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct inlay_generator_params {
    pub struct_size: u32,
    pub sampler: *const inlay_sampler_params,
    pub draft: i32,
    pub draft_length: u32,
    pub draft_min_probability: f32,
    pub drafter: *const inlay_drafter,
    pub max_tokens: u64,
    pub ignore_end: u32,
    pub show_special: u32,
    pub mask: *const inlay_mask,
    pub grammar: *mut inlay_grammar,
}
pub const INLAY_STOP_NONE: inlay_stop = 0;
pub const INLAY_STOP_END_OF_TEXT: inlay_stop = 1;
pub const INLAY_STOP_MAX_TOKENS: inlay_stop = 2;
pub const INLAY_STOP_CONTEXT_FULL: inlay_stop = 3;
pub const INLAY_STOP_STRING: inlay_stop = 4;
pub const INLAY_STOP_REPETITION: inlay_stop = 5;
pub const INLAY_STOP_HOST: inlay_stop = 6;
pub type inlay_stop = ::std::os::raw::c_uint;
#[repr(C)]
pub struct inlay_output {
    pub struct_size: u32,
    pub text: *const ::std::os::raw::c_char,
    pub text_bytes: usize,
    pub tokens: *const i32,
    pub token_count: usize,
    pub stop: i32,
}
#[repr(C)]
pub struct inlay_generator_stats {
    pub struct_size: u32,
    pub prompt_tokens: u64,
    pub prompt_ns: u64,
    pub generated_tokens: u64,
    pub rounds: u64,
    pub drafted: u64,
    pub accepted: u64,
    pub draft_ns: u64,
    pub verify_ns: u64,
    pub rest_ns: u64,
}
extern "C" {
    pub fn inlay_generator_create(
        session: *mut inlay_session,
        params: *const inlay_generator_params,
        out_generator: *mut *mut inlay_generator,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_destroy(generator: *mut inlay_generator);
}
extern "C" {
    pub fn inlay_generator_message(
        generator: *const inlay_generator,
        buffer: *mut ::std::os::raw::c_char,
        capacity: usize,
    ) -> usize;
}
extern "C" {
    pub fn inlay_generator_prompt_tokens(
        generator: *mut inlay_generator,
        tokens: *const i32,
        count: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_prompt_text(
        generator: *mut inlay_generator,
        text: *const ::std::os::raw::c_char,
        text_bytes: usize,
        parse_special: i32,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_next(
        generator: *mut inlay_generator,
        budget_us: u64,
        out_output: *mut inlay_output,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_get_progress(
        generator: *const inlay_generator,
        out_progress: *mut inlay_progress,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_save_bytes(generator: *mut inlay_generator) -> u64;
}
extern "C" {
    pub fn inlay_generator_save(generator: *mut inlay_generator, writer: *const inlay_writer)
        -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_load(generator: *mut inlay_generator, reader: *const inlay_reader)
        -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_save_memory(
        generator: *mut inlay_generator,
        buffer: *mut ::std::os::raw::c_void,
        capacity: u64,
        out_bytes: *mut u64,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_load_memory(
        generator: *mut inlay_generator,
        data: *const ::std::os::raw::c_void,
        bytes: u64,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_generator_get_stats(
        generator: *const inlay_generator,
        out_stats: *mut inlay_generator_stats,
    ) -> inlay_status;
}
#[repr(C)]
pub struct inlay_chat_format {
    pub struct_size: u32,
    pub name: *const ::std::os::raw::c_char,
    pub thinks_by_default: u32,
    pub json_arguments: u32,
    pub may_keep_reasoning: u32,
    pub keeps_reasoning: u32,
    pub opens_first_tool: u32,
    pub think_marks: u32,
}
extern "C" {
    pub fn inlay_chat_format_of(
        runtime: *mut inlay_runtime,
        chat_template: *const ::std::os::raw::c_char,
        template_bytes: usize,
        out_format: *mut inlay_chat_format,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_render(
        runtime: *mut inlay_runtime,
        format: *const inlay_chat_format,
        json: *const ::std::os::raw::c_char,
        json_bytes: usize,
        text: *mut ::std::os::raw::c_char,
        capacity: usize,
        out_bytes: *mut usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_render_tokens(
        runtime: *mut inlay_runtime,
        tokenizer: *const inlay_tokenizer,
        format: *const inlay_chat_format,
        json: *const ::std::os::raw::c_char,
        json_bytes: usize,
        tokens: *mut i32,
        capacity: usize,
        out_count: *mut usize,
    ) -> inlay_status;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct inlay_chat {
    _unused: [u8; 0],
}
pub const INLAY_SAMPLING_PRECISE: inlay_sampling = 1;
pub const INLAY_SAMPLING_LIVELY: inlay_sampling = 2;
pub type inlay_sampling = ::std::os::raw::c_uint;
extern "C" {
    pub fn inlay_sampler_preset(preset: inlay_sampling, params: *mut inlay_sampler_params) -> inlay_status;
}
#[repr(C)]
pub struct inlay_chat_params {
    pub struct_size: u32,
    pub format: *const inlay_chat_format,
    pub generator: *const inlay_generator_params,
    pub tools: *const ::std::os::raw::c_char,
    pub tools_bytes: usize,
    pub keep_reasoning: u32,
}
extern "C" {
    pub fn inlay_chat_create(
        session: *mut inlay_session,
        params: *const inlay_chat_params,
        out_chat: *mut *mut inlay_chat,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_destroy(chat: *mut inlay_chat);
}
extern "C" {
    pub fn inlay_chat_message(
        chat: *const inlay_chat,
        buffer: *mut ::std::os::raw::c_char,
        capacity: usize,
    ) -> usize;
}
extern "C" {
    pub fn inlay_chat_add(
        chat: *mut inlay_chat,
        role: *const ::std::os::raw::c_char,
        content: *const ::std::os::raw::c_char,
        content_bytes: usize,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_add_json(
        chat: *mut inlay_chat,
        json: *const ::std::os::raw::c_char,
        json_bytes: usize,
    ) -> inlay_status;
}
pub const INLAY_THINKING_DEFAULT: inlay_thinking = 0;
pub const INLAY_THINKING_ON: inlay_thinking = 1;
pub const INLAY_THINKING_OFF: inlay_thinking = 2;
pub type inlay_thinking = ::std::os::raw::c_uint;
#[repr(C)]
pub struct inlay_chat_answer_params {
    pub struct_size: u32,
    pub thinking: i32,
    pub think_budget: u64,
    pub think_closing: *const ::std::os::raw::c_char,
    pub stop_strings: *const *const ::std::os::raw::c_char,
    pub stop_string_count: usize,
    pub max_tokens: u64,
    pub repetition_limit: u32,
    pub grammar: *mut inlay_grammar,
    pub strict_calls: u32,
}
extern "C" {
    pub fn inlay_chat_answer(chat: *mut inlay_chat, params: *const inlay_chat_answer_params) -> inlay_status;
}
pub const INLAY_CHAT_NONE: inlay_chat_event_kind = 0;
pub const INLAY_CHAT_REASONING: inlay_chat_event_kind = 1;
pub const INLAY_CHAT_ANSWER: inlay_chat_event_kind = 2;
pub const INLAY_CHAT_CALL_BEGIN: inlay_chat_event_kind = 3;
pub const INLAY_CHAT_ARGUMENT: inlay_chat_event_kind = 4;
pub const INLAY_CHAT_ARGUMENT_TEXT: inlay_chat_event_kind = 5;
pub const INLAY_CHAT_CALL_END: inlay_chat_event_kind = 6;
pub const INLAY_CHAT_CALL_BROKEN: inlay_chat_event_kind = 7;
pub const INLAY_CHAT_WARNING: inlay_chat_event_kind = 8;
pub const INLAY_CHAT_END: inlay_chat_event_kind = 9;
pub type inlay_chat_event_kind = ::std::os::raw::c_uint;
#[repr(C)]
pub struct inlay_chat_event {
    pub struct_size: u32,
    pub kind: i32,
    pub text: *const ::std::os::raw::c_char,
    pub text_bytes: usize,
    pub call: u32,
    pub stop: i32,
    pub prompt_tokens: u64,
    pub reused_tokens: u64,
    pub rewound_tokens: u64,
    pub reasoning_tokens: u64,
    pub answer_tokens: u64,
    pub thought_closed: u32,
    pub reserved: u32,
    pub prompt_ns: u64,
    pub reasoning_ns: u64,
    pub answer_ns: u64,
}
extern "C" {
    pub fn inlay_chat_next(
        chat: *mut inlay_chat,
        budget_us: u64,
        out_event: *mut inlay_chat_event,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_stop(chat: *mut inlay_chat) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_save_bytes(chat: *mut inlay_chat) -> u64;
}
extern "C" {
    pub fn inlay_chat_save(chat: *mut inlay_chat, writer: *const inlay_writer) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_load(chat: *mut inlay_chat, reader: *const inlay_reader) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_save_memory(
        chat: *mut inlay_chat,
        buffer: *mut ::std::os::raw::c_void,
        capacity: u64,
        out_bytes: *mut u64,
    ) -> inlay_status;
}
extern "C" {
    pub fn inlay_chat_load_memory(
        chat: *mut inlay_chat,
        data: *const ::std::os::raw::c_void,
        bytes: u64,
    ) -> inlay_status;
}
