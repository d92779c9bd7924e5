using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;

namespace Inlay
{
    /// <summary>A file in a storage of yours: an archive, an asset system. Called by the thread that opens; disposed,
    /// where it is IDisposable, when nothing needs the file any more. An exception is an error of the open.</summary>
    public interface IStorage
    {
        /// <summary>Bytes of the whole file.</summary>
        long Length { get; }
        /// <summary>Fills buffer from its start with `count` bytes from `offset`.</summary>
        void ReadAt(long offset, byte[] buffer, int count);
    }

    /// <summary>Where a file comes from.</summary>
    public sealed unsafe class Source
    {
        internal string FilePath;
        internal IStorage Storage;
        internal IntPtr Address;
        internal ulong Size;

        private Source() { }

        /// <summary>A GGUF file (of a split one, its first part) or a package. It is mapped.</summary>
        public static Source Path(string path) => new Source { FilePath = path };

        /// <summary>A whole file in memory. Weights are copied from it.</summary>
        public static Source Bytes(byte[] file) => new Source { Storage = new StreamStorage(new MemoryStream(file)) };

        /// <summary>A whole file in native memory, used where it lies: until the model and all made from it are gone.</summary>
        public static Source Memory(IntPtr file, long bytes) => new Source { Address = file, Size = (ulong)bytes };

        /// <summary>A stream that can seek; disposed when nothing needs it any more.</summary>
        public static Source Stream(Stream stream) => new Source { Storage = new StreamStorage(stream) };

        /// <summary>A storage of yours.</summary>
        public static Source From(IStorage storage) => new Source { Storage = storage };

        /// <summary>A path is a source.</summary>
        public static implicit operator Source(string path) => Path(path);

        private sealed class StreamStorage : IStorage, IDisposable
        {
            private readonly Stream stream;
            public StreamStorage(Stream stream) { this.stream = stream; }
            public long Length => stream.Length;
            public void Dispose() => stream.Dispose();
            public void ReadAt(long offset, byte[] buffer, int count)
            {
                stream.Position = offset;
                for (int done = 0; done < count;)
                {
                    int read = stream.Read(buffer, done, count - done);
                    if (read == 0) throw new EndOfStreamException();
                    done += read;
                }
            }
        }
    }

    /// <summary>A storage behind inlay_io, and what it threw last.</summary>
    internal sealed unsafe class StorageHost
    {
        private readonly IStorage storage;
        private GCHandle self;
        public Exception Failure;

        private StorageHost(IStorage storage) { this.storage = storage; }

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int SizeFn(IntPtr userData, ulong* bytes);
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int ReadFn(IntPtr userData, ulong offset, byte* destination, UIntPtr bytes);
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void CloseFn(IntPtr userData);
        private static readonly SizeFn Size = OnSize;
        private static readonly ReadFn Read = OnRead;
        private static readonly CloseFn Close = OnClose;

        /// <summary>The library calls close once, also where the open fails.</summary>
        public static StorageHost Make(IStorage storage, inlay_io* table)
        {
            var host = new StorageHost(storage);
            host.self = GCHandle.Alloc(host);
            table->struct_size = (uint)sizeof(inlay_io);
            table->user_data = GCHandle.ToIntPtr(host.self);
            table->size = Marshal.GetFunctionPointerForDelegate(Size);
            table->read_at = Marshal.GetFunctionPointerForDelegate(Read);
            table->close = Marshal.GetFunctionPointerForDelegate(Close);
            return host;
        }

        private static StorageHost Of(IntPtr userData) => (StorageHost)GCHandle.FromIntPtr(userData).Target;

        [MonoPInvokeCallback(typeof(SizeFn))]
        private static int OnSize(IntPtr userData, ulong* bytes)
        {
            StorageHost host = Of(userData);
            try
            {
                *bytes = (ulong)host.storage.Length;
                return C.INLAY_OK;
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
                return C.INLAY_ERROR_IO;
            }
        }

