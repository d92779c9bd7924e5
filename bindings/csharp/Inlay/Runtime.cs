using System;
using System.Runtime.InteropServices;

namespace Inlay
{
    /// <summary>Where models compute.</summary>
    public enum Device { Cpu = C.INLAY_DEVICE_CPU, Cuda = C.INLAY_DEVICE_CUDA }

    /// <summary>Where a CUDA device keeps the weights of a package in its own layout (PackOptions.Layout); every other weight
    /// is copied to it.</summary>
    public enum WeightPlacement
    {
        /// <summary>In place where the device's memory is the host's, else copied.</summary>
        Default = C.INLAY_WEIGHTS_DEFAULT,
        Copied = C.INLAY_WEIGHTS_COPIED,
        /// <summary>Read where they are mapped, by every pass; Status.Unsupported on a device that can't.</summary>
        InPlace = C.INLAY_WEIGHTS_IN_PLACE
    }

    /// <summary>How much a line of the log matters.</summary>
    public enum LogLevel { Error = C.INLAY_LOG_ERROR, Warning = C.INLAY_LOG_WARNING, Info = C.INLAY_LOG_INFO }

    /// <summary>Where host memory comes from. Asked at create, open and dispose, by any thread that does these and by
    /// finalizers, never while a session works.</summary>
    public interface IAllocator
    {
        /// <summary>`size` bytes aligned to `alignment` (a power of two, up to 4096); zero, or an exception, where there are
        /// none.</summary>
        IntPtr Allocate(long size, long alignment);
        /// <summary>Takes back what Allocate gave for the same size and alignment.</summary>
        void Release(IntPtr memory, long size, long alignment);
    }

    /// <summary>How a Runtime is made; zeros are the header's defaults.</summary>
    public sealed class RuntimeOptions
    {
        public Device Device { get; set; }
        public uint DeviceIndex { get; set; }
        /// <summary>Threads that compute, the caller's included; 0: one a usable core.</summary>
        public uint Threads { get; set; }
        /// <summary>Host bytes that the runtime and all made from it may hold; 0: no limit.</summary>
        public ulong MemoryLimit { get; set; }
        /// <summary>"scalar", "avx2", "avx512", "amx" or "neon" instead of the best there is.</summary>
        public string InstructionSet { get; set; }
        public bool LowPriority { get; set; }
        /// <summary>A mapped file that another program cuts short is Status.Io, and not a SIGBUS that ends the process.
        /// While such a runtime lives, Inlay has the handler of SIGBUS, and passes on to the former one what is not its own.
        /// </summary>
        public bool GuardMappings { get; set; }
        public WeightPlacement WeightPlacement { get; set; }
        /// <summary>Where not null, gives host memory.</summary>
        public IAllocator Allocator { get; set; }
        /// <summary>A cudaStream_t of yours, which outlives all that is made from the runtime.</summary>
        public IntPtr CudaStream { get; set; }
        /// <summary>Takes each line; called at create, open and dispose, by any thread that does these.</summary>
        public Action<LogLevel, string> Log { get; set; }
    }

    /// <summary>Host memory of a runtime and everything made from it, in bytes.</summary>
    public struct MemoryUse
    {
        public ulong Now;
        public ulong HighWater;
    }

    /// <summary>What host memory is held for.</summary>
    public enum MemoryKind
    {
        Other = C.INLAY_MEMORY_OTHER,
        Model = C.INLAY_MEMORY_MODEL,
        State = C.INLAY_MEMORY_STATE,
        Scratch = C.INLAY_MEMORY_SCRATCH
    }

    /// <summary>How a package is made.</summary>
    public sealed class PackOptions
    {
        /// <summary>Null: every tensor as it is; else "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k", "fp8" or "nvfp4".</summary>
        public string Quantisation { get; set; }
        /// <summary>Path of an importance matrix in llama.cpp's GGUF form, for the K types.</summary>
        public string Imatrix { get; set; }
        /// <summary>Null: every device opens the package; "cuda": as CUDA devices read it, and they alone.</summary>
        public string Layout { get; set; }
        /// <summary>Called with the bytes done and of all; false, or an exception, stops it with Status.Cancelled.</summary>
        public Func<ulong, ulong, bool> Progress { get; set; }
    }

