using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Inlay
{
    /// <summary>Sampling as the model cards have it.</summary>
    public enum Sampling { Precise = C.INLAY_SAMPLING_PRECISE, Lively = C.INLAY_SAMPLING_LIVELY }

    /// <summary>How a Chat is made.</summary>
    public sealed class ChatOptions
    {
        /// <summary>Null: what the model's file has.</summary>
        public ChatFormat Format { get; set; }
        /// <summary>Null: Sampling.Precise and no drafts.</summary>
        public GeneratorOptions Generator { get; set; }
        /// <summary>JSON: an array of tool definitions.</summary>
        public string Tools { get; set; }
        /// <summary>Reasoning of earlier turns stays in the timeline, where the format knows that.</summary>
        public bool KeepReasoning { get; set; }
    }

    /// <summary>Whether an answer begins with reasoning.</summary>
    public enum Thinking
    {
        Default = C.INLAY_THINKING_DEFAULT,
        On = C.INLAY_THINKING_ON,
        Off = C.INLAY_THINKING_OFF
    }

    /// <summary>How an answer is to be; zeros are the header's defaults.</summary>
    public sealed class AnswerOptions
    {
        public Thinking Thinking { get; set; }
        /// <summary>Tokens of reasoning, after which it is closed; 0: any number.</summary>
        public ulong ThinkBudget { get; set; }
        /// <summary>Words put before the closing tag then.</summary>
        public string ThinkClosing { get; set; }
        /// <summary>Strings of the answer that end it; they are not shown.</summary>
        public IList<string> StopStrings { get; set; }
        /// <summary>Of the answer, reasoning included; 0: the generator's.</summary>
        public ulong MaxTokens { get; set; }
        /// <summary>Tokens that a loop may last before it ends the answer; 0: 512.</summary>
        public uint RepetitionLimit { get; set; }
        /// <summary>What the answer is of, once it has been thought; null: the generator's, or anything. Where the
        /// conversation has tools, a tool call may come instead. The first one takes about 6 MB.</summary>
        public Grammar Grammar { get; set; }
        /// <summary>A tool call names one of the conversation's tools, and its arguments are what that tool's "parameters"
        /// say. The first time takes about 6 MB.</summary>
        public bool StrictCalls { get; set; }
    }

    /// <summary>What an event is.</summary>
    public enum ChatEventKind
    {
        None = C.INLAY_CHAT_NONE,
        Reasoning = C.INLAY_CHAT_REASONING,
        Answer = C.INLAY_CHAT_ANSWER,
        CallBegin = C.INLAY_CHAT_CALL_BEGIN,
        Argument = C.INLAY_CHAT_ARGUMENT,
        ArgumentText = C.INLAY_CHAT_ARGUMENT_TEXT,
        CallEnd = C.INLAY_CHAT_CALL_END,
        CallBroken = C.INLAY_CHAT_CALL_BROKEN,
        Warning = C.INLAY_CHAT_WARNING,
        End = C.INLAY_CHAT_END
    }

    /// <summary>What an answer brought.</summary>
    public sealed class ChatEvent
    {
        public ChatEventKind Kind { get; internal set; }
        /// <summary>Of the reasoning, of the answer, of an argument's value; a tool's or an argument's name.</summary>
        public string Text { get; internal set; }
        /// <summary>The number of the tool call, from 0, where the event is of one.</summary>
        public int Call { get; internal set; }
        /// <summary>Why the answer ended, with End.</summary>
        public Stop Stop { get; internal set; }
        /// <summary>Fed before the answer.</summary>
        public ulong PromptTokens { get; internal set; }
        /// <summary>Of the timeline that were kept.</summary>
        public ulong ReusedTokens { get; internal set; }
        /// <summary>Of the timeline that were taken back first.</summary>
        public ulong RewoundTokens { get; internal set; }
        public ulong ReasoningTokens { get; internal set; }
        public ulong AnswerTokens { get; internal set; }
        public TimeSpan PromptTime { get; internal set; }
        public TimeSpan ReasoningTime { get; internal set; }
        public TimeSpan AnswerTime { get; internal set; }
        /// <summary>Reasoning was closed by the budget.</summary>
        public bool ThoughtClosed { get; internal set; }
    }

    /// <summary>A conversation: messages go in, events come out. One thread at a time.</summary>
    public sealed unsafe partial class Chat : IDisposable
    {
        private readonly InlayHandle handle;
        private readonly GeneratorHosts hosts;

        /// <summary>The session that it drives, empty at first: leave that alone.</summary>
        public Session Session { get; }

        public Chat(Session session, ChatOptions options = null)
        {
            Session = session;
            options = options ?? new ChatOptions();
            byte[] tools = Encoding.UTF8.GetBytes(options.Tools ?? "");
            var given = new inlay_chat_params { struct_size = (uint)sizeof(inlay_chat_params) };
            given.keep_reasoning = options.KeepReasoning ? 1u : 0u;
            inlay_chat_format format;
            if (options.Format != null)
            {
                format = options.Format.Params();
                given.format = &format;
            }
            IntPtr made;
            int status = C.INLAY_OK;
            fixed (byte* text = tools)
            {
                given.tools = text;
                given.tools_bytes = (UIntPtr)tools.Length;
                if (options.Generator == null) status = Native.inlay_chat_create(session.Handle, &given, &made);
                else made = With(session, options.Generator, (IntPtr)(&given), out hosts, out status);
            }
            session.Model.Runtime.Check(status);
            Counted residence = session.Residence.Hold();
            GeneratorHosts held = hosts;
            handle = new InlayHandle(made, Native.inlay_chat_destroy, () =>
            {
                if (held != null) held.Free();
                residence.Release();
            });
        }

        private static IntPtr With(Session session, GeneratorOptions options, IntPtr chat, out GeneratorHosts hosts, out int status)
        {
            IntPtr made = IntPtr.Zero;
            hosts = new GeneratorHosts(options, generator =>
            {
                IntPtr created;
                ((inlay_chat_params*)chat)->generator = generator;
                int came = Native.inlay_chat_create(session.Handle, (inlay_chat_params*)chat, &created);
                made = created;
                return came;
            }, out status);
            return made;
        }

        /// <summary>Gives the conversation up; the session stays.</summary>
        public void Dispose() => handle.Dispose();

        private int Check(int status, StreamHost stream = null)
        {
            return Text.Check(status, (buffer, capacity) => Native.inlay_chat_message(handle, (byte*)buffer, capacity),
                              stream != null ? stream.Failure : hosts == null ? null : hosts.Failure(status));
        }

        /// <summary>Adds what `role`, "system", "user" or "tool", says.</summary>
        public void Add(string role, string content)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(content);
            fixed (byte* of = Text.Terminated(role))
            fixed (byte* at = bytes)
            {
                Check(Native.inlay_chat_add(handle, of, at, (UIntPtr)bytes.Length));
            }
        }

        /// <summary>Adds a message, or an array of them, as JSON.</summary>
        public void AddJson(string json)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(json);
            fixed (byte* at = bytes) Check(Native.inlay_chat_add_json(handle, at, (UIntPtr)bytes.Length));
        }

        /// <summary>Begins the answer to all that was said; Next goes on with it.</summary>
        public void BeginAnswer(AnswerOptions options = null)
        {
            options = options ?? new AnswerOptions();
            IList<string> stops = options.StopStrings ?? new string[0];
            var pins = new List<GCHandle>();
            try
            {
                var addresses = new IntPtr[stops.Count + 1];
                for (int i = 0; i < stops.Count; ++i)
                {
                    pins.Add(GCHandle.Alloc(Text.Terminated(stops[i]), GCHandleType.Pinned));
                    addresses[i] = pins[i].AddrOfPinnedObject();
                }
                var given = new inlay_chat_answer_params { struct_size = (uint)sizeof(inlay_chat_answer_params) };
                given.thinking = (int)options.Thinking;
                given.think_budget = options.ThinkBudget;
                given.max_tokens = options.MaxTokens;
                given.repetition_limit = options.RepetitionLimit;
                given.strict_calls = options.StrictCalls ? 1u : 0u;
                given.stop_string_count = (UIntPtr)stops.Count;
                using (Lent grammar = Grammar.Lend(options.Grammar))
                fixed (byte* closing = Text.Terminated(options.ThinkClosing))
                fixed (IntPtr* strings = addresses)
                {
                    given.grammar = grammar.Pointer;
                    given.think_closing = closing;
                    given.stop_strings = (byte**)strings;
                    Check(Native.inlay_chat_answer(handle, &given));
                }
            }
            finally
            {
                foreach (GCHandle pin in pins) pin.Free();
            }
        }

        /// <summary>The next event, after at most the budget (null: whenever it comes); null where that is used up.</summary>
        public ChatEvent Advance(TimeSpan? budget)
        {
            var filled = new inlay_chat_event { struct_size = (uint)sizeof(inlay_chat_event) };
            if (Check(Native.inlay_chat_next(handle, Session.Microseconds(budget), &filled)) == C.INLAY_PENDING) return null;
            return new ChatEvent
            {
                Kind = (ChatEventKind)filled.kind,
                Text = Text.Of(filled.text, (int)filled.text_bytes),
                Call = (int)filled.call,
                Stop = (Stop)filled.stop,
                PromptTokens = filled.prompt_tokens,
                ReusedTokens = filled.reused_tokens,
                RewoundTokens = filled.rewound_tokens,
                ReasoningTokens = filled.reasoning_tokens,
                AnswerTokens = filled.answer_tokens,
                PromptTime = TimeSpan.FromTicks((long)(filled.prompt_ns / 100)),
                ReasoningTime = TimeSpan.FromTicks((long)(filled.reasoning_ns / 100)),
                AnswerTime = TimeSpan.FromTicks((long)(filled.answer_ns / 100)),
                ThoughtClosed = filled.thought_closed != 0
            };
        }

        /// <summary>Waits for an event, or until the token cancels.</summary>
        public ChatEvent Next(CancellationToken token = default(CancellationToken))
        {
            return Session.During(token, () =>
            {
                ChatEvent came;
                do came = Advance(null); while (came == null);
                return came;
            });
        }

        /// <summary>Begins an answer and gives its events as they come; the last is an End.</summary>
        public IEnumerable<ChatEvent> Answer(AnswerOptions options = null, CancellationToken token = default(CancellationToken))
        {
            BeginAnswer(options);
            ChatEvent came;
            do
            {
                came = Next(token);
                yield return came;
            } while (came.Kind != ChatEventKind.End);
        }

        /// <summary>The same on a thread of the pool, where onEvent is called too; its result is the End.</summary>
        public Task<ChatEvent> AnswerAsync(Action<ChatEvent> onEvent, AnswerOptions options = null,
                                           CancellationToken token = default(CancellationToken))
        {
            return Task.Run(() =>
            {
                ChatEvent last = null;
                foreach (ChatEvent came in Answer(options, token)) onEvent(last = came);
                return last;
            }, token);
        }

