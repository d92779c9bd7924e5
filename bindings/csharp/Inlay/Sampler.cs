using System;
using System.Collections.Generic;

namespace Inlay
{
    /// <summary>How tokens are drawn; zeros are the header's defaults, and the default is greedy.</summary>
    public sealed class SamplerOptions
    {
        public float Temperature { get; set; }
        public uint TopK { get; set; }
        public float TopP { get; set; }
        public float MinP { get; set; }
        public float RepeatPenalty { get; set; }
        public float FrequencyPenalty { get; set; }
        public float PresencePenalty { get; set; }
        public uint PenaltyWindow { get; set; }
        /// <summary>Equal seeds give equal texts.</summary>
        public ulong Seed { get; set; }
        /// <summary>Added to these tokens' logits; negative infinity forbids one.</summary>
        public IDictionary<int, float> Biases { get; set; }

        /// <summary>What a preset of the model cards says.</summary>
        public static unsafe SamplerOptions Preset(Sampling sampling)
        {
            var given = new inlay_sampler_params { struct_size = (uint)sizeof(inlay_sampler_params) };
            Text.Check(Native.inlay_sampler_preset((int)sampling, &given), null);
            return new SamplerOptions
            {
                Temperature = given.temperature,
                TopK = given.top_k,
                TopP = given.top_p,
                MinP = given.min_p,
                RepeatPenalty = given.repeat_penalty
            };
        }

        internal inlay_logit_bias[] BiasArray()
        {
            if (Biases == null || Biases.Count == 0) return null;
            var biases = new List<inlay_logit_bias>();
            foreach (var pair in Biases) biases.Add(new inlay_logit_bias { token = pair.Key, bias = pair.Value });
            return biases.ToArray();
        }

        internal unsafe inlay_sampler_params Params(inlay_logit_bias* biases)
        {
            return new inlay_sampler_params
            {
                struct_size = (uint)sizeof(inlay_sampler_params),
                temperature = Temperature,
                top_k = TopK,
                top_p = TopP,
                min_p = MinP,
                repeat_penalty = RepeatPenalty,
                frequency_penalty = FrequencyPenalty,
                presence_penalty = PresencePenalty,
                penalty_window = PenaltyWindow,
                seed = Seed,
                biases = biases,
                bias_count = (UIntPtr)(biases == null ? 0 : Biases.Count)
            };
        }
    }

    /// <summary>Logits to a token. One thread at a time.</summary>
    public sealed unsafe class Sampler : IDisposable
    {
        private readonly InlayHandle handle;
        private readonly Model model;

        public Sampler(Model model, SamplerOptions options = null)
        {
            this.model = model;
            options = options ?? new SamplerOptions();
            IntPtr made;
            fixed (inlay_logit_bias* biases = options.BiasArray())
            {
                var given = options.Params(biases);
                model.Runtime.Check(Native.inlay_sampler_create(model.Handle, &given, &made));
            }
            handle = new InlayHandle(made, Native.inlay_sampler_destroy, model.Home.Hold().Release);
        }

        public void Dispose() => handle.Dispose();

        /// <summary>The token at `position`, from its logits (one for each of the vocabulary) and the tokens before it.</summary>
        public int Sample(float[] logits, int[] history, long position)
        {
            if (logits.Length != model.VocabularySize)
            {
                throw new InlayException(Status.InvalidArgument, "a row of logits has a number for each token");
            }
            int token;
            fixed (float* row = logits)
            fixed (int* past = history)
            {
                int status = Native.inlay_sampler_sample(handle, row, past, (UIntPtr)history.Length, (ulong)position, &token);
                Text.Check(status, null);
            }
            return token;
        }
    }
}