    /// <summary>What a runtime computes with.</summary>
    public struct RuntimeInfo
    {
        public Device Device;
        public uint DeviceIndex;
        public uint Threads;
        public string InstructionSet;
        public string DeviceName;
    }

    /// <summary>A device, its threads and its memory. Any number of threads may use it at once.</summary>
    public sealed unsafe class Runtime : IDisposable
    {
        internal readonly InlayHandle Handle;

        // Held by everything made from the runtime, for the log may be called until the last of it is gone.
        internal readonly Counted Log;

        private sealed class LogTarget
        {
            public Action<LogLevel, string> Write;
            public IAllocator Allocator;
            public string LastError = "";
        }

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void LogFn(IntPtr userData, int level, IntPtr message);
        private static readonly LogFn WriteLog = OnLog;

        [MonoPInvokeCallback(typeof(LogFn))]
        private static void OnLog(IntPtr userData, int level, IntPtr message)
        {
            try
            {
                var target = (LogTarget)GCHandle.FromIntPtr(userData).Target;
                string text = Text.Of((byte*)message);
                if (level == (int)LogLevel.Error) target.LastError = text;
                if (target.Write != null) target.Write((LogLevel)level, text);
            }
            catch (Exception)
            {
                // A log that throws has nobody to tell.
            }
        }

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate IntPtr AllocateFn(IntPtr userData, UIntPtr size, UIntPtr alignment);
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void ReleaseFn(IntPtr userData, IntPtr memory, UIntPtr size, UIntPtr alignment);
        private static readonly AllocateFn Allocate = OnAllocate;
        private static readonly ReleaseFn Release = OnRelease;

        [MonoPInvokeCallback(typeof(AllocateFn))]
        private static IntPtr OnAllocate(IntPtr userData, UIntPtr size, UIntPtr alignment)
        {
            try
            {
                var target = (LogTarget)GCHandle.FromIntPtr(userData).Target;
                return target.Allocator.Allocate((long)size, (long)alignment);
            }
            catch (Exception)
            {
                return IntPtr.Zero;
            }
        }

        [MonoPInvokeCallback(typeof(ReleaseFn))]
        private static void OnRelease(IntPtr userData, IntPtr memory, UIntPtr size, UIntPtr alignment)
        {
            try
            {
                var target = (LogTarget)GCHandle.FromIntPtr(userData).Target;
                target.Allocator.Release(memory, (long)size, (long)alignment);
            }
            catch (Exception)
            {
                // Nobody is left to tell.
            }
        }

        /// <summary>With all defaults.</summary>
        public Runtime() : this(new RuntimeOptions()) { }

        /// <summary>Makes a runtime: its threads are started here, once.</summary>
        public Runtime(RuntimeOptions options)
        {
            Library.Ensure();
            var target = new LogTarget { Write = options.Log, Allocator = options.Allocator };
            GCHandle pin = GCHandle.Alloc(target);
            Log = new Counted(() => pin.Free());
            var given = new inlay_runtime_params { struct_size = (uint)sizeof(inlay_runtime_params) };
            given.device = (int)options.Device;
            given.device_index = options.DeviceIndex;
            given.threads = options.Threads;
            given.memory_limit = options.MemoryLimit;
            given.weight_placement = (int)options.WeightPlacement;
            given.guard_mappings = options.GuardMappings ? 1u : 0u;
            given.low_priority = options.LowPriority ? 1u : 0u;
            given.cuda_stream = options.CudaStream;
            given.log = Marshal.GetFunctionPointerForDelegate(WriteLog);
            given.log_user_data = GCHandle.ToIntPtr(pin);
            var memory = new inlay_allocator { struct_size = (uint)sizeof(inlay_allocator) };
            if (options.Allocator != null)
            {
                memory.user_data = GCHandle.ToIntPtr(pin);
                memory.allocate = Marshal.GetFunctionPointerForDelegate(Allocate);
                memory.release = Marshal.GetFunctionPointerForDelegate(Release);
                given.allocator = &memory;
            }
            IntPtr made;
            int status;
            fixed (byte* set = Text.Terminated(options.InstructionSet))
            {
                given.instruction_set = set;
                status = Native.inlay_runtime_create(&given, &made);
            }
            if (status < 0)
            {
                Log.Release();
                throw new InlayException((Status)status, target.LastError);
            }
            Handle = new InlayHandle(made, Native.inlay_runtime_destroy, Log.Release);
        }

