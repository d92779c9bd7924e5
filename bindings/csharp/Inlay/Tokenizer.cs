using System;
using System.Text;

namespace Inlay
{
    /// <summary>Text to tokens and back. Any number of threads may use it at once.</summary>
    public sealed unsafe class Tokenizer : IDisposable
    {
        private readonly InlayHandle handle;

        internal InlayHandle Handle => handle;
        private readonly Runtime runtime;

        /// <summary>A file's tokenizer alone, weights or not.</summary>
        public Tokenizer(ModelFile file)
        {
            runtime = file.Runtime;
            IntPtr made;
            runtime.Check(Native.inlay_tokenizer_create(file.Handle, &made));
            handle = new InlayHandle(made, Native.inlay_tokenizer_destroy, runtime.Log.Hold().Release);
        }

        // The model's: the model stays as long as this does.
        internal Tokenizer(Model model, IntPtr tokenizer)
        {
            runtime = model.Runtime;
            bool held = false;
            model.Handle.DangerousAddRef(ref held);
            handle = new InlayHandle(tokenizer, _ => model.Handle.DangerousRelease());
        }

        /// <summary>Gives it up. A model's own need not be disposed, but holds the model until it is.</summary>
        public void Dispose() => handle.Dispose();

        /// <summary>Text to tokens; with parseSpecial the words of special tokens in it become those tokens.</summary>
        public int[] Encode(string text, bool parseSpecial = false)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            // No text has more tokens than bytes.
            return Text.Fill<int>(bytes.Length, (IntPtr place, UIntPtr room, out UIntPtr count) =>
            {
                UIntPtr all;
                fixed (byte* from = bytes)
                {
                    runtime.Check(Native.inlay_tokenizer_encode(handle, from, (UIntPtr)bytes.Length, parseSpecial ? 1 : 0,
                                                                (int*)place, room, &all));
                }
                count = all;
            });
        }

        /// <summary>Tokens to bytes, which need not be whole UTF-8; with showSpecial the words of special tokens too.</summary>
        public byte[] DecodeBytes(int[] tokens, bool showSpecial = false)
        {
            return Text.Fill<byte>(8 * tokens.Length + 16, (IntPtr place, UIntPtr room, out UIntPtr count) =>
            {
                UIntPtr all;
                fixed (int* from = tokens)
                {
                    runtime.Check(Native.inlay_tokenizer_decode(handle, from, (UIntPtr)tokens.Length, showSpecial ? 1 : 0,
                                                                (byte*)place, room, &all));
                }
                count = all;
            });
        }

        /// <summary>The same as text, with U+FFFD for what is no whole character.</summary>
        public string Decode(int[] tokens, bool showSpecial = false)
        {
            return Encoding.UTF8.GetString(DecodeBytes(tokens, showSpecial));
        }

        /// <summary>Tokens of the vocabulary.</summary>
        public int Size => (int)Native.inlay_tokenizer_size(handle);

        /// <summary>The token that ends a turn or the text, per the file; -1 where there is none.</summary>
        public int EndOfText => Native.inlay_tokenizer_end_of_text(handle);

        /// <summary>Whether generation should stop at this token.</summary>
        public bool IsEnd(int token) => Native.inlay_tokenizer_is_end(handle, token) != 0;

        /// <summary>The token whose whole text this is, special or not; -1 where there is none.</summary>
        public int Find(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            fixed (byte* from = bytes) return Native.inlay_tokenizer_find(handle, from, (UIntPtr)bytes.Length);
        }
    }
}
