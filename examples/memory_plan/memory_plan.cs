// Every byte before it is taken, and sessions in the host's own memory.
//
//   sh examples/run.sh memory_plan csharp
//
// builds the library, then this, and runs it with the bundled model.
using System;
using Inlay;

internal static class MemoryPlanScene
{
    private static void Main(string[] args)
    {
        string path = args.Length > 0 ? args[0] : "examples/model/tavern.gguf";
        using (var runtime = new Runtime(new RuntimeOptions { Threads = 1 }))
        using (var file = new ModelFile(runtime, path))
        {
            // From the file's header alone: nothing is loaded yet.
            foreach (uint context in new uint[] { 512, 2048, 4096 })
            {
                foreach (KvType kind in new[] { KvType.F16, KvType.Fp8, KvType.Q8 })
                {
                    MemoryPlan needed = file.Plan(new SessionOptions { ContextLength = context, KvType = kind });
                    Console.Write("context {0}, {1}: session {2}, of it keys and values {3}\n", context,
                                  kind.ToString().ToLowerInvariant(), needed.SessionHost, needed.KvCache);
                }
            }

            // What is then taken is what was planned.
            var options = new SessionOptions { ContextLength = 1024, KvType = KvType.F16 };
            MemoryPlan plan = file.Plan(options);
            Console.Write("planned: model {0}, session {1}, scratch {2}\n", plan.ModelHost, plan.SessionHost, plan.ScratchHost);
            ulong before = runtime.Memory().Now;
            using (var model = new Model(file))
            {
                ulong withModel = runtime.Memory().Now;
                using (new Session(model, options))
                {
                    Console.Write("taken: model {0}, session and scratch {1}\n", withModel - before,
                                  runtime.Memory().Now - withModel);
                }
                InArenas(runtime, model, options, plan, withModel);
            }
        }
    }

    // In the game's own arenas, and with one byte too little.
    private static void InArenas(Runtime runtime, Model model, SessionOptions options, MemoryPlan plan, ulong withModel)
    {
        using (options.State = new Arena(plan.SessionHost - 1))
        {
            try
            {
                new Session(model, options);
            }
            catch (InlayException refused)
            {
                Console.Write("a byte too little: {0}\n", refused.StatusName);
            }
        }
        options.State = new Arena(plan.SessionHost);
        options.Scratch = new Arena(plan.ScratchHost);
        using (var session = new Session(model, options))
        {
            Console.Write("taken beside the arenas: {0}\n", runtime.Memory().Now - withModel);
            using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 30 }))
            {
                const string Prompt = "The tavern was";
                generator.Prompt(Prompt);
                Console.Write(Prompt + generator.Answer() + "\n");
            }
        }
    }
}
