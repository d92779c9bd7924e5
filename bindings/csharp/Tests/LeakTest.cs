using System;
using System.Collections.Generic;
using System.IO;
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

    private static void Once()
    {
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1, Log = (level, line) => { } }))
        using (Model model = Model.Open(runtime, "examples/model/tavern.gguf"))
        using (var session = new Session(model, new SessionOptions { ContextLength = 64 }))
        using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 3, Drafter = new Nothing() }))
        {
            generator.Prompt("Good evening");
            generator.Answer();
            Check.Throws<InlayException>(() => Model.Open(runtime, "/nowhere"));
        }
    }

    private static long Resident()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        return File.Exists("/proc/self/statm") ? long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1]) * 4096 : 0;
    }

    public static void AThousandRoundsLeaveNothing()
    {
        // What leaks grows in every block of rounds; that the heaps settle does not.
        var growths = new List<long>();
        long before = 0;
        for (int block = 0; block < 10; ++block)
        {
            for (int i = 0; i < 100; ++i) Once();
            long now = Resident();
            if (block > 0) growths.Add(now - before);
            before = now;
        }
        growths.Sort();
        Console.WriteLine("bytes that a hundred rounds add, sorted: " + string.Join(" ", growths));
        Check.True(growths[growths.Count / 2] <= 64 << 10, growths[growths.Count / 2]);
    }
}