        [MonoPInvokeCallback(typeof(ReadFn))]
        private static int OnRead(IntPtr userData, ulong offset, byte* destination, UIntPtr bytes)
        {
            StorageHost host = Of(userData);
            try
            {
                ulong left = (ulong)bytes;
                var buffer = new byte[Math.Min(left, 1 << 20)];
                while (left > 0)
                {
                    int count = (int)Math.Min(left, (ulong)buffer.Length);
                    host.storage.ReadAt((long)offset, buffer, count);
                    Marshal.Copy(buffer, 0, (IntPtr)destination, count);
                    destination += count;
                    offset += (ulong)count;
                    left -= (ulong)count;
                }
                return C.INLAY_OK;
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
                return C.INLAY_ERROR_IO;
            }
        }

        [MonoPInvokeCallback(typeof(CloseFn))]
        private static void OnClose(IntPtr userData)
        {
            StorageHost host = Of(userData);
            host.self.Free();
            try
            {
                var disposable = host.storage as IDisposable;
                if (disposable != null) disposable.Dispose();
            }
            catch (Exception)
            {
                // Nobody is left to tell.
            }
        }
    }

    /// <summary>A progress callback behind the C one.</summary>
    internal sealed class Watcher : IDisposable
    {
        private readonly Func<ulong, ulong, bool> report;
        private GCHandle self;
        public Exception Failure;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int ProgressFn(IntPtr userData, ulong done, ulong total);
        private static readonly ProgressFn Progress = OnProgress;

        public Watcher(Func<ulong, ulong, bool> report)
        {
            this.report = report;
            if (report != null) self = GCHandle.Alloc(this);
        }

        public IntPtr Function => report == null ? IntPtr.Zero : Marshal.GetFunctionPointerForDelegate(Progress);
        public IntPtr UserData => report == null ? IntPtr.Zero : GCHandle.ToIntPtr(self);

        public void Dispose()
        {
            if (self.IsAllocated) self.Free();
        }

        [MonoPInvokeCallback(typeof(ProgressFn))]
        private static int OnProgress(IntPtr userData, ulong done, ulong total)
        {
            var watcher = (Watcher)GCHandle.FromIntPtr(userData).Target;
            try
            {
                return watcher.report(done, total) ? C.INLAY_OK : C.INLAY_ERROR_CANCELLED;
            }
            catch (Exception thrown)
            {
                watcher.Failure = thrown;
                return C.INLAY_ERROR_CANCELLED;
            }
        }
    }

    /// <summary>What a file or a model is; the header says each field's meaning.</summary>
    public sealed unsafe class ModelInfo
    {
        public readonly string Architecture, Name, Quantisation, ChatTemplate;
        public readonly ulong FileBytes, Parameters;
        public readonly uint Layers, AttentionInterval, EmbeddingLength, FeedForwardLength;
        public readonly uint AttentionHeads, AttentionKvHeads, AttentionHeadLength;
        public readonly uint DeltaNetKeyHeads, DeltaNetValueHeads, DeltaNetStateLength;
        public readonly uint VocabularySize, ContextLength, MtpLayers;
        public readonly bool HasWeights, HasTokenizer;
        public readonly KvType KvType;

        internal ModelInfo(ref inlay_model_info info)
        {
            Architecture = Text.Of(info.architecture);
            Name = Text.Of(info.name);
            Quantisation = Text.Of(info.quantisation);
            ChatTemplate = Text.Of(info.chat_template);
            FileBytes = info.file_bytes;
            Parameters = info.parameters;
            Layers = info.layers;
            AttentionInterval = info.attention_interval;
            EmbeddingLength = info.embedding_length;
            FeedForwardLength = info.feed_forward_length;
            AttentionHeads = info.attention_heads;
            AttentionKvHeads = info.attention_kv_heads;
            AttentionHeadLength = info.attention_head_length;
            DeltaNetKeyHeads = info.delta_net_key_heads;
            DeltaNetValueHeads = info.delta_net_value_heads;
            DeltaNetStateLength = info.delta_net_state_length;
            VocabularySize = info.vocabulary_size;
            ContextLength = info.context_length;
            MtpLayers = info.mtp_layers;
            HasWeights = info.has_weights != 0;
            HasTokenizer = info.has_tokenizer != 0;
            KvType = (KvType)info.kv_type;
        }
    }

