using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;
using Inlay;

/// <summary>Pools, grammars, batches, streams and arenas, and what comes of their misuse.</summary>
public static class ObjectsTest
{
    private static SessionOptions Small() => new SessionOptions { ContextLength = 1024 };

    private static void Fails(Status status, Action call, string words = "")
    {
        var failed = Check.Throws<InlayException>(call);
        Check.Equal(status, failed.Status);
        Check.True(failed.Message.Contains(words), failed.Message);
    }

    public static void ForksShareAPoolsPages()
    {
        using (var bench = new Bench())
        using (var file = new ModelFile(bench.Runtime, Bench.ModelPath))
        {
            var options = new PoolOptions { Tokens = 1024 };
            PoolPlan plan = file.PlanPool(options);
            ulong before = bench.Runtime.MemoryOf(MemoryKind.State).Now;
            var pool = new Pool(bench.Model, options);
            Check.Equal(plan.Host, bench.Runtime.MemoryOf(MemoryKind.State).Now - before);
            Check.True(plan.Pages == 4 && plan.PageTokens == 256 && pool.FreePages == 4);
            SessionOptions pooled = Small();
            pooled.Pool = pool;
            using (var session = new Session(bench.Model, pooled))
            using (var own = new Session(bench.Model, Small()))
            {
                session.Prefill(new int[300]);
                using (Session fork = session.Fork(new ForkOptions { ShareScratch = true }))
                {
                    Check.Equal(1L, pool.FreePages);
                    Fails(Status.MemoryLimit, () => fork.Prefill(new int[600]));
                    Check.Equal(300L, fork.Position);
                    // The sessions keep what they need of the pool.
                    pool.Dispose();
                    fork.Step(3);
                }
                Check.Throws<ObjectDisposedException>(() => new Session(bench.Model, pooled));
                own.Prefill(new int[300]);
                own.Step(7);
                session.Step(7);
                Check.True(own.Logits(0).SequenceEqual(session.Logits(0)));
            }
            var arena = new Arena(plan.Host);
            using (options.Arena = new Arena(plan.Host - 1)) Fails(Status.MemoryLimit, () => new Pool(bench.Model, options));
            options.Arena = arena;
            before = bench.Runtime.Memory().Now;
            pooled.Pool = new Pool(bench.Model, options);
            Check.Equal(before, bench.Runtime.Memory().Now);
            Fails(Status.WrongState, () => new Pool(bench.Model, options), "in use");
            using (var session = new Session(bench.Model, pooled))
            {
                pooled.Pool.Dispose();
                arena.Dispose(); // it is the session's until that is gone
                session.Step(1);
            }
            Fails(Status.WrongState, () => new Pool(bench.Model, options), "disposed");
            using (Model other = Model.Open(bench.Runtime, Bench.ModelPath))
            using (pooled.Pool = new Pool(other, new PoolOptions { Tokens = 1 }))
            {
                Fails(Status.Mismatch, () => new Session(bench.Model, pooled));
            }
            Fails(Status.InvalidArgument, () => new Pool(bench.Model, new PoolOptions()));
        }
    }

    public static void ABatchStepsSessionsThatShareTheirScratch()
    {
        using (var bench = new Bench())
        using (var alone = new Session(bench.Model, Small()))
        {
            int[] prompt = bench.Model.Tokenizer.Encode("Once upon a time there was");
            var first = new Session(bench.Model, Small());
            first.Prefill(prompt);
            SessionOptions sharing = Small();
            sharing.ShareScratch = first;
            var second = new Session(bench.Model, sharing);
            second.Prefill(prompt.Take(3).ToArray());
            Session third = first.Fork(new ForkOptions { ShareScratch = true });
            var all = new[] { first, second, third };
            int[] given = { prompt[0], prompt[1], prompt[2] };
            Session.BeginSteps(all, given);
            Fails(Status.WrongState, () => second.Step(1));
            while (!first.Poll()) { }
            alone.Prefill(prompt.Take(3).ToArray());
            alone.Step(given[1]);
            Check.True(alone.Logits(0).SequenceEqual(second.Logits(0)));
            third.Step(9);
            Fails(Status.WrongState, () => first.Logits(0));
            third.RewindTo(first);

            Fails(Status.InvalidArgument, () => Session.BeginSteps(new Session[0], new int[0]));
            Fails(Status.InvalidArgument, () => Session.BeginSteps(all, new[] { 1, 2 }));
            Fails(Status.InvalidArgument, () => Session.BeginSteps(new[] { first, alone }, new[] { 1, 2 }));
            Fails(Status.Busy, () => Session.BeginSteps(new[] { first, first }, new[] { 1, 2 }));
            Fails(Status.InvalidArgument, () => Session.BeginSteps(all, new[] { 1, 2, -3 }));
            // One that is disposed takes the batch with it; its leader stands where it stood.
            long position = first.Position;
            Session.BeginSteps(all, given);
            second.Dispose();
            first.Finish();
            Check.Equal(position, first.Position);
            Check.Throws<ObjectDisposedException>(() => Session.BeginSteps(all, given));
            Session.BeginSteps(new[] { first, third }, new[] { 1, 2 });
            first.Dispose();
            third.Step(3);
            third.Dispose();
        }
    }

