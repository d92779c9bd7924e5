// Times llama.cpp (through node-llama-cpp's prebuilt CPU binary) on one file: prompt and greedy decode.
// node llama.mjs MODEL THREADS PROMPT_TOKENS DECODE_TOKENS REPEAT -> one JSON object
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const [path, threads, prompt, decode, repeat] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: path });
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
// The tokens that `inlay bench` feeds: the same generator, in 64-bit arithmetic.
function randomTokens(count, vocabulary) {
  let state = 0x9e3779b97f4a7c15n;
  return Array.from({ length: count }, () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(vocabulary));
  });
}
const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
const prompts = [];
const decodes = [];
for (let i = 0; i < repeat; ++i) {
  const context = await model.createContext({ contextSize: Math.max(prompt, 16 + decode) + 64, threads,
                                              batchSize: 512, flashAttention: true });
  const sequence = context.getSequence();
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(randomTokens(prompt, vocabulary));
  prompts.push(prompt / (performance.now() - start) * 1000);
  await sequence.clearHistory();
  let count = 0;
  for await (const _ of sequence.evaluate(randomTokens(16, vocabulary), { temperature: 0, yieldEogToken: true })) {
    if (count === 0) start = performance.now();
    if (++count > decode) break;
  }
  decodes.push(decode / (performance.now() - start) * 1000);
  await context.dispose();
}
console.log(JSON.stringify({ engine: "llama.cpp", release: llama.llamaCppRelease?.release ?? "", threads,
                             prefill_tokens_a_second: median(prompts), decode_tokens_a_second: median(decodes) }));
await llama.dispose();
