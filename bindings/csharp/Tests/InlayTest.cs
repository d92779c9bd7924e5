using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Inlay;

/// <summary>Inlay from C# with the bundled model; run in the repository's root.</summary>
public static class InlayTest
{
    private const string ModelPath = Bench.ModelPath;

    private static SessionOptions Small() => new SessionOptions { ContextLength = 256, Mtp = true };

    private static string Story(Model model, GeneratorOptions options = null)
    {
        options = options ?? new GeneratorOptions();
        options.MaxTokens = 40;
        using (var session = new Session(model, Small()))
        using (var generator = new Generator(session, options))
        {
            generator.Prompt("Once upon a time");
            return generator.Answer();
        }
    }

    public static void EveryStructIsAsInC()
    {
        IEnumerable<string> ofC = File.ReadAllLines("bindings/layout.txt").OrderBy(line => line, StringComparer.Ordinal);
        IEnumerable<string> ours = Library.Describe().TrimEnd('\n').Split('\n').OrderBy(line => line, StringComparer.Ordinal);
        Check.Equal(string.Join("\n", ofC), string.Join("\n", ours));
    }

    public static void TextComesWithAndWithoutDrafts()
    {
        using (var bench = new Bench())
        {
            string plain = Story(bench.Model);
            Check.True(plain.StartsWith(" there was a blind hunter"), plain);
            foreach (Draft draft in new[] { Draft.Mtp, Draft.Lookup, Draft.LookupMtp })
            {
                Check.Equal(plain, Story(bench.Model, new GeneratorOptions { Draft = draft }));
            }
        }
    }

    public static void ErrorsHaveStatusAndWords()
    {
        using (var bench = new Bench())
        {
            var error = Check.Throws<InlayException>(() => Model.Open(bench.Runtime, "/nowhere/at/all.gguf"));
            Check.Equal(Status.Io, error.Status);
            Check.True(error.Message.StartsWith("INLAY_ERROR_IO: ") && error.Message.Contains("/nowhere/at/all.gguf"), error);
            Check.Throws<ArgumentException>(() => Model.Open(bench.Runtime, "a\0b"));
            var damaged = Check.Throws<InlayException>(
                () => Model.Open(bench.Runtime, Source.Bytes(new byte[] { 71, 71, 85, 70, 3 })));
            Check.Equal(Status.CorruptFile, damaged.Status);
            var session = new Session(bench.Model, new SessionOptions { ContextLength = 8 });
            Check.Equal(Status.ContextFull, Check.Throws<InlayException>(() => session.Prefill(new int[9])).Status);
            Check.Equal(Status.InvalidArgument, Check.Throws<InlayException>(() => session.Step(-1)).Status);
            session.Dispose();
            session.Dispose();
            session.Cancel();
            Check.Throws<ObjectDisposedException>(() => session.Step(1));
            var unknown = Check.Throws<InlayException>(() => new Runtime(new RuntimeOptions { InstructionSet = "none such" }));
            Check.True(unknown.Message.Contains("none such"), unknown);
        }
    }

    public static void StepsAndVerifiesAgreeAndRewind()
    {
        using (var bench = new Bench())
        using (var steps = new Session(bench.Model, Small()))
        using (var verified = new Session(bench.Model, Small()))
        {
            int[] tokens = bench.Model.Tokenizer.Encode("Once upon a time there was");
            foreach (int token in tokens) steps.Step(token);
            verified.Verify(tokens.Take(4).ToArray());
            verified.Commit(4);
            using (Session forked = verified.Fork())
            {
                foreach (Session session in new[] { verified, forked })
                {
                    session.Step(tokens[0]);
                    session.Rewind(1);
                    foreach (int token in tokens.Skip(4))
                    {
                        session.BeginStep(token);
                        while (!session.Advance(TimeSpan.FromMilliseconds(1))) { }
                    }
                    Check.True(session.Tokens.SequenceEqual(tokens));
                    Check.True(session.Logits(0).SequenceEqual(steps.Logits(0)));
                }
            }
            float[] logits = steps.Logits(0);
            using (var sampler = new Sampler(bench.Model))
            {
                int best = sampler.Sample(logits, tokens, tokens.Length);
                Check.Equal(logits.Max(), logits[best]);
                Check.Throws<InlayException>(() => sampler.Sample(new float[3], tokens, 0));
            }
            using (var sampler = new Sampler(bench.Model, new SamplerOptions
                { Biases = new Dictionary<int, float> { { 7, 1e9f } } }))
            {
                Check.Equal(7, sampler.Sample(logits, tokens, tokens.Length));
            }
        }
    }

