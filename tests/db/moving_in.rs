//! Moving into an app that is there: its queue is brought over where it lies, its tables are tried before anything is
//! paid, what it does meanwhile holds, and all of it can be undone. As hosted's `postgres`, which is no superuser.

mod database;
mod hands;

use serde_json::json;
use tokio_postgres::Client;

use database::migrations;
use hands::{app, exchange, install, outcome, rows, text, work};

const ORIGINAL: &str = include_str!("../fixtures/apps/original.sql");
const README: &str = include_str!("../fixtures/apps/readme.sql");
const USER: &str = "00000000-0000-4000-8000-000000000001";
/// Days after the workers of before were stopped.
const LEFT_OVER: &str = "
    insert into auth.users values ('00000000-0000-4000-8000-000000000001'), ('00000000-0000-4000-8000-000000000002');
    insert into profiles select id from auth.users;
    insert into image_generations (id, user_id, prompt, model, status) values
        ('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000001', 'a fox', 'flux-schnell', 'processing');
    insert into job_queue (job_type, payload, status, attempts, max_attempts, started_at, created_by, priority) values
        ('generate-image', '{\"generation_id\": \"11111111-1111-4111-8111-111111111111\", \"user_id\": \"00000000-0000-4000-8000-000000000001\",
            \"prompt\": \"a fox\", \"model_id\": \"black-forest-labs/flux-schnell\", \"negative_prompt\": null, \"seed\": null}',
            'processing', 1, 3, now() - interval '3 days', '00000000-0000-4000-8000-000000000001', null),
        ('cleanup-storage', '{\"a\": 1}', 'pending', 0, 3, null, null, 0),
        ('generate-image', '{\"test\": true}', 'failed', 5, 3, now() - interval '3 days', null, 0)";

/// Everything that is an app's own, as text.
async fn shape(client: &Client) -> Vec<String> {
    let query = "
        select format('column %s %s %s %s %s %s %s', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attgenerated, pg_get_expr(d.adbin, d.adrelid))
        from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace in ('public'::regnamespace, to_regnamespace('process_jobs')) and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
        union all select format('relation %s %s %s %s %s', relname, relkind, relrowsecurity, reloptions, relacl) from pg_class
            where relnamespace in ('public'::regnamespace, to_regnamespace('process_jobs')) and relkind in ('r', 'v')
        union all select format('view %s', pg_get_viewdef(oid)) from pg_class
            where relnamespace in ('public'::regnamespace, to_regnamespace('process_jobs')) and relkind = 'v'
        union all select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
            where connamespace in ('public'::regnamespace, to_regnamespace('process_jobs'))
        union all select indexdef from pg_indexes where schemaname in ('public', 'process_jobs')
        union all select format('policy %s', p) from pg_policies p where schemaname = 'public'
        union all select format('%s %s', pg_get_triggerdef(oid), tgenabled) from pg_trigger where not tgisinternal
        union all select format('%s %s %s %s', pg_get_functiondef(oid), pg_get_userbyid(proowner), array(select unnest(proacl)::text order by 1), obj_description(oid, 'pg_proc')) from pg_proc
            where pronamespace in ('public'::regnamespace, to_regnamespace('process_jobs')) and prokind = 'f'
        union all select format('schema %s', nspname) from pg_namespace where nspname !~ '^pg_'
        order by 1";
    rows(client, query).await
}

