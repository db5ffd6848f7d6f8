// Anthropic's SDK for Node and the AI SDK's Anthropic provider.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { BASE_URL, WIDE_KEY } = process.env;
const client = new Anthropic({ baseURL: BASE_URL.replace(/\/v1$/, ""), apiKey: WIDE_KEY, maxRetries: 0 });
const provider = createAnthropic({ baseURL: BASE_URL, apiKey: WIDE_KEY });
const request = { model: "claude", max_tokens: 100, messages: [{ role: "user", content: "Hello there" }] };

test("message is created and streamed", async () => {
  const whole = await client.messages.create(request);
  assert.equal(whole.content.at(-1).text, "You said: Hello there");
  const final = await client.messages.stream(request).finalMessage();
  assert.deepEqual(final.content, whole.content);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test("tokens are counted", async () => {
  const { model, messages } = request;
  const counted = await client.messages.countTokens({ model, messages });
  assert.ok(counted.input_tokens > 0);
});

test("broken stream raises", async () => {
  const messages = [{ role: "user", content: "a b c d e f g h [simulate cut]" }];
  await assert.rejects(client.messages.stream({ ...request, messages }).finalMessage());
});

test("tool runner calls tools until there is an answer", async () => {
  const seen = [];
  const look = betaZodTool({
    name: "look",
    description: "Looks.",
    inputSchema: z.object({ at: z.string() }),
    run: ({ at }) => {
      seen.push(at);
      return "a garden";
    },
  });
  const messages = [{ role: "user", content: "use look" }];
  for (const stream of [false, true]) {
    const runner = client.beta.messages.toolRunner({ model: "haiku", max_tokens: 500, messages, tools: [look], stream });
    const final = await runner.runUntilDone();
    assert.match(final.content.at(-1).text, /a garden/);
  }
  assert.deepEqual(seen, ["at", "at"]);
});

const tools = {
  look_up: tool({
    description: "Looks up a word",
    inputSchema: z.object({ word: z.string() }),
    execute: async () => "a definition",
  }),
};

for (const model of ["claude", "haiku", "amazon.nova-lite-v1:0"]) {
  test(`AI SDK runs a tool loop with ${model}`, async () => {
    const loop = { model: provider(model), tools, prompt: "Use look_up now", stopWhen: stepCountIs(3), maxRetries: 0 };
    const whole = await generateText(loop);
    assert.match(whole.text, /a definition/);
    const streamed = streamText(loop);
    assert.equal(await streamed.text, whole.text);
    assert.equal(await streamed.finishReason, "stop");
  });
}
