// What the contenders share: what is asked for, sessions, and the count.
import pg from "pg";

/** `{url, variant, batch, sessions, jobs}`: an argument from sql.rs. */
export const asked = JSON.parse(process.argv[2]);

/** The payload of job number n: the same for all. */
export const payload = (n) => ({ n, prompt: "a fox in the snow" });
export const PAYLOAD_SQL = `json_build_object('n', n, 'prompt', 'a fox in the snow')`;

async function connect() {
  const client = new pg.Client({ connectionString: asked.url });
  await client.connect();
  return client;
}

/** Runs statements that are not measured. Answers the rows of the last. */
export async function administer(...statements) {
  const client = await connect();
  let rows;
  for (const statement of statements) {
    ({ rows } = await client.query(statement));
  }
  await client.end();
  return rows;
}

/** Runs `loop` in as many sessions as asked for, at once, until all have ended. Answers when that was. */
export async function inSessions(loop) {
  const clients = await Promise.all(
    Array.from({ length: asked.sessions }, connect),
  );
  await Promise.all(clients.map(loop));
  const ended = performance.now();
  await Promise.all(clients.map((client) => client.end()));
  return ended;
}

const done = new Set();
let warm;

/**
 * Counts jobs that have been run. The first fifth is not measured: in it sessions begin, plans are cached and code is
 * compiled.
 */
export function count(ids) {
  for (const id of ids) {
    if (done.has(id)) throw new Error(`job ${id} was run twice`);
    done.add(id);
  }
  if (!warm && done.size >= asked.jobs / 5) {
    warm = { jobs: done.size, at: performance.now() };
  }
}

/** Prints the measurement for sql.rs. Fails where it does not add up; `completed` is how many are by the database. */
export function report(ended, completed) {
  if (done.size !== asked.jobs || Number(completed) !== asked.jobs) {
    throw new Error(
      `of ${asked.jobs} jobs ${done.size} were run and ${completed} are completed`,
    );
  }
  console.log(
    JSON.stringify({
      jobs_per_second: (done.size - warm.jobs) / (ended - warm.at) * 1000,
    }),
  );
}

/** A loop that claims a batch with one statement, whose rows have an id, and completes it with another. */
export const inTwoStatements = (claim, complete) => async (session) => {
  for (;;) {
    const { rows } = await session.query({
      name: "claim",
      text: claim,
      values: [asked.batch],
    });
    if (rows.length === 0) return;
    const ids = rows.map((job) => job.id);
    await session.query({ name: "complete", text: complete, values: [ids] });
    count(ids);
  }
};