/// The list of a refusal. Nothing is changed by it.
async fn refusals(client: &Client) -> Vec<String> {
    let before = shape(client).await;
    let error = install(client).await.expect_err("it cannot move in");
    client.batch_execute("rollback").await.expect("roll back");
    assert_eq!(shape(client).await, before, "nothing is half installed");
    let error = error.as_db_error().expect("the database refuses").message().to_owned();
    let (head, list) = error.split_once("\n- ").expect("a list");
    assert_eq!(head, "process-jobs cannot move in:");
    list.split("\n- ").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_app_goes_on_and_gets_its_queue_back() {
    let (database, owner) = app("moving_in_original", &[ORIGINAL, LEFT_OVER]).await;
    let before = shape(&owner).await;
    install(&owner).await.expect("it moves in");
    install(&owner).await.expect("and again");

    assert_eq!(
        rows(&owner, "select job_type, status, attempts, attempt_number, max_attempts, priority from job_queue order by job_type, status").await,
        ["cleanup-storage pending 0 0 3 0", "generate-image failed 5 5 5 0", "generate-image pending 1 1 3 0"],
        "no job is lost, and one that was at work waits"
    );
    assert_eq!(
        rows(&owner, "select sum(count), max(avg_attempts) from queue_health").await,
        ["3 5.0000000000000000"],
        "views go on"
    );

    // What was left over runs, to a stored picture; what nobody handles waits.
    let claimed = exchange(&owner, json!([]), 9).await;
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(1), "{claimed}");
    assert_eq!(claimed["jobs"][0]["attempt_number"], json!(2));
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(
        rows(&owner, "select g.status, g.width, i.width, i.model, i.prompt, i.public_url from image_generations g join images i on i.generation_id = g.id").await,
        ["completed 640 640 flux-schnell a fox https://x/u/p.png"]
    );

    // start-generation, by named arguments, and then its word about the status, whatever the worker has made of it.
    owner
        .batch_execute(&format!("select set_config('request.jwt.claims', '{{\"sub\": \"{USER}\"}}', false)"))
        .await
        .expect("a user");
    let id = "22222222-2222-4222-8222-222222222222";
    owner.batch_execute(&format!("insert into image_generations (id, user_id, prompt, model, status) values ('{id}', '{USER}', 'x', 'flux-schnell', 'pending')")).await.expect("a row");
    let payload = format!(
        r#"{{"generation_id": "{id}", "user_id": "{USER}", "prompt": "x", "negative_prompt": null, "seed": null, "model_id": "a/flux-schnell"}}"#
    );
    owner.batch_execute(&format!("select enqueue_job(p_job_type => 'generate-image', p_payload => '{payload}', p_priority => 0, p_max_attempts => 3)")).await.expect("named arguments");
    let claimed = exchange(&owner, json!([]), 1).await;
    owner
        .batch_execute(&format!("update image_generations set status = 'queued' where id = '{id}'"))
        .await
        .expect("late");
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    owner
        .batch_execute(&format!("update image_generations set status = 'queued' where id = '{id}'"))
        .await
        .expect("too late");
    assert_eq!(text(&owner, &format!("select status from image_generations where id = '{id}'")).await, "completed");
    // The client's `.single()`, and its jobs, the download's too.
    assert_eq!(rows(&owner, &format!("select public_url from images where generation_id = '{id}'")).await.len(), 1);
    owner.batch_execute("set role authenticated").await.expect("the user");
    assert_eq!(
        rows(&owner, "select job_type from job_queue where created_by = auth.uid() order by 1").await,
        ["download-image", "download-image", "generate-image", "generate-image"]
    );
    owner.batch_execute("reset role").await.expect("the owner");

    // Every way in which the older functions were called.
    for call in [
        "enqueue_job('cleanup-storage', '{}')",
        "enqueue_job('cleanup-storage', '{}', 0, now(), 3)",
        "enqueue_job('cleanup-storage', '{}', 0, now() + interval '1 hour')",
        "enqueue_job('cleanup-storage', '{}', 0, '2030-01-01')",
        "enqueue_job('cleanup-storage', '{}', 0, null, 3)",
        "enqueue_job(p_job_type => 'cleanup-storage', p_payload => '{}', p_scheduled_at => now())",
        "enqueue_job(p_job_type => 'cleanup-storage', p_payload => '{}', p_priority => 1, p_scheduled_at => now(), p_max_attempts => 2)",
        "(select count(*) from claim_next_job('{cleanup-storage}'))",
        "(select count(*) from claim_next_job())",
        "complete_job(id)",
        "complete_job(id, 'boom')",
        "complete_job(id, null)",
        "complete_job(id, 'boom', '{\"code\": 1}')",
        "complete_job(id, 'boom', '{\"code\": 1}'::jsonb)",
        "complete_job(p_job_id => id, p_error_message => 'boom')",
        "complete_job(p_job_id => id, p_error_message => 'boom', p_error_details => '{\"code\": 1}')",
        "complete_job(p_job_id => id, p_result => '{}')",
    ] {
        owner.batch_execute(&format!("select {call} from (
            select coalesce((select id from job_queue where status = 'processing' limit 1), gen_random_uuid()) as id) j")).await.expect(call);
    }
    owner
        .batch_execute(
            "update job_queue set status = 'pending' where status = 'processing';
        update job_queue set scheduled_at = now()",
        )
        .await
        .expect("all again");
    let failing = "complete_job(id, 'boom', '{\"code\": 1}')";
    owner.batch_execute(&format!("select {failing} from claim_next_job('{{cleanup-storage}}')")).await.expect(failing);
    assert_eq!(rows(&owner, "select error_details from failed_jobs_recent union all select error_details from job_queue where error_message = 'boom'").await.last().map(String::as_str), Some("{\"code\": 1}"));

    owner.batch_execute("select process_jobs.uninstall()").await.expect("uninstall");
    // What was used stays.
    owner.batch_execute("drop table usage_ledger").await.expect("the ledger");
    assert_eq!(shape(&owner).await, before, "the app is as it was");
    assert_eq!(rows(&owner, "select count(*) > 8 from job_queue").await, ["t"], "with all its jobs");
    owner
        .batch_execute("select complete_job(id, 'boom') from claim_next_job()")
        .await
        .expect("the older functions work again");
    install(&owner).await.expect("and it may move in again");
    drop(owner);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_form_of_the_queue_goes_on_too() {
    let left_over = "insert into job_queue (job_type, payload, status, attempt_number, result) values
        ('generate-image', '{\"generation_id\": \"g-1\", \"user_id\": \"u-1\"}', 'processing', 3, null), ('odd', '\"text\"', 'completed', 1, '{}')";
    let (database, owner) = app("moving_in_readme", &[README, left_over]).await;
    let before = shape(&owner).await;
    install(&owner).await.expect("it moves in");
    let claimed = exchange(&owner, json!([]), 9).await;
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true), "with tables of ours");
    for call in [
        "enqueue_job('odd', '{}')",
        "enqueue_job('odd', '{}', 0, 3)",
        "enqueue_job(p_job_type => 'odd', p_payload => '{}', p_priority => 0, p_max_attempts => 3)",
        "(select count(*) from claim_next_job())",
        "complete_job(id, '{\"a\": 1}')",
        "complete_job(id, null, 'boom')",
        "complete_job(p_job_id => id, p_error => 'boom')",
    ] {
        owner.batch_execute(&format!("select {call} from (select id from job_queue limit 1) j")).await.expect(call);
    }
    owner.batch_execute("select process_jobs.uninstall(p_drop_tables => true)").await.expect("uninstall");
    assert_eq!(shape(&owner).await, before, "the app is as it was");
    drop(owner);
    database.drop().await;
}

