using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Threading;

namespace Inlay
{
    /// <summary>How keys and values are stored.</summary>
    public enum KvType
    {
        Default = C.INLAY_KV_DEFAULT,
        F16 = C.INLAY_KV_F16,
        Fp8 = C.INLAY_KV_FP8,
        Q8 = C.INLAY_KV_Q8
    }

    /// <summary>How a Session is made; zeros are the header's defaults.</summary>
    public sealed class SessionOptions
    {
        /// <summary>Most tokens that the timeline holds; 0: 4,096, or the model's if that is less.</summary>
        public uint ContextLength { get; set; }
        public KvType KvType { get; set; }
        /// <summary>Keep the MTP head's own KV in step, so that it can draft.</summary>
        public bool Mtp { get; set; }
        /// <summary>Tokens that a prompt's pass works on at once; 0: the device's choice.</summary>
        public uint PrefillChunk { get; set; }
        /// <summary>Memory of MemoryPlan.SessionHost bytes for the session to live in; null: Inlay's own. The session
        /// takes it and gives it back at its end.</summary>
        public Arena State { get; set; }
        /// <summary>Likewise, of MemoryPlan.ScratchHost bytes.</summary>
        public Arena Scratch { get; set; }
        /// <summary>Gives KV pages as the timeline grows; null: pages of the session's own for its whole context. With a
        /// pool a feed that needs more pages than are free is Status.MemoryLimit and leaves the session as it was.
        /// </summary>
        public Pool Pool { get; set; }
        /// <summary>Where not null, the session works in the scratch of this one, which has the same model and equal
        /// options, and both or neither a pool; one thread drives them. While one of them has work under way, the others
        /// refuse theirs with Status.WrongState.</summary>
        public Session ShareScratch { get; set; }

        internal static unsafe inlay_session_params Params(SessionOptions options)
        {
            var given = new inlay_session_params { struct_size = (uint)sizeof(inlay_session_params) };
            if (options == null) return given;
            given.context_length = options.ContextLength;
            given.kv_type = (int)options.KvType;
            given.mtp = options.Mtp ? 1u : 0u;
            given.prefill_chunk = options.PrefillChunk;
            given.state_arena = Arena.AddressOf(options.State);
            given.state_arena_bytes = Arena.BytesOf(options.State);
            given.scratch_arena = Arena.AddressOf(options.Scratch);
            given.scratch_arena_bytes = Arena.BytesOf(options.Scratch);
            return given;
        }
    }

    /// <summary>Where a fork lives and works; the default is memory of Inlay's own, as much as the forked session has.
    /// </summary>
    public sealed class ForkOptions
    {
        /// <summary>Work in the scratch of the session that is forked, as with SessionOptions.ShareScratch.</summary>
        public bool ShareScratch { get; set; }
        /// <summary>As in SessionOptions.</summary>
        public Arena State { get; set; }
        /// <summary>As in SessionOptions.</summary>
        public Arena Scratch { get; set; }
    }

    /// <summary>Where a piece of work stands.</summary>
    public struct Progress
    {
        public ulong SlicesDone, SlicesTotal;
        /// <summary>Since the session was made.</summary>
        public TimeSpan LongestSlice;
        /// <summary>An estimate, from the slices measured so far.</summary>
        public TimeSpan Remaining;
        /// <summary>Tokens kept so far; the others are of the work under way.</summary>
        public ulong Position, TokensDone, TokensTotal;

        internal Progress(ref inlay_progress filled)
        {
            SlicesDone = filled.slices_done;
            SlicesTotal = filled.slices_total;
            LongestSlice = TimeSpan.FromTicks((long)(filled.longest_slice_ns / 100));
            Remaining = TimeSpan.FromTicks((long)(filled.remaining_ns / 100));
            Position = filled.position;
            TokensDone = filled.tokens_done;
            TokensTotal = filled.tokens_total;
        }
    }

    /// <summary>What work would take if it began now and ran without a pause.</summary>
    public struct Estimate
    {
        public TimeSpan Expected;
        /// <summary>99 of 100 times it takes no longer, on a machine as busy as lately.</summary>
        public TimeSpan P99;
        public TimeSpan LongestSlice;
    }

    /// <summary>One timeline of tokens. One thread at a time, but for Cancel: a second one inside gets Status.Busy.</summary>
    public sealed unsafe class Session : IDisposable
    {
        internal readonly InlayHandle Handle;
        internal readonly Counted Residence; // what it lives in and is made from
        private readonly Counted home;       // of that: the pool's, or the model's
        private readonly Counted bench;      // of that: the scratch's arena, shared with the scratch
        private readonly Model model;

