// Generated from inlay.h by generate.sh: do not edit.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Inlay
{
#pragma warning disable 649

    internal static class C
    {
        public const int INLAY_OK = 0;
        public const int INLAY_PENDING = 1;
        public const int INLAY_END = 2;
        public const int INLAY_ERROR_INVALID_ARGUMENT = -1;
        public const int INLAY_ERROR_OUT_OF_MEMORY = -2;
        public const int INLAY_ERROR_MEMORY_LIMIT = -3;
        public const int INLAY_ERROR_IO = -4;
        public const int INLAY_ERROR_CORRUPT_FILE = -5;
        public const int INLAY_ERROR_UNSUPPORTED = -6;
        public const int INLAY_ERROR_CONTEXT_FULL = -7;
        public const int INLAY_ERROR_WRONG_STATE = -8;
        public const int INLAY_ERROR_BUSY = -9;
        public const int INLAY_ERROR_CANCELLED = -10;
        public const int INLAY_ERROR_CALLBACK = -11;
        public const int INLAY_ERROR_DEVICE = -12;
        public const int INLAY_ERROR_MISMATCH = -13;
        public const int INLAY_ERROR_INTERNAL = -14;
        public const int INLAY_ERROR_CHAT_TEMPLATE = -15;
        public const int INLAY_DEVICE_CPU = 0;
        public const int INLAY_DEVICE_CUDA = 1;
        public const int INLAY_LOG_ERROR = 0;
        public const int INLAY_LOG_WARNING = 1;
        public const int INLAY_LOG_INFO = 2;
        public const int INLAY_WEIGHTS_DEFAULT = 0;
        public const int INLAY_WEIGHTS_COPIED = 1;
        public const int INLAY_WEIGHTS_IN_PLACE = 2;
        public const int INLAY_MEMORY_OTHER = 0;
        public const int INLAY_MEMORY_MODEL = 1;
        public const int INLAY_MEMORY_STATE = 2;
        public const int INLAY_MEMORY_SCRATCH = 3;
        public const int INLAY_KV_DEFAULT = 0;
        public const int INLAY_KV_F16 = 1;
        public const int INLAY_KV_FP8 = 2;
        public const int INLAY_KV_Q8 = 3;
        public const int INLAY_DRAFT_NONE = 0;
        public const int INLAY_DRAFT_MTP = 1;
        public const int INLAY_DRAFT_LOOKUP = 2;
        public const int INLAY_DRAFT_LOOKUP_MTP = 3;
        public const int INLAY_DRAFT_HOST = 4;
        public const int INLAY_GRAMMAR_JSON_SCHEMA = 1;
        public const int INLAY_GRAMMAR_GBNF = 2;
        public const int INLAY_STOP_NONE = 0;
        public const int INLAY_STOP_END_OF_TEXT = 1;
        public const int INLAY_STOP_MAX_TOKENS = 2;
        public const int INLAY_STOP_CONTEXT_FULL = 3;
        public const int INLAY_STOP_STRING = 4;
        public const int INLAY_STOP_REPETITION = 5;
        public const int INLAY_STOP_HOST = 6;
        public const int INLAY_SAMPLING_PRECISE = 1;
        public const int INLAY_SAMPLING_LIVELY = 2;
        public const int INLAY_THINKING_DEFAULT = 0;
        public const int INLAY_THINKING_ON = 1;
        public const int INLAY_THINKING_OFF = 2;
        public const int INLAY_CHAT_NONE = 0;
        public const int INLAY_CHAT_REASONING = 1;
        public const int INLAY_CHAT_ANSWER = 2;
        public const int INLAY_CHAT_CALL_BEGIN = 3;
        public const int INLAY_CHAT_ARGUMENT = 4;
        public const int INLAY_CHAT_ARGUMENT_TEXT = 5;
        public const int INLAY_CHAT_CALL_END = 6;
        public const int INLAY_CHAT_CALL_BROKEN = 7;
        public const int INLAY_CHAT_WARNING = 8;
        public const int INLAY_CHAT_END = 9;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_allocator
    {
        public uint @struct_size;
        public IntPtr @user_data;
        public IntPtr @allocate;
        public IntPtr @release;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_runtime_params
    {
        public uint @struct_size;
        public int @device;
        public uint @device_index;
        public uint @threads;
        public inlay_allocator* @allocator;
        public IntPtr @log;
        public IntPtr @log_user_data;
        public ulong @memory_limit;
        public byte* @instruction_set;
        public IntPtr @cuda_stream;
        public uint @low_priority;
        public uint @reserved;
        public uint @guard_mappings;
        public int @weight_placement;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_memory_use
    {
        public uint @struct_size;
        public ulong @now;
        public ulong @high_water;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_runtime_info
    {
        public uint @struct_size;
        public int @device;
        public uint @device_index;
        public uint @threads;
        public byte* @instruction_set;
        public byte* @device_name;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_io
    {
        public uint @struct_size;
        public IntPtr @user_data;
        public IntPtr @size;
        public IntPtr @read_at;
        public IntPtr @map;
        public IntPtr @close;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_source
    {
        public uint @struct_size;
        public byte* @path;
        public IntPtr @data;
        public ulong @data_size;
        public inlay_io* @io;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_model_info
    {
        public uint @struct_size;
        public byte* @architecture;
        public byte* @name;
        public byte* @quantisation;
        public ulong @file_bytes;
        public ulong @parameters;
        public uint @layers;
        public uint @attention_interval;
        public uint @embedding_length;
        public uint @feed_forward_length;
        public uint @attention_heads;
        public uint @attention_kv_heads;
        public uint @attention_head_length;
        public uint @delta_net_key_heads;
        public uint @delta_net_value_heads;
        public uint @delta_net_state_length;
        public uint @vocabulary_size;
        public uint @context_length;
        public uint @mtp_layers;
        public uint @has_weights;
        public uint @has_tokenizer;
        public byte* @chat_template;
        public int @kv_type;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_tensor_info
    {
        public uint @struct_size;
        public byte* @name;
        public UIntPtr @name_bytes;
        public byte* @type;
        public fixed ulong @dimensions[4];
        public ulong @bytes;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_memory_plan
    {
        public uint @struct_size;
        public ulong @weights_mapped;
        public ulong @model_host;
        public ulong @model_device;
        public ulong @session_host;
        public ulong @session_device;
        public ulong @scratch_host;
        public ulong @scratch_device;
        public ulong @kv_cache;
        public ulong @delta_net_state;
        public ulong @window;
        public ulong @pooled_session_host;
        public ulong @pooled_session_device;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_model_params
    {
        public uint @struct_size;
        public uint @read_ahead;
        public IntPtr @progress;
        public IntPtr @progress_user_data;
        public IntPtr @arena;
        public ulong @arena_bytes;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_pack_params
    {
        public uint @struct_size;
        public byte* @quantisation;
        public byte* @imatrix;
        public IntPtr @progress;
        public IntPtr @progress_user_data;
        public byte* @layout;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_pool_params
    {
        public uint @struct_size;
        public ulong @tokens;
        public int @kv_type;
        public uint @mtp;
        public IntPtr @arena;
        public ulong @arena_bytes;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_pool_plan
    {
        public uint @struct_size;
        public ulong @host;
        public ulong @device;
        public ulong @pages;
        public ulong @page_tokens;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_session_params
    {
        public uint @struct_size;
        public uint @context_length;
        public int @kv_type;
        public uint @mtp;
        public uint @prefill_chunk;
        public IntPtr @state_arena;
        public ulong @state_arena_bytes;
        public IntPtr @scratch_arena;
        public ulong @scratch_arena_bytes;
        public IntPtr @pool;
        public IntPtr @share_scratch;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_fork_params
    {
        public uint @struct_size;
        public uint @share_scratch;
        public IntPtr @state_arena;
        public ulong @state_arena_bytes;
        public IntPtr @scratch_arena;
        public ulong @scratch_arena_bytes;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_progress
    {
        public uint @struct_size;
        public ulong @slices_done;
        public ulong @slices_total;
        public ulong @longest_slice_ns;
        public ulong @remaining_ns;
        public ulong @position;
        public ulong @tokens_done;
        public ulong @tokens_total;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_estimate
    {
        public uint @struct_size;
        public ulong @expected_ns;
        public ulong @p99_ns;
        public ulong @longest_slice_ns;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_writer
    {
        public uint @struct_size;
        public IntPtr @user_data;
        public IntPtr @write;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_reader
    {
        public uint @struct_size;
        public IntPtr @user_data;
        public IntPtr @read;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_logit_bias
    {
        public int @token;
        public float @bias;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_sampler_params
    {
        public uint @struct_size;
        public float @temperature;
        public uint @top_k;
        public float @top_p;
        public float @min_p;
        public float @repeat_penalty;
        public float @frequency_penalty;
        public float @presence_penalty;
        public uint @penalty_window;
        public ulong @seed;
        public inlay_logit_bias* @biases;
        public UIntPtr @bias_count;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_drafter
    {
        public uint @struct_size;
        public IntPtr @user_data;
        public IntPtr @propose;
        public IntPtr @observe;
        public IntPtr @reset;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_mask
    {
        public uint @struct_size;
        public IntPtr @user_data;
        public IntPtr @allow;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_generator_params
    {
        public uint @struct_size;
        public inlay_sampler_params* @sampler;
        public int @draft;
        public uint @draft_length;
        public float @draft_min_probability;
        public inlay_drafter* @drafter;
        public ulong @max_tokens;
        public uint @ignore_end;
        public uint @show_special;
        public inlay_mask* @mask;
        public IntPtr @grammar;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_output
    {
        public uint @struct_size;
        public byte* @text;
        public UIntPtr @text_bytes;
        public int* @tokens;
        public UIntPtr @token_count;
        public int @stop;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_generator_stats
    {
        public uint @struct_size;
        public ulong @prompt_tokens;
        public ulong @prompt_ns;
        public ulong @generated_tokens;
        public ulong @rounds;
        public ulong @drafted;
        public ulong @accepted;
        public ulong @draft_ns;
        public ulong @verify_ns;
        public ulong @rest_ns;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_chat_format
    {
        public uint @struct_size;
        public byte* @name;
        public uint @thinks_by_default;
        public uint @json_arguments;
        public uint @may_keep_reasoning;
        public uint @keeps_reasoning;
        public uint @opens_first_tool;
        public uint @think_marks;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_chat_params
    {
        public uint @struct_size;
        public inlay_chat_format* @format;
        public inlay_generator_params* @generator;
        public byte* @tools;
        public UIntPtr @tools_bytes;
        public uint @keep_reasoning;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_chat_answer_params
    {
        public uint @struct_size;
        public int @thinking;
        public ulong @think_budget;
        public byte* @think_closing;
        public byte** @stop_strings;
        public UIntPtr @stop_string_count;
        public ulong @max_tokens;
        public uint @repetition_limit;
        public IntPtr @grammar;
        public uint @strict_calls;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct inlay_chat_event
    {
        public uint @struct_size;
        public int @kind;
        public byte* @text;
        public UIntPtr @text_bytes;
        public uint @call;
        public int @stop;
        public ulong @prompt_tokens;
        public ulong @reused_tokens;
        public ulong @rewound_tokens;
        public ulong @reasoning_tokens;
        public ulong @answer_tokens;
        public uint @thought_closed;
        public uint @reserved;
        public ulong @prompt_ns;
        public ulong @reasoning_ns;
        public ulong @answer_ns;
    }

    internal static unsafe class Native
    {
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern byte* inlay_status_name(int @status);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern uint inlay_version();
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_runtime_create(inlay_runtime_params* @params, IntPtr* @out_runtime);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_runtime_destroy(IntPtr @runtime);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern UIntPtr inlay_runtime_message(InlayHandle @runtime, byte* @buffer, UIntPtr @capacity);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_runtime_memory(InlayHandle @runtime, int @reset, inlay_memory_use* @out_use);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_runtime_memory_of(InlayHandle @runtime, int @kind, int @reset, inlay_memory_use* @out_use);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_runtime_get_info(InlayHandle @runtime, inlay_runtime_info* @out_info);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_runtime_measure_bandwidth(InlayHandle @runtime, double* @out_bytes_a_second);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_file_open(InlayHandle @runtime, inlay_source* @source, IntPtr* @out_file);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_file_destroy(IntPtr @file);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_file_get_info(InlayHandle @file, inlay_model_info* @out_info);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern uint inlay_file_tensor_count(InlayHandle @file);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_file_get_tensor(InlayHandle @file, uint @index, inlay_tensor_info* @out_tensor);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_file_plan(InlayHandle @file, inlay_session_params* @params, inlay_memory_plan* @out_plan);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_model_create(InlayHandle @file, inlay_model_params* @params, IntPtr* @out_model);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_model_open(InlayHandle @runtime, inlay_source* @source, inlay_model_params* @params, IntPtr* @out_model);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_model_destroy(IntPtr @model);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_model_get_info(InlayHandle @model, inlay_model_info* @out_info);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_model_plan(InlayHandle @model, inlay_session_params* @params, inlay_memory_plan* @out_plan);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_pack(InlayHandle @runtime, byte* @input, byte* @output, inlay_pack_params* @params);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_file_verify(InlayHandle @file, IntPtr @progress, IntPtr @user_data);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_tokenizer_create(InlayHandle @file, IntPtr* @out_tokenizer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_tokenizer_destroy(IntPtr @tokenizer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern IntPtr inlay_model_tokenizer(InlayHandle @model);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_tokenizer_encode(InlayHandle @tokenizer, byte* @text, UIntPtr @text_bytes, int @parse_special, int* @tokens, UIntPtr @capacity, UIntPtr* @out_count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_tokenizer_decode(InlayHandle @tokenizer, int* @tokens, UIntPtr @count, int @show_special, byte* @text, UIntPtr @capacity, UIntPtr* @out_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern uint inlay_tokenizer_size(InlayHandle @tokenizer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_tokenizer_end_of_text(InlayHandle @tokenizer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_tokenizer_is_end(InlayHandle @tokenizer, int @token);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_tokenizer_find(InlayHandle @tokenizer, byte* @text, UIntPtr @text_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_file_plan_pool(InlayHandle @file, inlay_pool_params* @params, inlay_pool_plan* @out_plan);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_pool_create(InlayHandle @model, inlay_pool_params* @params, IntPtr* @out_pool);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_pool_destroy(IntPtr @pool);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern ulong inlay_pool_free_pages(InlayHandle @pool);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_create(InlayHandle @model, inlay_session_params* @params, IntPtr* @out_session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_session_destroy(IntPtr @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern UIntPtr inlay_session_message(InlayHandle @session, byte* @buffer, UIntPtr @capacity);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_fork(InlayHandle @session, IntPtr* @out_session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_fork_with(InlayHandle @session, inlay_fork_params* @params, IntPtr* @out_session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_rewind_to(InlayHandle @session, InlayHandle @mark);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_prefill(InlayHandle @session, int* @tokens, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_step(InlayHandle @session, int @token);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_verify(InlayHandle @session, int* @tokens, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_begin_prefill(InlayHandle @session, int* @tokens, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_begin_step(InlayHandle @session, int @token);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_begin_verify(InlayHandle @session, int* @tokens, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_commit(InlayHandle @session, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_rewind(InlayHandle @session, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern UIntPtr inlay_session_rewindable(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_reset(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_advance(InlayHandle @session, ulong @budget_us, inlay_progress* @out_progress);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_poll(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_finish(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_estimate(InlayHandle @session, UIntPtr @prompt, UIntPtr @rounds, uint @width, inlay_estimate* @out_estimate);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_begin_steps(IntPtr* @sessions, int* @tokens, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_session_cancel(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern ulong inlay_session_position(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern uint inlay_session_context_length(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int* inlay_session_tokens(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_logits(InlayHandle @session, UIntPtr @row, float** @out_logits);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_hidden(InlayHandle @session, UIntPtr @row, float** @out_hidden);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern ulong inlay_session_save_bytes(InlayHandle @session);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_save(InlayHandle @session, inlay_writer* @writer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_load(InlayHandle @session, inlay_reader* @reader);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_save_memory(InlayHandle @session, IntPtr @buffer, ulong @capacity, ulong* @out_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_load_memory(InlayHandle @session, IntPtr @data, ulong @bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_session_mtp_logits(InlayHandle @session, int* @tokens, UIntPtr @count, float* @out_logits);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_sampler_create(InlayHandle @model, inlay_sampler_params* @params, IntPtr* @out_sampler);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_sampler_destroy(IntPtr @sampler);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_sampler_sample(InlayHandle @sampler, float* @logits, int* @history, UIntPtr @history_count, ulong @position, int* @out_token);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_grammar_create(InlayHandle @model, int @kind, byte* @text, UIntPtr @text_bytes, IntPtr* @out_grammar);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_grammar_destroy(IntPtr @grammar);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_create(InlayHandle @session, inlay_generator_params* @params, IntPtr* @out_generator);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_generator_destroy(IntPtr @generator);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern UIntPtr inlay_generator_message(InlayHandle @generator, byte* @buffer, UIntPtr @capacity);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_prompt_tokens(InlayHandle @generator, int* @tokens, UIntPtr @count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_prompt_text(InlayHandle @generator, byte* @text, UIntPtr @text_bytes, int @parse_special);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_next(InlayHandle @generator, ulong @budget_us, inlay_output* @out_output);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_get_progress(InlayHandle @generator, inlay_progress* @out_progress);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern ulong inlay_generator_save_bytes(InlayHandle @generator);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_save(InlayHandle @generator, inlay_writer* @writer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_load(InlayHandle @generator, inlay_reader* @reader);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_save_memory(InlayHandle @generator, IntPtr @buffer, ulong @capacity, ulong* @out_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_load_memory(InlayHandle @generator, IntPtr @data, ulong @bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_generator_get_stats(InlayHandle @generator, inlay_generator_stats* @out_stats);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_format_of(InlayHandle @runtime, byte* @chat_template, UIntPtr @template_bytes, inlay_chat_format* @out_format);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_render(InlayHandle @runtime, inlay_chat_format* @format, byte* @json, UIntPtr @json_bytes, byte* @text, UIntPtr @capacity, UIntPtr* @out_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_render_tokens(InlayHandle @runtime, InlayHandle @tokenizer, inlay_chat_format* @format, byte* @json, UIntPtr @json_bytes, int* @tokens, UIntPtr @capacity, UIntPtr* @out_count);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_sampler_preset(int @preset, inlay_sampler_params* @params);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_create(InlayHandle @session, inlay_chat_params* @params, IntPtr* @out_chat);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern void inlay_chat_destroy(IntPtr @chat);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern UIntPtr inlay_chat_message(InlayHandle @chat, byte* @buffer, UIntPtr @capacity);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_add(InlayHandle @chat, byte* @role, byte* @content, UIntPtr @content_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_add_json(InlayHandle @chat, byte* @json, UIntPtr @json_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_answer(InlayHandle @chat, inlay_chat_answer_params* @params);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_next(InlayHandle @chat, ulong @budget_us, inlay_chat_event* @out_event);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_stop(InlayHandle @chat);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern ulong inlay_chat_save_bytes(InlayHandle @chat);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_save(InlayHandle @chat, inlay_writer* @writer);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_load(InlayHandle @chat, inlay_reader* @reader);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_save_memory(InlayHandle @chat, IntPtr @buffer, ulong @capacity, ulong* @out_bytes);
        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]
        public static extern int inlay_chat_load_memory(InlayHandle @chat, IntPtr @data, ulong @bytes);
    }

    internal static unsafe class Layout
    {
        public static void Check()
        {
            Library.CheckSize("inlay_allocator", sizeof(inlay_allocator), 32);
            Library.CheckSize("inlay_runtime_params", sizeof(inlay_runtime_params), 80);
            Library.CheckSize("inlay_memory_use", sizeof(inlay_memory_use), 24);
            Library.CheckSize("inlay_runtime_info", sizeof(inlay_runtime_info), 32);
            Library.CheckSize("inlay_io", sizeof(inlay_io), 48);
            Library.CheckSize("inlay_source", sizeof(inlay_source), 40);
            Library.CheckSize("inlay_model_info", sizeof(inlay_model_info), 128);
            Library.CheckSize("inlay_tensor_info", sizeof(inlay_tensor_info), 72);
            Library.CheckSize("inlay_memory_plan", sizeof(inlay_memory_plan), 104);
            Library.CheckSize("inlay_model_params", sizeof(inlay_model_params), 40);
            Library.CheckSize("inlay_pack_params", sizeof(inlay_pack_params), 48);
            Library.CheckSize("inlay_pool_params", sizeof(inlay_pool_params), 40);
            Library.CheckSize("inlay_pool_plan", sizeof(inlay_pool_plan), 40);
            Library.CheckSize("inlay_session_params", sizeof(inlay_session_params), 72);
            Library.CheckSize("inlay_fork_params", sizeof(inlay_fork_params), 40);
            Library.CheckSize("inlay_progress", sizeof(inlay_progress), 64);
            Library.CheckSize("inlay_estimate", sizeof(inlay_estimate), 32);
            Library.CheckSize("inlay_writer", sizeof(inlay_writer), 24);
            Library.CheckSize("inlay_reader", sizeof(inlay_reader), 24);
            Library.CheckSize("inlay_logit_bias", sizeof(inlay_logit_bias), 8);
            Library.CheckSize("inlay_sampler_params", sizeof(inlay_sampler_params), 64);
            Library.CheckSize("inlay_drafter", sizeof(inlay_drafter), 40);
            Library.CheckSize("inlay_mask", sizeof(inlay_mask), 24);
            Library.CheckSize("inlay_generator_params", sizeof(inlay_generator_params), 72);
            Library.CheckSize("inlay_output", sizeof(inlay_output), 48);
            Library.CheckSize("inlay_generator_stats", sizeof(inlay_generator_stats), 80);
            Library.CheckSize("inlay_chat_format", sizeof(inlay_chat_format), 40);
            Library.CheckSize("inlay_chat_params", sizeof(inlay_chat_params), 48);
            Library.CheckSize("inlay_chat_answer_params", sizeof(inlay_chat_answer_params), 72);
            Library.CheckSize("inlay_chat_event", sizeof(inlay_chat_event), 104);
        }

        public static void Describe(StringBuilder text)
        {
            {
                inlay_allocator it;
                byte* at = (byte*)&it;
                text.Append("inlay_allocator ").Append(sizeof(inlay_allocator)).Append("\n");
                text.Append("inlay_allocator.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_allocator.user_data ").Append((byte*)&it.@user_data - at).Append(" ").Append((byte*)(&it.@user_data + 1) - (byte*)&it.@user_data).Append("\n");
                text.Append("inlay_allocator.allocate ").Append((byte*)&it.@allocate - at).Append(" ").Append((byte*)(&it.@allocate + 1) - (byte*)&it.@allocate).Append("\n");
                text.Append("inlay_allocator.release ").Append((byte*)&it.@release - at).Append(" ").Append((byte*)(&it.@release + 1) - (byte*)&it.@release).Append("\n");
            }
            {
                inlay_runtime_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_runtime_params ").Append(sizeof(inlay_runtime_params)).Append("\n");
                text.Append("inlay_runtime_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_runtime_params.device ").Append((byte*)&it.@device - at).Append(" ").Append((byte*)(&it.@device + 1) - (byte*)&it.@device).Append("\n");
                text.Append("inlay_runtime_params.device_index ").Append((byte*)&it.@device_index - at).Append(" ").Append((byte*)(&it.@device_index + 1) - (byte*)&it.@device_index).Append("\n");
                text.Append("inlay_runtime_params.threads ").Append((byte*)&it.@threads - at).Append(" ").Append((byte*)(&it.@threads + 1) - (byte*)&it.@threads).Append("\n");
                text.Append("inlay_runtime_params.allocator ").Append((byte*)&it.@allocator - at).Append(" ").Append((byte*)(&it.@allocator + 1) - (byte*)&it.@allocator).Append("\n");
                text.Append("inlay_runtime_params.log ").Append((byte*)&it.@log - at).Append(" ").Append((byte*)(&it.@log + 1) - (byte*)&it.@log).Append("\n");
                text.Append("inlay_runtime_params.log_user_data ").Append((byte*)&it.@log_user_data - at).Append(" ").Append((byte*)(&it.@log_user_data + 1) - (byte*)&it.@log_user_data).Append("\n");
                text.Append("inlay_runtime_params.memory_limit ").Append((byte*)&it.@memory_limit - at).Append(" ").Append((byte*)(&it.@memory_limit + 1) - (byte*)&it.@memory_limit).Append("\n");
                text.Append("inlay_runtime_params.instruction_set ").Append((byte*)&it.@instruction_set - at).Append(" ").Append((byte*)(&it.@instruction_set + 1) - (byte*)&it.@instruction_set).Append("\n");
                text.Append("inlay_runtime_params.cuda_stream ").Append((byte*)&it.@cuda_stream - at).Append(" ").Append((byte*)(&it.@cuda_stream + 1) - (byte*)&it.@cuda_stream).Append("\n");
                text.Append("inlay_runtime_params.low_priority ").Append((byte*)&it.@low_priority - at).Append(" ").Append((byte*)(&it.@low_priority + 1) - (byte*)&it.@low_priority).Append("\n");
                text.Append("inlay_runtime_params.reserved ").Append((byte*)&it.@reserved - at).Append(" ").Append((byte*)(&it.@reserved + 1) - (byte*)&it.@reserved).Append("\n");
                text.Append("inlay_runtime_params.guard_mappings ").Append((byte*)&it.@guard_mappings - at).Append(" ").Append((byte*)(&it.@guard_mappings + 1) - (byte*)&it.@guard_mappings).Append("\n");
                text.Append("inlay_runtime_params.weight_placement ").Append((byte*)&it.@weight_placement - at).Append(" ").Append((byte*)(&it.@weight_placement + 1) - (byte*)&it.@weight_placement).Append("\n");
            }
            {
                inlay_memory_use it;
                byte* at = (byte*)&it;
                text.Append("inlay_memory_use ").Append(sizeof(inlay_memory_use)).Append("\n");
                text.Append("inlay_memory_use.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_memory_use.now ").Append((byte*)&it.@now - at).Append(" ").Append((byte*)(&it.@now + 1) - (byte*)&it.@now).Append("\n");
                text.Append("inlay_memory_use.high_water ").Append((byte*)&it.@high_water - at).Append(" ").Append((byte*)(&it.@high_water + 1) - (byte*)&it.@high_water).Append("\n");
            }
            {
                inlay_runtime_info it;
                byte* at = (byte*)&it;
                text.Append("inlay_runtime_info ").Append(sizeof(inlay_runtime_info)).Append("\n");
                text.Append("inlay_runtime_info.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_runtime_info.device ").Append((byte*)&it.@device - at).Append(" ").Append((byte*)(&it.@device + 1) - (byte*)&it.@device).Append("\n");
                text.Append("inlay_runtime_info.device_index ").Append((byte*)&it.@device_index - at).Append(" ").Append((byte*)(&it.@device_index + 1) - (byte*)&it.@device_index).Append("\n");
                text.Append("inlay_runtime_info.threads ").Append((byte*)&it.@threads - at).Append(" ").Append((byte*)(&it.@threads + 1) - (byte*)&it.@threads).Append("\n");
                text.Append("inlay_runtime_info.instruction_set ").Append((byte*)&it.@instruction_set - at).Append(" ").Append((byte*)(&it.@instruction_set + 1) - (byte*)&it.@instruction_set).Append("\n");
                text.Append("inlay_runtime_info.device_name ").Append((byte*)&it.@device_name - at).Append(" ").Append((byte*)(&it.@device_name + 1) - (byte*)&it.@device_name).Append("\n");
            }
            {
                inlay_io it;
                byte* at = (byte*)&it;
                text.Append("inlay_io ").Append(sizeof(inlay_io)).Append("\n");
                text.Append("inlay_io.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_io.user_data ").Append((byte*)&it.@user_data - at).Append(" ").Append((byte*)(&it.@user_data + 1) - (byte*)&it.@user_data).Append("\n");
                text.Append("inlay_io.size ").Append((byte*)&it.@size - at).Append(" ").Append((byte*)(&it.@size + 1) - (byte*)&it.@size).Append("\n");
                text.Append("inlay_io.read_at ").Append((byte*)&it.@read_at - at).Append(" ").Append((byte*)(&it.@read_at + 1) - (byte*)&it.@read_at).Append("\n");
                text.Append("inlay_io.map ").Append((byte*)&it.@map - at).Append(" ").Append((byte*)(&it.@map + 1) - (byte*)&it.@map).Append("\n");
                text.Append("inlay_io.close ").Append((byte*)&it.@close - at).Append(" ").Append((byte*)(&it.@close + 1) - (byte*)&it.@close).Append("\n");
            }
            {
                inlay_source it;
                byte* at = (byte*)&it;
                text.Append("inlay_source ").Append(sizeof(inlay_source)).Append("\n");
                text.Append("inlay_source.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_source.path ").Append((byte*)&it.@path - at).Append(" ").Append((byte*)(&it.@path + 1) - (byte*)&it.@path).Append("\n");
                text.Append("inlay_source.data ").Append((byte*)&it.@data - at).Append(" ").Append((byte*)(&it.@data + 1) - (byte*)&it.@data).Append("\n");
                text.Append("inlay_source.data_size ").Append((byte*)&it.@data_size - at).Append(" ").Append((byte*)(&it.@data_size + 1) - (byte*)&it.@data_size).Append("\n");
                text.Append("inlay_source.io ").Append((byte*)&it.@io - at).Append(" ").Append((byte*)(&it.@io + 1) - (byte*)&it.@io).Append("\n");
            }
            {
                inlay_model_info it;
                byte* at = (byte*)&it;
                text.Append("inlay_model_info ").Append(sizeof(inlay_model_info)).Append("\n");
                text.Append("inlay_model_info.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_model_info.architecture ").Append((byte*)&it.@architecture - at).Append(" ").Append((byte*)(&it.@architecture + 1) - (byte*)&it.@architecture).Append("\n");
                text.Append("inlay_model_info.name ").Append((byte*)&it.@name - at).Append(" ").Append((byte*)(&it.@name + 1) - (byte*)&it.@name).Append("\n");
                text.Append("inlay_model_info.quantisation ").Append((byte*)&it.@quantisation - at).Append(" ").Append((byte*)(&it.@quantisation + 1) - (byte*)&it.@quantisation).Append("\n");
                text.Append("inlay_model_info.file_bytes ").Append((byte*)&it.@file_bytes - at).Append(" ").Append((byte*)(&it.@file_bytes + 1) - (byte*)&it.@file_bytes).Append("\n");
                text.Append("inlay_model_info.parameters ").Append((byte*)&it.@parameters - at).Append(" ").Append((byte*)(&it.@parameters + 1) - (byte*)&it.@parameters).Append("\n");
                text.Append("inlay_model_info.layers ").Append((byte*)&it.@layers - at).Append(" ").Append((byte*)(&it.@layers + 1) - (byte*)&it.@layers).Append("\n");
                text.Append("inlay_model_info.attention_interval ").Append((byte*)&it.@attention_interval - at).Append(" ").Append((byte*)(&it.@attention_interval + 1) - (byte*)&it.@attention_interval).Append("\n");
                text.Append("inlay_model_info.embedding_length ").Append((byte*)&it.@embedding_length - at).Append(" ").Append((byte*)(&it.@embedding_length + 1) - (byte*)&it.@embedding_length).Append("\n");
                text.Append("inlay_model_info.feed_forward_length ").Append((byte*)&it.@feed_forward_length - at).Append(" ").Append((byte*)(&it.@feed_forward_length + 1) - (byte*)&it.@feed_forward_length).Append("\n");
                text.Append("inlay_model_info.attention_heads ").Append((byte*)&it.@attention_heads - at).Append(" ").Append((byte*)(&it.@attention_heads + 1) - (byte*)&it.@attention_heads).Append("\n");
                text.Append("inlay_model_info.attention_kv_heads ").Append((byte*)&it.@attention_kv_heads - at).Append(" ").Append((byte*)(&it.@attention_kv_heads + 1) - (byte*)&it.@attention_kv_heads).Append("\n");
                text.Append("inlay_model_info.attention_head_length ").Append((byte*)&it.@attention_head_length - at).Append(" ").Append((byte*)(&it.@attention_head_length + 1) - (byte*)&it.@attention_head_length).Append("\n");
                text.Append("inlay_model_info.delta_net_key_heads ").Append((byte*)&it.@delta_net_key_heads - at).Append(" ").Append((byte*)(&it.@delta_net_key_heads + 1) - (byte*)&it.@delta_net_key_heads).Append("\n");
                text.Append("inlay_model_info.delta_net_value_heads ").Append((byte*)&it.@delta_net_value_heads - at).Append(" ").Append((byte*)(&it.@delta_net_value_heads + 1) - (byte*)&it.@delta_net_value_heads).Append("\n");
                text.Append("inlay_model_info.delta_net_state_length ").Append((byte*)&it.@delta_net_state_length - at).Append(" ").Append((byte*)(&it.@delta_net_state_length + 1) - (byte*)&it.@delta_net_state_length).Append("\n");
                text.Append("inlay_model_info.vocabulary_size ").Append((byte*)&it.@vocabulary_size - at).Append(" ").Append((byte*)(&it.@vocabulary_size + 1) - (byte*)&it.@vocabulary_size).Append("\n");
                text.Append("inlay_model_info.context_length ").Append((byte*)&it.@context_length - at).Append(" ").Append((byte*)(&it.@context_length + 1) - (byte*)&it.@context_length).Append("\n");
                text.Append("inlay_model_info.mtp_layers ").Append((byte*)&it.@mtp_layers - at).Append(" ").Append((byte*)(&it.@mtp_layers + 1) - (byte*)&it.@mtp_layers).Append("\n");
                text.Append("inlay_model_info.has_weights ").Append((byte*)&it.@has_weights - at).Append(" ").Append((byte*)(&it.@has_weights + 1) - (byte*)&it.@has_weights).Append("\n");
                text.Append("inlay_model_info.has_tokenizer ").Append((byte*)&it.@has_tokenizer - at).Append(" ").Append((byte*)(&it.@has_tokenizer + 1) - (byte*)&it.@has_tokenizer).Append("\n");
                text.Append("inlay_model_info.chat_template ").Append((byte*)&it.@chat_template - at).Append(" ").Append((byte*)(&it.@chat_template + 1) - (byte*)&it.@chat_template).Append("\n");
                text.Append("inlay_model_info.kv_type ").Append((byte*)&it.@kv_type - at).Append(" ").Append((byte*)(&it.@kv_type + 1) - (byte*)&it.@kv_type).Append("\n");
            }
            {
                inlay_tensor_info it;
                byte* at = (byte*)&it;
                text.Append("inlay_tensor_info ").Append(sizeof(inlay_tensor_info)).Append("\n");
                text.Append("inlay_tensor_info.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_tensor_info.name ").Append((byte*)&it.@name - at).Append(" ").Append((byte*)(&it.@name + 1) - (byte*)&it.@name).Append("\n");
                text.Append("inlay_tensor_info.name_bytes ").Append((byte*)&it.@name_bytes - at).Append(" ").Append((byte*)(&it.@name_bytes + 1) - (byte*)&it.@name_bytes).Append("\n");
                text.Append("inlay_tensor_info.type ").Append((byte*)&it.@type - at).Append(" ").Append((byte*)(&it.@type + 1) - (byte*)&it.@type).Append("\n");
                text.Append("inlay_tensor_info.dimensions ").Append((byte*)it.@dimensions - at).Append(" ").Append(4 * sizeof(ulong)).Append("\n");
                text.Append("inlay_tensor_info.bytes ").Append((byte*)&it.@bytes - at).Append(" ").Append((byte*)(&it.@bytes + 1) - (byte*)&it.@bytes).Append("\n");
            }
            {
                inlay_memory_plan it;
                byte* at = (byte*)&it;
                text.Append("inlay_memory_plan ").Append(sizeof(inlay_memory_plan)).Append("\n");
                text.Append("inlay_memory_plan.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_memory_plan.weights_mapped ").Append((byte*)&it.@weights_mapped - at).Append(" ").Append((byte*)(&it.@weights_mapped + 1) - (byte*)&it.@weights_mapped).Append("\n");
                text.Append("inlay_memory_plan.model_host ").Append((byte*)&it.@model_host - at).Append(" ").Append((byte*)(&it.@model_host + 1) - (byte*)&it.@model_host).Append("\n");
                text.Append("inlay_memory_plan.model_device ").Append((byte*)&it.@model_device - at).Append(" ").Append((byte*)(&it.@model_device + 1) - (byte*)&it.@model_device).Append("\n");
                text.Append("inlay_memory_plan.session_host ").Append((byte*)&it.@session_host - at).Append(" ").Append((byte*)(&it.@session_host + 1) - (byte*)&it.@session_host).Append("\n");
                text.Append("inlay_memory_plan.session_device ").Append((byte*)&it.@session_device - at).Append(" ").Append((byte*)(&it.@session_device + 1) - (byte*)&it.@session_device).Append("\n");
                text.Append("inlay_memory_plan.scratch_host ").Append((byte*)&it.@scratch_host - at).Append(" ").Append((byte*)(&it.@scratch_host + 1) - (byte*)&it.@scratch_host).Append("\n");
                text.Append("inlay_memory_plan.scratch_device ").Append((byte*)&it.@scratch_device - at).Append(" ").Append((byte*)(&it.@scratch_device + 1) - (byte*)&it.@scratch_device).Append("\n");
                text.Append("inlay_memory_plan.kv_cache ").Append((byte*)&it.@kv_cache - at).Append(" ").Append((byte*)(&it.@kv_cache + 1) - (byte*)&it.@kv_cache).Append("\n");
                text.Append("inlay_memory_plan.delta_net_state ").Append((byte*)&it.@delta_net_state - at).Append(" ").Append((byte*)(&it.@delta_net_state + 1) - (byte*)&it.@delta_net_state).Append("\n");
                text.Append("inlay_memory_plan.window ").Append((byte*)&it.@window - at).Append(" ").Append((byte*)(&it.@window + 1) - (byte*)&it.@window).Append("\n");
                text.Append("inlay_memory_plan.pooled_session_host ").Append((byte*)&it.@pooled_session_host - at).Append(" ").Append((byte*)(&it.@pooled_session_host + 1) - (byte*)&it.@pooled_session_host).Append("\n");
                text.Append("inlay_memory_plan.pooled_session_device ").Append((byte*)&it.@pooled_session_device - at).Append(" ").Append((byte*)(&it.@pooled_session_device + 1) - (byte*)&it.@pooled_session_device).Append("\n");
            }
            {
                inlay_model_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_model_params ").Append(sizeof(inlay_model_params)).Append("\n");
                text.Append("inlay_model_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_model_params.read_ahead ").Append((byte*)&it.@read_ahead - at).Append(" ").Append((byte*)(&it.@read_ahead + 1) - (byte*)&it.@read_ahead).Append("\n");
                text.Append("inlay_model_params.progress ").Append((byte*)&it.@progress - at).Append(" ").Append((byte*)(&it.@progress + 1) - (byte*)&it.@progress).Append("\n");
                text.Append("inlay_model_params.progress_user_data ").Append((byte*)&it.@progress_user_data - at).Append(" ").Append((byte*)(&it.@progress_user_data + 1) - (byte*)&it.@progress_user_data).Append("\n");
                text.Append("inlay_model_params.arena ").Append((byte*)&it.@arena - at).Append(" ").Append((byte*)(&it.@arena + 1) - (byte*)&it.@arena).Append("\n");
                text.Append("inlay_model_params.arena_bytes ").Append((byte*)&it.@arena_bytes - at).Append(" ").Append((byte*)(&it.@arena_bytes + 1) - (byte*)&it.@arena_bytes).Append("\n");
            }
            {
                inlay_pack_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_pack_params ").Append(sizeof(inlay_pack_params)).Append("\n");
                text.Append("inlay_pack_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_pack_params.quantisation ").Append((byte*)&it.@quantisation - at).Append(" ").Append((byte*)(&it.@quantisation + 1) - (byte*)&it.@quantisation).Append("\n");
                text.Append("inlay_pack_params.imatrix ").Append((byte*)&it.@imatrix - at).Append(" ").Append((byte*)(&it.@imatrix + 1) - (byte*)&it.@imatrix).Append("\n");
                text.Append("inlay_pack_params.progress ").Append((byte*)&it.@progress - at).Append(" ").Append((byte*)(&it.@progress + 1) - (byte*)&it.@progress).Append("\n");
                text.Append("inlay_pack_params.progress_user_data ").Append((byte*)&it.@progress_user_data - at).Append(" ").Append((byte*)(&it.@progress_user_data + 1) - (byte*)&it.@progress_user_data).Append("\n");
                text.Append("inlay_pack_params.layout ").Append((byte*)&it.@layout - at).Append(" ").Append((byte*)(&it.@layout + 1) - (byte*)&it.@layout).Append("\n");
            }
            {
                inlay_pool_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_pool_params ").Append(sizeof(inlay_pool_params)).Append("\n");
                text.Append("inlay_pool_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_pool_params.tokens ").Append((byte*)&it.@tokens - at).Append(" ").Append((byte*)(&it.@tokens + 1) - (byte*)&it.@tokens).Append("\n");
                text.Append("inlay_pool_params.kv_type ").Append((byte*)&it.@kv_type - at).Append(" ").Append((byte*)(&it.@kv_type + 1) - (byte*)&it.@kv_type).Append("\n");
                text.Append("inlay_pool_params.mtp ").Append((byte*)&it.@mtp - at).Append(" ").Append((byte*)(&it.@mtp + 1) - (byte*)&it.@mtp).Append("\n");
                text.Append("inlay_pool_params.arena ").Append((byte*)&it.@arena - at).Append(" ").Append((byte*)(&it.@arena + 1) - (byte*)&it.@arena).Append("\n");
                text.Append("inlay_pool_params.arena_bytes ").Append((byte*)&it.@arena_bytes - at).Append(" ").Append((byte*)(&it.@arena_bytes + 1) - (byte*)&it.@arena_bytes).Append("\n");
            }
            {
                inlay_pool_plan it;
                byte* at = (byte*)&it;
                text.Append("inlay_pool_plan ").Append(sizeof(inlay_pool_plan)).Append("\n");
                text.Append("inlay_pool_plan.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_pool_plan.host ").Append((byte*)&it.@host - at).Append(" ").Append((byte*)(&it.@host + 1) - (byte*)&it.@host).Append("\n");
                text.Append("inlay_pool_plan.device ").Append((byte*)&it.@device - at).Append(" ").Append((byte*)(&it.@device + 1) - (byte*)&it.@device).Append("\n");
                text.Append("inlay_pool_plan.pages ").Append((byte*)&it.@pages - at).Append(" ").Append((byte*)(&it.@pages + 1) - (byte*)&it.@pages).Append("\n");
                text.Append("inlay_pool_plan.page_tokens ").Append((byte*)&it.@page_tokens - at).Append(" ").Append((byte*)(&it.@page_tokens + 1) - (byte*)&it.@page_tokens).Append("\n");
            }
            {
                inlay_session_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_session_params ").Append(sizeof(inlay_session_params)).Append("\n");
                text.Append("inlay_session_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_session_params.context_length ").Append((byte*)&it.@context_length - at).Append(" ").Append((byte*)(&it.@context_length + 1) - (byte*)&it.@context_length).Append("\n");
                text.Append("inlay_session_params.kv_type ").Append((byte*)&it.@kv_type - at).Append(" ").Append((byte*)(&it.@kv_type + 1) - (byte*)&it.@kv_type).Append("\n");
                text.Append("inlay_session_params.mtp ").Append((byte*)&it.@mtp - at).Append(" ").Append((byte*)(&it.@mtp + 1) - (byte*)&it.@mtp).Append("\n");
                text.Append("inlay_session_params.prefill_chunk ").Append((byte*)&it.@prefill_chunk - at).Append(" ").Append((byte*)(&it.@prefill_chunk + 1) - (byte*)&it.@prefill_chunk).Append("\n");
                text.Append("inlay_session_params.state_arena ").Append((byte*)&it.@state_arena - at).Append(" ").Append((byte*)(&it.@state_arena + 1) - (byte*)&it.@state_arena).Append("\n");
                text.Append("inlay_session_params.state_arena_bytes ").Append((byte*)&it.@state_arena_bytes - at).Append(" ").Append((byte*)(&it.@state_arena_bytes + 1) - (byte*)&it.@state_arena_bytes).Append("\n");
                text.Append("inlay_session_params.scratch_arena ").Append((byte*)&it.@scratch_arena - at).Append(" ").Append((byte*)(&it.@scratch_arena + 1) - (byte*)&it.@scratch_arena).Append("\n");
                text.Append("inlay_session_params.scratch_arena_bytes ").Append((byte*)&it.@scratch_arena_bytes - at).Append(" ").Append((byte*)(&it.@scratch_arena_bytes + 1) - (byte*)&it.@scratch_arena_bytes).Append("\n");
                text.Append("inlay_session_params.pool ").Append((byte*)&it.@pool - at).Append(" ").Append((byte*)(&it.@pool + 1) - (byte*)&it.@pool).Append("\n");
                text.Append("inlay_session_params.share_scratch ").Append((byte*)&it.@share_scratch - at).Append(" ").Append((byte*)(&it.@share_scratch + 1) - (byte*)&it.@share_scratch).Append("\n");
            }
            {
                inlay_fork_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_fork_params ").Append(sizeof(inlay_fork_params)).Append("\n");
                text.Append("inlay_fork_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_fork_params.share_scratch ").Append((byte*)&it.@share_scratch - at).Append(" ").Append((byte*)(&it.@share_scratch + 1) - (byte*)&it.@share_scratch).Append("\n");
                text.Append("inlay_fork_params.state_arena ").Append((byte*)&it.@state_arena - at).Append(" ").Append((byte*)(&it.@state_arena + 1) - (byte*)&it.@state_arena).Append("\n");
                text.Append("inlay_fork_params.state_arena_bytes ").Append((byte*)&it.@state_arena_bytes - at).Append(" ").Append((byte*)(&it.@state_arena_bytes + 1) - (byte*)&it.@state_arena_bytes).Append("\n");
                text.Append("inlay_fork_params.scratch_arena ").Append((byte*)&it.@scratch_arena - at).Append(" ").Append((byte*)(&it.@scratch_arena + 1) - (byte*)&it.@scratch_arena).Append("\n");
                text.Append("inlay_fork_params.scratch_arena_bytes ").Append((byte*)&it.@scratch_arena_bytes - at).Append(" ").Append((byte*)(&it.@scratch_arena_bytes + 1) - (byte*)&it.@scratch_arena_bytes).Append("\n");
            }
            {
                inlay_progress it;
                byte* at = (byte*)&it;
                text.Append("inlay_progress ").Append(sizeof(inlay_progress)).Append("\n");
                text.Append("inlay_progress.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_progress.slices_done ").Append((byte*)&it.@slices_done - at).Append(" ").Append((byte*)(&it.@slices_done + 1) - (byte*)&it.@slices_done).Append("\n");
                text.Append("inlay_progress.slices_total ").Append((byte*)&it.@slices_total - at).Append(" ").Append((byte*)(&it.@slices_total + 1) - (byte*)&it.@slices_total).Append("\n");
                text.Append("inlay_progress.longest_slice_ns ").Append((byte*)&it.@longest_slice_ns - at).Append(" ").Append((byte*)(&it.@longest_slice_ns + 1) - (byte*)&it.@longest_slice_ns).Append("\n");
                text.Append("inlay_progress.remaining_ns ").Append((byte*)&it.@remaining_ns - at).Append(" ").Append((byte*)(&it.@remaining_ns + 1) - (byte*)&it.@remaining_ns).Append("\n");
                text.Append("inlay_progress.position ").Append((byte*)&it.@position - at).Append(" ").Append((byte*)(&it.@position + 1) - (byte*)&it.@position).Append("\n");
                text.Append("inlay_progress.tokens_done ").Append((byte*)&it.@tokens_done - at).Append(" ").Append((byte*)(&it.@tokens_done + 1) - (byte*)&it.@tokens_done).Append("\n");
                text.Append("inlay_progress.tokens_total ").Append((byte*)&it.@tokens_total - at).Append(" ").Append((byte*)(&it.@tokens_total + 1) - (byte*)&it.@tokens_total).Append("\n");
            }
            {
                inlay_estimate it;
                byte* at = (byte*)&it;
                text.Append("inlay_estimate ").Append(sizeof(inlay_estimate)).Append("\n");
                text.Append("inlay_estimate.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_estimate.expected_ns ").Append((byte*)&it.@expected_ns - at).Append(" ").Append((byte*)(&it.@expected_ns + 1) - (byte*)&it.@expected_ns).Append("\n");
                text.Append("inlay_estimate.p99_ns ").Append((byte*)&it.@p99_ns - at).Append(" ").Append((byte*)(&it.@p99_ns + 1) - (byte*)&it.@p99_ns).Append("\n");
                text.Append("inlay_estimate.longest_slice_ns ").Append((byte*)&it.@longest_slice_ns - at).Append(" ").Append((byte*)(&it.@longest_slice_ns + 1) - (byte*)&it.@longest_slice_ns).Append("\n");
            }
            {
                inlay_writer it;
                byte* at = (byte*)&it;
                text.Append("inlay_writer ").Append(sizeof(inlay_writer)).Append("\n");
                text.Append("inlay_writer.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_writer.user_data ").Append((byte*)&it.@user_data - at).Append(" ").Append((byte*)(&it.@user_data + 1) - (byte*)&it.@user_data).Append("\n");
                text.Append("inlay_writer.write ").Append((byte*)&it.@write - at).Append(" ").Append((byte*)(&it.@write + 1) - (byte*)&it.@write).Append("\n");
            }
            {
                inlay_reader it;
                byte* at = (byte*)&it;
                text.Append("inlay_reader ").Append(sizeof(inlay_reader)).Append("\n");
                text.Append("inlay_reader.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_reader.user_data ").Append((byte*)&it.@user_data - at).Append(" ").Append((byte*)(&it.@user_data + 1) - (byte*)&it.@user_data).Append("\n");
                text.Append("inlay_reader.read ").Append((byte*)&it.@read - at).Append(" ").Append((byte*)(&it.@read + 1) - (byte*)&it.@read).Append("\n");
            }
            {
                inlay_logit_bias it;
                byte* at = (byte*)&it;
                text.Append("inlay_logit_bias ").Append(sizeof(inlay_logit_bias)).Append("\n");
                text.Append("inlay_logit_bias.token ").Append((byte*)&it.@token - at).Append(" ").Append((byte*)(&it.@token + 1) - (byte*)&it.@token).Append("\n");
                text.Append("inlay_logit_bias.bias ").Append((byte*)&it.@bias - at).Append(" ").Append((byte*)(&it.@bias + 1) - (byte*)&it.@bias).Append("\n");
            }
            {
                inlay_sampler_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_sampler_params ").Append(sizeof(inlay_sampler_params)).Append("\n");
                text.Append("inlay_sampler_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_sampler_params.temperature ").Append((byte*)&it.@temperature - at).Append(" ").Append((byte*)(&it.@temperature + 1) - (byte*)&it.@temperature).Append("\n");
                text.Append("inlay_sampler_params.top_k ").Append((byte*)&it.@top_k - at).Append(" ").Append((byte*)(&it.@top_k + 1) - (byte*)&it.@top_k).Append("\n");
                text.Append("inlay_sampler_params.top_p ").Append((byte*)&it.@top_p - at).Append(" ").Append((byte*)(&it.@top_p + 1) - (byte*)&it.@top_p).Append("\n");
                text.Append("inlay_sampler_params.min_p ").Append((byte*)&it.@min_p - at).Append(" ").Append((byte*)(&it.@min_p + 1) - (byte*)&it.@min_p).Append("\n");
                text.Append("inlay_sampler_params.repeat_penalty ").Append((byte*)&it.@repeat_penalty - at).Append(" ").Append((byte*)(&it.@repeat_penalty + 1) - (byte*)&it.@repeat_penalty).Append("\n");
                text.Append("inlay_sampler_params.frequency_penalty ").Append((byte*)&it.@frequency_penalty - at).Append(" ").Append((byte*)(&it.@frequency_penalty + 1) - (byte*)&it.@frequency_penalty).Append("\n");
                text.Append("inlay_sampler_params.presence_penalty ").Append((byte*)&it.@presence_penalty - at).Append(" ").Append((byte*)(&it.@presence_penalty + 1) - (byte*)&it.@presence_penalty).Append("\n");
                text.Append("inlay_sampler_params.penalty_window ").Append((byte*)&it.@penalty_window - at).Append(" ").Append((byte*)(&it.@penalty_window + 1) - (byte*)&it.@penalty_window).Append("\n");
                text.Append("inlay_sampler_params.seed ").Append((byte*)&it.@seed - at).Append(" ").Append((byte*)(&it.@seed + 1) - (byte*)&it.@seed).Append("\n");
                text.Append("inlay_sampler_params.biases ").Append((byte*)&it.@biases - at).Append(" ").Append((byte*)(&it.@biases + 1) - (byte*)&it.@biases).Append("\n");
                text.Append("inlay_sampler_params.bias_count ").Append((byte*)&it.@bias_count - at).Append(" ").Append((byte*)(&it.@bias_count + 1) - (byte*)&it.@bias_count).Append("\n");
            }
            {
                inlay_drafter it;
                byte* at = (byte*)&it;
                text.Append("inlay_drafter ").Append(sizeof(inlay_drafter)).Append("\n");
                text.Append("inlay_drafter.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_drafter.user_data ").Append((byte*)&it.@user_data - at).Append(" ").Append((byte*)(&it.@user_data + 1) - (byte*)&it.@user_data).Append("\n");
                text.Append("inlay_drafter.propose ").Append((byte*)&it.@propose - at).Append(" ").Append((byte*)(&it.@propose + 1) - (byte*)&it.@propose).Append("\n");
                text.Append("inlay_drafter.observe ").Append((byte*)&it.@observe - at).Append(" ").Append((byte*)(&it.@observe + 1) - (byte*)&it.@observe).Append("\n");
                text.Append("inlay_drafter.reset ").Append((byte*)&it.@reset - at).Append(" ").Append((byte*)(&it.@reset + 1) - (byte*)&it.@reset).Append("\n");
            }
            {
                inlay_mask it;
                byte* at = (byte*)&it;
                text.Append("inlay_mask ").Append(sizeof(inlay_mask)).Append("\n");
                text.Append("inlay_mask.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_mask.user_data ").Append((byte*)&it.@user_data - at).Append(" ").Append((byte*)(&it.@user_data + 1) - (byte*)&it.@user_data).Append("\n");
                text.Append("inlay_mask.allow ").Append((byte*)&it.@allow - at).Append(" ").Append((byte*)(&it.@allow + 1) - (byte*)&it.@allow).Append("\n");
            }
            {
                inlay_generator_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_generator_params ").Append(sizeof(inlay_generator_params)).Append("\n");
                text.Append("inlay_generator_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_generator_params.sampler ").Append((byte*)&it.@sampler - at).Append(" ").Append((byte*)(&it.@sampler + 1) - (byte*)&it.@sampler).Append("\n");
                text.Append("inlay_generator_params.draft ").Append((byte*)&it.@draft - at).Append(" ").Append((byte*)(&it.@draft + 1) - (byte*)&it.@draft).Append("\n");
                text.Append("inlay_generator_params.draft_length ").Append((byte*)&it.@draft_length - at).Append(" ").Append((byte*)(&it.@draft_length + 1) - (byte*)&it.@draft_length).Append("\n");
                text.Append("inlay_generator_params.draft_min_probability ").Append((byte*)&it.@draft_min_probability - at).Append(" ").Append((byte*)(&it.@draft_min_probability + 1) - (byte*)&it.@draft_min_probability).Append("\n");
                text.Append("inlay_generator_params.drafter ").Append((byte*)&it.@drafter - at).Append(" ").Append((byte*)(&it.@drafter + 1) - (byte*)&it.@drafter).Append("\n");
                text.Append("inlay_generator_params.max_tokens ").Append((byte*)&it.@max_tokens - at).Append(" ").Append((byte*)(&it.@max_tokens + 1) - (byte*)&it.@max_tokens).Append("\n");
                text.Append("inlay_generator_params.ignore_end ").Append((byte*)&it.@ignore_end - at).Append(" ").Append((byte*)(&it.@ignore_end + 1) - (byte*)&it.@ignore_end).Append("\n");
                text.Append("inlay_generator_params.show_special ").Append((byte*)&it.@show_special - at).Append(" ").Append((byte*)(&it.@show_special + 1) - (byte*)&it.@show_special).Append("\n");
                text.Append("inlay_generator_params.mask ").Append((byte*)&it.@mask - at).Append(" ").Append((byte*)(&it.@mask + 1) - (byte*)&it.@mask).Append("\n");
                text.Append("inlay_generator_params.grammar ").Append((byte*)&it.@grammar - at).Append(" ").Append((byte*)(&it.@grammar + 1) - (byte*)&it.@grammar).Append("\n");
            }
            {
                inlay_output it;
                byte* at = (byte*)&it;
                text.Append("inlay_output ").Append(sizeof(inlay_output)).Append("\n");
                text.Append("inlay_output.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_output.text ").Append((byte*)&it.@text - at).Append(" ").Append((byte*)(&it.@text + 1) - (byte*)&it.@text).Append("\n");
                text.Append("inlay_output.text_bytes ").Append((byte*)&it.@text_bytes - at).Append(" ").Append((byte*)(&it.@text_bytes + 1) - (byte*)&it.@text_bytes).Append("\n");
                text.Append("inlay_output.tokens ").Append((byte*)&it.@tokens - at).Append(" ").Append((byte*)(&it.@tokens + 1) - (byte*)&it.@tokens).Append("\n");
                text.Append("inlay_output.token_count ").Append((byte*)&it.@token_count - at).Append(" ").Append((byte*)(&it.@token_count + 1) - (byte*)&it.@token_count).Append("\n");
                text.Append("inlay_output.stop ").Append((byte*)&it.@stop - at).Append(" ").Append((byte*)(&it.@stop + 1) - (byte*)&it.@stop).Append("\n");
            }
            {
                inlay_generator_stats it;
                byte* at = (byte*)&it;
                text.Append("inlay_generator_stats ").Append(sizeof(inlay_generator_stats)).Append("\n");
                text.Append("inlay_generator_stats.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_generator_stats.prompt_tokens ").Append((byte*)&it.@prompt_tokens - at).Append(" ").Append((byte*)(&it.@prompt_tokens + 1) - (byte*)&it.@prompt_tokens).Append("\n");
                text.Append("inlay_generator_stats.prompt_ns ").Append((byte*)&it.@prompt_ns - at).Append(" ").Append((byte*)(&it.@prompt_ns + 1) - (byte*)&it.@prompt_ns).Append("\n");
                text.Append("inlay_generator_stats.generated_tokens ").Append((byte*)&it.@generated_tokens - at).Append(" ").Append((byte*)(&it.@generated_tokens + 1) - (byte*)&it.@generated_tokens).Append("\n");
                text.Append("inlay_generator_stats.rounds ").Append((byte*)&it.@rounds - at).Append(" ").Append((byte*)(&it.@rounds + 1) - (byte*)&it.@rounds).Append("\n");
                text.Append("inlay_generator_stats.drafted ").Append((byte*)&it.@drafted - at).Append(" ").Append((byte*)(&it.@drafted + 1) - (byte*)&it.@drafted).Append("\n");
                text.Append("inlay_generator_stats.accepted ").Append((byte*)&it.@accepted - at).Append(" ").Append((byte*)(&it.@accepted + 1) - (byte*)&it.@accepted).Append("\n");
                text.Append("inlay_generator_stats.draft_ns ").Append((byte*)&it.@draft_ns - at).Append(" ").Append((byte*)(&it.@draft_ns + 1) - (byte*)&it.@draft_ns).Append("\n");
                text.Append("inlay_generator_stats.verify_ns ").Append((byte*)&it.@verify_ns - at).Append(" ").Append((byte*)(&it.@verify_ns + 1) - (byte*)&it.@verify_ns).Append("\n");
                text.Append("inlay_generator_stats.rest_ns ").Append((byte*)&it.@rest_ns - at).Append(" ").Append((byte*)(&it.@rest_ns + 1) - (byte*)&it.@rest_ns).Append("\n");
            }
            {
                inlay_chat_format it;
                byte* at = (byte*)&it;
                text.Append("inlay_chat_format ").Append(sizeof(inlay_chat_format)).Append("\n");
                text.Append("inlay_chat_format.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_chat_format.name ").Append((byte*)&it.@name - at).Append(" ").Append((byte*)(&it.@name + 1) - (byte*)&it.@name).Append("\n");
                text.Append("inlay_chat_format.thinks_by_default ").Append((byte*)&it.@thinks_by_default - at).Append(" ").Append((byte*)(&it.@thinks_by_default + 1) - (byte*)&it.@thinks_by_default).Append("\n");
                text.Append("inlay_chat_format.json_arguments ").Append((byte*)&it.@json_arguments - at).Append(" ").Append((byte*)(&it.@json_arguments + 1) - (byte*)&it.@json_arguments).Append("\n");
                text.Append("inlay_chat_format.may_keep_reasoning ").Append((byte*)&it.@may_keep_reasoning - at).Append(" ").Append((byte*)(&it.@may_keep_reasoning + 1) - (byte*)&it.@may_keep_reasoning).Append("\n");
                text.Append("inlay_chat_format.keeps_reasoning ").Append((byte*)&it.@keeps_reasoning - at).Append(" ").Append((byte*)(&it.@keeps_reasoning + 1) - (byte*)&it.@keeps_reasoning).Append("\n");
                text.Append("inlay_chat_format.opens_first_tool ").Append((byte*)&it.@opens_first_tool - at).Append(" ").Append((byte*)(&it.@opens_first_tool + 1) - (byte*)&it.@opens_first_tool).Append("\n");
                text.Append("inlay_chat_format.think_marks ").Append((byte*)&it.@think_marks - at).Append(" ").Append((byte*)(&it.@think_marks + 1) - (byte*)&it.@think_marks).Append("\n");
            }
            {
                inlay_chat_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_chat_params ").Append(sizeof(inlay_chat_params)).Append("\n");
                text.Append("inlay_chat_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_chat_params.format ").Append((byte*)&it.@format - at).Append(" ").Append((byte*)(&it.@format + 1) - (byte*)&it.@format).Append("\n");
                text.Append("inlay_chat_params.generator ").Append((byte*)&it.@generator - at).Append(" ").Append((byte*)(&it.@generator + 1) - (byte*)&it.@generator).Append("\n");
                text.Append("inlay_chat_params.tools ").Append((byte*)&it.@tools - at).Append(" ").Append((byte*)(&it.@tools + 1) - (byte*)&it.@tools).Append("\n");
                text.Append("inlay_chat_params.tools_bytes ").Append((byte*)&it.@tools_bytes - at).Append(" ").Append((byte*)(&it.@tools_bytes + 1) - (byte*)&it.@tools_bytes).Append("\n");
                text.Append("inlay_chat_params.keep_reasoning ").Append((byte*)&it.@keep_reasoning - at).Append(" ").Append((byte*)(&it.@keep_reasoning + 1) - (byte*)&it.@keep_reasoning).Append("\n");
            }
            {
                inlay_chat_answer_params it;
                byte* at = (byte*)&it;
                text.Append("inlay_chat_answer_params ").Append(sizeof(inlay_chat_answer_params)).Append("\n");
                text.Append("inlay_chat_answer_params.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_chat_answer_params.thinking ").Append((byte*)&it.@thinking - at).Append(" ").Append((byte*)(&it.@thinking + 1) - (byte*)&it.@thinking).Append("\n");
                text.Append("inlay_chat_answer_params.think_budget ").Append((byte*)&it.@think_budget - at).Append(" ").Append((byte*)(&it.@think_budget + 1) - (byte*)&it.@think_budget).Append("\n");
                text.Append("inlay_chat_answer_params.think_closing ").Append((byte*)&it.@think_closing - at).Append(" ").Append((byte*)(&it.@think_closing + 1) - (byte*)&it.@think_closing).Append("\n");
                text.Append("inlay_chat_answer_params.stop_strings ").Append((byte*)&it.@stop_strings - at).Append(" ").Append((byte*)(&it.@stop_strings + 1) - (byte*)&it.@stop_strings).Append("\n");
                text.Append("inlay_chat_answer_params.stop_string_count ").Append((byte*)&it.@stop_string_count - at).Append(" ").Append((byte*)(&it.@stop_string_count + 1) - (byte*)&it.@stop_string_count).Append("\n");
                text.Append("inlay_chat_answer_params.max_tokens ").Append((byte*)&it.@max_tokens - at).Append(" ").Append((byte*)(&it.@max_tokens + 1) - (byte*)&it.@max_tokens).Append("\n");
                text.Append("inlay_chat_answer_params.repetition_limit ").Append((byte*)&it.@repetition_limit - at).Append(" ").Append((byte*)(&it.@repetition_limit + 1) - (byte*)&it.@repetition_limit).Append("\n");
                text.Append("inlay_chat_answer_params.grammar ").Append((byte*)&it.@grammar - at).Append(" ").Append((byte*)(&it.@grammar + 1) - (byte*)&it.@grammar).Append("\n");
                text.Append("inlay_chat_answer_params.strict_calls ").Append((byte*)&it.@strict_calls - at).Append(" ").Append((byte*)(&it.@strict_calls + 1) - (byte*)&it.@strict_calls).Append("\n");
            }
            {
                inlay_chat_event it;
                byte* at = (byte*)&it;
                text.Append("inlay_chat_event ").Append(sizeof(inlay_chat_event)).Append("\n");
                text.Append("inlay_chat_event.struct_size ").Append((byte*)&it.@struct_size - at).Append(" ").Append((byte*)(&it.@struct_size + 1) - (byte*)&it.@struct_size).Append("\n");
                text.Append("inlay_chat_event.kind ").Append((byte*)&it.@kind - at).Append(" ").Append((byte*)(&it.@kind + 1) - (byte*)&it.@kind).Append("\n");
                text.Append("inlay_chat_event.text ").Append((byte*)&it.@text - at).Append(" ").Append((byte*)(&it.@text + 1) - (byte*)&it.@text).Append("\n");
                text.Append("inlay_chat_event.text_bytes ").Append((byte*)&it.@text_bytes - at).Append(" ").Append((byte*)(&it.@text_bytes + 1) - (byte*)&it.@text_bytes).Append("\n");
                text.Append("inlay_chat_event.call ").Append((byte*)&it.@call - at).Append(" ").Append((byte*)(&it.@call + 1) - (byte*)&it.@call).Append("\n");
                text.Append("inlay_chat_event.stop ").Append((byte*)&it.@stop - at).Append(" ").Append((byte*)(&it.@stop + 1) - (byte*)&it.@stop).Append("\n");
                text.Append("inlay_chat_event.prompt_tokens ").Append((byte*)&it.@prompt_tokens - at).Append(" ").Append((byte*)(&it.@prompt_tokens + 1) - (byte*)&it.@prompt_tokens).Append("\n");
                text.Append("inlay_chat_event.reused_tokens ").Append((byte*)&it.@reused_tokens - at).Append(" ").Append((byte*)(&it.@reused_tokens + 1) - (byte*)&it.@reused_tokens).Append("\n");
                text.Append("inlay_chat_event.rewound_tokens ").Append((byte*)&it.@rewound_tokens - at).Append(" ").Append((byte*)(&it.@rewound_tokens + 1) - (byte*)&it.@rewound_tokens).Append("\n");
                text.Append("inlay_chat_event.reasoning_tokens ").Append((byte*)&it.@reasoning_tokens - at).Append(" ").Append((byte*)(&it.@reasoning_tokens + 1) - (byte*)&it.@reasoning_tokens).Append("\n");
                text.Append("inlay_chat_event.answer_tokens ").Append((byte*)&it.@answer_tokens - at).Append(" ").Append((byte*)(&it.@answer_tokens + 1) - (byte*)&it.@answer_tokens).Append("\n");
                text.Append("inlay_chat_event.thought_closed ").Append((byte*)&it.@thought_closed - at).Append(" ").Append((byte*)(&it.@thought_closed + 1) - (byte*)&it.@thought_closed).Append("\n");
                text.Append("inlay_chat_event.reserved ").Append((byte*)&it.@reserved - at).Append(" ").Append((byte*)(&it.@reserved + 1) - (byte*)&it.@reserved).Append("\n");
                text.Append("inlay_chat_event.prompt_ns ").Append((byte*)&it.@prompt_ns - at).Append(" ").Append((byte*)(&it.@prompt_ns + 1) - (byte*)&it.@prompt_ns).Append("\n");
                text.Append("inlay_chat_event.reasoning_ns ").Append((byte*)&it.@reasoning_ns - at).Append(" ").Append((byte*)(&it.@reasoning_ns + 1) - (byte*)&it.@reasoning_ns).Append("\n");
                text.Append("inlay_chat_event.answer_ns ").Append((byte*)&it.@answer_ns - at).Append(" ").Append((byte*)(&it.@answer_ns + 1) - (byte*)&it.@answer_ns).Append("\n");
            }
        }

        public static void DescribeConstants(StringBuilder text)
        {
            text.Append("INLAY_OK ").Append(C.INLAY_OK).Append("\n");
            text.Append("INLAY_PENDING ").Append(C.INLAY_PENDING).Append("\n");
            text.Append("INLAY_END ").Append(C.INLAY_END).Append("\n");
            text.Append("INLAY_ERROR_INVALID_ARGUMENT ").Append(C.INLAY_ERROR_INVALID_ARGUMENT).Append("\n");
            text.Append("INLAY_ERROR_OUT_OF_MEMORY ").Append(C.INLAY_ERROR_OUT_OF_MEMORY).Append("\n");
            text.Append("INLAY_ERROR_MEMORY_LIMIT ").Append(C.INLAY_ERROR_MEMORY_LIMIT).Append("\n");
            text.Append("INLAY_ERROR_IO ").Append(C.INLAY_ERROR_IO).Append("\n");
            text.Append("INLAY_ERROR_CORRUPT_FILE ").Append(C.INLAY_ERROR_CORRUPT_FILE).Append("\n");
            text.Append("INLAY_ERROR_UNSUPPORTED ").Append(C.INLAY_ERROR_UNSUPPORTED).Append("\n");
            text.Append("INLAY_ERROR_CONTEXT_FULL ").Append(C.INLAY_ERROR_CONTEXT_FULL).Append("\n");
            text.Append("INLAY_ERROR_WRONG_STATE ").Append(C.INLAY_ERROR_WRONG_STATE).Append("\n");
            text.Append("INLAY_ERROR_BUSY ").Append(C.INLAY_ERROR_BUSY).Append("\n");
            text.Append("INLAY_ERROR_CANCELLED ").Append(C.INLAY_ERROR_CANCELLED).Append("\n");
            text.Append("INLAY_ERROR_CALLBACK ").Append(C.INLAY_ERROR_CALLBACK).Append("\n");
            text.Append("INLAY_ERROR_DEVICE ").Append(C.INLAY_ERROR_DEVICE).Append("\n");
            text.Append("INLAY_ERROR_MISMATCH ").Append(C.INLAY_ERROR_MISMATCH).Append("\n");
            text.Append("INLAY_ERROR_INTERNAL ").Append(C.INLAY_ERROR_INTERNAL).Append("\n");
            text.Append("INLAY_ERROR_CHAT_TEMPLATE ").Append(C.INLAY_ERROR_CHAT_TEMPLATE).Append("\n");
            text.Append("INLAY_DEVICE_CPU ").Append(C.INLAY_DEVICE_CPU).Append("\n");
            text.Append("INLAY_DEVICE_CUDA ").Append(C.INLAY_DEVICE_CUDA).Append("\n");
            text.Append("INLAY_LOG_ERROR ").Append(C.INLAY_LOG_ERROR).Append("\n");
            text.Append("INLAY_LOG_WARNING ").Append(C.INLAY_LOG_WARNING).Append("\n");
            text.Append("INLAY_LOG_INFO ").Append(C.INLAY_LOG_INFO).Append("\n");
            text.Append("INLAY_WEIGHTS_DEFAULT ").Append(C.INLAY_WEIGHTS_DEFAULT).Append("\n");
            text.Append("INLAY_WEIGHTS_COPIED ").Append(C.INLAY_WEIGHTS_COPIED).Append("\n");
            text.Append("INLAY_WEIGHTS_IN_PLACE ").Append(C.INLAY_WEIGHTS_IN_PLACE).Append("\n");
            text.Append("INLAY_MEMORY_OTHER ").Append(C.INLAY_MEMORY_OTHER).Append("\n");
            text.Append("INLAY_MEMORY_MODEL ").Append(C.INLAY_MEMORY_MODEL).Append("\n");
            text.Append("INLAY_MEMORY_STATE ").Append(C.INLAY_MEMORY_STATE).Append("\n");
            text.Append("INLAY_MEMORY_SCRATCH ").Append(C.INLAY_MEMORY_SCRATCH).Append("\n");
            text.Append("INLAY_KV_DEFAULT ").Append(C.INLAY_KV_DEFAULT).Append("\n");
            text.Append("INLAY_KV_F16 ").Append(C.INLAY_KV_F16).Append("\n");
            text.Append("INLAY_KV_FP8 ").Append(C.INLAY_KV_FP8).Append("\n");
            text.Append("INLAY_KV_Q8 ").Append(C.INLAY_KV_Q8).Append("\n");
            text.Append("INLAY_DRAFT_NONE ").Append(C.INLAY_DRAFT_NONE).Append("\n");
            text.Append("INLAY_DRAFT_MTP ").Append(C.INLAY_DRAFT_MTP).Append("\n");
            text.Append("INLAY_DRAFT_LOOKUP ").Append(C.INLAY_DRAFT_LOOKUP).Append("\n");
            text.Append("INLAY_DRAFT_LOOKUP_MTP ").Append(C.INLAY_DRAFT_LOOKUP_MTP).Append("\n");
            text.Append("INLAY_DRAFT_HOST ").Append(C.INLAY_DRAFT_HOST).Append("\n");
            text.Append("INLAY_GRAMMAR_JSON_SCHEMA ").Append(C.INLAY_GRAMMAR_JSON_SCHEMA).Append("\n");
            text.Append("INLAY_GRAMMAR_GBNF ").Append(C.INLAY_GRAMMAR_GBNF).Append("\n");
            text.Append("INLAY_STOP_NONE ").Append(C.INLAY_STOP_NONE).Append("\n");
            text.Append("INLAY_STOP_END_OF_TEXT ").Append(C.INLAY_STOP_END_OF_TEXT).Append("\n");
            text.Append("INLAY_STOP_MAX_TOKENS ").Append(C.INLAY_STOP_MAX_TOKENS).Append("\n");
            text.Append("INLAY_STOP_CONTEXT_FULL ").Append(C.INLAY_STOP_CONTEXT_FULL).Append("\n");
            text.Append("INLAY_STOP_STRING ").Append(C.INLAY_STOP_STRING).Append("\n");
            text.Append("INLAY_STOP_REPETITION ").Append(C.INLAY_STOP_REPETITION).Append("\n");
            text.Append("INLAY_STOP_HOST ").Append(C.INLAY_STOP_HOST).Append("\n");
            text.Append("INLAY_SAMPLING_PRECISE ").Append(C.INLAY_SAMPLING_PRECISE).Append("\n");
            text.Append("INLAY_SAMPLING_LIVELY ").Append(C.INLAY_SAMPLING_LIVELY).Append("\n");
            text.Append("INLAY_THINKING_DEFAULT ").Append(C.INLAY_THINKING_DEFAULT).Append("\n");
            text.Append("INLAY_THINKING_ON ").Append(C.INLAY_THINKING_ON).Append("\n");
            text.Append("INLAY_THINKING_OFF ").Append(C.INLAY_THINKING_OFF).Append("\n");
            text.Append("INLAY_CHAT_NONE ").Append(C.INLAY_CHAT_NONE).Append("\n");
            text.Append("INLAY_CHAT_REASONING ").Append(C.INLAY_CHAT_REASONING).Append("\n");
            text.Append("INLAY_CHAT_ANSWER ").Append(C.INLAY_CHAT_ANSWER).Append("\n");
            text.Append("INLAY_CHAT_CALL_BEGIN ").Append(C.INLAY_CHAT_CALL_BEGIN).Append("\n");
            text.Append("INLAY_CHAT_ARGUMENT ").Append(C.INLAY_CHAT_ARGUMENT).Append("\n");
            text.Append("INLAY_CHAT_ARGUMENT_TEXT ").Append(C.INLAY_CHAT_ARGUMENT_TEXT).Append("\n");
            text.Append("INLAY_CHAT_CALL_END ").Append(C.INLAY_CHAT_CALL_END).Append("\n");
            text.Append("INLAY_CHAT_CALL_BROKEN ").Append(C.INLAY_CHAT_CALL_BROKEN).Append("\n");
            text.Append("INLAY_CHAT_WARNING ").Append(C.INLAY_CHAT_WARNING).Append("\n");
            text.Append("INLAY_CHAT_END ").Append(C.INLAY_CHAT_END).Append("\n");
        }
    }
}