    /// <summary>Every byte that a model and one session of it will take; the header says each field's meaning.</summary>
    public struct MemoryPlan
    {
        public ulong WeightsMapped, ModelHost, ModelDevice, SessionHost, SessionDevice, ScratchHost, ScratchDevice;
        public ulong KvCache, DeltaNetState, Window, PooledSessionHost, PooledSessionDevice;

        internal MemoryPlan(ref inlay_memory_plan plan)
        {
            WeightsMapped = plan.weights_mapped;
            ModelHost = plan.model_host;
            ModelDevice = plan.model_device;
            SessionHost = plan.session_host;
            SessionDevice = plan.session_device;
            ScratchHost = plan.scratch_host;
            ScratchDevice = plan.scratch_device;
            KvCache = plan.kv_cache;
            DeltaNetState = plan.delta_net_state;
            Window = plan.window;
            PooledSessionHost = plan.pooled_session_host;
            PooledSessionDevice = plan.pooled_session_device;
        }
    }

    /// <summary>One tensor as the file has it.</summary>
    public struct TensorInfo
    {
        public string Name, Type;
        /// <summary>Innermost first, 1 where there are fewer.</summary>
        public ulong[] Dimensions;
        public ulong Bytes;
    }

    /// <summary>A model's file with its header read, and nothing more. Any number of threads may use it at once.</summary>
    public sealed unsafe class ModelFile : IDisposable
    {
        internal readonly InlayHandle Handle;
        internal readonly Runtime Runtime;
        internal readonly StorageHost Storage;

        /// <summary>Opens a file and reads its header.</summary>
        public ModelFile(Runtime runtime, Source source)
        {
            Runtime = runtime;
            var given = new inlay_source { struct_size = (uint)sizeof(inlay_source) };
            var table = new inlay_io();
            IntPtr made;
            fixed (byte* path = Text.Terminated(source.FilePath))
            {
                given.path = path;
                given.data = source.Address;
                given.data_size = source.Size;
                if (source.Storage != null)
                {
                    Storage = StorageHost.Make(source.Storage, &table);
                    given.io = &table;
                }
                int status = Native.inlay_file_open(runtime.Handle, &given, &made);
                runtime.Check(status, Storage == null ? null : Storage.Failure);
            }
            Handle = new InlayHandle(made, Native.inlay_file_destroy, runtime.Log.Hold().Release);
        }

        /// <summary>Gives the file up; a model that was made of it stays.</summary>
        public void Dispose() => Handle.Dispose();

        /// <summary>What it is.</summary>
        public ModelInfo Info
        {
            get
            {
                var info = new inlay_model_info { struct_size = (uint)sizeof(inlay_model_info) };
                Runtime.Check(Native.inlay_file_get_info(Handle, &info));
                return new ModelInfo(ref info);
            }
        }

        /// <summary>Its tensors, in the file's order.</summary>
        public IReadOnlyList<TensorInfo> Tensors
        {
            get
            {
                var tensors = new List<TensorInfo>();
                for (uint i = 0; i < Native.inlay_file_tensor_count(Handle); ++i)
                {
                    var tensor = new inlay_tensor_info { struct_size = (uint)sizeof(inlay_tensor_info) };
                    Runtime.Check(Native.inlay_file_get_tensor(Handle, i, &tensor));
                    var dimensions = new ulong[4];
                    for (int d = 0; d < 4; ++d) dimensions[d] = tensor.dimensions[d];
                    tensors.Add(new TensorInfo
                    {
                        Name = Text.Of(tensor.name, (int)tensor.name_bytes),
                        Type = Text.Of(tensor.type),
                        Dimensions = dimensions,
                        Bytes = tensor.bytes
                    });
                }
                return tensors;
            }
        }

        /// <summary>What its model and one such session will take, from the header alone. Takes nothing.</summary>
        public MemoryPlan Plan(SessionOptions options = null)
        {
            var plan = new inlay_memory_plan { struct_size = (uint)sizeof(inlay_memory_plan) };
            var given = SessionOptions.Params(options);
            Runtime.Check(Native.inlay_file_plan(Handle, &given, &plan));
            return new MemoryPlan(ref plan);
        }

