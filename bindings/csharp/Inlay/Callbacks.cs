using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace Inlay
{
    /// <summary>A drafter behind the C table, and what it threw last.</summary>
    internal sealed unsafe class DrafterHost
    {
        private readonly IDrafter drafter;
        public Exception Failure;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int ProposeFn(IntPtr userData, int* tokens, UIntPtr count, UIntPtr max, int* guesses, UIntPtr* written);
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void ObserveFn(IntPtr userData, int* tokens, UIntPtr count, UIntPtr accepted);
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void ResetFn(IntPtr userData);
        private static readonly ProposeFn Propose = OnPropose;
        private static readonly ObserveFn Observe = OnObserve;
        private static readonly ResetFn Reset = OnReset;

        public DrafterHost(IDrafter drafter) { this.drafter = drafter; }

        public static void Fill(inlay_drafter* table, GCHandle host)
        {
            table->struct_size = (uint)sizeof(inlay_drafter);
            table->user_data = GCHandle.ToIntPtr(host);
            table->propose = Marshal.GetFunctionPointerForDelegate(Propose);
            table->observe = Marshal.GetFunctionPointerForDelegate(Observe);
            table->reset = Marshal.GetFunctionPointerForDelegate(Reset);
        }

        private static DrafterHost Of(IntPtr userData) => (DrafterHost)GCHandle.FromIntPtr(userData).Target;

        [MonoPInvokeCallback(typeof(ProposeFn))]
        private static int OnPropose(IntPtr userData, int* tokens, UIntPtr count, UIntPtr max, int* guesses, UIntPtr* written)
        {
            DrafterHost host = Of(userData);
            *written = UIntPtr.Zero;
            // What Observe threw, which can't report it, is reported here.
            if (host.Failure != null) return C.INLAY_ERROR_CALLBACK;
            try
            {
                IReadOnlyList<int> proposed = host.drafter.Propose(new Timeline(tokens, (int)count), (int)max);
                int used = proposed == null ? 0 : Math.Min(proposed.Count, (int)max);
                for (int i = 0; i < used; ++i) guesses[i] = proposed[i];
                *written = (UIntPtr)used;
                return C.INLAY_OK;
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
                return C.INLAY_ERROR_CALLBACK;
            }
        }

        [MonoPInvokeCallback(typeof(ObserveFn))]
        private static void OnObserve(IntPtr userData, int* tokens, UIntPtr count, UIntPtr accepted)
        {
            DrafterHost host = Of(userData);
            try
            {
                host.drafter.Observe(new Timeline(tokens, (int)count).ToArray(), (int)accepted);
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
            }
        }

        [MonoPInvokeCallback(typeof(ResetFn))]
        private static void OnReset(IntPtr userData)
        {
            DrafterHost host = Of(userData);
            try
            {
                host.drafter.Reset();
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
            }
        }
    }

    /// <summary>A mask behind the C table, and what it threw last.</summary>
    internal sealed unsafe class MaskHost
    {
        private readonly IMask mask;
        public Exception Failure;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int AllowFn(IntPtr userData, int* tokens, UIntPtr count, uint* allowed, uint vocabulary);
        private static readonly AllowFn Allow = OnAllow;

        public MaskHost(IMask mask) { this.mask = mask; }

        public static void Fill(inlay_mask* table, GCHandle host)
        {
            table->struct_size = (uint)sizeof(inlay_mask);
            table->user_data = GCHandle.ToIntPtr(host);
            table->allow = Marshal.GetFunctionPointerForDelegate(Allow);
        }

        [MonoPInvokeCallback(typeof(AllowFn))]
        private static int OnAllow(IntPtr userData, int* tokens, UIntPtr count, uint* allowed, uint vocabulary)
        {
            var host = (MaskHost)GCHandle.FromIntPtr(userData).Target;
            try
            {
                bool some = host.mask.Allow(new Timeline(tokens, (int)count), new Allowed(allowed, (int)vocabulary));
                return some ? C.INLAY_OK : C.INLAY_END;
            }
            catch (Exception thrown)
            {
                host.Failure = thrown;
                return C.INLAY_ERROR_CALLBACK;
            }
        }
    }

    /// <summary>What the parameters of a generator point to, and the callbacks that it holds on to.</summary>
    internal sealed unsafe class GeneratorHosts
    {
        private readonly DrafterHost drafts;
        private readonly MaskHost masks;
        private GCHandle draftsPin, masksPin;

        public delegate int Create(inlay_generator_params* given);

        /// <summary>Hands the C struct to `create`, which copies it. Where it fails, nothing is held on to.</summary>
        public GeneratorHosts(GeneratorOptions options, Create create, out int status)
        {
            SamplerOptions sampling = options.Sampler ?? new SamplerOptions();
            var given = new inlay_generator_params { struct_size = (uint)sizeof(inlay_generator_params) };
            given.draft = (int)options.Draft;
            given.draft_length = options.DraftLength;
            given.draft_min_probability = options.DraftMinProbability;
            given.max_tokens = options.MaxTokens;
            given.ignore_end = options.IgnoreEnd ? 1u : 0u;
            given.show_special = options.ShowSpecial ? 1u : 0u;
            var drafter = new inlay_drafter();
            var mask = new inlay_mask();
            if (options.Drafter != null)
            {
                drafts = new DrafterHost(options.Drafter);
                draftsPin = GCHandle.Alloc(drafts);
                DrafterHost.Fill(&drafter, draftsPin);
                given.draft = C.INLAY_DRAFT_HOST;
                given.drafter = &drafter;
            }
            if (options.Mask != null)
            {
                masks = new MaskHost(options.Mask);
                masksPin = GCHandle.Alloc(masks);
                MaskHost.Fill(&mask, masksPin);
                given.mask = &mask;
            }
            status = C.INLAY_ERROR_INTERNAL;
            try
            {
                using (Lent grammar = Grammar.Lend(options.Grammar))
                fixed (inlay_logit_bias* biases = sampling.BiasArray())
                {
                    given.grammar = grammar.Pointer;
                    var sampler = sampling.Params(biases);
                    given.sampler = &sampler;
                    status = create(&given);
                }
            }
            finally
            {
                if (status < 0) Free();
            }
        }

        public void Free()
        {
            if (draftsPin.IsAllocated) draftsPin.Free();
            if (masksPin.IsAllocated) masksPin.Free();
        }

        /// <summary>What a callback threw, where the status says that one did.</summary>
        public Exception Failure(int status)
        {
            Exception failure = null;
            if (status != C.INLAY_ERROR_CALLBACK) return null;
            if (drafts != null)
            {
                failure = drafts.Failure;
                drafts.Failure = null;
            }
            if (masks != null)
            {
                failure = failure ?? masks.Failure;
                masks.Failure = null;
            }
            return failure;
        }
    }
}
