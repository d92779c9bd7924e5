// A conversation with two tools: the model asks for them, the game answers, the model goes on.
//
//   sh examples/run.sh chat_tools csharp
//
// builds the library, then this, and runs it with the bundled model.
using System;
using System.Collections.Generic;
using Inlay;

internal static class ChatTools
{
    private const string Tools = @"[
        {""type"":""function"",""function"":{""name"":""look_up_price"",""description"":""Price of an item"",
         ""parameters"":{""type"":""object"",""properties"":{""item"":{""type"":""string""}},""required"":[""item""]}}},
        {""type"":""function"",""function"":{""name"":""roll_dice"",""description"":""Roll a die"",
         ""parameters"":{""type"":""object"",""properties"":{""sides"":{""type"":""integer""}},""required"":[""sides""]}}}]";

    // What the game knows.
    private static string Call(string tool, string argument)
    {
        if (tool == "look_up_price") return argument == "ale" ? "9 coppers" : "not found";
        return tool == "roll_dice" ? "17" : "no such tool";
    }

    // One answer of the model's; its calls are answered. Returns how many there were.
    private static int Answer(Chat chat)
    {
        var tools = new List<string>();
        var arguments = new List<string>();
        foreach (ChatEvent it in chat.Answer(new AnswerOptions { Thinking = Thinking.Off }))
        {
            switch (it.Kind)
            {
                case ChatEventKind.Answer:
                    Console.Write(it.Text);
                    break;
                case ChatEventKind.CallBegin:
                    Console.Write("[" + it.Text);
                    tools.Add(it.Text);
                    arguments.Add("");
                    break;
                case ChatEventKind.Argument:
                    Console.Write(" " + it.Text + "=");
                    break;
                case ChatEventKind.ArgumentText:
                    Console.Write(it.Text);
                    arguments[it.Call] += it.Text;
                    break;
                case ChatEventKind.CallEnd:
                    Console.Write("]");
                    break;
            }
        }
        Console.Write("\n");
        for (int i = 0; i < tools.Count; ++i) chat.Add("tool", Call(tools[i], arguments[i]));
        return tools.Count;
    }

    private static void Main(string[] args)
    {
        string path = args.Length > 0 ? args[0] : "examples/model/tavern.gguf";
        var options = new ChatOptions { Generator = new GeneratorOptions(), Tools = Tools };
        using (var runtime = new Runtime())
        using (Model model = Model.Open(runtime, path))
        using (var session = new Session(model))
        using (var chat = new Chat(session, options))
        {
            foreach (string question in new[] { "What does the ale cost today? Look it up.", "Roll a d20!" })
            {
                Console.Write("> " + question + "\n");
                chat.Add("user", question);
                while (Answer(chat) > 0) { }
            }
        }
    }
}
