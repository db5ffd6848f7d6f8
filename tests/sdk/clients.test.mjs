// Tools and structured output through the OpenAI SDK for Node and the Vercel AI SDK.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const { BASE_URL: baseURL, WIDE_KEY: apiKey } = process.env;
const claude = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const nova = "us.amazon.nova-2-lite-v1:0";
const weather = z.object({ city: z.string(), degrees: z.number() });

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

for (const model of [claude, nova]) {
  test(`OpenAI: parse, ${model}`, async () => {
    const messages = [{ role: "user", content: "Weather?" }];
    const response_format = zodResponseFormat(weather, "weather");
    const completion = await client.chat.completions.parse({ model, messages, response_format });
    assert.deepEqual(completion.choices[0].message.parsed, { city: "city", degrees: 1 });
  });

  test(`OpenAI: a tool loop, streamed, ${model}`, async () => {
    const runner = client.chat.completions.runTools({
      model,
      stream: true,
      messages: [{ role: "user", content: "Use get_weather" }],
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            parameters: { type: "object", properties: { city: { type: "string" } } },
            parse: JSON.parse,
            function: ({ city }) => `sun in ${city}`,
          },
        },
      ],
    });
    assert.equal(await runner.finalContent(), "You said: sun in city");
  });
}

const provider = createOpenAICompatible({ name: "lintel", baseURL, apiKey, supportsStructuredOutputs: true, includeUsage: true });
const tools = {
  get_weather: tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sun in ${city}`,
  }),
};

for (const id of [claude, nova]) {
  const model = provider(id);
  test(`AI SDK: text and usage, ${id}`, async () => {
    const { text, usage } = await generateText({ model, prompt: "Hello there", maxRetries: 0 });
    assert.equal(text, "You said: Hello there");
    assert.equal(usage.outputTokens, 4);
  });

  test(`AI SDK: a stream with tools, ${id}`, async () => {
    const result = streamText({ model, tools, prompt: "Use get_weather", stopWhen: stepCountIs(3), maxRetries: 0 });
    assert.equal(await result.text, "You said: sun in city");
    assert.equal((await result.steps).length, 2);
  });

  test(`AI SDK: an object, ${id}`, async () => {
    const output = Output.object({ schema: weather });
    const result = await generateText({ model, prompt: "Weather?", output, maxRetries: 0 });
    assert.deepEqual(result.output, { city: "city", degrees: 1 });
  });
}

test("AI SDK: reasoning", async () => {
  const providerOptions = { lintel: { reasoningEffort: "low" } };
  const result = streamText({ model: provider(claude), prompt: "Hi", providerOptions, maxRetries: 0 });
  assert.equal(await result.reasoningText, "The user said something. I repeat it.");
});
