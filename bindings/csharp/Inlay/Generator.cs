using System;
using System.Collections.Generic;
using System.IO;
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
        /// <summary>Where not null, what every answer is of. It comes to its end before MaxTokens and the context do, where
        /// they leave room for the shortest text at all. In a chat it is the default of AnswerOptions. Takes about 6 MB.
        /// </summary>
        public Grammar Grammar { get; set; }
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
            session.Model.Runtime.Check(status);
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

        private int Check(int status, StreamHost stream = null)
        {
            return Text.Check(status, (buffer, capacity) => Native.inlay_generator_message(handle, (byte*)buffer, capacity),
                              stream == null ? hosts.Failure(status) : stream.Failure);
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

        /// <summary>Writes the same in pieces of at most some hundred kilobytes. What the stream throws is the
        /// InnerException of a Status.Callback.</summary>
        public void SaveTo(Stream to)
        {
            StreamHost.Write(to, (table, host) => Check(Native.inlay_generator_save(handle, (inlay_writer*)table), host));
        }

        /// <summary>Reads the same, as far as what was saved goes. What is damaged after its first 512 bytes, or a stream
        /// that fails, leaves generator and session empty.</summary>
        public void LoadFrom(Stream from)
        {
            StreamHost.Read(from, (table, host) => Check(Native.inlay_generator_load(handle, (inlay_reader*)table), host));
        }

        /// <summary>Where the round under way stands; its longest slice counts sampling, drafting and text too.</summary>
        public Progress Progress
        {
            get
            {
                var filled = new inlay_progress { struct_size = (uint)sizeof(inlay_progress) };
                Check(Native.inlay_generator_get_progress(handle, &filled));
                return new Progress(ref filled);
            }
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
        public IAsyncEnumerable<Piece> PiecesAsync() => new AsyncEvents<Piece>(Next, piece => piece.Stop != Stop.None);
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