#if INLAY_NETSTANDARD2_1
        /// <summary>Begins an answer and gives its events; each is waited for on a thread of the pool.</summary>
        public IAsyncEnumerable<ChatEvent> EventsAsync(AnswerOptions options = null)
        {
            BeginAnswer(options);
            return new AsyncEvents<ChatEvent>(Next, came => came.Kind == ChatEventKind.End);
        }
#endif

        /// <summary>All of the conversation and its session as bytes, between two answers.</summary>
        public byte[] Save()
        {
            var saved = new byte[Native.inlay_chat_save_bytes(handle)];
            ulong bytes;
            fixed (byte* at = saved) Check(Native.inlay_chat_save_memory(handle, (IntPtr)at, (ulong)saved.Length, &bytes));
            Array.Resize(ref saved, (int)bytes);
            return saved;
        }

        /// <summary>Writes the same in pieces. What the stream throws is the InnerException of a Status.Callback.</summary>
        public void SaveTo(Stream to)
        {
            StreamHost.Write(to, (table, host) => Check(Native.inlay_chat_save(handle, (inlay_writer*)table), host));
        }

        /// <summary>Replaces all of it by what a chat with equal options saved: it goes on with the same words.</summary>
        public void Load(byte[] saved)
        {
            fixed (byte* at = saved) Check(Native.inlay_chat_load_memory(handle, (IntPtr)at, (ulong)saved.Length));
        }

        /// <summary>Reads the same, as far as what was saved goes. What is damaged after its first part, or a stream that
        /// fails, leaves the conversation as it was made.</summary>
        public void LoadFrom(Stream from)
        {
            StreamHost.Read(from, (table, host) => Check(Native.inlay_chat_load(handle, (inlay_reader*)table), host));
        }

        /// <summary>Ends the answer where it is; the next event is then its end.</summary>
        public void Stop() => Check(Native.inlay_chat_stop(handle));
    }
}
