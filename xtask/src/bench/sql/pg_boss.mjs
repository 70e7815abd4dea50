// pg-boss. The pages named here are those of its documentation, https://timgit.github.io/pg-boss.
import { PgBoss } from "pg-boss";
import { administer, asked, count, payload, report } from "./measure.mjs";

const fastest = asked.variant === "fastest";
const boss = new PgBoss({
  connectionString: asked.url,
  // "Constructor": connections, 10 by default; and what an instance does beside the jobs.
  ...(fastest &&
    {
      max: asked.sessions,
      supervise: false,
      schedule: false,
      registerInstance: false,
    }),
});
boss.on("error", (error) => {
  throw error;
});
await boss.start();
const queue = asked.variant;
// "Queues": partition, a table of its own; policy, where "standard" is the default and the least.
await boss.createQueue(queue, { partition: fastest });
await administer(`truncate pgboss.job`);
for (let n = 0; n < asked.jobs; n += 5000) {
  const length = Math.min(5000, asked.jobs - n);
  await boss.insert(
    queue,
    Array.from({ length }, (_, i) => ({ data: payload(n + i + 1) })),
  );
}
await administer(`vacuum analyze pgboss.job, pgboss.queue`, `checkpoint`);

// "Jobs", fetch: includeMetadata is off by default; priority and orderByCreatedOn, with which one could once do
// without an order, are ignored by 12.38, which warns. complete: of ids alone, which does not ask for the attempt.
await Promise.all(Array.from({ length: asked.sessions }, async () => {
  for (;;) {
    const jobs = await boss.fetch(queue, { batchSize: asked.batch });
    if (jobs.length === 0) return;
    const ids = jobs.map((job) => job.id);
    const { affected } = await boss.complete(queue, ids);
    if (affected !== ids.length) {
      throw new Error(`of ${ids.length} jobs ${affected} could be completed`);
    }
    count(ids);
  }
}));
const ended = performance.now();
await boss.stop({ graceful: false });
const [{ completed }] = await administer(
  `select count(*) as completed from pgboss.job where name = '${queue}' and state = 'completed' and retry_count = 0`,
);
report(ended, completed);
