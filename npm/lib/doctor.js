// Asks a running project: the database by process_jobs_doctor(), the function by its health.

/** @param {string} [url] @param {string} [key] */
export async function diagnose(
  url = process.env.SUPABASE_URL,
  key = process.env.SUPABASE_SECRET_KEY,
) {
  if (!url || !key) {
    throw new Error(
      "doctor needs --url and --key, or SUPABASE_URL and SUPABASE_SECRET_KEY",
    );
  }
  for (const [name, value] of [["--url", url], ["--key", key]]) {
    if (/[<>…]/.test(value)) throw new Error(`${name} is still a placeholder`);
  }
  const base = url.replace(/\/+$/, "");
  const rows = [
    ...(await ofDatabase(base, key)),
    ...(await ofFunction(base, key)),
  ];
  const width = Math.max(...rows.map(({ subject }) => subject.length));
  for (const { subject, finding, advice } of rows) {
    console.log(
      `${advice ? "✗" : "✓"} ${subject.padEnd(width)}  ${finding}${
        advice ? `\n  ${" ".repeat(width)}  → ${advice}` : ""
      }`,
    );
  }
  return rows.some(({ advice }) => advice) ? 1 : 0;
}

/**
 * @typedef {{ subject: string, finding: string, advice: string | null }} Row
 * @param {string} base @param {string} key @returns {Promise<Row[]>}
 */
async function ofDatabase(base, key) {
  const subject = "database";
  try {
    const answer = await fetch(`${base}/rest/v1/rpc/process_jobs_doctor`, {
      method: "POST",
      headers: headers(key),
      body: "{}",
    });
    if (answer.ok) return await answer.json();
    const said = (await answer.text()).slice(0, 300);
    const advice = answer.status === 404
      ? "npx supabase db push"
      : "see that --key is a secret or service-role key of this project";
    return [{ subject, finding: `answers ${answer.status}: ${said}`, advice }];
  } catch (error) {
    return [{
      subject,
      finding: `does not answer: ${error}`,
      advice: "see that --url is the project's",
    }];
  }
}

/** @param {string} base @param {string} key @returns {Promise<Row[]>} */
async function ofFunction(base, key) {
  const subject = "function's health";
  try {
    const answer = await fetch(`${base}/functions/v1/process-jobs/health`, {
      headers: headers(key),
    });
    const text = await answer.text();
    if (!answer.ok) {
      // A function that was deployed without its wasm boots no more.
      const advice = answer.status === 404
        ? "npx supabase functions deploy process-jobs"
        : "deploy it again from a complete folder, and see its log";
      return [{
        subject,
        finding: `answers ${answer.status}: ${text.slice(0, 300)}`,
        advice,
      }];
    }
    const health = JSON.parse(text);
    const rows = [{
      subject,
      finding: `${health.status}, version ${health.version?.function ?? "unknown"}`,
      advice: null,
    }];
    return rows.concat(
      (health.missing ?? []).map((/** @type {string} */ finding) => ({
        subject: "setting",
        finding,
        advice: "npx supabase secrets set",
      })),
    );
  } catch (error) {
    return [{
      subject,
      finding: `does not answer: ${error}`,
      advice: "npx supabase functions deploy process-jobs",
    }];
  }
}

/** @param {string} key */
function headers(key) {
  return {
    apikey: key,
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
  };
}
