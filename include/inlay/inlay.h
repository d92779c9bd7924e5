/*
 * Inlay: an embeddable runtime for the Qwen3.5 / Qwen3.6 dense hybrid language models.
 *
 * This header is the whole public interface and its reference. It reads from simple to advanced:
 *
 *   1. conventions, status, version         5. session   (one timeline of tokens)
 *   2. runtime   (device, threads, memory)  6. sampler   (logits to a token)
 *   3. file, plan, model                    7. drafter, generator (prompt to text)
 *   4. tokenizer                            8. chat      (messages and tools to events)
 *
 * Conventions
 * - Every fallible call returns an inlay_status: 0 is done, a positive value is a state (more to come, the
 *   end), a negative value is an error. On an error every out_ parameter is null or zero and what the call
 *   was made on is as it was before, unless the call says otherwise.
 * - Parameter structs are passed by pointer and start with struct_size; initialise them with their _INIT
 *   macro. A library newer than the caller's header takes the fields that it is not given as zero, and zero
 *   always means the default. A library older than the header refuses a struct whose unknown part is not
 *   zero. Structs that the library fills carry struct_size too; it fills what fits.
 * - Text is UTF-8 with an explicit length in bytes. Tokens are int32_t, 0 <= token < vocabulary size.
 * - Handles are made by _create or _open and given back by _destroy, which takes null. Each child keeps its
 *   parents alive: destroying a runtime that still has models only gives up the caller's own hold on it.
 * - The words of the last error of a handle are asked of that handle (inlay_runtime_message and the like);
 *   an error of a create or open is left with the parent.
 * - No call aborts, exits, throws through this interface, reads an environment variable, or keeps state
 *   outside its handles (but for guard_mappings). Nothing writes to stdout or stderr; what there is to say
 *   goes to the log callback.
 *
 * Threads
 * - inlay_runtime, inlay_file, inlay_model, inlay_tokenizer and inlay_pool may be used by any number of
 *   threads at once.
 * - inlay_session, inlay_sampler and inlay_generator belong to one thread at a time; different ones are
 *   independent. The one exception is inlay_session_cancel, which any thread may call.
 *   A second thread inside one session gets INLAY_ERROR_BUSY.
 * - Callbacks run on the caller's thread, or as they say; what they get lives until they return. There a call
 *   into the same session is INLAY_ERROR_BUSY, and destroying what the call works on waits for its end.
 */
#ifndef INLAY_INLAY_H
#define INLAY_INLAY_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && !defined(INLAY_STATIC)
#if defined(INLAY_BUILDING)
#define INLAY_API __declspec(dllexport)
#else
#define INLAY_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define INLAY_API __attribute__((visibility("default")))
#else
#define INLAY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------- */
/* 1. Status and version                                                                                */
/* ---------------------------------------------------------------------------------------------------- */

typedef enum inlay_status {
  INLAY_OK = 0,
  INLAY_PENDING = 1, /* the time budget is used up, the work is not; call again */
  INLAY_END = 2,     /* nothing more will come: the text has ended */

  INLAY_ERROR_INVALID_ARGUMENT = -1, /* a null, a number out of range, a wrong struct_size */
  INLAY_ERROR_OUT_OF_MEMORY = -2,    /* the allocator or the device gave none */
  INLAY_ERROR_MEMORY_LIMIT = -3,     /* more than the runtime's memory_limit or the host's arena */
  INLAY_ERROR_IO = -4,               /* a file could not be opened or read, or was cut short since */
  INLAY_ERROR_CORRUPT_FILE = -5,     /* a file contradicts itself or ends early */
  INLAY_ERROR_UNSUPPORTED = -6,      /* a file or a wish that is well formed, and not Inlay's */
  INLAY_ERROR_CONTEXT_FULL = -7,     /* the session's context has no room for the tokens */
  INLAY_ERROR_WRONG_STATE = -8,      /* the call does not fit where the object stands */
  INLAY_ERROR_BUSY = -9,             /* another thread, or a callback's caller, is inside */
  INLAY_ERROR_CANCELLED = -10,       /* inlay_session_cancel was called; the session is as before the work */
  INLAY_ERROR_CALLBACK = -11,        /* a callback of the host reported an error */
  INLAY_ERROR_DEVICE = -12,          /* the device failed; the session can only be destroyed */
  INLAY_ERROR_MISMATCH = -13,        /* a saved state is of another model or another layout */
  INLAY_ERROR_INTERNAL = -14,        /* a defect of Inlay's own */
  INLAY_ERROR_CHAT_TEMPLATE = -15    /* the file's chat template is none that Inlay renders */
} inlay_status;

/* The status's name, "INLAY_ERROR_IO" for example; never null. Any thread, constant time. */
INLAY_API const char *inlay_status_name(inlay_status status);

#define INLAY_VERSION_MAJOR 0
#define INLAY_VERSION_MINOR 1
#define INLAY_VERSION_PATCH 0

/* The version of the library that runs, (major << 16) | (minor << 8) | patch. Any thread. */
INLAY_API uint32_t inlay_version(void);

/* ---------------------------------------------------------------------------------------------------- */
/* 2. Runtime                                                                                           */
/* ---------------------------------------------------------------------------------------------------- */

typedef struct inlay_runtime inlay_runtime;

typedef enum inlay_device { INLAY_DEVICE_CPU = 0, INLAY_DEVICE_CUDA = 1 } inlay_device;

/* The host's memory. Both functions may be called by any thread that calls into Inlay, at create, open and
 * destroy; never while a session works. */
typedef struct inlay_allocator {
  uint32_t struct_size;
  void *user_data;
  /* size bytes aligned to alignment (a power of two, up to 4096), or null when there are none. */
  void *(*allocate)(void *user_data, size_t size, size_t alignment);
  /* gives back what allocate returned for the same size and alignment. */
  void (*release)(void *user_data, void *memory, size_t size, size_t alignment);
} inlay_allocator;
#define INLAY_ALLOCATOR_INIT \
  { sizeof(inlay_allocator), NULL, NULL, NULL }

typedef enum inlay_log_level {
  INLAY_LOG_ERROR = 0,
  INLAY_LOG_WARNING = 1,
  INLAY_LOG_INFO = 2
} inlay_log_level;

/* One line without a line end, zero terminated. Called at create, open and destroy, never while a session
 * works. */
typedef void (*inlay_log_fn)(void *user_data, inlay_log_level level, const char *message);

/* Where a CUDA device keeps the weights of a package in its own layout (see inlay_pack_params.layout). Every
 * other weight, that of a GGUF file too, is copied to the device whatever is chosen: its blocks lie as no
 * kernel of it reads them. A plan's model_device says what is copied. The CPU uses all weights in place. */
typedef enum inlay_weight_placement {
  INLAY_WEIGHTS_DEFAULT = 0, /* in place where the device's memory is the host's (integrated), else copied */
  INLAY_WEIGHTS_COPIED = 1,  /* to the device's own memory */
  /* Read where they are mapped: from the host's memory, by every pass. The mapping is pinned while the model
   * lives, unless the device reads pageable memory through the host's page tables. INLAY_ERROR_UNSUPPORTED,
   * from inlay_runtime_create, on a device that can do neither. */
  INLAY_WEIGHTS_IN_PLACE = 2
} inlay_weight_placement;

typedef struct inlay_runtime_params {
  uint32_t struct_size;
  int32_t device;                   /* an inlay_device */
  uint32_t device_index;            /* which CUDA device; 0 for the CPU */
  uint32_t threads;                 /* threads that compute, the caller's included; 0: one a usable core */
  const inlay_allocator *allocator; /* null: the C library's; copied */
  inlay_log_fn log;                 /* null: silent */
  void *log_user_data;
  uint64_t memory_limit;       /* host bytes that this runtime and all made from it may hold; 0: no limit */
  const char *instruction_set; /* null: the best that this processor has; else "scalar", "avx2", "avx512",
                                  "amx" or "neon": for tests, and to compare */
  void *cuda_stream;           /* a cudaStream_t of the host's on that device; null: one of Inlay's own */
  uint32_t low_priority;       /* not 0: Inlay's own stream gives way to the host's others */
  uint32_t reserved;           /* not read */
  uint32_t guard_mappings;     /* not 0: a mapped file that another program cuts short is INLAY_ERROR_IO, and
                                  not a SIGBUS that ends the process: of an open or create, or of the next
                                  work of a session of that model, which is then as before the work and can
                                  be saved, for a session of the file opened anew to load. Other models are
                                  untouched. It is a choice because signals belong to the process: while such
                                  a runtime lives, Inlay has the handler of SIGBUS, and passes on to the former
                                  one what is not of its mappings; the former one comes back with the last such
                                  runtime, unless the host has set another since, which must then pass on to
                                  Inlay's as long as Inlay is loaded. At most 1,024 mapped files. Systems
                                  without SIGBUS (Windows) let nobody cut short a mapped file: there it does
                                  nothing */
  int32_t weight_placement;    /* an inlay_weight_placement */
} inlay_runtime_params;
#define INLAY_RUNTIME_PARAMS_INIT \
  { sizeof(inlay_runtime_params), 0, 0, 0, NULL, NULL, NULL, 0, NULL, NULL, 0, 0, 0, 0 }

