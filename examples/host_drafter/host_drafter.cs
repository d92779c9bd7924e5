// A dialogue tree drafts: the game knows what the keeper is likely to say, so the model need only agree.
//
//   sh examples/run.sh host_drafter csharp
//
// builds the library, then this, and runs it with the bundled model.
using System;
using System.Collections.Generic;
using System.Linq;
using Inlay;

internal static class HostDrafter
{
    private static readonly string[] Questions = { "Hello!", "How much is an ale?", "Tell me a riddle." };

    // What the writer has the keeper say; he may say something else.
    private static readonly string[] Lines =
    {
        "Good day, friend! What can I bring you?",
        "Good day, traveller! Sit down, the stew is hot.",
        "A mug of ale? 2 coppers.",
        "A bowl of stew? 4 coppers.",
        "Listen well: What has a bed but never sleeps?"
    };

    private sealed class Tree : IDrafter
    {
        private readonly int thinkEnd; // the answer begins with this token
        private readonly List<int[]> lines;

        public Tree(Tokenizer tokenizer)
        {
            thinkEnd = tokenizer.Find("</think>");
            lines = Lines.Select(line => tokenizer.Encode("</think>\n\n" + line + "<|im_end|>", true)).ToList();
        }

        // The rest of the line that the answer has begun with so far.
        public IReadOnlyList<int> Propose(Timeline timeline, int max)
        {
            int begin = timeline.Count - 1;
            while (begin >= 0 && timeline[begin] != thinkEnd) --begin;
            if (begin < 0) return null;
            int said = timeline.Count - begin;
            int[] known = lines.Find(line =>
                line.Length > said && Enumerable.Range(0, said).All(i => line[i] == timeline[begin + i]));
            return known == null ? null : known.Skip(said).ToArray();
        }

        public void Observe(int[] tokens, int accepted) { }
        public void Reset() { }
    }

    private static ulong Talk(Model model, IDrafter drafter)
    {
        using (var session = new Session(model))
        using (var generator = new Generator(session, new GeneratorOptions { Drafter = drafter, DraftLength = 7 }))
        {
            string before = "";
            foreach (string question in Questions)
            {
                const string Turn = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
                generator.Prompt(before + "<|im_start|>user\n" + question + Turn);
                before = "\n";
                Console.Write("> " + question + "\n");
                foreach (Piece piece in generator.Pieces()) Console.Write(piece.Text);
                Console.Write("\n");
            }
            return generator.Stats.Rounds;
        }
    }

    private static void Main(string[] args)
    {
        string path = args.Length > 0 ? args[0] : "examples/model/tavern.gguf";
        using (var runtime = new Runtime())
        using (Model model = Model.Open(runtime, path))
        {
            ulong alone = Talk(model, null);
            ulong withTree = Talk(model, new Tree(model.Tokenizer));
            Console.Write("passes of the model: {0} alone, {1} with the tree\n", alone, withTree);
        }
    }
}
