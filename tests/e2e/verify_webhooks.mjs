// Verifies webhooks with the specification's own library (npm `standardwebhooks`); run by tests/e2e/notify.rs. Reads
// [{secret, headers, body}] and answers how many of them the library takes, and the first reason for one that it does not.
import { Webhook } from "standardwebhooks";

let text = "";
for await (const chunk of process.stdin) text += chunk;
let verified = 0;
let refused = null;
for (const { secret, headers, body } of JSON.parse(text)) {
  try {
    new Webhook(secret).verify(body, headers);
    verified += 1;
  } catch (error) {
    refused ??= String(error);
  }
}
console.log(JSON.stringify({ verified, refused }));