/* Makes a runtime: its threads are started here, once. params may be null for all defaults.
 * INLAY_ERROR_UNSUPPORTED where the device is not in this build or not in this machine; the words of an
 * error go to the log callback, for there is no handle to ask. */
INLAY_API inlay_status inlay_runtime_create(const inlay_runtime_params *params, inlay_runtime **out_runtime);
INLAY_API void inlay_runtime_destroy(inlay_runtime *runtime);

/* Copies the message of the last failed create or open under this runtime, cut to capacity bytes and zero
 * terminated; returns the length of the whole. buffer may be null where capacity is 0. Any thread. */
INLAY_API size_t inlay_runtime_message(const inlay_runtime *runtime, char *buffer, size_t capacity);

/* Host memory that the runtime and everything made from it hold. */
typedef struct inlay_memory_use {
  uint32_t struct_size;
  uint64_t now;        /* bytes held */
  uint64_t high_water; /* most bytes held at once since create or the last reset */
} inlay_memory_use;
#define INLAY_MEMORY_USE_INIT \
  { sizeof(inlay_memory_use), 0, 0 }

/* Reads the figures; with reset not zero the high water starts again from now. Any thread, constant time. */
INLAY_API inlay_status inlay_runtime_memory(inlay_runtime *runtime, int32_t reset, inlay_memory_use *out_use);

typedef enum inlay_memory_kind {
  INLAY_MEMORY_OTHER = 0, /* the runtime itself, files, samplers, generators, what is only passing */
  INLAY_MEMORY_MODEL = 1,
  INLAY_MEMORY_STATE = 2, /* sessions and pools */
  INLAY_MEMORY_SCRATCH = 3
} inlay_memory_kind;

/* The figures of one kind alone; OTHER is what the kinds leave of the whole (its high water is the whole's).
 * Arenas of the host's are not counted. Any thread, constant time. */
INLAY_API inlay_status inlay_runtime_memory_of(inlay_runtime *runtime, inlay_memory_kind kind, int32_t reset,
                                               inlay_memory_use *out_use);

typedef struct inlay_runtime_info {
  uint32_t struct_size;
  int32_t device;
  uint32_t device_index;
  uint32_t threads;
  const char *instruction_set; /* of the CPU kernels in use; lives as long as the library */
  const char *device_name;     /* lives as long as the runtime */
} inlay_runtime_info;
#define INLAY_RUNTIME_INFO_INIT \
  { sizeof(inlay_runtime_info), 0, 0, 0, NULL, NULL }
INLAY_API inlay_status inlay_runtime_get_info(const inlay_runtime *runtime, inlay_runtime_info *out_info);

/* Measures a plain streaming read of the memory that weights lie in, in bytes a second: the limit that
 * decoding can come close to. Takes up to 256 MB a thread (1 GB on a CUDA device) meanwhile, and a fraction
 * of a second. */
INLAY_API inlay_status inlay_runtime_measure_bandwidth(inlay_runtime *runtime, double *out_bytes_a_second);

/* ---------------------------------------------------------------------------------------------------- */
/* 3. File, plan, model                                                                                 */
/* ---------------------------------------------------------------------------------------------------- */

typedef struct inlay_file inlay_file;
typedef struct inlay_model inlay_model;
typedef struct inlay_session_params inlay_session_params;

/* The host's own storage: an archive, an asset system. Called by the thread that opens the file or creates
 * the model, and never after create where map is given or the device copies its weights. */
typedef struct inlay_io {
  uint32_t struct_size;
  void *user_data;
  inlay_status (*size)(void *user_data, uint64_t *out_bytes);
  /* exactly `bytes` bytes from `offset`, or an error */
  inlay_status (*read_at)(void *user_data, uint64_t offset, void *destination, size_t bytes);
  /* optional: the whole file as memory that stays until close; any alignment. Without it the weights are
   * read into memory of the runtime's. */
  inlay_status (*map)(void *user_data, const void **out_base);
  /* optional: called once, when nothing needs the file any more */
  void (*close)(void *user_data);
} inlay_io;
#define INLAY_IO_INIT \
  { sizeof(inlay_io), NULL, NULL, NULL, NULL, NULL }

/* Where a file comes from: exactly one of path, data and io. */
typedef struct inlay_source {
  uint32_t struct_size;
  const char *path;   /* of a GGUF file (of a split one, its first part) or of a package */
  const void *data;   /* a whole file in memory, any alignment; must outlive the model */
  uint64_t data_size; /* bytes at data */
  const inlay_io *io; /* copied */
} inlay_source;
#define INLAY_SOURCE_INIT \
  { sizeof(inlay_source), NULL, NULL, 0, NULL }

/* Opens a file and reads its header, nothing more. INLAY_ERROR_IO, _CORRUPT_FILE or _UNSUPPORTED with words
 * that say what is wrong, where in the file, and what was expected. */
INLAY_API inlay_status inlay_file_open(inlay_runtime *runtime, const inlay_source *source,
                                       inlay_file **out_file);
INLAY_API void inlay_file_destroy(inlay_file *file);

/* What a file is. The strings live as long as the file or the model that was asked. */
typedef struct inlay_model_info {
  uint32_t struct_size;
  const char *architecture;    /* "qwen35" */
  const char *name;            /* "" where the file has none */
  const char *quantisation;    /* the mix by bytes, "Q4_K 61%, Q6_K 22%, Q5_K 17%" */
  uint64_t file_bytes;         /* of all parts */
  uint64_t parameters;         /* elements of all tensors */
  uint32_t layers;             /* without the MTP block */
  uint32_t attention_interval; /* every so many layers is a full-attention one */
  uint32_t embedding_length;
  uint32_t feed_forward_length;
  uint32_t attention_heads;
  uint32_t attention_kv_heads;
  uint32_t attention_head_length;
  uint32_t delta_net_key_heads;
  uint32_t delta_net_value_heads;
  uint32_t delta_net_state_length; /* of a key, and of a value, of a head */
  uint32_t vocabulary_size;
  uint32_t context_length; /* that the model was trained for */
  uint32_t mtp_layers;     /* 0: no draft head */
  uint32_t has_weights;    /* 0: only metadata, a tokenizer for example */
  uint32_t has_tokenizer;
  const char *chat_template; /* the file's template, zero terminated; "" where it has none */
  int32_t kv_type;           /* the inlay_kv_type that INLAY_KV_DEFAULT means for this model */
} inlay_model_info;
#define INLAY_MODEL_INFO_INIT \
  { sizeof(inlay_model_info), NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0 }
INLAY_API inlay_status inlay_file_get_info(const inlay_file *file, inlay_model_info *out_info);

/* One tensor as the file has it. */
typedef struct inlay_tensor_info {
  uint32_t struct_size;
  const char *name; /* not zero terminated; lives as long as the file */
  size_t name_bytes;
  const char *type;       /* "Q4_K" */
  uint64_t dimensions[4]; /* innermost first, 1 where there are fewer */
  uint64_t bytes;
} inlay_tensor_info;
#define INLAY_TENSOR_INFO_INIT \
  { sizeof(inlay_tensor_info), NULL, 0, NULL, {0, 0, 0, 0}, 0 }
INLAY_API uint32_t inlay_file_tensor_count(const inlay_file *file);
INLAY_API inlay_status inlay_file_get_tensor(const inlay_file *file, uint32_t index,
                                             inlay_tensor_info *out_tensor);

