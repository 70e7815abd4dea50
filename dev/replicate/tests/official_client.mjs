// Drives the stand-in with Replicate's own client (npm `replicate`); run by tests/it/official_client.rs.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import Replicate, { validateWebhook } from "replicate";

const { REPLICATE_API_URL, REPLICATE_API_TOKEN, FILES_URL } = process.env;
const SCHNELL = "black-forest-labs/flux-schnell";
const SDXL = "stability-ai/sdxl:7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc";
const replicate = new Replicate({
  auth: REPLICATE_API_TOKEN,
  baseUrl: REPLICATE_API_URL,
  useFileOutput: false,
});

const account = await replicate.accounts.current();
assert.equal(account.type, "organization");
const model = await replicate.models.get("black-forest-labs", "flux-schnell");
assert.equal(
  model.latest_version.openapi_schema.components.schemas.Input.properties.num_inference_steps.maximum,
  4,
);

// create, wait, get; the progress is read from the logs
const created = await replicate.predictions.create({ version: SCHNELL, input: { prompt: "a cat" } });
assert.equal(created.status, "starting");
const seen = [];
const waited = await replicate.wait(created, { interval: 50 }, (prediction) => {
  seen.push(prediction.status);
  return false;
});
assert.equal(waited.status, "succeeded");
assert.ok(seen.length > 1, `polled: ${seen}`);
assert.deepEqual(Replicate.parseProgressFromLogs(waited), { percentage: 1, current: 4, total: 4 });
const got = await replicate.predictions.get(created.id);
assert.deepEqual(got.output, [`${FILES_URL}/xezq/${created.id}/out-0.webp`]);
assert.ok(got.metrics.predict_time > 0);

// cancel
const doomed = await replicate.predictions.create({ model: SCHNELL, input: { prompt: "[hang]" } });
assert.equal((await replicate.predictions.cancel(doomed.id)).status, "canceled");

// run: official and community, the output in the shape of the schema
const [url] = await replicate.run(SCHNELL, { input: { prompt: "a dog", output_format: "png" } });
const file = await fetch(url);
assert.equal(file.headers.get("content-type"), "image/png");
assert.ok((await file.arrayBuffer()).byteLength > 0);
const outputs = await replicate.run(SDXL, {
  input: { prompt: "a hen", num_outputs: 2 },
  wait: { mode: "poll", interval: 50 },
});
assert.equal(outputs.length, 2);

// a prediction that fails
await assert.rejects(
  replicate.run(SCHNELL, { input: { prompt: "[fail:PA]" } }),
  { message: "Prediction failed: Prediction interrupted; please retry (code: PA)" },
);

// list
const { results } = await replicate.predictions.list();
assert.equal(results.length, 5);
assert.equal(results.at(-1).id, created.id);

// an input that is refused
await assert.rejects(
  replicate.predictions.create({ version: SCHNELL, input: { prompt: "a cat", num_inference_steps: 28 } }),
  (error) => {
    assert.equal(error.name, "ApiError");
    assert.equal(error.response.status, 422);
    assert.match(error.message, /- input\.num_inference_steps: Must be less than or equal to 4\\n/);
    return true;
  },
);

// webhooks: each event as it is heard, taken with 200
const heard = [];
const receiver = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces).toString();
  heard.push({ headers: request.headers, body, prediction: JSON.parse(body) });
  response.end();
});
await new Promise((listening) => receiver.listen(0, "127.0.0.1", listening));
const webhook = `http://127.0.0.1:${receiver.address().port}/hook`;
const { key } = await replicate.webhooks.default.secret.get();

async function events(prompt, count) {
  const { id } = await replicate.predictions.create({
    version: SCHNELL,
    input: { prompt },
    webhook,
    webhook_events_filter: ["start", "completed"],
  });
  const own = () => heard.filter(({ prediction }) => prediction.id === id);
  for (let tries = 0; own().length < count; tries += 1) {
    assert.ok(tries < 100, `${own().length} of ${count} events of ${prompt}`);
    await new Promise((later) => setTimeout(later, 50));
  }
  return own();
}
const valid = (events) => Promise.all(events.map((event) => validateWebhook(event, key)));
const statuses = (events) => events.map(({ prediction }) => prediction.status);

const plain = await events("a fox", 2);
assert.deepEqual(statuses(plain), ["processing", "succeeded"]);
assert.deepEqual(await valid(plain), [true, true]);
assert.deepEqual(plain[1].prediction, await replicate.predictions.get(plain[1].prediction.id));

assert.deepEqual(await valid(await events("[webhook:forged]", 2)), [true, false]);

const twice = await events("[webhook:twice]", 3);
assert.deepEqual(statuses(twice), ["processing", "succeeded", "succeeded"]);
assert.deepEqual(await valid(twice), [true, true, true]);
assert.equal(twice[1].headers["webhook-id"], twice[2].headers["webhook-id"]);
receiver.close();
