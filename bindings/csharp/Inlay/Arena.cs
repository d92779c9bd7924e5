using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace Inlay
{
    /// <summary>Native memory that a session, a model or a pool is to live in. What is made in it takes it: it gives the
    /// memory back when it and all made from it are gone, and until then Dispose does nothing.</summary>
    public sealed class Arena : IDisposable
    {
        private const int Free = 0, Taken = 1, Closed = 2;

        private IntPtr memory;
        private int state = Free;
        internal readonly IntPtr Aligned;
        internal readonly ulong Bytes;

        /// <summary>Takes `bytes` bytes, aligned as Inlay needs them.</summary>
        public Arena(ulong bytes)
        {
            memory = Marshal.AllocHGlobal((IntPtr)(long)(bytes + 64));
            Aligned = (IntPtr)((memory.ToInt64() + 63) / 64 * 64);
            Bytes = bytes;
        }

        /// <summary>Gives the memory back, where nothing lives in it.</summary>
        public void Dispose()
        {
            if (Interlocked.CompareExchange(ref state, Closed, Free) != Free) return;
            Marshal.FreeHGlobal(memory);
            GC.SuppressFinalize(this);
        }

        ~Arena() { Dispose(); }

        // All of these take null for none.

        internal static void Take(Arena arena)
        {
            if (arena == null || Interlocked.CompareExchange(ref arena.state, Taken, Free) == Free) return;
            throw new InlayException(Status.WrongState, "the arena is in use, or disposed");
        }

        /// <summary>It is the caller's again.</summary>
        internal static void Leave(Arena arena)
        {
            if (arena != null) Interlocked.Exchange(ref arena.state, Free);
        }

        internal static void Give(Arena arena)
        {
            if (arena == null) return;
            Leave(arena);
            arena.Dispose();
        }

        internal static IntPtr AddressOf(Arena arena) => arena == null ? IntPtr.Zero : arena.Aligned;
        internal static ulong BytesOf(Arena arena) => arena == null ? 0 : arena.Bytes;
    }
}
