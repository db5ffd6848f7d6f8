// OpenAI's SDK for Node with the Responses API.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const { BASE_URL, WIDE_KEY } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: WIDE_KEY, maxRetries: 0 });
const MODELS = ["claude", "oss", "amazon.nova-lite-v1:0", "us.openai.gpt-6-sol"];

for (const model of MODELS) {
  test(`response of ${model} is created and streamed`, async () => {
    const request = { model, input: "Hello there", store: false };
    const whole = await client.responses.create(request);
    assert.equal(whole.output_text, "You said: Hello there");
    assert.equal(whole.status, "completed");
    const stream = client.responses.stream(request);
    let text = "";
    let last = -1;
    for await (const event of stream) {
      assert.equal(event.sequence_number, ++last);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const final = await stream.finalResponse();
    assert.equal(text, whole.output_text);
    assert.equal(final.output_text, whole.output_text);
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
  });
}

test("answer is parsed into an object", async () => {
  const Place = z.object({ city: z.string(), country: z.string() });
  const response = await client.responses.parse({
    model: "claude",
    input: "Where?",
    text: { format: zodTextFormat(Place, "place") },
  });
  assert.ok(Place.parse(response.output_parsed));
});

test("items of a tool loop go back as they came", async () => {
  const look = zodResponsesFunction({ name: "look", parameters: z.object({ at: z.string() }) });
  const input = [{ role: "user", content: "use look" }];
  const request = { model: "haiku", tools: [look], reasoning: { effort: "low" }, store: false };
  const first = await client.responses.parse({ ...request, input });
  const call = first.output.find((item) => item.type === "function_call");
  assert.deepEqual(call.parsed_arguments, { at: "at" });
  const thought = first.output.find((item) => item.type === "reasoning");
  assert.match(thought.encrypted_content, /^lt1\./);
  const result = { type: "function_call_output", call_id: call.call_id, output: "a garden" };
  const { parsed_arguments: _, ...sent } = call;
  const items = first.output.map((item) => (item === call ? sent : item));
  const second = await client.responses.create({ ...request, input: [...input, ...items, result] });
  assert.match(second.output_text, /a garden/);
});

test("broken stream raises, and so does an error before it", async () => {
  const request = { model: "claude", input: "one two three [simulate cut]", stream: true };
  await assert.rejects(async () => {
    for await (const _ of await client.responses.create(request));
  }, OpenAI.APIError);
  await assert.rejects(client.responses.create({ model: "nothing", input: "Hi" }), OpenAI.NotFoundError);
});