/// What years of patches leave: nulls, statuses that nobody knows, an enum, views, policies and triggers over it.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_queue_is_brought_over_with_all_its_rows() {
    let odd = "
        create type job_status as enum ('pending', 'processing', 'completed', 'failed', 'cancelled', 'paused');
        create table job_queue (
            id uuid primary key, job_type varchar(50), payload jsonb, status job_status, attempts int, priority int,
            scheduled_at timestamptz, created_at timestamptz, created_by uuid, tenant text default 'all');
        create table told (id uuid);
        create function tell() returns trigger language plpgsql as $$ begin insert into told values (new.id); return new; end $$;
        create trigger tell after update on job_queue for each row execute function tell();
        create trigger asleep after update on job_queue for each row execute function tell();
        alter table job_queue disable trigger asleep;
        create view waiting as select id, attempts from job_queue where status = 'pending';
        alter table job_queue enable row level security;
        create policy mine on job_queue for update to authenticated using (status = 'pending');
        create index by_status on job_queue (status);
        insert into job_queue values
            ('00000000-0000-4000-8000-000000000001', 'generate-image', null, 'pending', null, null, null, null, null),
            ('00000000-0000-4000-8000-000000000002', 'generate-image', '{}', 'paused', 1, 0, 'infinity', now(), null),
            ('00000000-0000-4000-8000-000000000003', null, '{}', null, -1, 0, now(), '-infinity', null),
            ('00000000-0000-4000-8000-000000000004', 'download-image', '{}', 'processing', 0, 7, null, now(), null)";
    let (database, owner) = app("moving_in_odd", &[odd]).await;
    let before = shape(&owner).await;
    install(&owner).await.expect("it moves in");
    assert_eq!(
        rows(&owner, "select right(id::text, 1), job_type, status, attempts, max_attempts, priority, coalesce(error_message, '-') from job_queue order by id").await,
        [
            "1 generate-image pending 0 3 0 -",
            "2 generate-image failed 1 3 0 it had the status 'paused' before process-jobs",
            "3 unknown failed 0 3 0 it had the status null before process-jobs",
            "4 download-image pending 1 3 7 -",
        ]
    );
    assert_eq!(rows(&owner, "select * from told").await, [""; 0], "nobody is told of the move");
    assert_eq!(rows(&owner, "select count(*) from waiting").await, ["2"]);

    let claimed = exchange(&owner, json!([]), 9).await;
    let jobs = claimed["jobs"].as_array().expect("jobs").clone();
    assert_eq!(jobs.len(), 2, "{claimed}");
    let ends = json!([
        outcome(&jobs[0], json!({ "outcome": "completed" })),
        outcome(&jobs[1], json!({ "outcome": "failed", "error": "no" }))
    ]);
    assert_eq!(exchange(&owner, ends, 0).await["settled"], json!([true, true]));
    assert_eq!(rows(&owner, "select count(*) > 0 from told").await, ["t"], "and hears of what comes after it");
    assert_eq!(rows(&owner, "select status from job_queue where error_message = 'no'").await, ["pending"]);
    owner.batch_execute("select cancel_job(id), retry_job(id) from job_queue; select enqueue_job('generate-image', '{}', p_unique_key => 'k')").await.expect("all functions");
    let stuck = exchange(&owner, json!([]), 9).await;
    assert!(!stuck["jobs"].as_array().expect("jobs").is_empty());
    owner
        .batch_execute("update job_queue set lease_expires_at = now() where status = 'processing'")
        .await
        .expect("lost");
    exchange(&owner, json!([]), 9).await;

    owner.batch_execute("select process_jobs.uninstall(p_drop_tables => true)").await.expect("uninstall");
    assert_eq!(shape(&owner).await, before, "the app is as it was");
    drop(owner);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_original_app_request_a_picture() {
    let (database, owner) = app("moving_in_users", &[ORIGINAL, LEFT_OVER]).await;
    install(&owner).await.expect("it moves in");
    let claims = format!(
        "select set_config('request.jwt.claims', '{{\"role\": \"authenticated\", \"sub\": \"{USER}\"}}', false)"
    );
    owner
        .batch_execute(&format!(
            "delete from job_queue; delete from image_generations; insert into user_limits (applies_to) values ('all'); {claims}; set role authenticated"
        ))
        .await
        .expect("a user");
    let made = text(&owner, "select request_generation('a fox', 'a/b', '{\"width\": 640}')::text").await;
    let made: serde_json::Value = serde_json::from_str(&made).expect("a generation");
    assert_eq!(
        (&made["status"], &made["user_id"], &made["model"]),
        (&json!("queued"), &json!(USER), &json!("b")),
        "{made}"
    );
    let seen = rows(&owner, "select id, status, width from image_generations").await;
    assert_eq!(seen, [format!("{} queued 640", made["id"].as_str().expect("an id"))], "it is the user's to read");
    owner.batch_execute("reset role").await.expect("the owner");
    let claimed = exchange(&owner, json!([]), 9).await;
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(
        rows(
            &owner,
            "select g.status, j.created_by from image_generations g join job_queue j on j.job_type = 'generate-image'"
        )
        .await,
        [format!("completed {USER}")]
    );
    let nobody = claims.replace(USER, "00000000-0000-4000-8000-00000000000f");
    let refused = owner.batch_execute(&format!("{nobody}; select request_generation('a fox', 'a/b')")).await;
    assert_eq!(refused.expect_err("no profile").code().map(tokio_postgres::error::SqlState::code), Some("23503"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_lists_everything_at_once() {
    let misfits = "
        create type job_status as enum ('pending', 'processing', 'done');
        create table job_queue (
            id uuid, job_type text, payload json, status job_status, priority smallint, scheduled_at timestamp, created_at timestamptz);
        create table job_types (name text);
        create table user_limits (name text);
        create view costs_by_user as select 1 as cost;
        create table usage_ledger (id text);
        create function enqueue_job(a text) returns uuid language sql as 'select null::uuid';
        create function queue_stats() returns int language sql as 'select 1'";
    let (database, owner) = app("moving_in_refused", &[misfits]).await;
    assert_eq!(
        refusals(&owner).await,
        [
            "function public.enqueue_job(text): process-jobs has one of this name; rename yours or drop it",
            "function public.queue_stats(): process-jobs has one of this name; rename yours or drop it",
            "public.job_queue has no primary key or unique constraint on id alone: alter table public.job_queue add primary key (id)",
            "public.job_queue.payload is of type json: alter table public.job_queue alter column payload type jsonb",
            "public.job_queue.priority is of type smallint: alter table public.job_queue alter column priority type integer",
            "public.job_queue.scheduled_at is of type timestamp without time zone: alter table public.job_queue alter column scheduled_at type timestamp with time zone",
            "public.job_queue.status is of type job_status, which lacks 'cancelled': alter type job_status add value 'cancelled'",
            "public.job_queue.status is of type job_status, which lacks 'completed': alter type job_status add value 'completed'",
            "public.job_queue.status is of type job_status, which lacks 'failed': alter type job_status add value 'failed'",
            "table public.job_types: process-jobs has one of this name; rename yours",
            "table public.usage_ledger: process-jobs has one of this name; rename yours",
            "table public.user_limits: process-jobs has one of this name; rename yours",
            "view public.costs_by_user: process-jobs has one of this name; rename yours",
        ]
    );
    owner.batch_execute("drop table job_queue, job_types, user_limits, usage_ledger; drop view costs_by_user; drop function enqueue_job, queue_stats; create view job_queue as select 1 as id").await.expect("another");
    assert!(refusals(&owner).await.contains(&"public.job_queue is no plain table".to_owned()));

    // A check of the app's own that takes no job of ours, seen by trying.
    let narrow = "drop view job_queue; create table job_queue (id uuid primary key, job_type text, payload jsonb,
        status text check (status in ('pending', 'processing', 'completed', 'failed')))";
    owner.batch_execute(narrow).await.expect("another");
    let refused = refusals(&owner).await;
    assert!(refused[0].starts_with("public.job_queue refuses a job cancelled of type download-image: "), "{refused:?}");

    // Nor does an older release go over a newer one.
    owner.batch_execute("drop table job_queue").await.expect("nothing there");
    install(&owner).await.expect("it moves in");
    owner.batch_execute("insert into process_jobs.releases (version) values ('99.0.0')").await.expect("a newer one");
    let error = install(&owner).await.expect_err("an older one");
    let message = error.as_db_error().expect("refused").message();
    assert!(message.starts_with("the database has process-jobs 99.0.0, and this is "), "{message}");
    owner.batch_execute("rollback").await.expect("roll back");

    // Outside of a transaction nothing is begun.
    let (name, sql) = migrations().pop().expect("a migration");
    let first = sql.split_inclusive(";\n").take(2).collect::<Vec<_>>();
    owner.batch_execute(first[0]).await.expect(&name);
    let guard =
        sql.split_once("do $$\n").map(|(_, rest)| rest.split_once("$$;\n").expect("a block").0).expect("a guard");
    let error = owner.batch_execute(&format!("do $$\n{guard}$$")).await.expect_err("not in one transaction");
    assert!(error.as_db_error().expect("refused").message().contains("--single-transaction"));
    drop(owner);
    database.drop().await;
}

/// A queue as the scripts made it, with nothing beside it.
const QUEUE: &str = "create table job_queue (
    id uuid primary key default gen_random_uuid(), job_type text not null, payload jsonb not null,
    status text not null default 'pending', priority int not null default 0, attempts int not null default 0,
    max_attempts int not null default 3, scheduled_at timestamptz not null default now(), started_at timestamptz,
    completed_at timestamptz, error_message text, created_by uuid, created_at timestamptz not null default now(),
    updated_at timestamptz not null default now());";

/// What has the name of something of ours, or would break, is refused by name, and nothing of it is taken over.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_an_app_has_are_not_taken_over() {
    let table = [
        ("create schema process_jobs; create table process_jobs.history (n int)", "schema process_jobs: process-jobs has one of this name"),
        ("create view generation_progress as select 1 as n", "view public.generation_progress: process-jobs has one of this name"),
        ("create index job_queue_generation on job_queue (created_at)", "index public.job_queue_generation: process-jobs has one"),
        ("create view job_queue_generation as select id from job_queue", "view public.job_queue_generation: process-jobs has one"),
        (
            "create function enqueue_job(type text, data jsonb, prio int default 0, tries int default 3) returns uuid language sql as 'select null::uuid'",
            "function public.enqueue_job(text, jsonb, integer, integer): process-jobs has one of this name; rename yours",
        ),
        (
            "create function enqueue_job(p_job_type text, p_payload jsonb, p_priority int, p_max_attempts int) returns job_queue language sql as 'select null::job_queue'",
            "function public.enqueue_job(text, jsonb, integer, integer): process-jobs has one of this name",
        ),
        (
            "create procedure complete_job(p_job_id uuid, p_result jsonb, p_error text) language sql as 'select 1'",
            "function public.complete_job(uuid, jsonb, text): process-jobs has one of this name",
        ),
        (
            "create function complete_job(p_job_id uuid, p_result jsonb default null, p_error text default null) returns void language sql as 'select 1';
            create function mine() returns void begin atomic select complete_job(gen_random_uuid()); end",
            "function public.complete_job(uuid, jsonb, text): function mine() depends on it",
        ),
        ("create table audit (old job_queue)", "public.job_queue: column old of table audit uses its row type"),
        ("alter table job_queue add column moves boolean", "public.job_queue.moves: process-jobs has a column of this name; rename yours"),
        ("alter table job_queue add column notify_url text", "public.job_queue.notify_url: process-jobs has a column of this name; rename yours"),
        (
            "insert into job_queue (job_type, payload) values ('deliver-webhook', '{}')",
            "public.job_queue has jobs of the type deliver-webhook, which is one of process-jobs: rename yours",
        ),
        (
            "alter table job_queue add column unique_key text; insert into job_queue (job_type, payload, unique_key) values ('a', '{}', 'k'), ('a', '{}', 'k')",
            "public.job_queue.unique_key: two unfinished jobs of type a have the key 'k'",
        ),
        (
            "create function guard() returns trigger language plpgsql as $$ begin return null; end $$;
            create trigger guard before insert on job_queue for each row execute function guard()",
            "public.job_queue refuses a job enqueued of type download-image: a trigger of job_queue has taken no job",
        ),
        (
            "create function guard() returns trigger language plpgsql as $$ begin return null; end $$;
            create trigger guard before update on job_queue for each row when (new.status = 'processing') execute function guard()",
            "public.job_queue refuses a job processing of type download-image: a trigger lets its row be as it is",
        ),
        (
            "create function keep() returns trigger language plpgsql as $$ begin raise 'jobs are kept'; end $$;
            create trigger keep before delete on job_queue for each row execute function keep()",
            "public.job_queue refuses a job deleted of type download-image: jobs are kept",
        ),
    ];
    for (odd, said) in table {
        let (database, owner) = app("moving_in_names", &[QUEUE, odd]).await;
        let refused = refusals(&owner).await;
        assert!(refused.iter().any(|refusal| refusal.starts_with(said)), "{odd}: {refused:?}");
        drop(owner);
        database.drop().await;
    }
}

