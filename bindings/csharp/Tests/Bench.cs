using System;
using Inlay;

/// <summary>A runtime of one thread with the bundled model; run in the repository's root.</summary>
public sealed class Bench : IDisposable
{
    public const string ModelPath = "examples/model/tavern.gguf";

    public readonly Runtime Runtime = new Runtime(new RuntimeOptions { Threads = 1 });
    public readonly Model Model;

    public Bench() { Model = Model.Open(Runtime, ModelPath); }

    public void Dispose()
    {
        Model.Dispose();
        Runtime.Dispose();
    }

    /// <summary>How a tale goes on.</summary>
    public string Story(GeneratorOptions options)
    {
        options.MaxTokens = 40;
        using (var session = new Session(Model, new SessionOptions { ContextLength = 256 }))
        using (var generator = new Generator(session, options))
        {
            generator.Prompt("Once upon a time");
            return generator.Answer();
        }
    }
}