    public static void TextGoesToTokensAndBack()
    {
        using (var bench = new Bench())
        using (var file = new ModelFile(bench.Runtime, ModelPath))
        using (var own = new Tokenizer(file))
        {
            foreach (Tokenizer tokenizer in new[] { own, bench.Model.Tokenizer })
            {
                const string Text = "Grüß Gott, 三 ales! <|im_end|>";
                Check.Equal(Text, tokenizer.Decode(tokenizer.Encode(Text), true));
                int end = tokenizer.Find("<|im_end|>");
                Check.True(tokenizer.IsEnd(end));
                Check.True(tokenizer.Encode("<|im_end|>", true).SequenceEqual(new[] { end }));
                Check.Equal(0, tokenizer.Encode("").Length);
            }
            ModelInfo info = file.Info;
            Check.Equal("qwen35", info.Architecture);
            Check.Equal(8u, info.Layers);
            Check.Equal((int)info.VocabularySize, own.Size);
            Check.True(file.Tensors.Any(tensor => tensor.Name == "token_embd.weight" && tensor.Type == "Q8_0"));
        }
    }

    public static void ThePlanIsWhatIsTaken()
    {
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1 }))
        using (var file = new ModelFile(runtime, ModelPath))
        {
            MemoryPlan plan = file.Plan(Small());
            ulong before = runtime.Memory().Now;
            using (var model = new Model(file))
            {
                ulong withModel = runtime.Memory().Now;
                Check.Equal(plan.ModelHost, withModel - before);
                using (new Session(model, Small()))
                {
                    Check.Equal(plan.SessionHost + plan.ScratchHost, runtime.Memory().Now - withModel);
                }
                SessionOptions inArenas = Small();
                inArenas.State = new Arena(plan.SessionHost);
                inArenas.Scratch = new Arena(plan.ScratchHost);
                var session = new Session(model, inArenas);
                Check.Equal(withModel, runtime.Memory().Now);
                using (var generator = new Generator(session))
                {
                    session.Dispose(); // the generator keeps it, and its arenas
                    generator.Prompt("The tavern was");
                    Check.True(generator.Advance(null) != null);
                }
                using (inArenas.State = new Arena(plan.SessionHost - 1))
                {
                    inArenas.Scratch = null;
                    var refused = Check.Throws<InlayException>(() => new Session(model, inArenas));
                    Check.Equal(Status.MemoryLimit, refused.Status);
                }
            }
        }
    }

    private sealed class Archive : IStorage, IDisposable
    {
        public byte[] File;
        public string Fault;
        public bool Disposed;
        public long Length => File.Length;
        public void Dispose() => Disposed = true;
        public void ReadAt(long offset, byte[] buffer, int count)
        {
            if (Fault != null) throw new InvalidOperationException(Fault);
            Array.Copy(File, offset, buffer, 0, count);
        }
    }

    public static void ModelsComeFromMemoryAndStorages()
    {
        using (var bench = new Bench())
        {
            string expected = Story(bench.Model);
            byte[] file = File.ReadAllBytes(ModelPath);
            foreach (Source source in new[] { Source.Bytes(file), Source.Stream(File.OpenRead(ModelPath)) })
            {
                using (Model model = Model.Open(bench.Runtime, source)) Check.Equal(expected, Story(model));
            }
            var archive = new Archive { File = file };
            using (Model model = Model.Open(bench.Runtime, Source.From(archive))) Check.Equal(expected, Story(model));
            Check.True(archive.Disposed);
            archive = new Archive { File = file, Fault = "on purpose" };
            var failed = Check.Throws<InlayException>(() => Model.Open(bench.Runtime, Source.From(archive)));
            Check.Equal(Status.Io, failed.Status);
            Check.Equal("on purpose", failed.InnerException.Message);
            Check.True(archive.Disposed);
        }
    }

    public static void LoadingReportsAndStops()
    {
        int lines = 0;
        var options = new RuntimeOptions { Threads = 1, Log = (level, line) => { ++lines; throw new Exception("on purpose"); } };
        using (var runtime = new Runtime(options))
        {
            var stopped = Check.Throws<InlayException>(() => Model.Open(runtime, ModelPath, true, (done, total) => false));
            Check.Equal(Status.Cancelled, stopped.Status);
            stopped = Check.Throws<InlayException>(
                () => Model.Open(runtime, ModelPath, true, (done, total) => { throw new Exception("on purpose"); }));
            Check.Equal(Status.Cancelled, stopped.Status);
            Check.Equal("on purpose", stopped.InnerException.Message);
            Check.True(lines > 0);
        }
    }

    private sealed class Guess : IDrafter
    {
        public int[] Answer;
        public int Prompt, Observed;
        public string Fault;
        public IReadOnlyList<int> Propose(Timeline timeline, int max)
        {
            if (Fault == "propose") throw new InvalidOperationException("on purpose");
            return Answer.Skip(timeline.Count - Prompt).Take(max).ToArray();
        }
        public void Observe(int[] tokens, int accepted)
        {
            Observed += tokens.Length;
            if (Fault == "observe") throw new InvalidOperationException("on purpose");
        }
        public void Reset() { }
    }

    public static void ADrafterOfTheHostChangesNoTextAndItsExceptionIsAnError()
    {
        using (var bench = new Bench())
        {
            string expected = Story(bench.Model);
            Tokenizer tokenizer = bench.Model.Tokenizer;
            var drafter = new Guess
                { Answer = tokenizer.Encode(expected), Prompt = tokenizer.Encode("Once upon a time").Length };
            Check.Equal(expected, Story(bench.Model, new GeneratorOptions { Drafter = drafter }));
            Check.True(drafter.Observed >= 40, drafter.Observed);
            foreach (string fault in new[] { "propose", "observe" })
            {
                drafter.Fault = fault;
                var failed = Check.Throws<InlayException>(
                    () => Story(bench.Model, new GeneratorOptions { Drafter = drafter }));
                Check.Equal(Status.Callback, failed.Status);
                Check.Equal("on purpose", failed.InnerException.Message);
            }
        }
    }

    public static void AnotherThreadCancels()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model, new SessionOptions { ContextLength = 4096 }))
        {
            using (var source = new CancellationTokenSource(5))
            {
                var cancelled = Check.Throws<OperationCanceledException>(() => session.Prefill(new int[4000], source.Token));
                Check.Equal(Status.Cancelled, ((InlayException)cancelled.InnerException).Status);
            }
            bool done = false;
            var other = new Thread(() =>
            {
                while (!Volatile.Read(ref done))
                {
                    session.Cancel();
                    Thread.Sleep(1);
                }
            });
            session.Reset();
            other.Start();
            Check.Equal(Status.Cancelled, Check.Throws<InlayException>(() => session.Prefill(new int[4000])).Status);
            Volatile.Write(ref done, true);
            other.Join();
            session.Reset();
            session.Prefill(new int[100]);
        }
    }

    public static void SessionsRunOnManyThreads()
    {
        using (var bench = new Bench())
        {
            string expected = Story(bench.Model);
            var stories = new Task<string>[4];
            for (int i = 0; i < stories.Length; ++i)
            {
                stories[i] = Task.Run(() => Story(bench.Model, new GeneratorOptions { Draft = Draft.Mtp }));
            }
            foreach (Task<string> story in stories) Check.Equal(expected, story.Result);
        }
    }

    public static void BudgetsAndFollowingPrompts()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model, Small()))
        using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 10 }))
        {
            generator.Prompt("Once upon a time");
            string text = "";
            for (Stop stop = Stop.None; stop == Stop.None;)
            {
                Piece piece = generator.Advance(TimeSpan.FromTicks(3000));
                if (piece == null) continue;
                text += piece.Text;
                stop = piece.Stop;
                Check.True(stop == Stop.None || stop == Stop.MaxTokens);
            }
            generator.Prompt(" and");
            var pieces = new List<Piece>();
            Task<string> answer = generator.AnswerAsync(pieces.Add);
            Check.Equal(answer.Result, string.Concat(pieces.Select(piece => piece.Text)));
            Check.Equal(20ul, generator.Stats.GeneratedTokens);
            session.Reset();
            generator.Prompt("Once upon a time");
            Check.Equal(text, generator.Answer());
#if INLAY_NETSTANDARD2_1
            session.Reset();
            generator.Prompt("Once upon a time");
            string streamed = "";
            IAsyncEnumerator<Piece> stream = generator.PiecesAsync().GetAsyncEnumerator();
            while (stream.MoveNextAsync().AsTask().Result) streamed += stream.Current.Text;
            Check.Equal(text, streamed);
            session.Step(1);
            Check.True(session.LogitsSpan(0).SequenceEqual(session.Logits(0)));
            session.Prefill(new ReadOnlySpan<int>(new[] { 1, 2, 3 }));
#endif
        }
    }

    public static void WhatIsSavedGoesOnWithTheSameWords()
    {
        using (var bench = new Bench())
        {
            string expected = Story(bench.Model), text = "";
            byte[] saved;
            using (var session = new Session(bench.Model, Small()))
            using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 40 }))
            {
                generator.Prompt("Once upon a time");
                for (int i = 0; i < 7; ++i) text += generator.Next().Text;
                saved = generator.Save();
            }
            using (var session = new Session(bench.Model, Small()))
            using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 40 }))
            {
                saved[saved.Length - 1] ^= 1;
                Check.Equal(Status.CorruptFile, Check.Throws<InlayException>(() => generator.Load(saved)).Status);
                saved[saved.Length - 1] ^= 1;
                generator.Load(saved);
                Check.Equal(expected, text + generator.Answer());
                byte[] whole = session.Save();
                using (Session mark = session.Fork())
                {
                    session.Step(1);
                    session.RewindTo(mark);
                    Check.Equal(mark.Position, session.Position);
                }
                session.Load(whole);
                Check.True(session.Estimate(10, 5, 1).P99 > TimeSpan.Zero);
            }
        }
    }

    private sealed class Only : IMask
    {
        public int[] Tokens;
        public string Fault;
        public bool Allow(Timeline timeline, Allowed allowed)
        {
            if (Fault != null) throw new InvalidOperationException(Fault);
            allowed.Only(Tokens);
            allowed.Forbid(Tokens[0]);
            return true;
        }
    }

    public static void AMaskSaysWhatMayComeAndItsExceptionIsAnError()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model, Small()))
        {
            var mask = new Only { Tokens = bench.Model.Tokenizer.Encode("ale stew bread") };
            var options = new GeneratorOptions { Mask = mask, MaxTokens = 12, Draft = Draft.Mtp };
            using (var generator = new Generator(session, options))
            {
                generator.Prompt("Once upon a time");
                int[] came = generator.Pieces().SelectMany(piece => piece.Tokens).ToArray();
                Check.Equal(12, came.Length);
                Check.True(came.All(mask.Tokens.Skip(1).Contains), string.Join(" ", came));
                mask.Fault = "on purpose";
                generator.Prompt(" and");
                var failed = Check.Throws<InlayException>(() => generator.Answer());
                Check.Equal(Status.Callback, failed.Status);
                Check.Equal("on purpose", failed.InnerException.Message);
            }
        }
    }

    private const string Tools =
        "[{\"type\":\"function\",\"function\":{\"name\":\"look_up_price\",\"description\":\"Price of an item\"," +
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"item\":{\"type\":\"string\"}},\"required\":[\"item\"]}}}]";

    public static void AChatCallsToolsAndAnswers()
    {
        using (var bench = new Bench())
        using (var session = new Session(bench.Model))
        using (var chat = new Chat(session, new ChatOptions { Generator = new GeneratorOptions(), Tools = Tools }))
        {
            var answer = new AnswerOptions { Thinking = Thinking.Off, StopStrings = new[] { "never", "ever said" } };
            chat.Add("user", "What does the ale cost today? Look it up.");
            string heard = string.Concat(chat.Answer(answer).Select(it => (int)it.Kind + ":" + it.Text + " "));
            Check.True(heard.Contains("3:look_up_price 4:item 5:ale 6:"), heard);
            chat.Add("tool", "9 coppers");
            heard = string.Concat(chat.Answer(answer).Where(it => it.Kind == ChatEventKind.Answer).Select(it => it.Text));
            Check.True(heard.Contains("9 coppers"), heard);
            Check.Equal(Status.InvalidArgument, Check.Throws<InlayException>(() => chat.AddJson("{")).Status);
            chat.Add("user", "Tell me a tale.");
            chat.BeginAnswer(answer);
            chat.Stop();
            ChatEvent last;
            do last = chat.Next(); while (last.Kind != ChatEventKind.End);
            Check.Equal(Stop.Host, last.Stop);

            const string Hi = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
            string text = Chat.Render(bench.Runtime, bench.Model.Info.ChatTemplate, Hi);
            Check.Equal("<|im_start|>user\nHi<|im_end|>\n", text);
            var unknown = Check.Throws<InlayException>(() => Chat.Render(bench.Runtime, "{{ other }}", "{}"));
            Check.Equal(Status.ChatTemplate, unknown.Status);
            Check.Equal(20u, SamplerOptions.Preset(Sampling.Lively).TopK);
        }
    }
}