/// What an app goes on doing with its queue, and what it has made of ours, survives both ways.
#[tokio::test(flavor = "multi_thread")]
async fn habits_of_an_app_go_on() {
    let habits = "
        create schema auth; grant usage on schema auth to authenticated;
        create function auth.uid() returns uuid language sql stable as
          $$ select (current_setting('request.jwt.claims', true)::jsonb ->> 'sub')::uuid $$;
        create function check_payload() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger check_job_payload before insert on job_queue for each row execute function check_payload();
        create function final() returns trigger language plpgsql as $$ begin
            if old.status = 'completed' and new.status <> old.status then raise 'a completed job is final'; end if; return new; end $$;
        create trigger final before update on job_queue for each row execute function final();
        create function read_attempts() returns trigger language plpgsql as $$ begin
            if new.attempts > 7 then new.error_message := 'too often'; end if; return new; end $$;
        create trigger read_attempts before update on job_queue for each row execute function read_attempts();
        alter table job_queue enable row level security, set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
        revoke all on job_queue from anon, authenticated;
        grant select (id, status, attempts), update (status), insert on job_queue to authenticated;
        create policy see on job_queue for select to authenticated using (true);
        create policy ask on job_queue for insert to authenticated with check (created_by = auth.uid());
        create policy cancel on job_queue for update to authenticated using (status = 'pending') with check (status = 'cancelled');
        create view waiting as select * from job_queue where status = 'pending';
        create function run_cleanup() returns void language sql as
          $$ update public.job_queue set status = 'processing', started_at = now(), attempts = attempts + 1 where job_type = 'cleanup' $$;
        create function complete_job(p_job_id uuid, p_result jsonb default null, p_error text default null) returns void
          language sql security definer as 'select 1';
        create role moving_in_reporting; alter default privileges in schema public grant execute on functions to moving_in_reporting;
        revoke execute on function complete_job from moving_in_reporting;
        grant moving_in_reporting to current_user; grant create on schema public to moving_in_reporting;
        create function claim_next_job() returns setof job_queue language sql security definer as 'select * from public.job_queue limit 0';
        alter function claim_next_job owner to moving_in_reporting;
        insert into job_queue (job_type, payload, attempts) values ('cleanup', '{}', 1), ('generate-image', '{}', 1)";
    let (database, owner) =
        app("moving_in_habits", &["do $$ begin drop role if exists moving_in_reporting; end $$;", QUEUE, habits]).await;
    let before = shape(&owner).await;
    install(&owner).await.expect("it moves in");

    // attempts is read, written and counted as before, from both sides.
    owner.batch_execute("select run_cleanup()").await.expect("a worker of the app's own");
    assert_eq!(rows(&owner, "select attempts, attempt_number, status, lease_expires_at > now() + interval '1 year' from job_queue where job_type = 'cleanup'").await, ["2 2 processing t"]);
    owner
        .batch_execute("update job_queue set status = 'pending', attempts = 0 where job_type = 'cleanup'")
        .await
        .expect("put back");
    assert_eq!(
        rows(&owner, "select attempts, attempt_number from job_queue where job_type = 'cleanup'").await,
        ["0 0"]
    );
    exchange(&owner, json!([]), 9).await;
    assert_eq!(
        rows(&owner, "select attempts, attempt_number, status from job_queue where job_type = 'generate-image'").await,
        ["2 2 processing"]
    );
    owner
        .batch_execute("update job_queue set status = 'pending', lease_token = null where job_type = 'generate-image'")
        .await
        .expect("again");
    owner
        .batch_execute("insert into job_queue (job_type, payload, attempts) values ('cleanup', '{}', 5)")
        .await
        .expect("an insert with attempts");
    assert_eq!(rows(&owner, "select attempt_number, max_attempts from job_queue where attempts = 5").await, ["5 5"]);

    // A user cancels by the app's own policy, and asks for no picture of somebody else's.
    let user =
        format!("set role authenticated; select set_config('request.jwt.claims', '{{\"sub\": \"{USER}\"}}', false)");
    owner.batch_execute(&user).await.expect("the user");
    assert_eq!(rows(&owner, "select max(attempts) from job_queue").await, ["5"], "a grant of a column stays");
    owner.batch_execute("update job_queue set status = 'cancelled' where status = 'pending'").await.expect("a cancel");
    let ask = |whose: &str| {
        format!(
            "insert into job_queue (job_type, payload, created_by) values ('generate-image', '{{\"generation_id\": \"g-1\", \"user_id\": \"{whose}\"}}', '{USER}')"
        )
    };
    let refused = owner.batch_execute(&ask("somebody-else")).await.expect_err("not one's own");
    assert_eq!(refused.as_db_error().expect("refused").message(), "payload: user_id must be your own");
    let watch = ask(USER).replace("generate-image", "watch-prediction");
    let refused = owner.batch_execute(&watch).await.expect_err("not for users");
    assert_eq!(refused.as_db_error().expect("refused").message(), "job_type: watch-prediction is not for users");
    owner.batch_execute(&ask(USER)).await.expect("one's own");
    owner.batch_execute("reset role").await.expect("the owner");
    assert_eq!(
        rows(
            &owner,
            "select job_type, status, cancel_requested_at is not null from job_queue where attempts > 0 order by 1"
        )
        .await,
        ["cleanup pending t", "generate-image pending t"],
        "what may have begun is ended by a worker"
    );
    assert_eq!(rows(&owner, "select status from image_generations").await, ["queued"], "and nothing else is changed");

    // A second run keeps what was granted and set since; nobody but service_role was granted anything by it.
    owner
        .batch_execute(
            "grant execute on function enqueue_job(text, jsonb, int, int, timestamptz, text, text) to authenticated;
        grant select on job_types to authenticated; alter table job_queue set (autovacuum_vacuum_threshold = 7);
        create function enqueue_job(p_generation uuid) returns uuid language sql as $$ select null::uuid $$",
        )
        .await
        .expect("an app's own");
    install(&owner).await.expect("a second run");
    let granted = "select has_function_privilege('authenticated', 'enqueue_job(text, jsonb, int, int, timestamptz, text, text)', 'execute'), has_table_privilege('authenticated', 'job_types', 'select'),
        has_function_privilege('moving_in_reporting', 'claim_next_job(text[], int, int, jsonb, uuid)', 'execute'), reloptions from pg_class where relname = 'job_queue'";
    assert_eq!(
        rows(&owner, granted).await,
        [
            "t t f {fillfactor=80,autovacuum_vacuum_scale_factor=0.05,autovacuum_analyze_scale_factor=0.02,autovacuum_vacuum_threshold=7}"
        ]
    );

    // What was made of ours since stands in the way, by name.
    owner
        .batch_execute("create view paused as select job_type from job_types where paused_at is not null")
        .await
        .expect("a view");
    let refused = owner.batch_execute("select process_jobs.uninstall(true)").await.expect_err("it is used");
    assert!(refused.as_db_error().expect("refused").message().contains("view public.paused"), "{refused:?}");
    owner
        .batch_execute(
            "drop view paused; alter table job_queue drop column follow_ups; select process_jobs.uninstall(true)",
        )
        .await
        .expect("uninstall");
    assert_eq!(
        rows(&owner, "select to_regprocedure('enqueue_job(uuid)') is not null").await,
        ["t"],
        "an app's own overload stays"
    );
    owner
        .batch_execute("drop function enqueue_job(uuid); alter table job_queue reset (autovacuum_vacuum_threshold)")
        .await
        .expect("as before");
    assert_eq!(shape(&owner).await, before, "the app is as it was");
    owner.batch_execute("drop owned by moving_in_reporting; drop role moving_in_reporting").await.ok();
    drop(owner);
    database.drop().await;
}

