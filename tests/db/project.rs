//! The migrations in a whole project: run a second time, under a hosted project's privileges, and restored from a dump.

mod database;

use tokio_postgres::Client;

use database::{Database, migrate, url_of};

/// Everything the migrations make, as text: tables, columns, constraints, indexes, policies, triggers,
/// functions, privileges.
async fn schema(client: &Client) -> Vec<String> {
    let query = "
        select format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid))
        from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace in ('public'::regnamespace, 'process_jobs'::regnamespace) and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
        union all select format('table %s %s %s', relname, relrowsecurity, relacl) from pg_class
            where relnamespace in ('public'::regnamespace, 'process_jobs'::regnamespace) and relkind = 'r'
        union all select format('constraint %s %s', conname, pg_get_constraintdef(oid)) from pg_constraint
            where connamespace in ('public'::regnamespace, 'process_jobs'::regnamespace)
        union all select indexdef from pg_indexes where schemaname in ('public', 'process_jobs')
        union all select format('policy %s', p) from pg_policies p where schemaname = 'public'
        union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
        union all select format('%s %s', pg_get_functiondef(oid), proacl) from pg_proc
            where pronamespace in ('public'::regnamespace, 'process_jobs'::regnamespace) and prokind = 'f'
        union all select format('job type %s', t) from job_types t
        union all select format('job %s', j) from job_queue j
        union all select format('role %s', rolname) from pg_roles
        order by 1";
    client.query(query, &[]).await.expect("read the schema").iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_every_migration_changes_nothing() {
    let database = Database::create("sessions_second_run").await;
    let client = database.session().await;
    client
        .batch_execute(
            "insert into job_types (job_type) values ('work');
            select enqueue_job('work', '{}') from generate_series(1, 2);
            select from claim_next_job()",
        )
        .await
        .expect("two jobs, one at work");
    client
        .batch_execute("update job_types set backoff_base_seconds = 7, paused_at = now(), paused_reason = 'kept'")
        .await
        .expect("settings");

    let before = schema(&client).await;
    migrate(&client).await;
    assert_eq!(before, schema(&client).await);
    assert!(before.len() > 100, "the schema was read: {} lines", before.len());
    database.drop().await;
}

/// What of it whom is granted, beyond what is meant, in a project whose default privileges are a hosted one's.
#[tokio::test(flavor = "multi_thread")]
async fn hosted_default_privileges_grant_nothing_that_is_not_meant() {
    let hosted = "alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
        alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
        alter default privileges in schema public grant all on sequences to anon, authenticated, service_role";
    let database = Database::create_with("sessions_hosted", hosted).await;
    let client = database.session().await;
    let granted = "select string_agg(format('%s %s: %s', r.rolname, c.relname, (
          select string_agg(a.privilege_type, ',' order by a.privilege_type)
          from aclexplode(c.relacl) a where a.grantee = r.oid)), e'\n' order by r.rolname, c.relname)
        from pg_class c cross join pg_roles r
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'S')
          and r.rolname in ('anon', 'authenticated', 'service_role')
          and exists (select from aclexplode(c.relacl) a where a.grantee = r.oid)";
    let granted: String = client.query_one(granted, &[]).await.expect("privileges").get(0);
    let service = "DELETE,INSERT,SELECT,UPDATE";
    let mut expected: Vec<String> = ["generation_progress", "image_generations", "images", "usage_ledger"]
        .iter()
        .map(|table| format!("authenticated {table}: SELECT"))
        .collect();
    for (table, granted) in [
        ("costs_by_model", "SELECT"),
        ("costs_by_user", "SELECT"),
        ("generation_progress", "SELECT"),
        ("image_generations", service),
        ("images", service),
        ("job_queue", service),
        ("job_types", service),
        ("model_prices", service),
        ("project_budget", "SELECT,UPDATE"),
        ("usage_ledger", "SELECT"),
        ("user_limits", service),
    ] {
        expected.push(format!("service_role {table}: {granted}"));
    }
    assert_eq!(granted.lines().collect::<Vec<_>>(), expected);

    let callable = "select coalesce(string_agg(p.proname || ' ' || r.rolname, ', ' order by p.proname), '')
        from pg_proc p cross join pg_roles r
        where p.pronamespace = 'public'::regnamespace and r.rolname in ('anon', 'authenticated')
          and has_function_privilege(r.oid, p.oid, 'execute')";
    assert_eq!(
        client.query_one(callable, &[]).await.expect("privileges").get::<_, &str>(0),
        "cancel_generation authenticated, get_generation authenticated, my_limits authenticated, request_generation authenticated, retry_generation authenticated"
    );
    let inner = "select string_agg(p.proname, ',' order by p.proname) from pg_proc p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege('service_role', p.oid, 'execute')";
    let callable: String = client.query_one(inner, &[]).await.expect("privileges").get(0);
    assert_eq!(
        callable,
        "cancel_job,change_priority,claim_next_job,complete_job,enqueue_job,enqueue_jobs,exchange_jobs,heartbeat_job,keep_model_schema,\
         pause_job_type,process_jobs_doctor,prune_jobs,queue_metrics,queue_stats,redrive_failed_jobs,report_progress,resume_job_type,retry_job,\
         schedule_process_jobs,seconds_until_next_job,snooze_job,unschedule_process_jobs,wake_job"
    );
    database.drop().await;
}

