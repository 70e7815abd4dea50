// Asks a running project: the database by process_jobs_doctor(), the function by its health.

const TIMEOUT_MS = 30_000;

/** @typedef {{ subject: string, finding: string, advice: string | null }} Row */

/** @param {string} [url] @param {string} [key] */
export async function diagnose(url = process.env.SUPABASE_URL, key = process.env.SUPABASE_SECRET_KEY) {
  if (!url || !key) throw new Error("doctor needs --url and --key, or SUPABASE_URL and SUPABASE_SECRET_KEY");
  for (const [name, value] of [["--url", url], ["--key", key]]) {
    if (/[<>…]/.test(value)) throw new Error(`${name} is still a placeholder`);
  }
  const secret = key.trim();
  if (!/^[!-~]+$/.test(secret)) throw new Error("--key has characters that no key has");
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new Error("--url is to be https://<project>.supabase.co");
  const { origin, hostname } = new URL(url);
  const isLocal = ["127.0.0.1", "localhost"].includes(hostname);

  const rows = [...(await ofDatabase(origin, secret)), ...(await ofFunction(origin, secret))];
  const width = Math.max(...rows.map(({ subject }) => subject.length));
  for (const { subject, finding, advice } of rows) {
    const mark = advice ? "✗" : "✓";
    console.log(`${mark} ${subject.padEnd(width)}  ${finding}`);
    // The database does not know where it runs.
    const fitting = isLocal ? advice?.replace("db push --remote", "db push --local") : advice;
    if (fitting) console.log(`  ${" ".repeat(width)}  → ${fitting}`);
  }
  return rows.some(({ advice }) => advice) ? 1 : 0;
}

/** @param {string} origin @param {string} key @returns {Promise<Row[]>} */
async function ofDatabase(origin, key) {
  const subject = "database";
  const answer = await ask("POST", `${origin}/rest/v1/rpc/process_jobs_doctor`, key);
  if ("error" in answer) {
    return [{ subject, finding: answer.error, advice: "see that --url is the project's, and that it is not paused" }];
  }
  if (answer.status === 200 && Array.isArray(answer.json) && answer.json.length > 0) return answer.json;
  const advice = answer.json?.code === "PGRST202"
    ? "npx supabase db push --remote"
    : [401, 403].includes(answer.status)
    ? "see that --key is a secret or service-role key of this project"
    : "see that --url is the project's";
  return [{ subject, finding: `answers ${answer.status}: ${answer.text.slice(0, 300)}`, advice }];
}

/** @param {string} origin @param {string} key @returns {Promise<Row[]>} */
async function ofFunction(origin, key) {
  const subject = "function's health";
  const answer = await ask("GET", `${origin}/functions/v1/process-jobs/health`, key);
  if ("error" in answer) {
    return [{ subject, finding: answer.error, advice: "see that --url is the project's" }];
  }
  const { status, json, text } = answer;
  if (status === 200 && json?.version) {
    const health = { subject, finding: `${json.status}, version ${json.version.function}`, advice: null };
    const missing = Array.isArray(json.missing) ? json.missing : [];
    return [health, ...missing.map((sentence) => missed(String(sentence)))];
  }
  const finding = `answers ${status}: ${(json?.error ?? text).slice(0, 300)}`;
  if (status === 404) return [{ subject, finding, advice: "npx supabase functions deploy process-jobs" }];
  if (status === 200 || status === 401 || status === 403) {
    const advice = "see that --key is a secret or service-role key, and that config.toml has verify_jwt = false for it";
    return [{ subject, finding, advice }];
  }
  if (json?.status === "error") return [{ subject, finding, advice: "see the database first" }];
  // One that was deployed without its wasm boots no more.
  return [{ subject, finding, advice: "deploy it again from a complete folder, and see its log" }];
}

/** A sentence of the health about what is missing; that predictions are polled is a choice. @param {string} finding */
function missed(finding) {
  const names = finding.match(/\b[A-Z]+(?:_[A-Z]+)+\b/g) ?? [];
  const set = `npx supabase secrets set ${names.map((name) => `${name}=<…>`).join(" ")}`;
  const advice = finding.startsWith("the bucket") ? "make it in Storage, then resume_job_type('generate-image')" : set;
  return { subject: "setting", finding, advice: finding.endsWith("predictions are polled") ? null : advice };
}

/**
 * @param {string} method @param {string} url @param {string} key
 * @returns {Promise<{ status: number, text: string, json: any } | { error: string }>}
 */
async function ask(method, url, key) {
  try {
    const answer = await fetch(url, {
      method,
      headers: { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: method === "POST" ? "{}" : undefined,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await answer.text();
    return { status: answer.status, text, json: parsed(text) };
  } catch (error) {
    const { name, cause } = /** @type {Error} */ (error);
    const why = name === "TimeoutError"
      ? `within ${TIMEOUT_MS / 1000} s`
      : `(${/** @type {any} */ (cause)?.code ?? /** @type {any} */ (cause)?.message ?? name})`;
    return { error: `does not answer ${why}` };
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