/// What an app checks only at the end of a transaction is one job's trouble, and seen before anything is paid.
#[tokio::test(flavor = "multi_thread")]
async fn constraints_that_are_deferred_hold_up_no_other_job() {
    let tables = "create table profiles (id uuid primary key); insert into profiles values ('00000000-0000-4000-8000-000000000001');
        create table image_generations (id uuid primary key, user_id uuid references profiles deferrable initially deferred, status text, prompt text);
        create table images (id uuid primary key default gen_random_uuid(), generation_id uuid, filename text);
        insert into job_queue (job_type, payload) values
            ('generate-image', '{\"generation_id\": \"00000000-0000-4000-8000-0000000000f1\", \"user_id\": \"00000000-0000-4000-8000-0000000000f1\"}'),
            ('generate-image', '{\"generation_id\": \"00000000-0000-4000-8000-0000000000f2\", \"user_id\": \"00000000-0000-4000-8000-000000000001\"}')";
    let (database, owner) = app("moving_in_deferred", &[QUEUE, tables]).await;
    install(&owner).await.expect("it moves in");
    let claimed = exchange(&owner, json!([]), 9).await;
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(1), "{claimed}");
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(rows(&owner, "select kind from process_jobs.job_troubles").await, ["claim"]);

    owner.batch_execute("alter table images add column user_id uuid, add column title text; create function titled() returns trigger language plpgsql as $$ begin
            if new.title is null then raise 'a picture needs a title'; end if; return null; end $$;
        create constraint trigger titled after insert on images deferrable initially deferred for each row execute function titled()").await.expect("a check at the end");
    exchange(&owner, json!([]), 1).await;
    let paused = text(&owner, "select paused_reason from job_types where job_type = 'generate-image'").await;
    assert!(paused.contains("a picture needs a title"), "{paused}");
    drop(owner);
    database.drop().await;
}