        /// <summary>An empty timeline. All memory that it will ever use is taken here. Where it throws, the arenas are
        /// still the caller's.</summary>
        public Session(Model model, SessionOptions options = null)
            : this(model, options == null || options.Pool == null ? model.Home : options.Pool.Home,
                   options == null ? null : options.State, options == null ? null : options.Scratch,
                   options == null ? null : options.ShareScratch, () => Create(model, options))
        {
        }

        private static IntPtr Create(Model model, SessionOptions options)
        {
            var given = SessionOptions.Params(options);
            using (var pool = new Lent(options == null || options.Pool == null ? null : options.Pool.Handle))
            using (var shared = new Lent(options == null || options.ShareScratch == null ? null : options.ShareScratch.Handle))
            {
                given.pool = pool.Pointer;
                given.share_scratch = shared.Pointer;
                IntPtr made;
                model.Runtime.Check(Native.inlay_session_create(model.Handle, &given, &made));
                return made;
            }
        }

        private Session(Model model, Counted home, Arena state, Arena scratch, Session shared, Func<IntPtr> create)
        {
            this.model = model;
            this.home = home;
            IntPtr made;
            Arena.Take(state);
            try
            {
                if (shared == null) Arena.Take(scratch);
                try
                {
                    made = create();
                }
                catch
                {
                    if (shared == null) Arena.Leave(scratch);
                    throw;
                }
            }
            catch
            {
                Arena.Leave(state);
                throw;
            }
            Counted where = home.Hold();
            Counted works = bench = shared == null ? new Counted(() => Arena.Give(scratch)) : shared.bench.Hold();
            Residence = new Counted(() =>
            {
                Arena.Give(state);
                works.Release();
                where.Release();
            });
            Handle = new InlayHandle(made, Native.inlay_session_destroy, Residence.Release);
        }

        /// <summary>Gives the session up; a generator that drives it keeps what it needs.</summary>
        public void Dispose() => Handle.Dispose();

        /// <summary>Whose session it is.</summary>
        public Model Model => model;

        internal int Check(int status, StreamHost stream = null)
        {
            return Text.Check(status, (buffer, capacity) => Native.inlay_session_message(Handle, (byte*)buffer, capacity),
                              stream == null ? null : stream.Failure);
        }

        /// <summary>Stops the work under way within one slice. Any thread, at any time.</summary>
        public void Cancel()
        {
            try
            {
                Native.inlay_session_cancel(Handle);
            }
            catch (ObjectDisposedException)
            {
                // Then nothing is under way.
            }
        }

        /// <summary>Cancels the session's work when the token says so; the exception is then the token's.</summary>
        internal T During<T>(CancellationToken token, Func<T> work)
        {
            if (!token.CanBeCanceled) return work();
            token.ThrowIfCancellationRequested();
            // Again and again, for a cancel between two pieces of work does nothing; and none after this work's end.
            var gate = new object();
            bool working = true;
            TimerCallback cancel = _ => { lock (gate) if (working) Cancel(); };
            using (var timer = new Timer(cancel, null, Timeout.Infinite, Timeout.Infinite))
            using (token.Register(() => timer.Change(0, 1)))
            {
                try
                {
                    return work();
                }
                catch (InlayException failed) when (failed.Status == Status.Cancelled && token.IsCancellationRequested)
                {
                    throw new OperationCanceledException(failed.Message, failed, token);
                }
                finally
                {
                    lock (gate) working = false;
                }
            }
        }

        private int Feed(CancellationToken token, Func<int> call) => During(token, () => Check(call()));

        /// <summary>A new session that stands where this one stands; in a pool it has this one's full pages too. Where it
        /// throws, the arenas are still the caller's.</summary>
        public Session Fork(ForkOptions options = null)
        {
            options = options ?? new ForkOptions();
            return new Session(model, home, options.State, options.Scratch, options.ShareScratch ? this : null, () =>
            {
                var given = new inlay_fork_params { struct_size = (uint)sizeof(inlay_fork_params) };
                given.share_scratch = options.ShareScratch ? 1u : 0u;
                given.state_arena = Arena.AddressOf(options.State);
                given.state_arena_bytes = Arena.BytesOf(options.State);
                given.scratch_arena = Arena.AddressOf(options.Scratch);
                given.scratch_arena_bytes = Arena.BytesOf(options.Scratch);
                IntPtr made;
                Check(Native.inlay_session_fork_with(Handle, &given, &made));
                return made;
            });
        }

        /// <summary>Feeds a prompt; its logits are one row, after the last token.</summary>
        public void Prefill(int[] tokens, CancellationToken token = default(CancellationToken))
        {
            Feed(token, () => { fixed (int* at = tokens) return Native.inlay_session_prefill(Handle, at, (UIntPtr)tokens.Length); });
        }

