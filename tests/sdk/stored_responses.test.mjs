// Stored responses with the official client, and Vercel's default provider, which refers to stored items.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const { BASE_URL: baseURL, API_KEY: apiKey, SIMULATOR_URL: simulator } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

test("a response is retrieved, listed, continued and deleted", async () => {
  const first = await client.responses.create({ model: "claude", input: "Hello there" });
  assert.equal(first.store, true);
  assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text);
  const second = await client.responses.create({ model: "claude", input: "And now?", previous_response_id: first.id });
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
  const texts = [];
  for await (const item of client.responses.inputItems.list(second.id, { limit: 1 })) {
    texts.push(item.content[0].text);
  }
  assert.deepEqual(texts, ["And now?"]);
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  const request = { model: "claude", input: "Hi", previous_response_id: first.id };
  await assert.rejects(client.responses.create(request), { code: "previous_response_not_found" });
});

for (const ask of [generateText, streamText]) {
  test(`${ask.name} runs a tool loop in the default mode of the provider`, async () => {
    const word = randomUUID();
    const inputs = [];
    const recorded = (url, options) => {
      inputs.push(JSON.parse(options.body).input);
      return fetch(url, options);
    };
    const look = tool({ description: "Looks", inputSchema: z.object({ at: z.string() }), execute: () => "a garden" });
    const result = await ask({
      model: createOpenAI({ baseURL, apiKey, fetch: recorded })("haiku"),
      tools: { look },
      prompt: `Please look for ${word}`,
      providerOptions: { openai: { reasoningEffort: "low", reasoningSummary: "auto", forceReasoning: true } },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    assert.match(await result.text, /a garden/);
    assert.equal((await result.steps).length, 2);
    assert.equal(inputs.length, 2);
    assert.ok(inputs[1].some((item) => item.type === "item_reference"), JSON.stringify(inputs[1]));
    const received = await (await fetch(`${simulator}/_simulator/requests`)).json();
    const sent = received.filter(({ body }) => JSON.stringify(body).includes(word));
    assert.equal(sent.length, 2);
    const turn = sent[1].body.messages[1].content;
    assert.ok(turn[0].reasoningContent, JSON.stringify(turn));
    assert.ok(turn.some((block) => block.toolUse));
  });
}
