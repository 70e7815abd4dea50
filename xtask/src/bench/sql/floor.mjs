// The least that a queue in Postgres can do: two statements, and a table that has nothing else.
import { administer, asked, inSessions, inTwoStatements, PAYLOAD_SQL, report } from "./measure.mjs";

const CLAIM = `
  update jobs set status = 'processing'
  where id = any (array(
    select id from jobs where status = 'pending' order by priority desc, created_at, id limit $1 for update skip locked))
  returning *`;
const COMPLETE = `update jobs set status = 'completed' where id = any ($1)`;

await administer(
  `drop table if exists jobs`,
  `create table jobs (
    id uuid primary key default gen_random_uuid(), job_type text not null, payload jsonb not null,
    status text not null default 'pending', priority int not null default 0,
    created_at timestamptz not null default now())`,
  `create index on jobs (priority desc, created_at, id) where status = 'pending'`,
  `insert into jobs (job_type, payload) select 'no-op', ${PAYLOAD_SQL} from generate_series(1, ${asked.jobs}) n`,
  `vacuum analyze jobs`,
  `checkpoint`,
);
const ended = await inSessions(inTwoStatements(CLAIM, COMPLETE));
const [{ completed }] = await administer(
  `select count(*) as completed from jobs where status = 'completed'`,
);
report(ended, completed);
