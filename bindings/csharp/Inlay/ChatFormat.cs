using System;
using System.Text;

namespace Inlay
{
    /// <summary>How a chat template turns messages into text: what the published templates of the family do, where they
    /// differ. A host that knows better may change it.</summary>
    public sealed unsafe class ChatFormat
    {
        /// <summary>"qwen3.5", "qwen3.6" or "tavern", as it was recognised; null for one of yours.</summary>
        public string Name { get; private set; }
        /// <summary>A missing enable_thinking means on.</summary>
        public bool ThinksByDefault { get; set; }
        /// <summary>A tool call's arguments are written as JSON (true), else as Python prints them (True).</summary>
        public bool JsonArguments { get; set; }
        /// <summary>preserve_thinking is known.</summary>
        public bool MayKeepReasoning { get; set; }
        /// <summary>Reasoning of earlier turns stays unless preserve_thinking is false.</summary>
        public bool KeepsReasoning { get; set; }
        /// <summary>A tool's answer may open a conversation.</summary>
        public bool OpensFirstTool { get; set; }
        /// <summary>The words think_on and think_off in marks in the system message switch thinking, and are taken out.
        /// </summary>
        public bool ThinkMarks { get; set; }

        /// <summary>Recognises a chat template (a model's is in its ModelInfo) by its content; Status.ChatTemplate for one
        /// that Inlay does not render.</summary>
        public static ChatFormat Of(Runtime runtime, string chatTemplate)
        {
            byte[] template = Encoding.UTF8.GetBytes(chatTemplate);
            var format = new inlay_chat_format { struct_size = (uint)sizeof(inlay_chat_format) };
            fixed (byte* at = template)
            {
                runtime.Check(Native.inlay_chat_format_of(runtime.Handle, at, (UIntPtr)template.Length, &format));
            }
            return new ChatFormat
            {
                Name = Text.Of(format.name),
                ThinksByDefault = format.thinks_by_default != 0,
                JsonArguments = format.json_arguments != 0,
                MayKeepReasoning = format.may_keep_reasoning != 0,
                KeepsReasoning = format.keeps_reasoning != 0,
                OpensFirstTool = format.opens_first_tool != 0,
                ThinkMarks = format.think_marks != 0
            };
        }

        // The name says where a format came from; rendering does not ask for it.
        internal inlay_chat_format Params()
        {
            return new inlay_chat_format
            {
                struct_size = (uint)sizeof(inlay_chat_format),
                thinks_by_default = ThinksByDefault ? 1u : 0u,
                json_arguments = JsonArguments ? 1u : 0u,
                may_keep_reasoning = MayKeepReasoning ? 1u : 0u,
                keeps_reasoning = KeepsReasoning ? 1u : 0u,
                opens_first_tool = OpensFirstTool ? 1u : 0u,
                think_marks = ThinkMarks ? 1u : 0u
            };
        }
    }

    public sealed unsafe partial class Chat
    {
        /// <summary>Renders a chat, a JSON object with "messages" and perhaps "tools" and the template's own words, to the
        /// text that chatTemplate gives.</summary>
        public static string Render(Runtime runtime, string chatTemplate, string json)
        {
            return Render(runtime, ChatFormat.Of(runtime, chatTemplate), json);
        }

        /// <summary>The same to the text of a format.</summary>
        public static string Render(Runtime runtime, ChatFormat format, string json)
        {
            byte[] chat = Encoding.UTF8.GetBytes(json);
            return Encoding.UTF8.GetString(Text.Fill<byte>(2 * chat.Length + 4096,
                (IntPtr place, UIntPtr room, out UIntPtr count) =>
            {
                inlay_chat_format given = format.Params();
                UIntPtr all;
                fixed (byte* from = chat)
                {
                    runtime.Check(Native.inlay_chat_render(runtime.Handle, &given, from, (UIntPtr)chat.Length, (byte*)place,
                                                           room, &all));
                }
                count = all;
            }));
        }

        /// <summary>The same to tokens. Special tokens are those that the template itself writes; in what users, tools and
        /// models said their words stay text.</summary>
        public static int[] RenderTokens(Runtime runtime, Tokenizer tokenizer, ChatFormat format, string json)
        {
            byte[] chat = Encoding.UTF8.GetBytes(json);
            return Text.Fill<int>(chat.Length + 256, (IntPtr place, UIntPtr room, out UIntPtr count) =>
            {
                inlay_chat_format given = format.Params();
                UIntPtr all;
                fixed (byte* from = chat)
                {
                    runtime.Check(Native.inlay_chat_render_tokens(runtime.Handle, tokenizer.Handle, &given, from,
                                                                  (UIntPtr)chat.Length, (int*)place, room, &all));
                }
                count = all;
            });
        }
    }
}
