// Serves /rest/v1, /storage/v1 and /auth/v1 over Postgres with @supabase/lite.
//
// Environment: DATABASE_URL, STORAGE_DIRECTORY, JWT_SECRET, and API_KEYS, a JSON object from
// key to role. The three EXPERIMENTAL_STORAGE=1, LITE_TELEMETRY=0 and DO_NOT_TRACK=1 must be set
// before this file is loaded. With WAS_THERE=1 the database is one that this has served before. Says on which port it listens in Deno's own words.

import { AsyncLocalStorage } from "node:async_hooks";
import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { FileStorage } from "./file_storage.mjs";

const connection = createPostgresConnection({
  url: Deno.env.get("DATABASE_URL"),
  postgresOptions: {
    max: 20,
    onnotice: () => {},
    types: {
      // RPC arguments of these types arrive as JSON text already; encoding them again would make
      // strings of them.
      json: { to: 114, from: [114], serialize: jsonText, parse: JSON.parse },
      jsonb: { to: 3802, from: [3802], serialize: jsonText, parse: JSON.parse },
      // PostgREST answers RFC 3339: 2026-11-23T16:50:53.123+00:00.
      timestamptz: {
        to: 1184,
        from: [1184],
        serialize: (value) => value,
        parse: (text) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"),
      },
    },
  },
});

function jsonText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

const roles = JSON.parse(Deno.env.get("API_KEYS"));

const app = new App({
  connection,
  auth: { enabled: true, jwt_secret: Deno.env.get("JWT_SECRET") },
  storage: { enabled: true, file_size_limit: "100MiB" },
  options: {
    server: {
      admin: false,
      disableStudio: true,
      apiKeys: { resolver: (key) => Promise.resolve(resolve(key)) },
    },
  },
});

function resolve(key) {
  const role = roles[key];
  if (!role) return null;
  return { type: role === "service_role" ? "secret" : "publishable", claims: { role } };
}

app._storageAdapter = new FileStorage(Deno.env.get("STORAGE_DIRECTORY"));
await app.init();
await app.ensureSystemSchema();
// Its roles are made, and everything is granted to them, with the first request; a second time that would widen what
// the migrations have narrowed.
if (Deno.env.get("WAS_THERE") === "1") connection.rlsState = "active";

// What PostgREST does on `notify pgrst, 'reload schema'`.
await connection.driver.listen("pgrst", () => connection.clearSchemaCache());

// @supabase/lite answers 500 "SUP" where it does not know an SQLSTATE; PostgREST passes it on, and blames
// the caller (400) unless its class says that the server or a concurrent transaction is at fault, or the code is PT and
// the status itself.
const SERVER_FAULT = /^(08|25|2D|38|39|3B|40|53|54|55|57|58|F0|HV|XX|P0(?!001))/;
const seen = new AsyncLocalStorage();
connection.normalizeDbError = (error) => {
  const store = seen.getStore();
  if (store) store.error = error;
  return error;
};

async function respond(request, info) {
  const store = {};
  const context = { peerAddress: info.remoteAddr.hostname };
  const answer = await seen.run(store, () => app.fetch(request, context));
  if (answer.status !== 500 || !store.error?.code) return answer;
  const { code, message, detail = null, hint = null } = store.error;
  const status = /^PT(\d{3})$/.exec(code)?.[1] ?? (SERVER_FAULT.test(code) ? 500 : 400);
  return Response.json({ code, details: detail, hint, message }, { status: Number(status) });
}

Deno.serve({ hostname: "127.0.0.1", port: 0 }, respond);
