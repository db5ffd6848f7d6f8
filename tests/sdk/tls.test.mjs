// The official OpenAI SDK over HTTP/2: Node's fetch with a dispatcher that offers it.

import assert from "node:assert/strict";
import diagnostics from "node:diagnostics_channel";
import { test } from "node:test";
import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey } = process.env;
const messages = [{ role: "user", content: "Hello there" }];

// Node does not export the Agent of its fetch. The global dispatcher, which the first use of fetch creates, is one.
await fetch("data:,");
const { constructor: Agent } = globalThis[Symbol.for("undici.globalDispatcher.1")];

for (const [allowH2, protocol] of [[true, "h2"], [false, "http/1.1"]]) {
  test(protocol, async () => {
    const negotiated = [];
    const connected = ({ socket }) => negotiated.push(socket.alpnProtocol || "http/1.1");
    diagnostics.subscribe("undici:client:connected", connected);
    const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, fetchOptions: { dispatcher: new Agent({ allowH2 }) } });
    const completion = await client.chat.completions.create({ model: "claude", messages });
    assert.equal(completion.choices[0].message.content, "You said: Hello there");
    const stream = await client.chat.completions.create({ model: "claude", messages, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    assert.equal(text, "You said: Hello there");
    diagnostics.unsubscribe("undici:client:connected", connected);
    assert.ok(negotiated.length > 0);
    assert.deepEqual([...new Set(negotiated)], [protocol]);
  });
}