/* Every byte that a model and one session of it will take, known before either is made (each kind in the
 * memory that it lives in). What create then takes is exactly this. A CUDA driver takes memory of its own
 * beside it: its context and the kernels' code, once a process (docs/cuda.md has figures), and for a
 * session's graphs at most INLAY_CUDA_GRAPH_BYTES, which it keeps for the next session. None of it grows
 * while sessions work. */
#define INLAY_CUDA_GRAPH_BYTES (16u << 20)
typedef struct inlay_memory_plan {
  uint32_t struct_size;
  uint64_t weights_mapped; /* of the file, used where it lies: address space and page cache, not heap */
  uint64_t model_host;     /* the model: tokenizer, prepared small tensors, weights of an unmapped file */
  uint64_t model_device;   /* weights in device memory */
  uint64_t session_host;   /* one session's state */
  uint64_t session_device;
  uint64_t scratch_host; /* what a pass works in; sessions that one thread drives can share it */
  uint64_t scratch_device;
  uint64_t kv_cache;            /* of the session's bytes: KV pages of all attention layers, MTP's included */
  uint64_t delta_net_state;     /* of the session's bytes: Gated DeltaNet and convolution state */
  uint64_t window;              /* of the session's bytes: the log from which a rewind replays */
  uint64_t pooled_session_host; /* one session's state where its KV pages come from a pool: what one fork more
                                   costs, beside the pages that it does not share */
  uint64_t pooled_session_device;
} inlay_memory_plan;
#define INLAY_MEMORY_PLAN_INIT \
  { sizeof(inlay_memory_plan), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* The plan for this file on its runtime's device, from the header alone; params may be null for defaults.
 * Takes nothing. Any thread. */
INLAY_API inlay_status inlay_file_plan(const inlay_file *file, const inlay_session_params *params,
                                       inlay_memory_plan *out_plan);

/* Called between parts of the loading; anything but INLAY_OK stops it with INLAY_ERROR_CANCELLED. */
typedef inlay_status (*inlay_progress_fn)(void *user_data, uint64_t bytes_done, uint64_t bytes_total);

typedef struct inlay_model_params {
  uint32_t struct_size;
  uint32_t read_ahead;        /* not 0: read the mapped weights into the page cache before create returns */
  inlay_progress_fn progress; /* null: none */
  void *progress_user_data;
  void *arena; /* where not null, memory of the host's for model_host bytes, aligned to 64, until the model
                  and all made from it are destroyed */
  uint64_t arena_bytes;
} inlay_model_params;
#define INLAY_MODEL_PARAMS_INIT \
  { sizeof(inlay_model_params), 0, NULL, NULL, NULL, 0 }

/* Makes the weights of a file usable on its runtime's device. The file may be destroyed afterwards. Every
 * tensor's presence, type and shape is checked here. params may be null. Costs milliseconds on the CPU,
 * where weights are used in the mapping, and one copy of the weights on a device of its own memory. */
INLAY_API inlay_status inlay_model_create(inlay_file *file, const inlay_model_params *params,
                                          inlay_model **out_model);
/* inlay_file_open and inlay_model_create in one. */
INLAY_API inlay_status inlay_model_open(inlay_runtime *runtime, const inlay_source *source,
                                        const inlay_model_params *params, inlay_model **out_model);
INLAY_API void inlay_model_destroy(inlay_model *model);
INLAY_API inlay_status inlay_model_get_info(const inlay_model *model, inlay_model_info *out_info);
INLAY_API inlay_status inlay_model_plan(const inlay_model *model, const inlay_session_params *params,
                                        inlay_memory_plan *out_plan);

/* Makes a package (.inlay) of a model in any form: a GGUF file, another package, or a checkpoint as it is
 * published, a folder of config.json, safetensors and a tokenizer. A package opens at once, needs no other
 * file, and can be checked. */
typedef struct inlay_pack_params {
  uint32_t struct_size;
  const char *quantisation; /* null: every tensor as it is; else "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k",
                               "fp8" or "nvfp4" */
  const char
      *imatrix; /* path of an importance matrix in llama.cpp's GGUF form, for the K types; null: none */
  inlay_progress_fn progress;
  void *progress_user_data;
  const char *layout; /* null: matrices lie row after row, as in a GGUF file, and every device opens the
                         package; "cuda": as CUDA devices read them, so that opening copies them as they are,
                         or uses them in place. Only CUDA devices open such a package, of libraries that know
                         this layout (its name, with a version, is in the package); it cannot be packed again.
                         FP8 weights take twice their bytes, as on the device. Needs no such device itself. */
} inlay_pack_params;
#define INLAY_PACK_PARAMS_INIT \
  { sizeof(inlay_pack_params), NULL, NULL, NULL, NULL, NULL }

/* Writes the package `output` from the file or folder `input`; params may be null. Runs on the runtime's
 * threads; takes a few tens of megabytes and the tokenizer's size of the runtime's memory, and the size of
 * the largest tensor where a layout is given. The package is written beside its place, as OUTPUT.partial, and
 * takes it when it is whole and on disk: after an error the output is absent or what it was before, and what
 * a killed program leaves the next call replaces. INLAY_ERROR_IO where the disk is too small, said before
 * anything is written. */
INLAY_API inlay_status inlay_pack(inlay_runtime *runtime, const char *input, const char *output,
                                  const inlay_pack_params *params);

/* Reads all of a package and compares it with its checksums. INLAY_ERROR_CORRUPT_FILE, with words that name
 * the tensor, where they differ; INLAY_ERROR_UNSUPPORTED for a file of another format, which has none. */
INLAY_API inlay_status inlay_file_verify(const inlay_file *file, inlay_progress_fn progress, void *user_data);

/* ---------------------------------------------------------------------------------------------------- */
/* 4. Tokenizer                                                                                         */
/* ---------------------------------------------------------------------------------------------------- */

typedef struct inlay_tokenizer inlay_tokenizer;

/* From any file that carries one, with weights or without. INLAY_ERROR_UNSUPPORTED where it has none or one
 * of another kind than byte-level BPE with the qwen35 pre-tokenizer. About 0.1 s for 248,320 tokens. */
INLAY_API inlay_status inlay_tokenizer_create(inlay_file *file, inlay_tokenizer **out_tokenizer);
INLAY_API void inlay_tokenizer_destroy(inlay_tokenizer *tokenizer);

/* The model's own tokenizer, which lives as long as the model and is not to be destroyed; null where the
 * file has none: such a model takes and gives ids. */
INLAY_API const inlay_tokenizer *inlay_model_tokenizer(const inlay_model *model);

/* Text to tokens. The text is normalised to NFC first; bytes that are not UTF-8 become byte tokens. With
 * parse_special the words of special tokens in the text ("<|im_end|>") become those tokens, without it they
 * stay text. Writes up to capacity tokens and the number of all in out_count: call again with more room
 * where that is larger. Takes memory of the runtime's while it runs, in proportion to the text. */
INLAY_API inlay_status inlay_tokenizer_encode(const inlay_tokenizer *tokenizer, const char *text,
                                              size_t text_bytes, int32_t parse_special, int32_t *tokens,
                                              size_t capacity, size_t *out_count);

/* Tokens to text; with show_special the words of special tokens are written too. Writes up to capacity
 * bytes, not zero terminated, and the number of all in out_bytes. What a single token stands for need not
 * be whole UTF-8: for text that streams use a generator. Allocates nothing. */
INLAY_API inlay_status inlay_tokenizer_decode(const inlay_tokenizer *tokenizer, const int32_t *tokens,
                                              size_t count, int32_t show_special, char *text, size_t capacity,
                                              size_t *out_bytes);

INLAY_API uint32_t inlay_tokenizer_size(const inlay_tokenizer *tokenizer);
/* The token that ends a turn or the text, per the file; -1 where there is none. */
INLAY_API int32_t inlay_tokenizer_end_of_text(const inlay_tokenizer *tokenizer);
/* 1 where generation should stop at this token (the end of text, of a turn), else 0. */
INLAY_API int32_t inlay_tokenizer_is_end(const inlay_tokenizer *tokenizer, int32_t token);
/* The token whose whole text this is, special or not; -1 where there is none. */
INLAY_API int32_t inlay_tokenizer_find(const inlay_tokenizer *tokenizer, const char *text, size_t text_bytes);

/* ---------------------------------------------------------------------------------------------------- */
/* 5. Session                                                                                           */
/*                                                                                                      */
/* One timeline of tokens. Its committed state stands at some position; up to `window` tokens after that */
/* are only logged, and so can be taken back at no cost: a pass over new tokens replays what was kept.  */
/* ---------------------------------------------------------------------------------------------------- */

typedef struct inlay_session inlay_session;

typedef enum inlay_kv_type {
  INLAY_KV_DEFAULT = 0, /* what the model asks for; F16 where it asks for nothing */
  INLAY_KV_F16 = 1,
  INLAY_KV_FP8 = 2,
  INLAY_KV_Q8 = 3
} inlay_kv_type;

#define INLAY_MAX_WIDTH 8u /* tokens of one verify, the certain one included */

/* KV pages that sessions share: each takes pages as its timeline grows, and forks have the full pages of what
 * they have in common once. A hundred characters on one system prompt cost a hundred times
 * pooled_session_host, the prompt's pages once, and of each the pages that it has alone. */
typedef struct inlay_pool inlay_pool;

typedef struct inlay_pool_params {
  uint32_t struct_size;
  uint64_t tokens; /* room for so many, rounded up to pages of 256; at least 1 */
  int32_t kv_type; /* an inlay_kv_type; that of all its sessions */
  uint32_t mtp;    /* not 0: pages have room for the MTP head's own; as in all its sessions */
  void *arena;     /* where not null, memory of the host's for the plan's host bytes, aligned to 64 */
  uint64_t arena_bytes;
} inlay_pool_params;
#define INLAY_POOL_PARAMS_INIT \
  { sizeof(inlay_pool_params), 0, 0, 0, NULL, 0 }

typedef struct inlay_pool_plan {
  uint32_t struct_size;
  uint64_t host;
  uint64_t device;
  uint64_t pages;
  uint64_t page_tokens;
} inlay_pool_plan;
#define INLAY_POOL_PLAN_INIT \
  { sizeof(inlay_pool_plan), 0, 0, 0, 0 }

/* Every byte of a pool, from the file's header alone. Takes nothing. INLAY_ERROR_UNSUPPORTED where the device
 * has no pools. Any thread. */
INLAY_API inlay_status inlay_file_plan_pool(const inlay_file *file, const inlay_pool_params *params,
                                            inlay_pool_plan *out_plan);
/* All of the pool's memory is taken here. Any thread; sessions of several threads may use one pool. */
INLAY_API inlay_status inlay_pool_create(inlay_model *model, const inlay_pool_params *params,
                                         inlay_pool **out_pool);
INLAY_API void inlay_pool_destroy(inlay_pool *pool);
/* Pages of 256 tokens that nobody has. Any thread, constant time. */
INLAY_API uint64_t inlay_pool_free_pages(const inlay_pool *pool);

struct inlay_session_params {
  uint32_t struct_size;
  uint32_t context_length; /* most tokens that the timeline holds; 0: 4,096, or the model's if that is less */
  int32_t kv_type;         /* an inlay_kv_type: how keys and values are stored */
  uint32_t mtp;            /* not 0: keep the MTP head's own KV in step, so that it can draft */
  uint32_t prefill_chunk;  /* tokens that a prompt's pass works on at once; 0: the device's choice */
  void *state_arena;       /* where not null, memory of the host's for session_host bytes, aligned to 64 */
  uint64_t state_arena_bytes;
  void *scratch_arena; /* likewise for scratch_host bytes; sessions of one model and equal parameters that
                          one thread drives may be given the same: while one of them has work under way, the
                          others refuse theirs with INLAY_ERROR_WRONG_STATE */
  uint64_t scratch_arena_bytes;
  inlay_pool *pool;             /* null: pages of the session's own for its whole context. With a pool a feed
                                   that needs more pages than are free is INLAY_ERROR_MEMORY_LIMIT and leaves
                                   the session as it was */
  inlay_session *share_scratch; /* null: scratch of its own; else that of this session, as with scratch_arena:
                                   same model, context_length, kv_type, mtp, prefill_chunk and both or neither
                                   with a pool */
};
#define INLAY_SESSION_PARAMS_INIT \
  { sizeof(inlay_session_params), 0, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL }

/* An empty timeline. All memory that it will ever use is taken here. Where the scratch is new, one slice of
 * each kind is run and timed, some tens of milliseconds at most. params may be null. */
INLAY_API inlay_status inlay_session_create(inlay_model *model, const inlay_session_params *params,
                                            inlay_session **out_session);
INLAY_API void inlay_session_destroy(inlay_session *session);
INLAY_API size_t inlay_session_message(const inlay_session *session, char *buffer, size_t capacity);

/* A new session that stands where this one stands: states, tokens and what can be taken back are copied,
 * logits are not. Keys and values are copied too; in a pool full pages are shared, and only the last one is
 * copied. It has memory of its own, as much as this one. Nothing may be under way here. */
INLAY_API inlay_status inlay_session_fork(inlay_session *session, inlay_session **out_session);

typedef struct inlay_fork_params {
  uint32_t struct_size;
  uint32_t share_scratch; /* not 0: works in the same scratch as the session that is forked */
  void *state_arena;      /* as in inlay_session_params */
  uint64_t state_arena_bytes;
  void *scratch_arena;
  uint64_t scratch_arena_bytes;
} inlay_fork_params;
#define INLAY_FORK_PARAMS_INIT \
  { sizeof(inlay_fork_params), 0, NULL, 0, NULL, 0 }
INLAY_API inlay_status inlay_session_fork_with(inlay_session *session, const inlay_fork_params *params,
                                               inlay_session **out_session);

/* Makes the session stand where `mark` stands, for example a fork of it made earlier: rewinds to any mark, at
 * the cost of copying the DeltaNet state (and, without a pool, the keys and values). Both must be of one
 * model and of equal parameters (INLAY_ERROR_MISMATCH) and one pool or none; nothing may be under way in
 * either. After INLAY_ERROR_MEMORY_LIMIT, where the pool has no page free for the last one, the session is
 * empty. Logits are not copied. */
INLAY_API inlay_status inlay_session_rewind_to(inlay_session *session, inlay_session *mark);

/* Feeding tokens. Each of these begins one piece of work; the plain form also runs it to its end, the
 * begin_ form leaves it to inlay_session_advance. INLAY_ERROR_CONTEXT_FULL where the tokens do not fit,
 * INLAY_ERROR_INVALID_ARGUMENT for a token out of range; both leave the session as it was.
 *
 * prefill: `count` >= 1 tokens of prompt, on the path for many tokens; all of them are kept.
 *          Logits: one row, after the last token.
 * step:    one token; kept. Logits: one row. The same as a verify of one and a commit of it.
 * verify:  one certain token and up to 7 drafts after it, 1 <= count <= INLAY_MAX_WIDTH, on the path for few
 *          tokens: row i of the logits follows tokens[i], and is bit for bit what step would have given.
 *          Afterwards inlay_session_commit says how many of them are kept; until then nothing else can
 *          be fed (INLAY_ERROR_WRONG_STATE). */
INLAY_API inlay_status inlay_session_prefill(inlay_session *session, const int32_t *tokens, size_t count);
INLAY_API inlay_status inlay_session_step(inlay_session *session, int32_t token);
INLAY_API inlay_status inlay_session_verify(inlay_session *session, const int32_t *tokens, size_t count);
INLAY_API inlay_status inlay_session_begin_prefill(inlay_session *session, const int32_t *tokens,
                                                   size_t count);
INLAY_API inlay_status inlay_session_begin_step(inlay_session *session, int32_t token);
INLAY_API inlay_status inlay_session_begin_verify(inlay_session *session, const int32_t *tokens,
                                                  size_t count);

/* Keeps the first `count` tokens of the last verify, 0 to all of them, and forgets the rest. Moves an index:
 * constant time. */
INLAY_API inlay_status inlay_session_commit(inlay_session *session, size_t count);

/* Takes back the last `count` tokens, as many as inlay_session_rewindable says at most. Constant time. The
 * logits and the hidden state of the last pass are kept for the rows that remain. */
INLAY_API inlay_status inlay_session_rewind(inlay_session *session, size_t count);
INLAY_API size_t inlay_session_rewindable(const inlay_session *session);

/* Back to an empty timeline. Costs clearing the DeltaNet state: about 150 MB for the 27B. */
INLAY_API inlay_status inlay_session_reset(inlay_session *session);

#define INLAY_NO_BUDGET UINT64_MAX

typedef struct inlay_progress {
  uint32_t struct_size;
  uint64_t slices_done; /* of the work under way */
  uint64_t slices_total;
  uint64_t longest_slice_ns; /* since the session was made */
  uint64_t remaining_ns;     /* an estimate, from the slices measured so far */
  uint64_t position;         /* tokens kept so far */
  uint64_t tokens_done;      /* of the work under way: whole chunks of a prompt */
  uint64_t tokens_total;
} inlay_progress;
#define INLAY_PROGRESS_INIT \
  { sizeof(inlay_progress), 0, 0, 0, 0, 0, 0, 0 }

/* Goes on with the work that was begun, slice by slice, and starts none that would not fit into what is left
 * of budget_us microseconds (by the longest time seen lately for a slice of its kind; after four calls in a
 * row that found no room for one that estimate is lowered, so that no budget stops the work for good).
 * INLAY_OK when the work is done, INLAY_PENDING when the budget is, INLAY_ERROR_CANCELLED after
 * inlay_session_cancel. A budget of 0 does nothing and reports; INLAY_NO_BUDGET runs to the end. out_progress
 * may be null. */
INLAY_API inlay_status inlay_session_advance(inlay_session *session, uint64_t budget_us,
                                             inlay_progress *out_progress);

/* Like advance for a host that does not want to wait: on a device with a queue of its own hands it the work
 * and says INLAY_PENDING until that is done; on the CPU does one slice. finish waits for the end. */
INLAY_API inlay_status inlay_session_poll(inlay_session *session);
INLAY_API inlay_status inlay_session_finish(inlay_session *session);

/* What work would take if it began now and ran without a pause, from the slices measured so far. A host with
 * a budget a frame needs about p99_ns / (budget - longest_slice_ns) frames. */
typedef struct inlay_estimate {
  uint32_t struct_size;
  uint64_t expected_ns;
  uint64_t p99_ns;           /* 99 of 100 times it takes no longer, on a machine as busy as lately */
  uint64_t longest_slice_ns; /* of any slice of it, lately */
} inlay_estimate;
#define INLAY_ESTIMATE_INIT \
  { sizeof(inlay_estimate), 0, 0, 0 }

/* The question before work begins: a prompt of `prompt` tokens, then `rounds` passes of `width` tokens each
 * (width 1: steps). Costs some microseconds a pass. INLAY_ERROR_CONTEXT_FULL where it does not fit. */
INLAY_API inlay_status inlay_session_estimate(inlay_session *session, size_t prompt, size_t rounds,
                                              uint32_t width, inlay_estimate *out_estimate);

/* One token for each of several sessions in one pass over the weights: begins the work, which is then
 * sessions[0]'s to advance, poll, finish or cancel; the others are busy meanwhile. 1 <= count <=
 * INLAY_MAX_WIDTH different sessions that share their scratch. Each has its own row of logits afterwards,
 * with the bits that a step of its own would give. Where one cannot take its token, none is begun, and the
 * message is sessions[0]'s. */
INLAY_API inlay_status inlay_session_begin_steps(inlay_session *const *sessions, const int32_t *tokens,
                                                 size_t count);

/* Stops the work under way within one slice; the session is then where it was before that work began, with no
 * logits and perhaps less that can be taken back, except that a prefill keeps the whole chunks it has done
 * (ask inlay_session_position). On a device with a queue of its own work without a budget stops within one
 * layer of a prompt, or after the step or verify that it has; what inlay_session_poll has handed to it is
 * undone when the device is done with it. Any thread, at any time; without work under way it does nothing. */
INLAY_API void inlay_session_cancel(inlay_session *session);

/* Tokens kept so far: the position of the next one. */
INLAY_API uint64_t inlay_session_position(const inlay_session *session);
INLAY_API uint32_t inlay_session_context_length(const inlay_session *session);
/* The tokens kept so far; they live until the next call that changes the session. */
INLAY_API const int32_t *inlay_session_tokens(const inlay_session *session);

/* Row `row` of the last pass's logits, vocabulary size floats in host memory, valid until the next pass of
 * this session or of one that shares its scratch. INLAY_ERROR_WRONG_STATE where there is no such row. */
INLAY_API inlay_status inlay_session_logits(const inlay_session *session, size_t row,
                                            const float **out_logits);
/* The hidden state (after the final norm) that this row of logits came from, embedding length floats: what a
 * drafter like the MTP head continues from. */
INLAY_API inlay_status inlay_session_hidden(const inlay_session *session, size_t row,
                                            const float **out_hidden);

/* Saving and loading. A saved session is all of it: tokens, keys, values, states, what can be taken back, the
 * logits and hidden states of the last pass, a verify that waits for its commit. It is bound to the model
 * (its shape, its small tensors and samples of the others are compared), to kv_type and mtp; not to the
 * device, the number of threads, the context's length, the pool or the file's format. Going on after a load
 * gives the bits that going on would have given, on the same device. The format is little-endian, with a
 * version and checksums; see docs/embedding.md. Nothing is allocated. */
typedef struct inlay_writer {
  uint32_t struct_size;
  void *user_data;
  /* Takes the next `bytes` bytes; a negative status ends the saving with INLAY_ERROR_CALLBACK. */
  inlay_status (*write)(void *user_data, const void *data, size_t bytes);
} inlay_writer;
#define INLAY_WRITER_INIT \
  { sizeof(inlay_writer), NULL, NULL }

typedef struct inlay_reader {
  uint32_t struct_size;
  void *user_data;
  /* Gives exactly the next `bytes` bytes; a negative status ends the loading with INLAY_ERROR_CALLBACK. */
  inlay_status (*read)(void *user_data, void *destination, size_t bytes);
} inlay_reader;
#define INLAY_READER_INIT \
  { sizeof(inlay_reader), NULL, NULL }

/* Bytes that save would write now; 0 while work is under way and where the device fails. */
INLAY_API uint64_t inlay_session_save_bytes(const inlay_session *session);
/* Writes in pieces of at most some hundred kilobytes. INLAY_ERROR_WRONG_STATE while work is under way. The
 * session is as it was, whatever happens. */
INLAY_API inlay_status inlay_session_save(inlay_session *session, const inlay_writer *writer);
/* Replaces all of the session by what was saved. INLAY_ERROR_MISMATCH (another model, kv_type or mtp),
 * INLAY_ERROR_CONTEXT_FULL (a longer timeline than the context), INLAY_ERROR_UNSUPPORTED (a newer format),
 * INLAY_ERROR_MEMORY_LIMIT (a pool without enough free pages) and INLAY_ERROR_CORRUPT_FILE of the first 512
 * bytes leave the session as it was; INLAY_ERROR_CALLBACK and _CORRUPT_FILE after them leave it empty.
 * INLAY_ERROR_WRONG_STATE while work is under way. */
INLAY_API inlay_status inlay_session_load(inlay_session *session, const inlay_reader *reader);
/* The same with memory: save needs capacity >= inlay_session_save_bytes (INLAY_ERROR_MEMORY_LIMIT), load
 * checks the checksum of all before it touches the session, so that a damaged one leaves it as it was. */
INLAY_API inlay_status inlay_session_save_memory(inlay_session *session, void *buffer, uint64_t capacity,
                                                 uint64_t *out_bytes);
INLAY_API inlay_status inlay_session_load_memory(inlay_session *session, const void *data, uint64_t bytes);

/* The MTP head's logits for every token of the timeline but the first are not part of generation; this reads
 * them for tests and tools: the head is fed (tokens[i + 1], hidden state of i) for i = 0 .. count - 2 from an
 * empty timeline and writes (count - 1) x vocabulary size floats. The session must be empty, with mtp on;
 * it is empty again afterwards. */
INLAY_API inlay_status inlay_session_mtp_logits(inlay_session *session, const int32_t *tokens, size_t count,
                                                float *out_logits);

/* ---------------------------------------------------------------------------------------------------- */
/* 6. Sampler                                                                                           */
/* ---------------------------------------------------------------------------------------------------- */

typedef struct inlay_sampler inlay_sampler;

typedef struct inlay_logit_bias {
  int32_t token;
  float bias; /* added to the token's logit; -INFINITY forbids it */
} inlay_logit_bias;

/* Applied in this order: bias, penalties, temperature, top-k, top-p, min-p, then one draw. */
typedef struct inlay_sampler_params {
  uint32_t struct_size;
  float temperature;              /* 0: greedy (the lowest id among equals) */
  uint32_t top_k;                 /* 0: all */
  float top_p;                    /* 0 or 1: all */
  float min_p;                    /* 0: all; else drop what is below min_p times the likeliest */
  float repeat_penalty;           /* 0 or 1: none; divides positive logits, multiplies negative ones */
  float frequency_penalty;        /* subtracted once for each time the token occurred */
  float presence_penalty;         /* subtracted where the token occurred */
  uint32_t penalty_window;        /* last tokens that the penalties look at; 0: 64 */
  uint64_t seed;                  /* with the position it keys each draw, so equal seeds give equal texts */
  const inlay_logit_bias *biases; /* copied */
  size_t bias_count;
} inlay_sampler_params;
#define INLAY_SAMPLER_PARAMS_INIT \
  { sizeof(inlay_sampler_params), 0.0f, 0, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0, 0, NULL, 0 }

/* params may be null: greedy. */
INLAY_API inlay_status inlay_sampler_create(inlay_model *model, const inlay_sampler_params *params,
                                            inlay_sampler **out_sampler);
INLAY_API void inlay_sampler_destroy(inlay_sampler *sampler);

/* The token at `position` (that of the token drawn), from its logits and the tokens before it. The same
 * arguments give the same token, on every machine. Logits that are not numbers count as -infinity, +infinity
 * as the largest number; INLAY_ERROR_INVALID_ARGUMENT where that leaves no token to draw, and for a history
 * token out of range that the penalties meet. Allocates nothing; the logits are only read. */
INLAY_API inlay_status inlay_sampler_sample(inlay_sampler *sampler, const float *logits,
                                            const int32_t *history, size_t history_count, uint64_t position,
                                            int32_t *out_token);

/* ---------------------------------------------------------------------------------------------------- */
/* 7. Drafter and generator                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* A host's guesses at what comes next: a dialogue tree, an index of the project's code, another model.
 * What it proposes is verified, so it changes the speed and never the text. A negative status from propose is
 * passed on as INLAY_ERROR_CALLBACK; ids out of range end the proposal where they stand. */
typedef struct inlay_drafter {
  uint32_t struct_size;
  void *user_data;
  /* Writes up to `max` guesses at the tokens that follow `tokens` (all of the timeline, the newest last). */
  inlay_status (*propose)(void *user_data, const int32_t *tokens, size_t count, size_t max,
                          int32_t *out_tokens, size_t *out_count);
  /* optional: these tokens were appended to the timeline, prompts included; the first `accepted` of them came
   * from the last proposal. */
  void (*observe)(void *user_data, const int32_t *tokens, size_t count, size_t accepted);
  /* optional: the timeline was changed from outside; observe tells of all of it anew. */
  void (*reset)(void *user_data);
} inlay_drafter;
#define INLAY_DRAFTER_INIT \
  { sizeof(inlay_drafter), NULL, NULL, NULL, NULL }

typedef enum inlay_draft_kind {
  INLAY_DRAFT_NONE = 0,
  INLAY_DRAFT_MTP = 1,        /* the model's own head */
  INLAY_DRAFT_LOOKUP = 2,     /* what followed the same words earlier in the timeline */
  INLAY_DRAFT_LOOKUP_MTP = 3, /* lookup where it finds something, else MTP */
  INLAY_DRAFT_HOST = 4        /* the drafter given */
} inlay_draft_kind;

/* A host's say in what may come next: a game's rules, a list of names, a language of its own. */
typedef struct inlay_mask {
  uint32_t struct_size;
  void *user_data;
  /* Clears in `allowed`, (vocabulary + 31) / 32 words that are all ones, the bit token % 32 of word token /
   * 32 of every token that must not follow `tokens` (all of the timeline, the newest last). INLAY_OK: the
   * mask counts; a positive status: all may follow; a negative one is passed on as INLAY_ERROR_CALLBACK.
   * Called while the model's pass over the round runs, on the thread that is in inlay_generator_next or
   * inlay_chat_next: where the device works by itself, once it has all of the pass, else between its slices.
   * `tokens` ends with what is being fed: a prompt, a token sampled, or, once for each, drafts after it. A
   * draft that a mask forbids is not accepted, and nothing after it is asked about. Not called for places
   * whose token is forced (the end of a thought). */
  inlay_status (*allow)(void *user_data, const int32_t *tokens, size_t count, uint32_t *allowed,
                        uint32_t vocabulary);
} inlay_mask;
#define INLAY_MASK_INIT \
  { sizeof(inlay_mask), NULL, NULL }

/* What a text may be, as a grammar: a JSON Schema, or rules in the notation of GBNF. Immutable, of one
 * model's vocabulary; any number of generators and chats, on any threads, may use it. */
typedef struct inlay_grammar inlay_grammar;

typedef enum inlay_grammar_kind {
  /* JSON that satisfies a schema. Known are type, enum, const, properties and required and
   * additionalProperties (members come in the schema's order; those it does not name only where it names
   * none), items, prefixItems, minItems, maxItems, minimum, maximum, exclusiveMinimum, exclusiveMaximum,
   * minLength, maxLength, pattern (regular expressions without looking around or back), $ref within the
   * schema, anyOf, oneOf where its schemas can't overlap, and allOf of one. Other words that would narrow the
   * schema are INLAY_ERROR_UNSUPPORTED, by name; all that is written satisfies the schema. */
  INLAY_GRAMMAR_JSON_SCHEMA = 1,
  /* name ::= of "strings", [classes], names, (groups), |, *, +, ?, {m,n}, . and # comments; begins with root
   */
  INLAY_GRAMMAR_GBNF = 2
} inlay_grammar_kind;

/* The text is copied. A model's first grammar takes about 30 bytes a token of its vocabulary, once, until the
 * model is destroyed (twice that for a moment), and some 0.1 s. INLAY_ERROR_INVALID_ARGUMENT where the text
 * is none of its kind, and where nothing could satisfy it. Any thread. */
INLAY_API inlay_status inlay_grammar_create(inlay_model *model, inlay_grammar_kind kind, const char *text,
                                            size_t text_bytes, inlay_grammar **out_grammar);
INLAY_API void inlay_grammar_destroy(inlay_grammar *grammar);

typedef struct inlay_generator inlay_generator;

typedef struct inlay_generator_params {
  uint32_t struct_size;
  const inlay_sampler_params *sampler; /* null: greedy; copied */
  int32_t draft;                       /* an inlay_draft_kind */
  uint32_t draft_length;        /* most drafts a round, 1 to 7; 0: chosen by what is accepted and costs */
  float draft_min_probability;  /* MTP stops drafting below this confidence; 0: never */
  const inlay_drafter *drafter; /* for INLAY_DRAFT_HOST; copied */
  uint64_t max_tokens;          /* of an answer; 0: until the context is full */
  uint32_t ignore_end;          /* not 0: go on after the token that ends the text */
  uint32_t show_special;        /* not 0: special tokens appear in the text */
  const inlay_mask *mask;       /* null: none; copied */
  inlay_grammar *grammar; /* null: none; what every answer is of. It comes to its end before max_tokens and
                             the context do, where they leave room for the shortest text at all. In a chat it
                             is the default of inlay_chat_answer_params. Takes about 6 MB of memory */
} inlay_generator_params;
#define INLAY_GENERATOR_PARAMS_INIT \
  { sizeof(inlay_generator_params), NULL, 0, 0, 0.0f, NULL, 0, 0, 0, NULL, NULL }

typedef enum inlay_stop {
  INLAY_STOP_NONE = 0,
  INLAY_STOP_END_OF_TEXT = 1,
  INLAY_STOP_MAX_TOKENS = 2,
  INLAY_STOP_CONTEXT_FULL = 3,
  INLAY_STOP_STRING = 4,     /* a chat's stop string came */
  INLAY_STOP_REPETITION = 5, /* a chat's answer went round in a loop */
  INLAY_STOP_HOST = 6        /* inlay_chat_stop */
} inlay_stop;

/* What one call of inlay_generator_next brought. The pointers live until the next call on the generator. */
typedef struct inlay_output {
  uint32_t struct_size;
  const char *text; /* whole UTF-8 characters; may be empty though there are tokens; zero terminated */
  size_t text_bytes;
  const int32_t *tokens;
  size_t token_count;
  int32_t stop; /* an inlay_stop, with INLAY_END */
} inlay_output;
#define INLAY_OUTPUT_INIT \
  { sizeof(inlay_output), NULL, 0, NULL, 0, 0 }

typedef struct inlay_generator_stats {
  uint32_t struct_size;
  uint64_t prompt_tokens;
  uint64_t prompt_ns;
  uint64_t generated_tokens;
  uint64_t rounds; /* passes of the model while generating */
  uint64_t drafted;
  uint64_t accepted; /* of the drafted */
  uint64_t draft_ns;
  uint64_t verify_ns; /* the model's passes */
  uint64_t rest_ns;   /* sampling, text, bookkeeping */
} inlay_generator_stats;
#define INLAY_GENERATOR_STATS_INIT \
  { sizeof(inlay_generator_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* A generator drives the session, which the caller keeps and must leave alone while it generates. The session
 * needs mtp on for the drafts of the MTP head. params may be null. */
INLAY_API inlay_status inlay_generator_create(inlay_session *session, const inlay_generator_params *params,
                                              inlay_generator **out_generator);
INLAY_API void inlay_generator_destroy(inlay_generator *generator);
INLAY_API size_t inlay_generator_message(const inlay_generator *generator, char *buffer, size_t capacity);

/* Appends a prompt: it is fed when next is called. A prompt after an answer continues the same timeline; the
 * token that ended the answer is fed in front of it. INLAY_ERROR_WRONG_STATE after INLAY_PENDING, until next
 * gave something. */
INLAY_API inlay_status inlay_generator_prompt_tokens(inlay_generator *generator, const int32_t *tokens,
                                                     size_t count);
INLAY_API inlay_status inlay_generator_prompt_text(inlay_generator *generator, const char *text,
                                                   size_t text_bytes, int32_t parse_special);

/* Goes on generating for at most budget_us microseconds, or INLAY_NO_BUDGET until something came. INLAY_OK:
 * out_output has new tokens, and their text as far as it is whole. INLAY_PENDING: the budget is used up.
 * INLAY_END: the answer is complete (out_output may bring its last text); a new prompt goes on.
 * After an error the work it stopped is as if it had not begun; the next call tries it again. */
INLAY_API inlay_status inlay_generator_next(inlay_generator *generator, uint64_t budget_us,
                                            inlay_output *out_output);
/* Where the round under way stands, as inlay_session_advance says it; longest_slice_ns counts sampling,
 * drafting and text too. */
INLAY_API inlay_status inlay_generator_get_progress(const inlay_generator *generator,
                                                    inlay_progress *out_progress);

/* Saving and loading of a generator with its session: with the session's own, what waits to be fed, the seed,
 * how far the answer is, the unfinished character. What was generated since the last next returned is taken
 * back and computed again by the following one, so that a save is possible at any time: in the middle of a
 * sentence, of a prompt, of a round. The text goes on with the same words where the generator that loads was
 * made with the same parameters; its own parameters but for the seed are kept. Penalties look at the
 * timeline, which is saved. A generator can't load what a session saved, nor a session what a generator
 * saved. Statuses as for sessions; a failure that leaves the session empty leaves the generator without a
 * prompt. */
INLAY_API uint64_t inlay_generator_save_bytes(inlay_generator *generator);
INLAY_API inlay_status inlay_generator_save(inlay_generator *generator, const inlay_writer *writer);
INLAY_API inlay_status inlay_generator_load(inlay_generator *generator, const inlay_reader *reader);
INLAY_API inlay_status inlay_generator_save_memory(inlay_generator *generator, void *buffer,
                                                   uint64_t capacity, uint64_t *out_bytes);
INLAY_API inlay_status inlay_generator_load_memory(inlay_generator *generator, const void *data,
                                                   uint64_t bytes);

INLAY_API inlay_status inlay_generator_get_stats(const inlay_generator *generator,
                                                 inlay_generator_stats *out_stats);

/* ---------------------------------------------------------------------------------------------------- */
/* 8. Chat                                                                                              */
/* ---------------------------------------------------------------------------------------------------- */

/* How a chat template turns messages into text: what the published templates of the family do, where they
 * differ. Filled in by inlay_chat_format_of; a host that knows better may change it. */
typedef struct inlay_chat_format {
  uint32_t struct_size;
  const char *name;            /* "qwen3.5", "qwen3.6" or "tavern"; lives as long as the library */
  uint32_t thinks_by_default;  /* not 0: a missing enable_thinking means on */
  uint32_t json_arguments;     /* not 0: a tool call's arguments are written as JSON (true), else as Python
                                  prints them (True); strings, arrays and objects are the same in both */
  uint32_t may_keep_reasoning; /* not 0: preserve_thinking is known */
  uint32_t keeps_reasoning;    /* not 0: reasoning of earlier turns stays unless preserve_thinking is false */
  uint32_t opens_first_tool;   /* not 0: a tool's answer may open a conversation */
  uint32_t think_marks;        /* not 0: <|think_on|> and <|think_off|> in the system message switch thinking
                                  and are taken out. No published template does; some fine-tunes do */
} inlay_chat_format;
#define INLAY_CHAT_FORMAT_INIT \
  { sizeof(inlay_chat_format), NULL, 0, 0, 0, 0, 0, 0 }

/* Recognises a chat template (inlay_model_info has the file's) by its content: the published Qwen3.5 and
 * Qwen3.6 ones, thinking by default or not, and the bundled model's. INLAY_ERROR_CHAT_TEMPLATE for any other:
 * the host may render its chats itself, or fill in a format by hand. Takes memory of the runtime's, in
 * proportion to the template, while it runs. Any thread. */
INLAY_API inlay_status inlay_chat_format_of(inlay_runtime *runtime, const char *chat_template,
                                            size_t template_bytes, inlay_chat_format *out_format);

/* Renders a chat to the text that the template gives, byte for byte. `json` is an object with "messages" and,
 * where wanted, "tools", "enable_thinking", "add_generation_prompt", "preserve_thinking" and "add_vision_id",
 * all as in the template's own terms. Writes up to capacity bytes, not zero terminated, and the number of all
 * in out_bytes: call again with more room where that is larger. INLAY_ERROR_INVALID_ARGUMENT where the
 * template raises an exception, in its words, and for what is no JSON. Takes memory of the runtime's, in
 * proportion to the chat, while it runs. Any thread. */
INLAY_API inlay_status inlay_chat_render(inlay_runtime *runtime, const inlay_chat_format *format,
                                         const char *json, size_t json_bytes, char *text, size_t capacity,
                                         size_t *out_bytes);

/* The same to tokens. Special tokens are those that the template itself writes: in what users, tools and
 * models said, "<|im_end|>" and "</think>" stay text. Writes up to capacity tokens, and the number of all in
 * out_count. */
INLAY_API inlay_status inlay_chat_render_tokens(inlay_runtime *runtime, const inlay_tokenizer *tokenizer,
                                                const inlay_chat_format *format, const char *json,
                                                size_t json_bytes, int32_t *tokens, size_t capacity,
                                                size_t *out_count);

/* A conversation: messages go in, events come out. It drives the session, which the caller keeps and must
 * leave alone, and answers through a generator of its own. */
typedef struct inlay_chat inlay_chat;

/* Sampling as the model cards have it. */
typedef enum inlay_sampling {
  INLAY_SAMPLING_PRECISE = 1, /* temperature 0.6, top-p 0.95 */
  INLAY_SAMPLING_LIVELY = 2   /* temperature 0.7, top-p 0.95, top-k 20, repeat penalty 1.1 */
} inlay_sampling;

/* Fills in what the preset says and leaves the rest of *params, which is initialised, as it is. */
INLAY_API inlay_status inlay_sampler_preset(inlay_sampling preset, inlay_sampler_params *params);

typedef struct inlay_chat_params {
  uint32_t struct_size;
  const inlay_chat_format *format;         /* null: what the model's file has; copied */
  const inlay_generator_params *generator; /* null: no drafts; copied. A null sampler is
                                              INLAY_SAMPLING_PRECISE here. Its max_tokens is the default of
                                              inlay_chat_answer_params */
  const char *tools;                       /* JSON: an array of tool definitions; null: none */
  size_t tools_bytes;
  uint32_t keep_reasoning; /* not 0: reasoning of earlier turns stays in the timeline (preserve_thinking),
                              where the format knows that */
} inlay_chat_params;
#define INLAY_CHAT_PARAMS_INIT \
  { sizeof(inlay_chat_params), NULL, NULL, NULL, 0, 0 }

/* A conversation on an empty session of a model with a tokenizer. Beside the generator's memory it takes that
 * of a fork of the session: the mark to which the session goes back where the format changes what was said.
 * params may be null. INLAY_ERROR_CHAT_TEMPLATE where no format is given and the file's is not known. */
INLAY_API inlay_status inlay_chat_create(inlay_session *session, const inlay_chat_params *params,
                                         inlay_chat **out_chat);
INLAY_API void inlay_chat_destroy(inlay_chat *chat);
INLAY_API size_t inlay_chat_message(const inlay_chat *chat, char *buffer, size_t capacity);

/* Adds a message: a role ("system", "user", "assistant", "tool") and what it says; or one as JSON, an object
 * or an array of them, with "role", "content", "reasoning_content" and "tool_calls" as templates know them.
 * Takes memory of the runtime's for it. INLAY_ERROR_WRONG_STATE while an answer is under way. */
INLAY_API inlay_status inlay_chat_add(inlay_chat *chat, const char *role, const char *content,
                                      size_t content_bytes);
INLAY_API inlay_status inlay_chat_add_json(inlay_chat *chat, const char *json, size_t json_bytes);

typedef enum inlay_thinking {
  INLAY_THINKING_DEFAULT = 0, /* as the format has it */
  INLAY_THINKING_ON = 1,
  INLAY_THINKING_OFF = 2
} inlay_thinking;

typedef struct inlay_chat_answer_params {
  uint32_t struct_size;
  int32_t thinking;          /* an inlay_thinking */
  uint64_t think_budget;     /* tokens of reasoning, after which it is closed; 0: any number */
  const char *think_closing; /* words put before the closing tag then, zero terminated; null: none. A nudge,
                                "Time is short, so I answer now." for example; 60 tokens at most */
  const char *const
      *stop_strings;         /* strings of the answer that end it, zero terminated; they are not shown */
  size_t stop_string_count;  /* at most 16 of 64 bytes each */
  uint64_t max_tokens;       /* of the answer, reasoning included; 0: the generator's */
  uint32_t repetition_limit; /* tokens that a loop may last before it ends the answer with
                                INLAY_STOP_REPETITION; 0: 512; UINT32_MAX: any number */
  inlay_grammar *grammar;    /* what the answer is of, once it has been thought; null: the generator's, or
                                anything. Where the conversation has tools, a tool call may come instead. The
                                first one takes about 6 MB of memory */
  uint32_t strict_calls; /* not 0: a tool call names one of the conversation's tools, and its arguments are
                            what that tool's "parameters" say, in their order: strings as bare text, all
                            else as JSON. What a schema may say is as for INLAY_GRAMMAR_JSON_SCHEMA, but for
                            strings with a length or a pattern, which then have no "<". A call that the
                            end of the answer cuts is INLAY_CHAT_CALL_BROKEN as ever. The first time takes
                            about 6 MB of memory. 0: calls are as the model writes them */
} inlay_chat_answer_params;
#define INLAY_CHAT_ANSWER_PARAMS_INIT \
  { sizeof(inlay_chat_answer_params), 0, 0, NULL, NULL, 0, 0, 0, NULL, 0 }

/* Begins the answer to all that was said; inlay_chat_next goes on with it. params may be null. Renders and
 * tokenizes only what the timeline does not have yet. INLAY_ERROR_INVALID_ARGUMENT where the template refuses
 * the conversation, in its words; INLAY_ERROR_CONTEXT_FULL where it does not fit. */
INLAY_API inlay_status inlay_chat_answer(inlay_chat *chat, const inlay_chat_answer_params *params);

typedef enum inlay_chat_event_kind {
  INLAY_CHAT_NONE = 0,
  INLAY_CHAT_REASONING = 1,  /* text that was thought */
  INLAY_CHAT_ANSWER = 2,     /* text that is said */
  INLAY_CHAT_CALL_BEGIN = 3, /* a tool call; text: the tool's name */
  INLAY_CHAT_ARGUMENT = 4,   /* an argument begins; text: its name */
  INLAY_CHAT_ARGUMENT_TEXT =
      5,                   /* of its value, as the model wrote it: JSON but for strings, which stand bare */
  INLAY_CHAT_CALL_END = 6, /* the call is complete */
  INLAY_CHAT_CALL_BROKEN = 7, /* what looked like a call, or began as one, is none; what follows is answer */
  INLAY_CHAT_WARNING = 8,     /* text: words for the host's developer */
  INLAY_CHAT_END = 9          /* the answer is complete; stop says why */
} inlay_chat_event_kind;

typedef struct inlay_chat_event {
  uint32_t struct_size;
  int32_t kind;     /* an inlay_chat_event_kind */
  const char *text; /* whole UTF-8 characters, zero terminated, until the next call on the chat */
  size_t text_bytes;
  uint32_t call; /* the number of the call, from 0, where the event is of one */
  int32_t stop;  /* with INLAY_CHAT_END: an inlay_stop */
  /* Of this answer so far: */
  uint64_t prompt_tokens;    /* fed before it */
  uint64_t reused_tokens;    /* of the timeline that were kept */
  uint64_t rewound_tokens;   /* of the timeline that were taken back first */
  uint64_t reasoning_tokens; /* tags included */
  uint64_t answer_tokens;
  uint32_t thought_closed; /* 1: reasoning was closed by the budget */
  uint32_t reserved;
  uint64_t prompt_ns;
  uint64_t reasoning_ns;
  uint64_t answer_ns;
} inlay_chat_event;
#define INLAY_CHAT_EVENT_INIT \
  { sizeof(inlay_chat_event), 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* The next event, after at most budget_us microseconds. INLAY_OK: there is one. INLAY_PENDING: the budget is
 * used up. INLAY_END: it is INLAY_CHAT_END; messages can be added, and the next answer begun. Allocates
 * nothing. */
INLAY_API inlay_status inlay_chat_next(inlay_chat *chat, uint64_t budget_us, inlay_chat_event *out_event);

/* Ends the answer where it is: the round under way is finished, then inlay_chat_next gives INLAY_CHAT_END
 * with INLAY_STOP_HOST. */
INLAY_API inlay_status inlay_chat_stop(inlay_chat *chat);

/* Saving and loading of a conversation with its session, between two answers: the messages, the timeline, and
 * the mark that it goes back to, so that it goes on with the same words. INLAY_ERROR_WRONG_STATE while an
 * answer is under way. It takes what a generator's save does, and as much again for the mark. The chat that
 * loads was made with the same tools, format and parameters (INLAY_ERROR_MISMATCH where tools, format or the
 * model differ); what it had is replaced. Statuses as for sessions: what the first part tells (MISMATCH,
 * UNSUPPORTED, WRONG_STATE, a damaged message) leaves the chat as it was, later failures leave it empty, as
 * it was made. Allocates for the messages. save_bytes is 0 where a save would fail. */
INLAY_API uint64_t inlay_chat_save_bytes(inlay_chat *chat);
INLAY_API inlay_status inlay_chat_save(inlay_chat *chat, const inlay_writer *writer);
INLAY_API inlay_status inlay_chat_load(inlay_chat *chat, const inlay_reader *reader);
/* The same with memory: save needs capacity >= inlay_chat_save_bytes (INLAY_ERROR_MEMORY_LIMIT), load checks
 * all checksums before it touches the chat. */
INLAY_API inlay_status inlay_chat_save_memory(inlay_chat *chat, void *buffer, uint64_t capacity,
                                              uint64_t *out_bytes);
INLAY_API inlay_status inlay_chat_load_memory(inlay_chat *chat, const void *data, uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* INLAY_INLAY_H */
