// What a user of OpenAI's library for Node does, at both doors. Prints what came of it as JSON.
import OpenAI from "openai";

const [url, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 1, timeout: 30_000 });
const parameters = { type: "object", properties: { city: { type: "string" } } };
const tool = { type: "function", function: { name: "get_weather", parameters } };
const ask = (content, more = {}) => ({ model, messages: [{ role: "user", content }], ...more });
const found = {};

const whole = await client.chat.completions.create(ask("say [[stand-in: say text=whole]]"));
found.whole = whole.choices[0].message.content;

found.streamed = "";
const options = { stream: true, stream_options: { include_usage: true } };
const words = ask("say [[stand-in: think text=streamed]]", options);
for await (const chunk of await client.chat.completions.create(words)) {
  found.streamed += chunk.choices[0]?.delta?.content ?? "";
  found.usage = chunk.usage?.total_tokens ?? found.usage;
}

const weather = `weather [[stand-in: tool name=get_weather input='{"city": "Bern"}' then=sunny]]`;
const runner = client.chat.completions.runTools(
  ask(weather, {
    tools: [{ ...tool, function: { ...tool.function, parse: JSON.parse, function: () => "21 °C" } }],
  }),
);
found.tool = await runner.finalContent();

const response = await client.responses.create({
  model,
  input: "say [[stand-in: say text=responded]]",
});
found.response = response.output_text;
const stream = client.responses.stream({ model, input: "say [[stand-in: say text=live]]" });
found.live = (await stream.finalResponse()).output_text;

found.models = [];
for await (const each of client.models.list()) found.models.push(each.id);
try {
  await client.chat.completions.create(ask("fail [[stand-in: 400 message=enough]]"));
} catch (error) {
  found.error = [error.status, error.constructor.name];
}
process.stdout.write(JSON.stringify(found));