    public static void AnotherThreadCancelsBatchesAndAnswers()
    {
        using (var bench = new Bench())
        using (var first = new Session(bench.Model, Small()))
        using (Session second = first.Fork(new ForkOptions { ShareScratch = true }))
        {
            Session.BeginSteps(new[] { first, second }, new[] { 1, 2 });
            Task.Run(() => first.Cancel()).Wait();
            Fails(Status.Cancelled, () => first.Finish());
            Check.True(first.Position == 0 && second.Position == 0);
            second.Step(1);
            var options = new ChatOptions { Generator = new GeneratorOptions { IgnoreEnd = true } };
            using (var chat = new Chat(first, options))
            using (var source = new CancellationTokenSource(5))
            {
                chat.Add("user", "Tell me a tale.");
                var answer = new AnswerOptions { RepetitionLimit = uint.MaxValue };
                Check.Throws<OperationCanceledException>(() => chat.Answer(answer, source.Token).Count());
                chat.Next();
            }
        }
    }

    public static void SessionsOfOneScratchOnTwoThreadsRefuse()
    {
        using (var bench = new Bench())
        using (var first = new Session(bench.Model, Small()))
        {
            SessionOptions sharing = Small();
            sharing.ShareScratch = first;
            using (var second = new Session(bench.Model, sharing))
            {
                Action<Session> drive = session =>
                {
                    for (int i = 0; i < 200; ++i)
                    {
                        try
                        {
                            session.Step(1);
                            session.Logits(0);
                        }
                        catch (InlayException refused) when (refused.Status == Status.WrongState) { }
                    }
                };
                Task other = Task.Run(() => drive(second));
                drive(first);
                other.Wait();
                first.Reset();
                first.Step(1);
            }
        }
    }

    public static void AGrammarSaysWhatAnAnswerIs()
    {
        const string Schema = "{\"type\":\"object\",\"properties\":{\"item\":{\"enum\":[\"ale\",\"stew\"]},\"coppers\":" +
            "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},\"required\":[\"item\",\"coppers\"]}";
        using (var bench = new Bench())
        using (Grammar grammar = Grammar.JsonSchema(bench.Model, Schema))
        {
            string text = bench.Story(new GeneratorOptions { Grammar = grammar });
            Check.True(text.StartsWith("{\"item\":") && text.EndsWith("}"), text);
            Grammar rules = Grammar.Gbnf(bench.Model, "root ::= \"yes\" | \"no\"");
            using (var session = new Session(bench.Model, Small()))
            using (var chat = new Chat(session))
            {
                chat.Add("user", "Is there ale?");
                var answer = new AnswerOptions { Thinking = Thinking.Off, Grammar = rules };
                chat.BeginAnswer(answer);
                rules.Dispose(); // the answer keeps what it needs
                string said = "";
                ChatEvent came;
                while ((came = chat.Next()).Kind != ChatEventKind.End) said += came.Text;
                Check.True(said == "yes" || said == "no", said);
                Check.True(came.AnswerTime > TimeSpan.Zero);
                Check.Throws<ObjectDisposedException>(() => chat.BeginAnswer(answer));
            }
            using (var session = new Session(bench.Model, Small()))
            {
                Check.Throws<ObjectDisposedException>(() => new Generator(session, new GeneratorOptions { Grammar = rules }));
            }
            Fails(Status.InvalidArgument, () => Grammar.Gbnf(bench.Model, "root ::= \"open"));
            Fails(Status.Unsupported, () => Grammar.JsonSchema(bench.Model, "{\"type\":\"object\",\"patternProperties\":{}}"),
                  "patternProperties");
            using (var other = new Bench())
            {
                Fails(Status.InvalidArgument, () => other.Story(new GeneratorOptions { Grammar = grammar }), "another model");
            }
        }
    }