/// Callers' types are made of the schema.
#[tokio::test(flavor = "multi_thread")]
async fn database_types() {
    let database = Database::create("sessions_types").await;
    let types = database.session().await.query_one(include_str!("database_types.sql"), &[]).await;
    let types: String = types.expect("the types").get(0);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../npm/database.d.ts");
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &types).expect("write npm/database.d.ts");
    }
    let written = std::fs::read_to_string(path).expect("npm/database.d.ts");
    assert!(written == types, "npm/database.d.ts is out of date; run: WRITE_DOCS=1 cargo xtask test db");
    database.drop().await;
}

/// What the worker's own tests have seen it call is there, with arguments of those names.
#[tokio::test(flavor = "multi_thread")]
async fn the_worker_calls_functions_by_arguments_that_they_have() {
    let database = Database::create("sessions_calls").await;
    let client = database.session().await;
    let signature = "select coalesce(p.proargnames[:p.pronargs], '{}'), coalesce(p.proargnames[:p.pronargs - p.pronargdefaults], '{}')
        from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = $1";
    let calls = include_str!("../fixtures/calls.txt");
    assert!(calls.lines().count() > 10, "the worker calls more than {}", calls.lines().count());
    for call in calls.lines() {
        let mut words = call.split(' ');
        let function = words.next().expect("a function");
        let arguments: Vec<&str> = words.collect();
        let row = client.query_one(signature, &[&function]).await.unwrap_or_else(|error| panic!("{function}: {error}"));
        let (all, required): (Vec<String>, Vec<String>) = (row.get(0), row.get(1));
        for argument in &arguments {
            assert!(all.iter().any(|name| name == argument), "{function} has no {argument}, but {all:?}");
        }
        for argument in &required {
            assert!(arguments.contains(&argument.as_str()), "{function} is called without {argument}");
        }
    }
    database.drop().await;
}

/// A dump of the data alone, restored where the migrations were applied, is the same data: no trigger changes or
/// refuses a row of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_brings_back_what_was_dumped() {
    let (from, to) = (Database::create("sessions_dumped").await, Database::create("sessions_restored").await);
    let client = from.session().await;
    let jobs = "insert into job_queue (job_type, payload)
        select 'generate-image', jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u') from generate_series(1, 6) n";
    client.batch_execute(jobs).await.expect("image jobs");
    client
        .batch_execute(
            "insert into job_queue (job_type, payload) values ('download-image', '{\"generation_id\": \"g-9\", \"user_id\": \"u\"}');
            with claimed as (select * from claim_next_job(p_limit => 4))
            select snooze_job(id, lease_token, 60, '{\"prediction_id\": \"p\"}') from claimed where payload ->> 'generation_id' <> 'g-9';
            update job_queue set status = 'failed', error_message = 'no', lease_token = null
            where payload ->> 'generation_id' = 'g-1';
            update image_generations set status = 'completed' where id = 'g-2';
            insert into images (generation_id, user_id, filename, storage_path) values ('g-2', 'u', 'g-2.png', 'u/g-2.png');
            delete from image_generations where id = 'g-3';
            insert into job_queue (job_type, payload, created_at, updated_at)
            values ('generate-image', '\"of before payloads were looked at\"', now() - interval '1 year', now() - interval '1 year');
            select wake_job(id, '{\"a\": 1}') from job_queue where checkpoint is not null limit 1;
            select pause_job_type('generate-image', 'no credit'), keep_model_schema('a/b', '{}'), process_jobs.store_secret('k');
            insert into process_jobs.job_troubles (job_id, kind, message, retry_at) select id, 'effect', 'x', now() + interval '1 day' from job_queue limit 1;
            select from claim_next_job('{none}', p_worker => '{\"version\": \"0.1.0\"}');
            select enqueue_job('generate-image', '{}', p_unique_key => 'k');
            insert into process_jobs.marks values ('generate-image', 0, 0, now(), gen_random_uuid(), now());
            insert into process_jobs.time_marks values ('leases', now(), now());
            insert into process_jobs.turns values ('generate-image', 0, 1, 1, 1);
            insert into process_jobs.undo (statement) values ('select 1');
            insert into process_jobs.scheduled_function values (true, 'https://project.example/f', 5000);
            insert into usage_ledger (id, job_id, status, cost) values ('p', gen_random_uuid(), 'failed', 5);
            update project_budget set max_cost_per_month = 10;
            insert into generation_progress values ('u', 'g-2', 'completed', 100);
            select process_jobs.note_model_time('owner/name', 4.5);
            insert into process_jobs.image_writers values ('images', 'app.write');
            insert into user_limits (applies_to) values ('all');
            insert into process_jobs.requests (user_id, generation_id) values ('u', 'g-1')",
        )
        .await
        .expect("jobs in several states");
    let dump = std::process::Command::new("pg_dump")
        .args(["--data-only", "--schema", "public", "--schema", "process_jobs", "--dbname", &url_of("sessions_dumped")])
        .output()
        .expect("pg_dump");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let restored = to.session().await;
    // The migrations' own rows.
    restored
        .batch_execute(
            "truncate job_types, model_prices, project_budget, process_jobs.releases, process_jobs.image_tables",
        )
        .await
        .expect("room for the types");
    let mut psql = std::process::Command::new("psql")
        .args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", &url_of("sessions_restored")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("psql");
    std::io::Write::write_all(&mut psql.stdin.take().expect("a pipe"), &dump.stdout).expect("feed psql");
    assert!(psql.wait().expect("psql").success(), "the restore");

    let tables = "select oid::regclass::text from pg_class
        where relnamespace in ('public'::regnamespace, 'process_jobs'::regnamespace) and relkind = 'r'";
    let tables = client.query(tables, &[]).await.expect("the tables");
    assert!(tables.len() > 6, "all tables are compared: {}", tables.len());
    for table in tables {
        let table: &str = table.get(0);
        let rows = format!("select coalesce(string_agg(t::text, e'\n' order by t::text), '') from {table} t");
        let (then, now) = (client.query_one(&rows, &[]).await, restored.query_one(&rows, &[]).await);
        let (then, now): (String, String) = (then.expect(table).get(0), now.expect(table).get(0));
        assert_eq!(now, then, "{table}");
        assert_ne!(then, "", "{table}");
    }
    from.drop().await;
    to.drop().await;
}