/// Jobs in every state, under each version there was, are brought to the newest, which is what a fresh database has; and
/// they run to their ends.
#[tokio::test(flavor = "multi_thread")]
async fn every_release_upgrades_to_what_a_fresh_database_has() {
    let (fresh, owner) = app("moving_in_fresh", &[]).await;
    let releases = migrations();
    let (newest, sql) = releases.last().expect("a release");
    owner.batch_execute(&format!("begin;\n{sql}\ncommit;")).await.expect(newest);
    let expected: Vec<String> =
        shape(&owner).await.into_iter().map(|line| line.replace("moving_in_fresh", "moving_in_upgraded")).collect();
    assert!(expected.len() > 200, "{}", expected.len());

    for (name, sql) in &releases {
        let (database, owner) = app("moving_in_upgraded", &[]).await;
        owner.batch_execute(&format!("begin;\n{sql}\ncommit;")).await.expect(name);
        let jobs = "select enqueue_job(t, jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u-1'))
            from unnest(array['generate-image', 'download-image']) t, generate_series(1, 6) n";
        owner.batch_execute(jobs).await.expect("jobs");
        let states = "create temp table c as select row_number() over (partition by job_type order by created_at, id) as n, c.* from claim_next_job(p_limit => 10) c;
            select complete_job(id, '{}', p_lease_token => lease_token) from c where n = 1;
            select complete_job(id, p_error => 'x', p_lease_token => lease_token) from c where n = 2;
            select complete_job(id, p_error => 'x', p_lease_token => lease_token, p_retry => 'never') from c where n = 3;
            select snooze_job(id, lease_token, 0, '{\"prediction_id\": \"p\"}') from c where n = 4;
            select cancel_job(id) from c where n = 5";
        owner.batch_execute(states).await.expect("states");
        let before = rows(&owner, "select to_jsonb(j) - 'updated_at' from job_queue j order by id").await;
        install(&owner).await.expect("the newest");
        assert_eq!(shape(&owner).await, expected, "from {name}");
        assert_eq!(
            rows(&owner, "select to_jsonb(j) - 'updated_at' from job_queue j order by id").await,
            before,
            "from {name}"
        );

        owner.batch_execute("select retry_job(id) from job_queue where status = 'failed'; update job_queue set scheduled_at = now() where status = 'pending';
            update job_queue set lease_expires_at = now() where status = 'processing'").await.expect("time goes by");
        loop {
            let claimed = exchange(&owner, json!([]), 10).await;
            let ends: Vec<_> = claimed["jobs"]
                .as_array()
                .expect("jobs")
                .iter()
                .map(|job| {
                    let how = if job["cancel_requested"] == json!(true) { "cancelled" } else { "completed" };
                    outcome(job, json!({ "outcome": how }))
                })
                .collect();
            if ends.is_empty() {
                break;
            }
            exchange(&owner, json!(ends), 0).await;
        }
        assert_eq!(
            rows(&owner, "select distinct status from job_queue order by 1").await,
            ["cancelled", "completed"],
            "from {name}"
        );
        drop(owner);
        database.drop().await;
    }
    drop(owner);
    fresh.drop().await;
}

/// Killed after each of its statements, an installation leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_installation_leaves_nothing_behind() {
    let (database, owner) = app("moving_in_killed", &[ORIGINAL, LEFT_OVER]).await;
    let (_, sql) = migrations().pop().expect("a migration");
    let statements = statements(&sql);
    assert!(statements.len() > 100, "{}", statements.len());
    let before = shape(&owner).await;
    for killed_after in 1..statements.len() {
        let session = database.owner().await;
        session.batch_execute("begin; set client_min_messages = error").await.expect("begin");
        session.batch_execute(&statements[..killed_after].concat()).await.expect("the first statements");
        let pid: i32 = session.query_one("select pg_backend_pid()", &[]).await.expect("its number").get(0);
        owner.execute("select pg_terminate_backend($1)", &[&pid]).await.expect("a kill");
        if killed_after % 10 == 1 {
            assert_eq!(shape(&owner).await, before, "after {}", statements[killed_after - 1]);
        }
    }
    assert_eq!(shape(&owner).await, before);
    install(&owner).await.expect("it moves in");
    drop(owner);
    database.drop().await;
}

/// The statements of a script: what lies between semicolons that are in no text, body or comment.
fn statements(sql: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut rest = sql;
    while !rest.is_empty() {
        let end = match rest.as_bytes()[0] {
            b'-' if rest.starts_with("--") => rest.find('\n').map_or(rest.len(), |at| at + 1),
            quote @ (b'\'' | b'"') => rest[1..].find(quote as char).map_or(rest.len(), |at| at + 2),
            b'$' => match rest[1..].find('$') {
                Some(at) if rest[1..=at].bytes().all(|b| b.is_ascii_alphanumeric()) => {
                    let tag = &rest[..at + 2];
                    rest[tag.len()..].find(tag).map_or(rest.len(), |end| tag.len() + end + tag.len())
                }
                _ => 1,
            },
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        let last = statements.last_mut().expect("one");
        last.push_str(&rest[..end]);
        if rest.starts_with(';') {
            statements.push(String::new());
        }
        rest = &rest[end..];
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}
