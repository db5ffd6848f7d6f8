// Answers from Knowledge Bases through the official OpenAI SDK for Node.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "What does a budget set aside? 😀" }];

function check(content, annotations, passages) {
  assert.ok(annotations.length > 0);
  const points = [...content];
  for (const { type, url_citation: cited } of annotations) {
    assert.equal(type, "url_citation");
    const marker = points.slice(cited.start_index, cited.end_index).join("");
    const number = Number(/^\[(\d+)\]$/.exec(marker)[1]);
    assert.equal(cited.url, passages[number - 1].source);
  }
}

test("whole", async () => {
  const completion = await client.chat.completions.create({ model: "claude", messages, kb: "docs" });
  const { content, annotations } = completion.choices[0].message;
  assert.equal(completion.kb.used, true);
  check(content, annotations, completion.kb.passages);
});

test("stream", async () => {
  const stream = await client.chat.completions.create({ model: "claude", messages, stream: true, kb: { name: "docs" } });
  let [content, annotations, kb] = ["", [], undefined];
  for await (const chunk of stream) {
    const { delta, finish_reason } = chunk.choices[0];
    content += delta.content ?? "";
    annotations.push(...(delta.annotations ?? []));
    assert.equal(chunk.kb !== undefined, finish_reason !== null);
    kb ??= chunk.kb;
  }
  check(content, annotations, kb.passages);
});

test("a runner of tools", async () => {
  const asked = [];
  const lookup = { name: "lookup", parameters: { type: "object", properties: {} }, function: () => (asked.push(1), "found") };
  const runner = client.chat.completions.runTools({
    model: "claude",
    messages: [{ role: "user", content: "budget: use lookup" }],
    tools: [{ type: "function", function: lookup }],
    kb: "docs",
  });
  assert.ok((await runner.finalContent()).length > 0);
  assert.deepEqual(asked, [1]);
});

test("not for this key", async () => {
  const request = client.chat.completions.create({ model: "claude", messages, kb: "strict" });
  await assert.rejects(request, (error) => error instanceof OpenAI.PermissionDeniedError && error.param === "kb.name");
});