    private sealed class Faulty : MemoryStream
    {
        private int left;
        public Faulty(byte[] bytes, int left) : base(bytes) { this.left = left; }
        public Faulty(int left) { this.left = left; }

        private void Take(int bytes)
        {
            if ((left -= bytes) < 0) throw new UnauthorizedAccessException("on purpose");
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            Take(count);
            base.Write(buffer, offset, count);
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            Take(count);
            return base.Read(buffer, offset, count);
        }
    }

    public static void SessionsAndGeneratorsAreSavedToStreams()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model, Small()))
        using (var again = new Session(bench.Model, Small()))
        {
            session.Prefill(bench.Model.Tokenizer.Encode("Once upon a time"));
            var file = new MemoryStream();
            session.SaveTo(file);
            byte[] saved = file.ToArray();
            Check.True(saved.SequenceEqual(session.Save()));
            foreach (Action call in new Action[] { () => session.SaveTo(new Faulty(1000)),
                                                   () => again.LoadFrom(new Faulty(saved, 1000)) })
            {
                var failed = Check.Throws<InlayException>(call);
                Check.Equal(Status.Callback, failed.Status);
                Check.True(failed.InnerException is UnauthorizedAccessException, failed);
            }
            Check.Equal(0L, again.Position);
            // What follows in the stream is left there.
            file.Write(new byte[] { 1, 2, 3, 4 }, 0, 4);
            file.Position = 0;
            again.LoadFrom(file);
            Check.Equal(file.Length - 4, file.Position);
            Check.True(again.Tokens.SequenceEqual(session.Tokens));
            again.Step(1);
            var cut = Check.Throws<InlayException>(
                () => again.LoadFrom(new MemoryStream(saved.Take(saved.Length / 2).ToArray())));
            Check.True(cut.InnerException is EndOfStreamException, cut);
            Check.Throws<ArgumentNullException>(() => session.SaveTo(null));

            var middle = new MemoryStream();
            string rest;
            var options = new GeneratorOptions { MaxTokens = 20 };
            using (var own = new Session(bench.Model, Small()))
            using (var generator = new Generator(own, options))
            {
                generator.Prompt("Once upon a time");
                generator.Next();
                generator.SaveTo(middle);
                Check.True(generator.Progress.Position > 0);
                rest = generator.Answer();
            }
            middle.Position = 0;
            using (var own = new Session(bench.Model, Small()))
            using (var generator = new Generator(own, options))
            {
                Fails(Status.Mismatch, () => generator.LoadFrom(new MemoryStream(saved)));
                generator.LoadFrom(middle);
                Check.Equal(rest, generator.Answer());
            }
        }
    }

    private sealed class Talk : IDisposable
    {
        private readonly Session session;
        public readonly Chat Chat;

        public Talk(Model model, string tools)
        {
            session = new Session(model);
            Chat = new Chat(session, new ChatOptions { Generator = new GeneratorOptions(), Tools = tools });
        }

        public string Hear()
        {
            var answer = new AnswerOptions { Thinking = Thinking.Off, StrictCalls = true };
            return string.Concat(Chat.Answer(answer).Select(came => (int)came.Kind + ":" + came.Text + " "));
        }

        public void Dispose()
        {
            Chat.Dispose();
            session.Dispose();
        }
    }

    public static void ConversationsAreSavedAndTheirCallsKeptToTheirSchemas()
    {
        const string Tools = "[{\"type\":\"function\",\"function\":{\"name\":\"look_up_price\",\"description\":" +
            "\"Price of an item\",\"parameters\":{\"type\":\"object\",\"properties\":{\"item\":{\"enum\":[\"stew\"]}}," +
            "\"required\":[\"item\"]}}}]";
        using (var bench = new Bench())
        using (var talk = new Talk(bench.Model, Tools))
        using (var loaded = new Talk(bench.Model, Tools))
        using (var fromStream = new Talk(bench.Model, Tools))
        using (var without = new Talk(bench.Model, null))
        {
            talk.Chat.Add("user", "What does the ale cost today? Look it up.");
            string heard = talk.Hear();
            Check.True(heard.Replace(" 5:", "").Contains("4:itemstew 6:"), heard);
            byte[] saved = talk.Chat.Save();
            var streamed = new MemoryStream();
            talk.Chat.SaveTo(streamed);
            Check.True(saved.SequenceEqual(streamed.ToArray()));
            talk.Chat.Add("tool", "9 coppers");
            string expected = talk.Hear();
            loaded.Chat.Load(saved);
            streamed.Position = 0;
            fromStream.Chat.LoadFrom(streamed);
            foreach (Talk again in new[] { loaded, fromStream })
            {
                again.Chat.Add("tool", "9 coppers");
                Check.Equal(expected, again.Hear());
            }
            var failed = Check.Throws<InlayException>(() => talk.Chat.SaveTo(new Faulty(1000)));
            Check.True(failed.Status == Status.Callback && failed.InnerException is UnauthorizedAccessException, failed);
            Fails(Status.Mismatch, () => without.Chat.Load(saved));
            Fails(Status.CorruptFile, () => loaded.Chat.Load(saved.Take(saved.Length - 1).ToArray()));
            loaded.Chat.Add("user", "And now?");
            loaded.Chat.BeginAnswer();
            Fails(Status.WrongState, () => loaded.Chat.SaveTo(new MemoryStream()));
        }
    }

    public static void ModelsAndForksLiveInArenas()
    {
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1 }))
        using (var file = new ModelFile(runtime, Bench.ModelPath))
        {
            MemoryPlan plan = file.Plan(Small());
            using (var shorter = new Arena(plan.ModelHost - 1))
            {
                Fails(Status.MemoryLimit, () => new Model(file, arena: shorter));
            }
            ulong before = runtime.MemoryOf(MemoryKind.Model).Now;
            var arena = new Arena(plan.ModelHost);
            var model = new Model(file, arena: arena);
            Check.Equal(before, runtime.MemoryOf(MemoryKind.Model).Now);
            using (var session = new Session(model, Small()))
            {
                model.Dispose();
                arena.Dispose(); // the session keeps it
                session.Step(1);
                before = runtime.Memory().Now;
                var scratch = new Arena(plan.ScratchHost);
                Session fork = session.Fork(new ForkOptions { State = new Arena(plan.SessionHost), Scratch = scratch });
                Check.Equal(before, runtime.Memory().Now);
                using (Session third = fork.Fork(new ForkOptions { ShareScratch = true }))
                {
                    fork.Dispose();
                    scratch.Dispose(); // the third keeps it
                    third.Step(2);
                    session.Step(2);
                    Check.True(third.Logits(0).SequenceEqual(session.Logits(0)));
                }
            }
        }
    }

    private sealed class Counting : IAllocator
    {
        private readonly Dictionary<IntPtr, IntPtr> taken = new Dictionary<IntPtr, IntPtr>();
        public bool Fault;

        public int Out
        {
            get { lock (taken) return taken.Count; }
        }

        public IntPtr Allocate(long size, long alignment)
        {
            if (Fault) throw new Exception("on purpose");
            IntPtr memory = Marshal.AllocHGlobal((IntPtr)(size + alignment));
            var aligned = (IntPtr)((memory.ToInt64() + alignment - 1) / alignment * alignment);
            lock (taken) taken.Add(aligned, memory);
            return aligned;
        }

        public void Release(IntPtr memory, long size, long alignment)
        {
            lock (taken)
            {
                Marshal.FreeHGlobal(taken[memory]);
                taken.Remove(memory);
            }
        }
    }

    public static void TheHostsAllocatorIsUsedAndAFileLiesInMemory()
    {
        var memory = new Counting();
        var options = new RuntimeOptions { Threads = 1, Allocator = memory };
        byte[] file = File.ReadAllBytes(Bench.ModelPath);
        GCHandle pin = GCHandle.Alloc(file, GCHandleType.Pinned);
        var runtime = new Runtime(options);
        using (Model model = Model.Open(runtime, Source.Memory(pin.AddrOfPinnedObject(), file.Length)))
        {
            runtime.Dispose(); // the model keeps it
            using (var session = new Session(model, Small())) session.Step(1);
            Check.True(memory.Out > 0);
            memory.Fault = true;
            Fails(Status.OutOfMemory, () => new Session(model));
        }
        pin.Free();
        Check.Equal(0, memory.Out);
        Fails(Status.OutOfMemory, () => new Runtime(options));
    }

    public static void AFileThatIsCutShortIsAnError()
    {
        string path = Path.GetTempFileName();
        File.Copy(Bench.ModelPath, path, true);
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1, GuardMappings = true }))
        using (Model model = Model.Open(runtime, path))
        using (var session = new Session(model, Small()))
        {
            session.Step(1);
            using (var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            {
                file.SetLength(file.Length / 4);
            }
            Fails(Status.Io, () => session.Step(2));
            Check.Equal(1L, session.Position);
            byte[] saved = session.Save();
            using (var bench = new Bench())
            using (var again = new Session(bench.Model, Small()))
            {
                again.Load(saved);
                again.Step(2);
            }
            string none = null;
            Check.Throws<NullReferenceException>(() => Check.Equal(0, none.Length)); // Mono's own signals are as ever
        }
        File.Delete(path);
    }

    public static void ChatsAreRenderedAsAFormatSays()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model, Small()))
        {
            ChatFormat format = ChatFormat.Of(bench.Runtime, bench.Model.Info.ChatTemplate);
            Check.Equal("tavern", format.Name);
            const string Json =
                "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi <|im_end|>\"}],\"add_generation_prompt\":true}";
            string text = Chat.Render(bench.Runtime, format, Json);
            Tokenizer tokenizer = bench.Model.Tokenizer;
            int[] tokens = Chat.RenderTokens(bench.Runtime, tokenizer, format, Json);
            Check.Equal(text, tokenizer.Decode(tokens, true));
            Check.Equal(1, tokens.Count(token => tokenizer.IsEnd(token)));
            using (var chat = new Chat(session, new ChatOptions { Format = format }))
            {
                chat.Add("user", "Good evening.");
                var heard = new List<ChatEvent>();
                ChatEvent last = chat.AnswerAsync(heard.Add, new AnswerOptions { MaxTokens = 8 }).Result;
                Check.True(last.Kind == ChatEventKind.End && heard.Count > 1 && heard.Last() == last);
#if INLAY_NETSTANDARD2_1
                chat.Add("user", "And now?");
                IAsyncEnumerator<ChatEvent> stream = chat.EventsAsync(new AnswerOptions { MaxTokens = 8 }).GetAsyncEnumerator();
                while (stream.MoveNextAsync().AsTask().Result) last = stream.Current;
                Check.Equal(ChatEventKind.End, last.Kind);
#endif
            }
        }
    }

    public static void TheMtpHeadsLogitsAreRows()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model, new SessionOptions { ContextLength = 64, Mtp = true }))
        {
            Check.Equal(2 * (int)bench.Model.Info.VocabularySize, session.MtpLogits(new[] { 1, 2, 3 }).Length);
            session.Step(1);
            Fails(Status.WrongState, () => session.MtpLogits(new[] { 1, 2 }));
        }
    }

    public static void PackingReportsAndStops()
    {
        string output = Path.GetTempFileName();
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1 }))
        {
            int calls = 0;
            runtime.Pack(Bench.ModelPath, output, new PackOptions { Progress = (done, total) => ++calls > 0 });
            using (var file = new ModelFile(runtime, output)) file.Verify();
            Check.True(calls > 0);
            var stop = new PackOptions { Progress = (done, total) => { throw new Exception("on purpose"); } };
            var failed = Check.Throws<InlayException>(() => runtime.Pack(Bench.ModelPath, output, stop));
            Check.Equal(Status.Cancelled, failed.Status);
            Check.Equal("on purpose", failed.InnerException.Message);
            runtime.Pack(Bench.ModelPath, output, new PackOptions { Layout = "cuda" });
            Fails(Status.Unsupported, () => Model.Open(runtime, output));
            var unknown = new PackOptions { Layout = "none such" };
            Fails(Status.InvalidArgument, () => runtime.Pack(Bench.ModelPath, output, unknown), "none such");
            var missing = new PackOptions { Quantisation = "q4_k_m", Imatrix = "/nowhere" };
            Fails(Status.Io, () => runtime.Pack(Bench.ModelPath, output, missing), "/nowhere");
        }
        File.Delete(output);
    }

    private static void Forget(Model model)
    {
        var pool = new Pool(model, new PoolOptions { Tokens = 512 });
        var session = new Session(model, new SessionOptions { ContextLength = 256, Pool = pool });
        session.Fork(new ForkOptions { ShareScratch = true }).Step(1);
        var inArena = new Session(model, new SessionOptions { State = new Arena(model.Plan().SessionHost) });
        var generator = new Generator(inArena, new GeneratorOptions { MaxTokens = 3 });
        generator.Prompt("Good evening");
        generator.Answer();
    }

    public static void WhatIsForgottenIsGivenBack()
    {
        using (var bench = new Bench())
        {
            ulong before = bench.Runtime.MemoryOf(MemoryKind.State).Now;
            // A thread of its own, for Mono's collector takes what lies on a stack for references.
            var other = new Thread(() => Forget(bench.Model));
            other.Start();
            other.Join();
            for (int i = 0; i < 100 && bench.Runtime.MemoryOf(MemoryKind.State).Now != before; ++i)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
                Thread.Sleep(10);
            }
            Check.Equal(before, bench.Runtime.MemoryOf(MemoryKind.State).Now);
        }
    }
}
