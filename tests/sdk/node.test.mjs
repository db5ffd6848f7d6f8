// The official OpenAI SDK for Node, repointed: nothing else may have to change.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there" }];
const simulate = (fault) => [{ role: "user", content: `one two three four [simulate ${fault}]` }];

test("whole", async () => {
  const completion = await client.chat.completions.create({ model: "claude", messages });
  assert.equal(completion.choices[0].message.content, "You said: Hello there");
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(completion.usage.total_tokens, 6);
});

test("stream with usage", async () => {
  const stream_options = { include_usage: true };
  const stream = await client.chat.completions.create({ model: "claude", messages, stream: true, stream_options });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const last = chunks.pop();
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), "You said: Hello there");
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, 4);
});

test("models", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["claude", "haiku", "hasty", "task"]);
  assert.equal((await client.models.retrieve("claude")).owned_by, "anthropic");
});

const errors = [
  [{ temperature: 9 }, OpenAI.BadRequestError, "invalid_value"],
  [{ model: "hidden" }, OpenAI.PermissionDeniedError, "model_not_allowed"],
  [{ model: "nope" }, OpenAI.NotFoundError, "model_not_found"],
  [{ messages: simulate("conflict") }, OpenAI.ConflictError, "conflict"],
  [{ messages: simulate("throttle") }, OpenAI.RateLimitError, "rate_limit_exceeded"],
  [{ messages: simulate("internal") }, OpenAI.InternalServerError, "upstream_error"],
];
for (const [change, type, code] of errors) {
  for (const stream of [false, true]) {
    test(`${type.name} ${JSON.stringify(change)} stream=${stream}`, async () => {
      const request = client.chat.completions.create({ model: "claude", messages, stream, ...change });
      await assert.rejects(request, (error) => error instanceof type && error.code === code);
    });
  }
}

test("a wrong key", async () => {
  const stranger = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("a broken stream throws", async () => {
  const stream = await client.chat.completions.create({ model: "claude", messages: simulate("cut"), stream: true });
  const read = async () => {
    for await (const _ of stream);
  };
  await assert.rejects(read(), OpenAI.APIError);
});

test("time-out and cancel", async () => {
  const hasty = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 300 });
  const request = hasty.chat.completions.create({ model: "claude", messages: simulate("hang") });
  await assert.rejects(request, OpenAI.APIConnectionTimeoutError);
  const controller = new AbortController();
  const stream = await client.chat.completions.create(
    { model: "claude", messages: simulate("words 5000] [simulate pace 10ms"), stream: true },
    { signal: controller.signal },
  );
  let seen = 0;
  for await (const _ of stream) {
    seen += 1;
    controller.abort();
  }
  assert.ok(seen < 5000);
});
