// What a user of the TypeScript SDK does. Prints what came of it as JSON.
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, apiKey, model = "claude-sonnet-5-5"] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey, maxRetries: 1, timeout: 30_000 });
const tools = [
  {
    name: "get_weather",
    description: "The weather of a city",
    input_schema: { type: "object", properties: { city: { type: "string" } } },
  },
];
const ask = (content, more = {}) => ({
  model,
  max_tokens: 400,
  messages: [{ role: "user", content }],
  ...more,
});
const found = {};

const whole = await client.messages.create(ask("say [[stand-in: say text=whole]]"));
found.whole = whole.content.at(-1).text;

const stream = client.messages.stream(ask("say [[stand-in: think text=streamed]]"));
found.streamed = (await stream.finalMessage()).content.at(-1).text;

const words = `weather [[stand-in: tool name=get_weather input='{"city": "Bern"}' then=sunny]]`;
const first = await client.messages.create(ask(words, { tools }));
const call = first.content.at(-1);
const answer = await client.messages.create({
  ...ask(words, { tools }),
  messages: [
    { role: "user", content: words },
    { role: "assistant", content: first.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "21 °C" }] },
  ],
});
found.tool = answer.content.at(-1).text;

const counted = await client.messages.countTokens({ model, messages: ask("hello").messages });
found.counted = counted.input_tokens;
found.models = (await client.models.list({ limit: 3 })).data.map((each) => each.id);
try {
  await client.messages.create(ask("fail [[stand-in: 429 retry-after=0 should-retry=false]]"));
} catch (error) {
  found.error = [error.status, String(error.requestID).slice(0, 4)];
}
process.stdout.write(JSON.stringify(found));