        /// <summary>What such a pool will take, from the header alone. Takes nothing.</summary>
        public PoolPlan PlanPool(PoolOptions options)
        {
            var plan = new inlay_pool_plan { struct_size = (uint)sizeof(inlay_pool_plan) };
            var given = options.Params();
            Runtime.Check(Native.inlay_file_plan_pool(Handle, &given, &plan));
            return new PoolPlan { Host = plan.host, Device = plan.device, Pages = plan.pages, PageTokens = plan.page_tokens };
        }

        /// <summary>Compares all of a package with its checksums; progress(done, total) stops it with false.</summary>
        public void Verify(Func<ulong, ulong, bool> progress = null)
        {
            using (var watcher = new Watcher(progress))
            {
                int status = Native.inlay_file_verify(Handle, watcher.Function, watcher.UserData);
                Runtime.Check(status, watcher.Failure);
            }
        }
    }

    /// <summary>Weights, immutable; shared by any number of sessions and threads.</summary>
    public sealed unsafe class Model : IDisposable
    {
        internal readonly InlayHandle Handle;
        internal readonly Runtime Runtime;
        internal readonly Counted Home; // of all made from it
        internal readonly int VocabularySize, EmbeddingLength;

        /// <summary>Makes a file's weights usable; the file may be disposed afterwards. progress(done, total) is called
        /// between parts of the loading; false, or an exception, stops it with Status.Cancelled. An arena of
        /// MemoryPlan.ModelHost bytes is memory for the model to live in, which takes it and gives it back when it and all
        /// made from it are gone; where this throws it is still the caller's.</summary>
        public Model(ModelFile file, bool readAhead = false, Func<ulong, ulong, bool> progress = null, Arena arena = null)
        {
            Runtime = file.Runtime;
            var given = new inlay_model_params { struct_size = (uint)sizeof(inlay_model_params) };
            given.read_ahead = readAhead ? 1u : 0u;
            given.arena = Arena.AddressOf(arena);
            given.arena_bytes = Arena.BytesOf(arena);
            IntPtr made;
            Arena.Take(arena);
            try
            {
                using (var watcher = new Watcher(progress))
                {
                    given.progress = watcher.Function;
                    given.progress_user_data = watcher.UserData;
                    int status = Native.inlay_model_create(file.Handle, &given, &made);
                    Runtime.Check(status, watcher.Failure ?? (file.Storage == null ? null : file.Storage.Failure));
                }
            }
            catch
            {
                Arena.Leave(arena);
                throw;
            }
            Home = Runtime.Log.Child(() => Arena.Give(arena));
            Handle = new InlayHandle(made, Native.inlay_model_destroy, Home.Release);
            ModelInfo info = Info;
            VocabularySize = (int)info.VocabularySize;
            EmbeddingLength = (int)info.EmbeddingLength;
        }

        /// <summary>Opens a file and makes its model.</summary>
        public static Model Open(Runtime runtime, Source source, bool readAhead = false,
                                 Func<ulong, ulong, bool> progress = null)
        {
            using (var file = new ModelFile(runtime, source)) return new Model(file, readAhead, progress);
        }

        /// <summary>Gives the model up; sessions of it keep what they need.</summary>
        public void Dispose() => Handle.Dispose();

        /// <summary>What it is.</summary>
        public ModelInfo Info
        {
            get
            {
                var info = new inlay_model_info { struct_size = (uint)sizeof(inlay_model_info) };
                Runtime.Check(Native.inlay_model_get_info(Handle, &info));
                return new ModelInfo(ref info);
            }
        }

        /// <summary>What it and one such session take.</summary>
        public MemoryPlan Plan(SessionOptions options = null)
        {
            var plan = new inlay_memory_plan { struct_size = (uint)sizeof(inlay_memory_plan) };
            var given = SessionOptions.Params(options);
            Runtime.Check(Native.inlay_model_plan(Handle, &given, &plan));
            return new MemoryPlan(ref plan);
        }

        /// <summary>The model's own; null where the file has none: such a model takes and gives ids.</summary>
        public Tokenizer Tokenizer
        {
            get
            {
                IntPtr tokenizer = Native.inlay_model_tokenizer(Handle);
                return tokenizer == IntPtr.Zero ? null : new Tokenizer(this, tokenizer);
            }
        }
    }
}