        /// <summary>Gives the runtime up; what was made from it keeps what it needs.</summary>
        public void Dispose() => Handle.Dispose();

        internal int Check(int status, Exception inner = null)
        {
            return Text.Check(status, (buffer, capacity) =>
                Handle.IsClosed ? UIntPtr.Zero : Native.inlay_runtime_message(Handle, (byte*)buffer, capacity), inner);
        }

        /// <summary>Bytes held now and at most; with reset the high water starts again from now.</summary>
        public MemoryUse Memory(bool reset = false)
        {
            var use = new inlay_memory_use { struct_size = (uint)sizeof(inlay_memory_use) };
            Check(Native.inlay_runtime_memory(Handle, reset ? 1 : 0, &use));
            return new MemoryUse { Now = use.now, HighWater = use.high_water };
        }

        /// <summary>Bytes of one kind alone; with reset its high water starts again from now. Arenas are not counted.
        /// </summary>
        public MemoryUse MemoryOf(MemoryKind kind, bool reset = false)
        {
            var use = new inlay_memory_use { struct_size = (uint)sizeof(inlay_memory_use) };
            Check(Native.inlay_runtime_memory_of(Handle, (int)kind, reset ? 1 : 0, &use));
            return new MemoryUse { Now = use.now, HighWater = use.high_water };
        }

        /// <summary>What it computes with.</summary>
        public RuntimeInfo Info
        {
            get
            {
                var info = new inlay_runtime_info { struct_size = (uint)sizeof(inlay_runtime_info) };
                Check(Native.inlay_runtime_get_info(Handle, &info));
                return new RuntimeInfo
                {
                    Device = (Device)info.device,
                    DeviceIndex = info.device_index,
                    Threads = info.threads,
                    InstructionSet = Text.Of(info.instruction_set),
                    DeviceName = Text.Of(info.device_name)
                };
            }
        }

        /// <summary>A plain streaming read of the memory that weights lie in, in bytes a second.</summary>
        public double MeasureBandwidth()
        {
            double bytes;
            Check(Native.inlay_runtime_measure_bandwidth(Handle, &bytes));
            return bytes;
        }

        /// <summary>Makes a package of a model in any form; a null quantisation leaves every tensor as it is.</summary>
        public void Pack(string input, string output, string quantisation = null)
        {
            Pack(input, output, new PackOptions { Quantisation = quantisation });
        }

        /// <summary>Makes a package of a model in any form.</summary>
        public void Pack(string input, string output, PackOptions options)
        {
            var given = new inlay_pack_params { struct_size = (uint)sizeof(inlay_pack_params) };
            using (var watcher = new Watcher(options.Progress))
            fixed (byte* from = Text.Terminated(input))
            fixed (byte* to = Text.Terminated(output))
            fixed (byte* kind = Text.Terminated(options.Quantisation))
            fixed (byte* imatrix = Text.Terminated(options.Imatrix))
            fixed (byte* layout = Text.Terminated(options.Layout))
            {
                given.quantisation = kind;
                given.imatrix = imatrix;
                given.layout = layout;
                given.progress = watcher.Function;
                given.progress_user_data = watcher.UserData;
                int status = Native.inlay_pack(Handle, from, to, &given);
                Check(status, watcher.Failure);
            }
        }
    }
}
