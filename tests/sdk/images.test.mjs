// Images through the OpenAI SDK for Node, and reranking in the form of Cohere and Jina by plain HTTP.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI, { toFile } from "openai";

const { BASE_URL: baseURL, WIDE_KEY: apiKey } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const core = "stability.stable-image-core-v1:1";
const inpaint = "us.stability.stable-image-inpaint-v1:0";
const pixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC",
  "base64",
);
const png = (name) => toFile(pixel, name, { type: "image/png" });

function isPng(image) {
  const bytes = Buffer.from(image.b64_json, "base64");
  return bytes.subarray(1, 4).toString() === "PNG";
}

test("images are generated, one for each of n", async () => {
  const { data, response } = await client.images.generate({ model: core, prompt: "A panda", n: 2, size: "1024x1024" }).withResponse();
  assert.equal(data.data.length, 2);
  assert.ok(data.data.every(isPng));
  assert.equal(data.output_format, "png");
  assert.equal(response.headers.get("x-lintel-attempts"), "2");
  assert.equal(data.usage.images, 2);
});

test("an image is edited with a mask", async () => {
  const { data } = await client.images.edit({
    model: inpaint,
    prompt: "A hat",
    image: await png("a.png"),
    mask: await png("mask.png"),
  });
  assert.equal(data.length, 1);
  assert.ok(isPng(data[0]));
});

test("a chat model draws nothing, and an image model does not chat", async () => {
  await assert.rejects(client.images.generate({ model: "amazon.nova-lite-v1:0", prompt: "A panda" }), { status: 404, code: "model_not_found" });
  const chat = client.chat.completions.create({ model: core, messages: [{ role: "user", content: "Hi" }] });
  await assert.rejects(chat, (error) => {
    assert.equal(error.status, 404);
    assert.match(error.message, /POST \/v1\/images\/generations/);
    return true;
  });
});

test("documents are ranked", async () => {
  const reply = await fetch(`${baseURL}/rerank`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "cohere.rerank-v3-5:0",
      query: "capital of France",
      documents: ["Berlin is in Germany", "Paris is the capital of France", { text: "The capital gains tax" }],
      top_n: 2,
      return_documents: true,
    }),
  });
  assert.equal(reply.status, 200);
  const { results } = await reply.json();
  assert.deepEqual(results.map(({ index }) => index), [1, 2]);
  assert.ok(results[0].relevance_score > results[1].relevance_score);
  assert.equal(results[0].document.text, "Paris is the capital of France");
});
