// The function itself, served as the stack serves it: whose body is read, and for how long.

import { deepStrictEqual as assertEquals, ok as assert } from "node:assert/strict";

const KEY = "a-key-that-nobody-guesses";
const LIMIT = 1024 * 1024;

/** The function in a process of its own, and the port that it listens on. */
async function serve(): Promise<[Deno.ChildProcess, number]> {
  const path = (from: string) => new URL(from, import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-lock", "--no-prompt", "--node-modules-dir=none", "--allow-all", "--config"].concat(
      path("../../supabase/functions/process-jobs/deno.json"),
      path("../../dev/stack/js/edge_runtime.ts"),
      path("../../supabase/functions/process-jobs/index.ts"),
    ),
    env: { SUPABASE_URL: "http://127.0.0.1:9", SUPABASE_SERVICE_ROLE_KEY: KEY, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let printed = "";
  const decoder = new TextDecoder();
  // Where it is told differs between versions.
  const ports = [child.stdout, child.stderr].map(async (stream) => {
    for await (const chunk of stream) {
      printed += decoder.decode(chunk);
      const port = printed.match(/127\.0\.0\.1:(\d+)/)?.[1];
      if (port) return Number(port);
    }
    throw new Error(printed);
  });
  return [child, await Promise.any(ports)];
}

/** Sends a head that announces so many bytes, then what it is given, bit by bit; answers the status, and after how long. */
async function ask(port: number, headers: string, announced: number, bits: number): Promise<[number, number]> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const encoder = new TextEncoder();
  const began = performance.now();
  const head = `POST /process-jobs/jobs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n${headers}`;
  await connection.write(encoder.encode(`${head}content-length: ${announced}\r\n\r\n`));
  const timer = setInterval(() => bits-- > 0 && connection.write(encoder.encode("x")).catch(() => {}), 100);
  const answer = new Uint8Array(4096);
  const bytes = await connection.read(answer) ?? 0;
  clearInterval(timer);
  connection.close();
  const status = new TextDecoder().decode(answer.subarray(0, bytes)).match(/^HTTP\/1.1 (\d+)/)?.[1];
  return [Number(status), performance.now() - began];
}

Deno.test("no body is waited for before the caller is known, and none for ever", {
  sanitizeOps: false,
  sanitizeResources: false,
}, async () => {
  const [child, port] = await serve();
  try {
    const good = `apikey: ${KEY}\r\n`;
    const table: [string, number, number, number][] = [
      ["", LIMIT, 0, 401],
      ["", LIMIT, 1000, 401],
      ["apikey: a guess\r\n", LIMIT, 0, 403],
      [good, LIMIT + 1, 0, 413],
      [good, LIMIT, 0, 408],
      [good, LIMIT, 1000, 408],
      [good, 3, 3, 400],
    ];
    const answers = await Promise.all(table.map(([headers, length, bits]) => ask(port, headers, length, bits)));
    assertEquals(answers.map(([status]) => status), table.map(([, , , status]) => status));
    for (const [status, milliseconds] of answers) {
      const [least, most] = status === 408 ? [9_900, 15_000] : [0, 5_000];
      assert(milliseconds >= least && milliseconds <= most, `${status} after ${milliseconds} ms`);
    }
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
});