        /// <summary>Feeds one token; its logits are one row.</summary>
        public void Step(int token, CancellationToken cancellation = default(CancellationToken))
        {
            Feed(cancellation, () => Native.inlay_session_step(Handle, token));
        }

        /// <summary>Feeds a certain token and up to 7 drafts; row i of the logits follows tokens[i]. Then Commit.</summary>
        public void Verify(int[] tokens, CancellationToken token = default(CancellationToken))
        {
            Feed(token, () => { fixed (int* at = tokens) return Native.inlay_session_verify(Handle, at, (UIntPtr)tokens.Length); });
        }

        /// <summary>Begins a prefill, for Advance to work on.</summary>
        public void BeginPrefill(int[] tokens)
        {
            fixed (int* at = tokens) Check(Native.inlay_session_begin_prefill(Handle, at, (UIntPtr)tokens.Length));
        }

        /// <summary>Begins a step.</summary>
        public void BeginStep(int token) => Check(Native.inlay_session_begin_step(Handle, token));

        /// <summary>Begins a verify.</summary>
        public void BeginVerify(int[] tokens)
        {
            fixed (int* at = tokens) Check(Native.inlay_session_begin_verify(Handle, at, (UIntPtr)tokens.Length));
        }

        internal static ulong Microseconds(TimeSpan? budget)
        {
            return budget == null ? ulong.MaxValue : (ulong)Math.Max(0, budget.Value.Ticks / 10);
        }

        /// <summary>Goes on with the work that was begun for at most the budget (null: to its end); true when it is done.</summary>
        public bool Advance(TimeSpan? budget, out Progress progress)
        {
            var filled = new inlay_progress { struct_size = (uint)sizeof(inlay_progress) };
            int status = Check(Native.inlay_session_advance(Handle, Microseconds(budget), &filled));
            progress = new Progress(ref filled);
            return status == C.INLAY_OK;
        }

        /// <summary>The same without the figures.</summary>
        public bool Advance(TimeSpan? budget)
        {
            Progress progress;
            return Advance(budget, out progress);
        }

        /// <summary>Begins a step of each of several sessions that share their scratch, in one pass over the weights:
        /// tokens[i] for sessions[i], at most 8 of them. The work is then the first one's to Advance, Poll, Finish or
        /// Cancel; the others are busy meanwhile. Each has its own row of logits afterwards. Where one can't take its
        /// token, none is begun.</summary>
        public static void BeginSteps(Session[] sessions, int[] tokens)
        {
            if (sessions.Length == 0 || sessions.Length != tokens.Length)
            {
                throw new InlayException(Status.InvalidArgument, "each of the sessions takes one token");
            }
            var lent = new Lent[sessions.Length];
            var handles = new IntPtr[sessions.Length];
            try
            {
                for (int i = 0; i < sessions.Length; ++i)
                {
                    lent[i] = new Lent(sessions[i].Handle);
                    handles[i] = lent[i].Pointer;
                }
                fixed (IntPtr* all = handles)
                fixed (int* at = tokens)
                {
                    sessions[0].Check(Native.inlay_session_begin_steps(all, at, (UIntPtr)sessions.Length));
                }
            }
            finally
            {
                foreach (Lent it in lent) it.Dispose();
            }
        }

        /// <summary>Goes on without waiting, and says whether the work is done: a device with a queue of its own is handed
        /// it, the CPU does one slice.</summary>
        public bool Poll() => Check(Native.inlay_session_poll(Handle)) == C.INLAY_OK;

        /// <summary>Waits for the end of the work that was begun.</summary>
        public void Finish(CancellationToken token = default(CancellationToken))
        {
            Feed(token, () => Native.inlay_session_finish(Handle));
        }

        /// <summary>Keeps the first `count` tokens of the last verify and forgets the rest.</summary>
        public void Commit(int count) => Check(Native.inlay_session_commit(Handle, (UIntPtr)count));

        /// <summary>Takes back the last `count` tokens, at most Rewindable.</summary>
        public void Rewind(int count) => Check(Native.inlay_session_rewind(Handle, (UIntPtr)count));

        /// <summary>All of the session as bytes, for Load. Nothing may be under way.</summary>
        public byte[] Save()
        {
            var saved = new byte[Native.inlay_session_save_bytes(Handle)];
            ulong bytes;
            fixed (byte* at = saved) Check(Native.inlay_session_save_memory(Handle, (IntPtr)at, (ulong)saved.Length, &bytes));
            Array.Resize(ref saved, (int)bytes);
            return saved;
        }

        /// <summary>Writes the same in pieces of at most some hundred kilobytes. What the stream throws is the
        /// InnerException of a Status.Callback.</summary>
        public void SaveTo(Stream to)
        {
            StreamHost.Write(to, (table, host) => Check(Native.inlay_session_save(Handle, (inlay_writer*)table), host));
        }

