using System;

namespace Inlay
{
    /// <summary>How a Pool is made.</summary>
    public sealed class PoolOptions
    {
        /// <summary>Room for so many, rounded up to pages of 256; at least 1.</summary>
        public ulong Tokens { get; set; }
        /// <summary>That of all its sessions.</summary>
        public KvType KvType { get; set; }
        /// <summary>Pages have room for the MTP head's own; as in all its sessions.</summary>
        public bool Mtp { get; set; }
        /// <summary>Memory of PoolPlan.Host bytes for the pool to live in; null: Inlay's own. The pool takes it and gives
        /// it back when it and its sessions are gone.</summary>
        public Arena Arena { get; set; }

        internal unsafe inlay_pool_params Params()
        {
            return new inlay_pool_params
            {
                struct_size = (uint)sizeof(inlay_pool_params),
                tokens = Tokens,
                kv_type = (int)KvType,
                mtp = Mtp ? 1u : 0u,
                arena = Arena.AddressOf(Arena),
                arena_bytes = Arena.BytesOf(Arena)
            };
        }
    }

    /// <summary>Every byte of a pool, and its pages.</summary>
    public struct PoolPlan
    {
        public ulong Host, Device, Pages, PageTokens;
    }

    /// <summary>KV pages that sessions share: each takes pages as its timeline grows, and forks have the full pages of what
    /// they have in common once. Any number of threads may use it at once, and sessions of several its pages.</summary>
    public sealed unsafe class Pool : IDisposable
    {
        internal readonly InlayHandle Handle;
        internal readonly Counted Home;

        /// <summary>All of the pool's memory is taken here. Where it throws, the arena is still the caller's.</summary>
        public Pool(Model model, PoolOptions options)
        {
            Arena arena = options.Arena;
            var given = options.Params();
            IntPtr made;
            Arena.Take(arena);
            try
            {
                model.Runtime.Check(Native.inlay_pool_create(model.Handle, &given, &made));
            }
            catch
            {
                Arena.Leave(arena);
                throw;
            }
            Home = model.Home.Child(() => Arena.Give(arena));
            Handle = new InlayHandle(made, Native.inlay_pool_destroy, Home.Release);
        }

        /// <summary>Gives the pool up; sessions of it keep what they need.</summary>
        public void Dispose() => Handle.Dispose();

        /// <summary>Pages that nobody has.</summary>
        public long FreePages => (long)Native.inlay_pool_free_pages(Handle);
    }
}
