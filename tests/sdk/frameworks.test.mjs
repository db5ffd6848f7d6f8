// Tool loops and objects with Zod schemas through both OpenAI providers of the Vercel AI SDK.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { BASE_URL: baseURL, WIDE_KEY: apiKey, SIMULATOR_URL: simulator } = process.env;
const models = {
  claude: "us.anthropic.claude-haiku-4-5-20251001-v1:0",
  nova: "us.amazon.nova-2-lite-v1:0",
  llama: "us.meta.llama4-maverick-17b-instruct-v1:0",
  "gpt-oss": "openai.gpt-oss-120b-1:0",
};
const compatible = createOpenAICompatible({ name: "lintel", baseURL, apiKey, supportsStructuredOutputs: true, includeUsage: true });
const providers = { openai: createOpenAI({ baseURL, apiKey }).chat, compatible };

const leg = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("flight"), number: z.string(), cabin: z.enum(["economy", "business"]) }),
  z.object({ kind: z.literal("train"), carriage: z.number().int() }),
]);
const trip = z
  .object({
    city: z.string().min(1).max(80).describe("Where to"),
    passengers: z.array(z.object({ name: z.string(), age: z.number().int().min(0).max(150), seat: z.string().nullable() })).min(1),
    leg,
    reference: z.union([z.number(), z.string()]),
    currency: z.string().default("EUR"),
    note: z.string().nullable(),
  })
  .meta({ title: "Trip" });
// Strict schemas can express neither an optional member nor an open map.
const labeled = trip.extend({ labels: z.record(z.string(), z.string()), remark: z.string().optional() });

const confirm = ({ leg }) => `booked ${leg.number} in ${leg.cabin}`;
const confirmed = "booked number in economy";

/** Two requests: one offers the tool, the other brings the model's own call and the tool's result back. */
async function assertToolLoop(word, id, name) {
  const received = await (await fetch(`${simulator}/_simulator/requests`)).json();
  const [first, second, ...more] = received.filter(({ body }) => JSON.stringify(body).includes(word));
  assert.deepEqual(more, []);
  for (const { model_id, body } of [first, second]) {
    assert.equal(model_id, id);
    const [{ toolSpec }] = body.toolConfig.tools;
    assert.equal(toolSpec.name, name);
    assert.equal(toolSpec.inputSchema.json.type, "object");
  }
  const [called, answered] = second.body.messages.slice(-2);
  const [{ toolUse }] = called.content.filter((block) => block.toolUse);
  const [{ toolResult }] = answered.content;
  assert.equal(toolUse.toolUseId, toolResult.toolUseId);
  assert.match(JSON.stringify(toolResult.content), new RegExp(confirmed));
}

for (const [provider, of] of Object.entries(providers)) {
  for (const [family, id] of Object.entries(models)) {
    const model = of(id);
    const cases = {
      book_trip: { inputSchema: trip, execute: confirm },
      book_strict: { inputSchema: trip, strict: true, execute: confirm },
      book_labeled: { inputSchema: labeled, execute: confirm },
      // The union is the root of the schema.
      book_leg: { inputSchema: leg, execute: (leg) => confirm({ leg }) },
    };
    for (const [name, definition] of Object.entries(cases)) {
      for (const ask of [generateText, streamText]) {
        test(`${provider}: ${ask.name} calls ${name}, ${family}`, async () => {
          const word = randomUUID();
          const tools = { [name]: tool({ description: "Books", ...definition }) };
          const stopWhen = stepCountIs(3);
          const result = await ask({ model, tools, prompt: `Use ${name} for ${word}`, stopWhen, maxRetries: 0 });
          assert.equal(await result.text, `You said: ${confirmed}`);
          assert.equal((await result.steps).length, 2);
          await assertToolLoop(word, id, name);
        });
      }
    }

    test(`${provider}: objects, ${family}`, async () => {
      const request = { model, prompt: "A trip, please.", maxRetries: 0 };
      const { object } = await generateObject({ ...request, schema: trip });
      assert.equal(confirm(object), confirmed);
      const streamed = streamText({ ...request, output: Output.object({ schema: trip }) });
      assert.deepEqual(await streamed.output, object);
    });
  }
}
