using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Inlay
{
    /// <summary>What a call came to; the header says each one's meaning.</summary>
    public enum Status
    {
        Ok = C.INLAY_OK,
        Pending = C.INLAY_PENDING,
        End = C.INLAY_END,
        InvalidArgument = C.INLAY_ERROR_INVALID_ARGUMENT,
        OutOfMemory = C.INLAY_ERROR_OUT_OF_MEMORY,
        MemoryLimit = C.INLAY_ERROR_MEMORY_LIMIT,
        Io = C.INLAY_ERROR_IO,
        CorruptFile = C.INLAY_ERROR_CORRUPT_FILE,
        Unsupported = C.INLAY_ERROR_UNSUPPORTED,
        ContextFull = C.INLAY_ERROR_CONTEXT_FULL,
        WrongState = C.INLAY_ERROR_WRONG_STATE,
        Busy = C.INLAY_ERROR_BUSY,
        Cancelled = C.INLAY_ERROR_CANCELLED,
        Callback = C.INLAY_ERROR_CALLBACK,
        Device = C.INLAY_ERROR_DEVICE,
        Mismatch = C.INLAY_ERROR_MISMATCH,
        Internal = C.INLAY_ERROR_INTERNAL,
        ChatTemplate = C.INLAY_ERROR_CHAT_TEMPLATE
    }

    /// <summary>A failed call: its status, the words that the library left with the object, and as InnerException what
    /// one of your callbacks threw.</summary>
    public sealed class InlayException : Exception
    {
        /// <summary>What to decide by.</summary>
        public Status Status { get; }

        /// <summary>The name that the header has, "INLAY_ERROR_IO" for example.</summary>
        public string StatusName => Text.Name(Status);

        internal InlayException(Status status, string words, Exception inner = null)
            : base(words.Length == 0 ? Text.Name(status) : Text.Name(status) + ": " + words, inner)
        {
            Status = status;
        }
    }

    internal delegate void AskFill(IntPtr place, UIntPtr room, out UIntPtr count);
    internal delegate UIntPtr AskMessage(IntPtr buffer, UIntPtr capacity);

    internal static unsafe class Text
    {
        public static string Name(Status status) => Of(Native.inlay_status_name((int)status));

        public static string Of(byte* text)
        {
            if (text == null) return "";
            int length = 0;
            while (text[length] != 0) ++length;
            return Of(text, length);
        }

        public static string Of(byte* text, int bytes) => bytes == 0 ? "" : Encoding.UTF8.GetString(text, bytes);

        /// <summary>Zero terminated; null stays null.</summary>
        public static byte[] Terminated(string text)
        {
            if (text == null) return null;
            if (text.IndexOf('\0') >= 0) throw new ArgumentException("a zero character inside a text");
            return Encoding.UTF8.GetBytes(text + "\0");
        }

        /// <summary>Asks again with more room where the first was too small: `ask` says how much all of it is.</summary>
        public static T[] Fill<T>(int room, AskFill ask)
        {
            var filled = new T[Math.Max(room, 1)];
            while (true)
            {
                UIntPtr count;
                GCHandle pin = GCHandle.Alloc(filled, GCHandleType.Pinned);
                try
                {
                    ask(pin.AddrOfPinnedObject(), (UIntPtr)filled.Length, out count);
                }
                finally
                {
                    pin.Free();
                }
                bool fits = (int)count <= filled.Length;
                Array.Resize(ref filled, (int)count);
                if (fits) return filled;
            }
        }

        public static int Check(int status, AskMessage ask, Exception inner = null)
        {
            if (status >= 0) return status;
            var buffer = new byte[512];
            int length = 0;
            for (int i = 0; i < 2 && ask != null; ++i)
            {
                fixed (byte* place = buffer) length = (int)ask((IntPtr)place, (UIntPtr)buffer.Length);
                if (length < buffer.Length) break;
                buffer = new byte[length + 1];
            }
            throw new InlayException((Status)status, Encoding.UTF8.GetString(buffer, 0, Math.Min(length, buffer.Length)),
                                     inner);
        }
    }

    /// <summary>Unity's compiler ahead of time looks for this name at what native code calls.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class MonoPInvokeCallbackAttribute : Attribute
    {
        public MonoPInvokeCallbackAttribute(Type type) { }
    }

    /// <summary>A native object. A call that is under way keeps it; Dispose then takes effect when the call returns.</summary>
    internal sealed class InlayHandle : SafeHandle
    {
        private readonly Action<IntPtr> destroy;
        private readonly Action after;

        public InlayHandle(IntPtr handle, Action<IntPtr> destroy, Action after = null) : base(IntPtr.Zero, true)
        {
            this.destroy = destroy;
            this.after = after;
            SetHandle(handle);
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        protected override bool ReleaseHandle()
        {
            destroy(handle);
            if (after != null) after();
            return true;
        }
    }

    /// <summary>A native object in a struct of the header's, kept until Dispose; null is none.</summary>
    internal struct Lent : IDisposable
    {
        private readonly InlayHandle handle;
        public readonly IntPtr Pointer;

        public Lent(InlayHandle handle)
        {
            this.handle = handle;
            Pointer = IntPtr.Zero;
            if (handle == null) return;
            bool held = false;
            handle.DangerousAddRef(ref held);
            Pointer = handle.DangerousGetHandle();
        }

        public void Dispose()
        {
            if (handle != null) handle.DangerousRelease();
        }
    }

    /// <summary>Something that is given back when the last native object that needs it is.</summary>
    internal sealed class Counted
    {
        private readonly Action free;
        private int holders = 1;

        public Counted(Action free) { this.free = free; }

        public Counted Hold()
        {
            System.Threading.Interlocked.Increment(ref holders);
            return this;
        }

        /// <summary>For what is made from this, which it holds until its own last release.</summary>
        public Counted Child(Action free)
        {
            Hold();
            return new Counted(() =>
            {
                free();
                Release();
            });
        }

        public void Release()
        {
            if (System.Threading.Interlocked.Decrement(ref holders) == 0) free();
        }
    }
}
