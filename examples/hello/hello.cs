// A file to text.
//
//   sh examples/run.sh hello csharp
//
// builds the library, then this, and runs it with the bundled model. Beside Inlay.dll, with libinlay where the system
// finds it:
//
//   mcs hello.cs -r:Inlay.dll && mono hello.exe MODEL.gguf
using System;
using Inlay;

internal static class Hello
{
    private static void Main(string[] args)
    {
        string path = args.Length > 0 ? args[0] : "examples/model/tavern.gguf";
        string prompt = args.Length > 1 ? args[1] : "Once upon a time";

        using (var runtime = new Runtime())
        using (Model model = Model.Open(runtime, path))
        using (var session = new Session(model))
        using (var generator = new Generator(session, new GeneratorOptions { MaxTokens = 200 }))
        {
            generator.Prompt(prompt);
            Console.Write(prompt);
            foreach (Piece piece in generator.Pieces()) Console.Write(piece.Text);
            Console.Write("\n");
        }
    }
}
