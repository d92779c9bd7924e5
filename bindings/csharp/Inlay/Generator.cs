using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Inlay
{
    /// <summary>Guesses at what comes next: a dialogue tree, an index, another model. What it proposes is verified, so it
    /// changes the speed and never the text. An exception stops the generator's call with Status.Callback and stands
    /// there as the InnerException; one in Observe or Reset does so at the next proposal.</summary>
    public interface IDrafter
    {
        /// <summary>Up to `max` guesses at the tokens that follow the timeline's; may be null.</summary>
        IReadOnlyList<int> Propose(Timeline timeline, int max);
        /// <summary>These tokens were appended to the timeline, prompts included; the first `accepted` came from the last
        /// proposal.</summary>
        void Observe(int[] tokens, int accepted);
        /// <summary>The timeline was changed from outside; Observe tells of all of it anew.</summary>
        void Reset();
    }

    /// <summary>The tokens of a timeline where they lie; only until the call that was given it returns.</summary>
    public unsafe struct Timeline
    {
        private readonly int* tokens;
        /// <summary>How many there are.</summary>
        public readonly int Count;

        internal Timeline(int* tokens, int count)
        {
            this.tokens = tokens;
            Count = count;
        }

        /// <summary>The newest is the last.</summary>
        public int this[int index]
        {
            get
            {
                if (index < 0 || index >= Count) throw new IndexOutOfRangeException();
                return tokens[index];
            }
        }

        /// <summary>A copy.</summary>
        public int[] ToArray()
        {
            var copy = new int[Count];
            if (Count > 0) Marshal.Copy((IntPtr)tokens, copy, 0, Count);
            return copy;
        }
    }

    /// <summary>Who drafts for a Generator; a drafter of yours is GeneratorOptions.Drafter.</summary>
    public enum Draft
    {
        None = C.INLAY_DRAFT_NONE,
        Mtp = C.INLAY_DRAFT_MTP,
        Lookup = C.INLAY_DRAFT_LOOKUP,
        LookupMtp = C.INLAY_DRAFT_LOOKUP_MTP
    }

    /// <summary>How a Generator is made; zeros are the header's defaults.</summary>
    public sealed class GeneratorOptions
    {
        public SamplerOptions Sampler { get; set; }
        public Draft Draft { get; set; }
        /// <summary>Where not null, drafts instead.</summary>
        public IDrafter Drafter { get; set; }
        /// <summary>Most drafts a round, 1 to 7; 0: chosen by what is accepted and costs.</summary>
        public uint DraftLength { get; set; }
        /// <summary>MTP stops drafting below this confidence; 0: never.</summary>
        public float DraftMinProbability { get; set; }
        /// <summary>Of an answer; 0: until the context is full.</summary>
        public ulong MaxTokens { get; set; }
        /// <summary>Go on after the token that ends the text.</summary>
        public bool IgnoreEnd { get; set; }
        /// <summary>Special tokens appear in the text.</summary>
        public bool ShowSpecial { get; set; }
        /// <summary>Where not null, has a say in what may come.</summary>
        public IMask Mask { get; set; }
    }

    /// <summary>A say in what may come next: a game's rules, a list of names, a language of its own.</summary>
    public interface IMask
    {
        /// <summary>Takes from `allowed` what must not follow the timeline's tokens. False: all may follow, whatever was
        /// taken. An exception stops the generator's call with Status.Callback and stands there as the InnerException.
        /// </summary>
        bool Allow(Timeline timeline, Allowed allowed);
    }

    /// <summary>The tokens that may follow, at first all of them; only until the call that was given it returns.</summary>
    public unsafe struct Allowed
    {
        private readonly uint* words;
        /// <summary>How many tokens there are.</summary>
        public readonly int Vocabulary;

        internal Allowed(uint* words, int vocabulary)
        {
            this.words = words;
            Vocabulary = vocabulary;
        }

        /// <summary>This one must not follow.</summary>
        public void Forbid(int token)
        {
            if (token < 0 || token >= Vocabulary) throw new ArgumentOutOfRangeException(nameof(token));
            words[token / 32] &= ~(1u << (token % 32));
        }

        /// <summary>None but these may follow.</summary>
        public void Only(IEnumerable<int> tokens)
        {
            for (int i = 0; i < (Vocabulary + 31) / 32; ++i) words[i] = 0;
            foreach (int token in tokens)
            {
                if (token < 0 || token >= Vocabulary) throw new ArgumentOutOfRangeException(nameof(tokens));
                words[token / 32] |= 1u << (token % 32);
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
            fixed (inlay_logit_bias* biases = sampling.BiasArray())
            {
                var sampler = sampling.Params(biases);
                given.sampler = &sampler;
                status = create(&given);
            }
            if (status < 0) Free();
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

    /// <summary>Why an answer ended; None with every piece but its last.</summary>
    public enum Stop
    {
        None = C.INLAY_STOP_NONE,
        EndOfText = C.INLAY_STOP_END_OF_TEXT,
        MaxTokens = C.INLAY_STOP_MAX_TOKENS,
        ContextFull = C.INLAY_STOP_CONTEXT_FULL,
        StopString = C.INLAY_STOP_STRING,
        Repetition = C.INLAY_STOP_REPETITION,
        Host = C.INLAY_STOP_HOST
    }

    /// <summary>What came: whole characters, and the tokens that they were made of.</summary>
    public sealed class Piece
    {
        public string Text { get; internal set; }
        public int[] Tokens { get; internal set; }
        public Stop Stop { get; internal set; }
    }

    /// <summary>Counts and times since the generator was made.</summary>
    public struct GeneratorStats
    {
        public ulong PromptTokens, GeneratedTokens;
        /// <summary>Passes of the model while generating.</summary>
        public ulong Rounds;
        public ulong Drafted, Accepted;
        public TimeSpan PromptTime, DraftTime, VerifyTime, RestTime;
    }

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

    /// <summary>Session, sampler, drafter and text stream: prompt to text. One thread at a time.</summary>
    public sealed unsafe class Generator : IDisposable
    {
        private readonly InlayHandle handle;
        private readonly GeneratorHosts hosts;

        /// <summary>The session that it drives: leave that alone while it generates.</summary>
        public Session Session { get; }

        public Generator(Session session, GeneratorOptions options = null)
        {
            Session = session;
            IntPtr made = IntPtr.Zero;
            int status;
            hosts = new GeneratorHosts(options ?? new GeneratorOptions(), given =>
            {
                IntPtr created;
                int came = Native.inlay_generator_create(session.Handle, given, &created);
                made = created;
                return came;
            }, out status);
            session.Check(status);
            Counted residence = session.Residence.Hold();
            GeneratorHosts held = hosts;
            handle = new InlayHandle(made, Native.inlay_generator_destroy, () =>
            {
                held.Free();
                residence.Release();
            });
        }

        /// <summary>Gives the generator up; the session stays.</summary>
        public void Dispose() => handle.Dispose();

        private int Check(int status)
        {
            return Text.Check(status, (buffer, capacity) => Native.inlay_generator_message(handle, (byte*)buffer, capacity),
                              hosts.Failure(status));
        }

        /// <summary>Appends a prompt; it is fed when the next piece is asked for. The words of special tokens become those
        /// tokens, or stay text.</summary>
        public void Prompt(string text, bool parseSpecial = true)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            fixed (byte* at = bytes)
            {
                Check(Native.inlay_generator_prompt_text(handle, at, (UIntPtr)bytes.Length, parseSpecial ? 1 : 0));
            }
        }

        /// <summary>Appends a prompt of tokens.</summary>
        public void Prompt(int[] tokens)
        {
            fixed (int* at = tokens) Check(Native.inlay_generator_prompt_tokens(handle, at, (UIntPtr)tokens.Length));
        }

        /// <summary>Goes on generating for at most the budget (null: until something came); null when it is used up.</summary>
        public Piece Advance(TimeSpan? budget)
        {
            var output = new inlay_output { struct_size = (uint)sizeof(inlay_output) };
            int status = Check(Native.inlay_generator_next(handle, Session.Microseconds(budget), &output));
            if (status == C.INLAY_PENDING) return null;
            return new Piece
            {
                Text = Text.Of(output.text, (int)output.text_bytes),
                Tokens = new Timeline(output.tokens, (int)output.token_count).ToArray(),
                Stop = status == C.INLAY_END ? (Stop)output.stop : Stop.None
            };
        }

        /// <summary>All of the generator and its session as bytes, at any time: in the middle of a sentence, of a prompt,
        /// of a round. What was generated since the last piece is taken back and computed again.</summary>
        public byte[] Save()
        {
            var saved = new byte[Native.inlay_generator_save_bytes(handle)];
            ulong bytes;
            fixed (byte* at = saved) Check(Native.inlay_generator_save_memory(handle, (IntPtr)at, (ulong)saved.Length, &bytes));
            Array.Resize(ref saved, (int)bytes);
            return saved;
        }

        /// <summary>Replaces all of it by what was saved: with equal options the text goes on with the same words.</summary>
        public void Load(byte[] saved)
        {
            fixed (byte* at = saved) Check(Native.inlay_generator_load_memory(handle, (IntPtr)at, (ulong)saved.Length));
        }

        /// <summary>Waits for a piece, or until the token cancels: then the work it stopped is as if it had not begun. The
        /// last piece of an answer has a Stop.</summary>
        public Piece Next(CancellationToken token = default(CancellationToken))
        {
            return Session.During(token, () =>
            {
                Piece piece;
                do piece = Advance(null); while (piece == null);
                return piece;
            });
        }

        /// <summary>The pieces of one answer as they come.</summary>
        public IEnumerable<Piece> Pieces(CancellationToken token = default(CancellationToken))
        {
            Piece piece;
            do
            {
                piece = Next(token);
                yield return piece;
            } while (piece.Stop == Stop.None);
        }

        /// <summary>All of one answer; each piece is handed to onPiece, where given, as it comes.</summary>
        public string Answer(Action<Piece> onPiece = null, CancellationToken token = default(CancellationToken))
        {
            var text = new StringBuilder();
            foreach (Piece piece in Pieces(token))
            {
                text.Append(piece.Text);
                if (onPiece != null) onPiece(piece);
            }
            return text.ToString();
        }

        /// <summary>The same on a thread of the pool, where onPiece is called too.</summary>
        public Task<string> AnswerAsync(Action<Piece> onPiece = null, CancellationToken token = default(CancellationToken))
        {
            return Task.Run(() => Answer(onPiece, token), token);
        }

#if INLAY_NETSTANDARD2_1
        /// <summary>The pieces of one answer; each is waited for on a thread of the pool.</summary>
        public IAsyncEnumerable<Piece> PiecesAsync() => new AsyncPieces(this);

        private sealed class AsyncPieces : IAsyncEnumerable<Piece>
        {
            private readonly Generator generator;
            public AsyncPieces(Generator generator) { this.generator = generator; }
            public IAsyncEnumerator<Piece> GetAsyncEnumerator(CancellationToken token = default(CancellationToken))
            {
                return new AsyncPiece(generator, token);
            }
        }

        private sealed class AsyncPiece : IAsyncEnumerator<Piece>
        {
            private readonly Generator generator;
            private readonly CancellationToken token;
            public AsyncPiece(Generator generator, CancellationToken token)
            {
                this.generator = generator;
                this.token = token;
            }
            public Piece Current { get; private set; }
            public ValueTask<bool> MoveNextAsync()
            {
                if (Current != null && Current.Stop != Stop.None) return new ValueTask<bool>(false);
                return new ValueTask<bool>(Task.Run(() =>
                {
                    Current = generator.Next(token);
                    return true;
                }, token));
            }
            public ValueTask DisposeAsync() => new ValueTask(Task.CompletedTask);
        }
#endif

        /// <summary>What was done so far.</summary>
        public GeneratorStats Stats
        {
            get
            {
                var stats = new inlay_generator_stats { struct_size = (uint)sizeof(inlay_generator_stats) };
                Check(Native.inlay_generator_get_stats(handle, &stats));
                return new GeneratorStats
                {
                    PromptTokens = stats.prompt_tokens,
                    GeneratedTokens = stats.generated_tokens,
                    Rounds = stats.rounds,
                    Drafted = stats.drafted,
                    Accepted = stats.accepted,
                    PromptTime = Time(stats.prompt_ns),
                    DraftTime = Time(stats.draft_ns),
                    VerifyTime = Time(stats.verify_ns),
                    RestTime = Time(stats.rest_ns)
                };
            }
        }

        private static TimeSpan Time(ulong nanoseconds) => TimeSpan.FromTicks((long)(nanoseconds / 100));
    }
}
