using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using Inlay;

/// <summary>A thousand times opened, generated and closed: the process's memory is flat.</summary>
public static class LeakTest
{
    private sealed class Nothing : IDrafter
    {
        public IReadOnlyList<int> Propose(Timeline timeline, int max) => new[] { 1 };
        public void Observe(int[] tokens, int accepted) { }
        public void Reset() { }
    }

    private static void Once(bool sharing)
    {
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1, Log = (level, line) => { } }))
        {
            ulong held = runtime.Memory().Now;
            using (Model model = Model.Open(runtime, Bench.ModelPath))
            using (var session = new Session(model, new SessionOptions { ContextLength = 64 }))
            using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 3, Drafter = new Nothing() }))
            {
                generator.Prompt("Good evening");
                generator.Answer();
                if (sharing) Share(model);
                Check.Throws<InlayException>(() => Model.Open(runtime, "/nowhere"));
            }
            Check.Equal(held, runtime.Memory().Now);
        }
    }

    /// <summary>Pools, forks in one scratch, batches, grammars, streams, arenas and conversations.</summary>
    private static void Share(Model model)
    {
        using (var pool = new Pool(model, new PoolOptions { Tokens = 1024 }))
        {
            var options = new SessionOptions { ContextLength = 256, Pool = pool };
            var state = new Arena(model.Plan(options).PooledSessionHost);
            using (var first = new Session(model, options))
            using (Session second = first.Fork(new ForkOptions { ShareScratch = true, State = state }))
            {
                Session.BeginSteps(new[] { first, second }, new[] { 1, 2 });
                first.Finish();
                var saved = new MemoryStream();
                first.SaveTo(saved);
                saved.SetLength(saved.Length - 1);
                saved.Position = 0;
                Check.Throws<InlayException>(() => second.LoadFrom(saved));
                first.Reset();
                Check.Throws<InlayException>(() => Grammar.Gbnf(model, "leaf"));
                using (Grammar grammar = Grammar.Gbnf(model, "root ::= \"yes\" | \"no\""))
                using (var chat = new Chat(first))
                {
                    chat.Add("user", "Ale?");
                    foreach (ChatEvent came in chat.Answer(new AnswerOptions { Thinking = Thinking.Off, Grammar = grammar })) { }
                }
            }
        }
    }

    // In the order of <malloc.h>.
    [StructLayout(LayoutKind.Sequential)]
    private struct MallocFigures
    {
        public UIntPtr Arena, FreeChunks, FastChunks, Mapped, MappedBytes, Unused, FastBytes, UsedBytes, FreeBytes, Top;
    }

    [DllImport("libc")]
    private static extern MallocFigures mallinfo2();

    /// <summary>Bytes that the collector and the C library have given out.</summary>
    private static long InUse()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long managed = GC.GetTotalMemory(true);
        try
        {
            MallocFigures figures = mallinfo2();
            return managed + (long)figures.MappedBytes + (long)figures.UsedBytes;
        }
        catch (EntryPointNotFoundException)
        {
            return managed;
        }
    }

    public static void AThousandRoundsLeaveNothing()
    {
        // What leaks grows in every block of rounds; what is made once does not.
        var growths = new List<long>();
        long before = 0;
        for (int block = 0; block < 10; ++block)
        {
            for (int i = 0; i < 100; ++i) Once(i % 4 == 0);
            long now = InUse();
            if (block > 0) growths.Add(now - before);
            before = now;
        }
        growths.Sort();
        Console.WriteLine("bytes that a hundred rounds add, sorted: " + string.Join(" ", growths));
        Check.True(growths[growths.Count / 2] <= 16 << 10, growths[growths.Count / 2]);
    }
}
