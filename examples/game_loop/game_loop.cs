// Three characters speak in a game that gives them 4 ms a frame, and is saved and loaded while they do.
//
//   sh examples/run.sh game_loop csharp
//
// builds the library, then this, and runs it with the bundled model. Figures of the frames go to stderr.
using System;
using System.Diagnostics;
using System.Linq;
using Inlay;

internal sealed class Character : IDisposable
{
    public readonly string Name;
    public readonly string Prompt;
    public string Text = "";
    public bool Done;
    public Generator Generator;
    private Session session;

    public Character(string name, string prompt)
    {
        Name = name;
        Prompt = prompt + "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
    }

    public void Create(Model model)
    {
        session = new Session(model, new SessionOptions { ContextLength = 512 });
        Generator = new Generator(session);
    }

    public void Dispose()
    {
        Generator.Dispose();
        session.Dispose();
    }
}

internal static class GameLoop
{
    private static readonly TimeSpan Budget = TimeSpan.FromMilliseconds(4);
    private static readonly Character[] Cast =
    {
        new Character("Bram", "<|im_start|>user\nAny rumours?"),
        new Character("Orla", "<|im_start|>system\nYou are Orla, keeper of the Blue Boar in Saltford. You are gruff. " +
            "Prices: ale 7, stew 9, torch 2.<|im_end|>\n<|im_start|>user\nWhat do you sell?"),
        new Character("Tilda", "<|im_start|>system\nYou are Tilda, keeper of the Silver Swan in Oxmoor. You are poetic. " +
            "Prices: ale 3, stew 5, room 12.<|im_end|>\n<|im_start|>user\nGood evening! A room for the night, please.")
    };

    // Each speaks as far as the frame's time goes.
    private static void Frame(int first)
    {
        Stopwatch clock = Stopwatch.StartNew();
        for (int i = 0; i < Cast.Length; ++i)
        {
            Character who = Cast[(first + i) % Cast.Length];
            while (!who.Done && clock.Elapsed < Budget)
            {
                Piece piece = who.Generator.Advance(Budget - clock.Elapsed);
                if (piece == null) break;
                who.Text += piece.Text;
                who.Done = piece.Stop != Stop.None;
            }
        }
    }

    private static void Main(string[] args)
    {
        string path = args.Length > 0 ? args[0] : "examples/model/tavern.gguf";
        using (var runtime = new Runtime())
        using (Model model = Model.Open(runtime, path))
        {
            foreach (Character who in Cast)
            {
                who.Create(model);
                who.Generator.Prompt(who.Prompt);
            }

            int frames = 0;
            bool saved = false;
            TimeSpan longest = TimeSpan.Zero;
            for (; Cast.Any(who => !who.Done); ++frames)
            {
                Stopwatch clock = Stopwatch.StartNew();
                Frame(frames); // and here the game draws, moves, listens
                if (clock.Elapsed > longest) longest = clock.Elapsed;
                if (saved || Cast[0].Text.Length <= 20 || Cast[0].Done) continue;
                foreach (Character who in Cast)
                {
                    // The words go on where they were, in a new session: another run of the game, or another machine.
                    byte[] bytes = who.Generator.Save();
                    who.Dispose();
                    who.Create(model);
                    who.Generator.Load(bytes);
                }
                Console.Write("(saved and loaded while Bram speaks)\n");
                saved = true;
            }
            foreach (Character who in Cast)
            {
                Console.Write(who.Name + ": " + who.Text + "\n");
                who.Dispose();
            }
            Console.Error.WriteLine("{0} frames of {1} us for words; the longest took {2} us", frames,
                                    Budget.Ticks / 10, longest.Ticks / 10);
        }
    }
}
