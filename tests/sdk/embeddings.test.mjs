// Embeddings and text completions through the OpenAI SDK for Node and the Vercel AI SDK.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, embedMany, generateText, streamText } from "ai";
import OpenAI from "openai";

const { BASE_URL: baseURL, WIDE_KEY: apiKey } = process.env;
const titan = "amazon.titan-embed-text-v2:0";
const cohere = "cohere.embed-english-v3";

const bodies = [];
const recorded = (url, options) => {
  bodies.push(options.body);
  return fetch(url, options);
};
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, fetch: recorded });
const texts = Array.from({ length: 300 }, (_, number) => `text ${number}`);

for (const [model, dimensions] of [
  [titan, 256],
  [cohere, 1024],
]) {
  test(`OpenAI: float and the default Base64 are the same vector, ${model}`, async () => {
    const floats = await client.embeddings.create({ model, input: "Hello there", encoding_format: "float" });
    const packed = await client.embeddings.create({ model, input: "Hello there" });
    assert.equal(JSON.parse(bodies.at(-1)).encoding_format, "base64");
    assert.deepEqual(Float32Array.from(packed.data[0].embedding), Float32Array.from(floats.data[0].embedding));
    assert.equal(floats.data[0].embedding.length, 1024);
    assert.deepEqual([floats.usage.prompt_tokens, floats.usage.total_tokens], [2, 2]);
  });

  test(`OpenAI: 300 inputs come back in their order, ${model}`, async () => {
    const { data } = await client.embeddings.create({ model, input: texts, dimensions });
    assert.deepEqual(data.map(({ index }) => index), texts.map((_, index) => index));
    assert.equal(new Set(data.map(({ embedding }) => String(embedding))).size, 300);
    // The first and the last input, and those around the ends of Cohere's batches of 96.
    for (const index of [0, 1, 95, 96, 97, 191, 192, 287, 288, 299]) {
      const alone = await client.embeddings.create({ model, input: texts[index], dimensions });
      assert.deepEqual(data[index].embedding, alone.data[0].embedding);
    }
  });
}

test("OpenAI: dimensions", async () => {
  const { data } = await client.embeddings.create({ model: titan, input: ["one", "two"], dimensions: 256 });
  assert.deepEqual(data.map(({ embedding }) => embedding.length), [256, 256]);
});

for (const [change, param] of [
  [{ dimensions: 300 }, "dimensions"],
  [{ input: ["one", ""] }, "input[1]"],
  [{ input: [1, 2] }, "input"],
]) {
  test(`OpenAI: BadRequestError ${JSON.stringify(change)}`, async () => {
    const request = client.embeddings.create({ model: titan, input: "Hi", ...change });
    await assert.rejects(request, (error) => error instanceof OpenAI.BadRequestError && error.param === param);
  });
}

test("OpenAI: text completions, whole", async () => {
  const one = await client.completions.create({ model: "claude", prompt: "Hello there" });
  assert.equal(one.choices[0].text, "You said: Hello there");
  assert.equal(one.choices[0].finish_reason, "stop");
  const two = await client.completions.create({ model: "claude", prompt: ["One", "Two"] });
  assert.deepEqual(two.choices.map(({ text }) => text), ["You said: One", "You said: Two"]);
});

test("OpenAI: text completions, streamed", async () => {
  const stream_options = { include_usage: true };
  const stream = await client.completions.create({ model: "claude", prompt: ["One", "Two"], stream: true, stream_options });
  const answers = ["", ""];
  let usage;
  for await (const chunk of stream) {
    for (const { index, text } of chunk.choices) answers[index] += text;
    usage = chunk.usage ?? usage;
  }
  assert.deepEqual(answers, ["You said: One", "You said: Two"]);
  assert.equal(usage.completion_tokens, 6);
});

test("OpenAI: text completions, BadRequestError", async () => {
  const request = client.completions.create({ model: "claude", prompt: "Hi", suffix: "end" });
  await assert.rejects(request, (error) => error instanceof OpenAI.BadRequestError && error.param === "suffix");
});

const provider = createOpenAICompatible({ name: "lintel", baseURL, apiKey, includeUsage: true });

test("AI SDK: embed", async () => {
  const { embedding, usage } = await embed({ model: provider.embeddingModel(titan), value: "Hello there", maxRetries: 0 });
  const { data } = await client.embeddings.create({ model: titan, input: "Hello there", encoding_format: "float" });
  assert.deepEqual(embedding, data[0].embedding);
  assert.equal(usage.tokens, 2);
});

test("AI SDK: embedMany", async () => {
  const model = provider.embeddingModel(cohere);
  const { embeddings, usage } = await embedMany({ model, values: texts, maxRetries: 0 });
  const { data } = await client.embeddings.create({ model: cohere, input: texts, encoding_format: "float" });
  assert.deepEqual(embeddings, data.map(({ embedding }) => embedding));
  assert.equal(usage.tokens, 600);
});

test("AI SDK: embed with dimensions", async () => {
  const providerOptions = { lintel: { dimensions: 256 } };
  const { embedding } = await embed({ model: provider.embeddingModel(titan), value: "Hi", providerOptions, maxRetries: 0 });
  assert.equal(embedding.length, 256);
});

test("AI SDK: text completions", async () => {
  const model = provider.completionModel("claude");
  const { text } = await generateText({ model, prompt: "Hello there", maxRetries: 0 });
  assert.match(text, /^You said: /);
  const streamed = streamText({ model, prompt: "Hello there", maxRetries: 0 });
  assert.equal(await streamed.text, text);
});