/// A queue in use whose rows were found by six indexes of their own, which a development version had.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_the_layout_before_is_brought_over_with_jobs_in_every_state() {
    let database = Database::create("sessions_layout").await;
    let client = database.session().await;
    let before = "drop trigger process_jobs_place_inserted on job_queue;
        drop trigger process_jobs_keep_places on job_queue;
        drop trigger process_jobs_keep_places_by_hand on job_queue;
        drop trigger process_jobs_clear_places on job_queue;
        alter table job_types drop column priority_ages_seconds cascade;
        alter table job_queue drop column moves, reset (fillfactor),
          add column begun boolean not null generated always as (checkpoint is not null) stored,
          add column delayed boolean not null generated always as (scheduled_at > created_at) stored,
          add constraint job_queue_progress_is_percent check (progress between 0 and 100);
        create index job_queue_claim_order
          on job_queue (job_type, begun, delayed, priority desc, created_at, id, scheduled_at) where status = 'pending';
        create unique index job_queue_unique_unfinished
          on job_queue (job_type, unique_key) where unique_key is not null and status in ('pending', 'processing');
        insert into job_types (job_type) values ('work');
        insert into job_queue (job_type, priority, unique_key) values ('work', 1, 'k');
        insert into job_queue (job_type, priority, scheduled_at) values ('work', 2, now() + interval '1 day');
        insert into job_queue (job_type, priority, checkpoint, woken_at) values ('work', 3, '{}', now());
        insert into job_queue (job_type, priority, status, attempt_number, lease_token, lease_expires_at)
        values ('work', 4, 'processing', 1, gen_random_uuid(), now() + interval '1 hour'),
          ('work', 5, 'processing', 1, gen_random_uuid(), now() - interval '1 second');
        insert into job_queue (job_type, priority, status, completed_at)
        values ('work', 6, 'completed', now()), ('work', 7, 'failed', now()), ('work', 8, 'cancelled', now())";
    client.batch_execute(before).await.expect("the layout before");
    migrate(&client).await;

    let misplaced = client.query("select * from process_jobs.misplaced_jobs()", &[]).await.expect("look");
    assert!(misplaced.is_empty(), "{misplaced:?}");
    let old =
        "select count(*) from pg_attribute where attrelid = 'job_queue'::regclass and attname in ('begun', 'delayed')";
    assert_eq!(client.query_one(old, &[]).await.expect("columns").get::<_, i64>(0), 0);
    let claimed = client.query("select priority from claim_next_job(p_limit => 10)", &[]).await.expect("a claim");
    let claimed: Vec<i32> = claimed.iter().map(|row| row.get(0)).collect();
    assert_eq!(claimed, [3, 5, 1], "the woken one, the one whose lease is over, the one that waits");
    let taken = client.execute("insert into job_queue (job_type, unique_key) values ('work', 'k')", &[]).await;
    assert!(taken.is_err(), "its key is taken");
    let held = "select complete_job(id, p_lease_token => lease_token) from job_queue where priority = 4";
    assert!(client.query_one(held, &[]).await.expect("a settle").get::<_, bool>(0), "the worker of before settles");
    assert_eq!(client.query_one("select redrive_failed_jobs()", &[]).await.expect("a redrive").get::<_, i32>(0), 1);
    database.drop().await;
}