        /// <summary>Reads the same, as far as what was saved goes. What is damaged after its first 512 bytes, or a stream
        /// that fails, leaves the session empty.</summary>
        public void LoadFrom(Stream from)
        {
            StreamHost.Read(from, (table, host) => Check(Native.inlay_session_load(Handle, (inlay_reader*)table), host));
        }

        /// <summary>Replaces all of the session by what was saved; refuses what is damaged or of another model.</summary>
        public void Load(byte[] saved)
        {
            fixed (byte* at = saved) Check(Native.inlay_session_load_memory(Handle, (IntPtr)at, (ulong)saved.Length));
        }

        /// <summary>Makes the session stand where `mark` stands, for example a fork of it made earlier.</summary>
        public void RewindTo(Session mark) => Check(Native.inlay_session_rewind_to(Handle, mark.Handle));

        /// <summary>What a prompt of `prompt` tokens and then `rounds` passes of `width` tokens each would take.</summary>
        public Estimate Estimate(int prompt, int rounds, uint width)
        {
            var filled = new inlay_estimate { struct_size = (uint)sizeof(inlay_estimate) };
            Check(Native.inlay_session_estimate(Handle, (UIntPtr)prompt, (UIntPtr)rounds, width, &filled));
            return new Estimate
            {
                Expected = TimeSpan.FromTicks((long)(filled.expected_ns / 100)),
                P99 = TimeSpan.FromTicks((long)(filled.p99_ns / 100)),
                LongestSlice = TimeSpan.FromTicks((long)(filled.longest_slice_ns / 100))
            };
        }

        /// <summary>How many tokens can be taken back.</summary>
        public int Rewindable => (int)Native.inlay_session_rewindable(Handle);

        /// <summary>Back to an empty timeline.</summary>
        public void Reset() => Check(Native.inlay_session_reset(Handle));

        /// <summary>Tokens kept so far.</summary>
        public long Position => (long)Native.inlay_session_position(Handle);

        /// <summary>Most tokens that it holds.</summary>
        public int ContextLength => (int)Native.inlay_session_context_length(Handle);

        /// <summary>A copy of the tokens kept so far.</summary>
        public int[] Tokens
        {
            get
            {
                var tokens = new int[Position];
                if (tokens.Length > 0) Marshal.Copy((IntPtr)Native.inlay_session_tokens(Handle), tokens, 0, tokens.Length);
                return tokens;
            }
        }

        /// <summary>Copies row `row` of the last pass's logits, a number for each token of the vocabulary. After a pass of
        /// another session in the same scratch there are none: Status.WrongState.</summary>
        public float[] Logits(int row) => Copy(LogitsAt(row), model.VocabularySize);

        /// <summary>Copies the hidden state that a row of logits came from.</summary>
        public float[] Hidden(int row)
        {
            float* hidden;
            Check(Native.inlay_session_hidden(Handle, (UIntPtr)row, &hidden));
            return Copy(hidden, model.EmbeddingLength);
        }

        /// <summary>The MTP head's logits after each of these tokens but the last, a row of vocabulary size numbers each,
        /// for tests and tools. The session must be empty, with Mtp on; it is empty again afterwards.</summary>
        public float[] MtpLogits(int[] tokens)
        {
            var logits = new float[Math.Max(tokens.Length - 1, 0) * model.VocabularySize];
            fixed (int* at = tokens)
            fixed (float* place = logits)
            {
                Check(Native.inlay_session_mtp_logits(Handle, at, (UIntPtr)tokens.Length, place));
            }
            return logits;
        }

        private float* LogitsAt(int row)
        {
            float* logits;
            Check(Native.inlay_session_logits(Handle, (UIntPtr)row, &logits));
            return logits;
        }

        private static float[] Copy(float* from, int count)
        {
            var numbers = new float[count];
            Marshal.Copy((IntPtr)from, numbers, 0, count);
            return numbers;
        }

#if INLAY_NETSTANDARD2_1
        /// <summary>Row `row` of the last pass's logits where they lie: until the next pass, and until Dispose.</summary>
        public ReadOnlySpan<float> LogitsSpan(int row) => new ReadOnlySpan<float>(LogitsAt(row), model.VocabularySize);

        /// <summary>Feeds a prompt.</summary>
        public void Prefill(ReadOnlySpan<int> tokens)
        {
            fixed (int* at = tokens) Check(Native.inlay_session_prefill(Handle, at, (UIntPtr)tokens.Length));
        }

        /// <summary>Feeds a certain token and up to 7 drafts.</summary>
        public void Verify(ReadOnlySpan<int> tokens)
        {
            fixed (int* at = tokens) Check(Native.inlay_session_verify(Handle, at, (UIntPtr)tokens.Length));
        }
#endif
    }
}
