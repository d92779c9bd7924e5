using System;
using System.Text;

namespace Inlay
{
    /// <summary>What a text may be: a JSON Schema, or rules in the notation of GBNF. Any number of generators and chats of
    /// its model, on any threads, may use it, and keep what they need of it.</summary>
    public sealed unsafe class Grammar : IDisposable
    {
        internal readonly InlayHandle Handle;

        private Grammar(Model model, int kind, string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            IntPtr made;
            fixed (byte* at = bytes)
            {
                model.Runtime.Check(Native.inlay_grammar_create(model.Handle, kind, at, (UIntPtr)bytes.Length, &made));
            }
            Handle = new InlayHandle(made, Native.inlay_grammar_destroy, model.Home.Hold().Release);
        }

        /// <summary>JSON that satisfies a schema; the header says which of its words are known.</summary>
        public static Grammar JsonSchema(Model model, string schema)
        {
            return new Grammar(model, C.INLAY_GRAMMAR_JSON_SCHEMA, schema);
        }

        /// <summary>Rules that begin with root.</summary>
        public static Grammar Gbnf(Model model, string rules) => new Grammar(model, C.INLAY_GRAMMAR_GBNF, rules);

        /// <summary>Gives the grammar up; who uses it keeps what it needs.</summary>
        public void Dispose() => Handle.Dispose();

        internal static Lent Lend(Grammar grammar) => new Lent(grammar == null ? null : grammar.Handle);
    }
}
