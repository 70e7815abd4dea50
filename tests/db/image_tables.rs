//! Image tables of all kinds: each either takes our pictures, or is refused before anything is paid.

mod database;
mod hands;

use serde_json::{Value, json};
use tokio_postgres::Client;

use database::Database;
use hands::{app, exchange, install, outcome, picture, rows, store, text, work};

const GENERATIONS: &str = "id uuid primary key default gen_random_uuid(), user_id uuid not null, prompt text, negative_prompt text, \
    model text, style text, width int, height int, steps int, guidance_scale numeric, status text not null default 'pending', \
    error_message text, generation_time_seconds int, replicate_prediction_id text, created_at timestamptz default now(), \
    updated_at timestamptz default now(), completed_at timestamptz";
const IMAGES: &str = "id uuid primary key default gen_random_uuid(), generation_id uuid references image_generations (id), \
    user_id uuid, filename text, storage_path text, public_url text, file_size int, width int, height int, format text, \
    prompt text, negative_prompt text, model text, created_at timestamptz default now()";
const GENERATION: &str = "11111111-1111-4111-8111-111111111111";
const USER: &str = "00000000-0000-4000-8000-000000000001";

/// What becomes of a table.
enum Fate {
    /// A picture is stored.
    Works,
    /// Nothing is begun, for this reason, until the app has done that.
    Refused { reason: &'static str, mended_by: &'static str },
}

use Fate::{Refused, Works};

fn tables(change: &str) -> String {
    format!("create table image_generations ({GENERATIONS}); create table images ({IMAGES}); {change}")
}

async fn enqueue(client: &Client, generation: &str, user: &str) {
    let payload = json!({ "generation_id": generation, "user_id": user, "prompt": "a red fox with a very long tail",
        "model_id": "owner/name", "width": 640.0, "height": 480, "num_inference_steps": 4, "guidance_scale": 3.5 });
    client.query("select enqueue_job('generate-image', $1)", &[&payload]).await.expect("enqueue");
}

/// The next job that a worker gets, were it to pay for it.
async fn begun(client: &Client) -> Option<Value> {
    exchange(client, json!([]), 1).await["jobs"].get(0).cloned()
}

async fn check(number: usize, name: &str, sql: &str, (generation, user): (&str, &str), fate: Fate) {
    let (database, owner) = app(&format!("image_tables_{number}"), &[sql]).await;
    install(&owner).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    if let Refused { reason, mended_by } = fate {
        let said = text(&owner, "select paused_reason from job_types where job_type = 'generate-image'").await;
        assert!(said.contains(reason), "{name}: {said}");
        assert!(said.starts_with("the image tables take no picture: "), "{name}: {said}");
        assert!(begun(&owner).await.is_none(), "{name}: nothing is paid");
        owner.batch_execute(mended_by).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(begun(&owner).await.is_none(), "{name}: looked at again");
    }
    let said = text(&owner, "select paused_reason from job_types where job_type = 'generate-image'").await;
    assert_eq!(said, "", "{name}: goes on");
    enqueue(&owner, generation, user).await;
    let job = begun(&owner).await.unwrap_or_else(|| panic!("{name}: a job"));
    assert_eq!(work(&owner, &job).await, json!(true), "{name}: stored");
    let stored = "select count(*) from images i where to_jsonb(i) ->> 'storage_path' is not null or to_jsonb(i) ->> 'public_url' is not null";
    assert_ne!(rows(&owner, stored).await, ["0"], "{name}: a picture");
    assert_eq!(rows(&owner, "select distinct status from job_queue").await, ["completed"], "{name}");
    drop(owner);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shape_takes_a_picture_or_is_refused_before_it_is_paid() {
    let uuids = (GENERATION, USER);
    let mut shapes: Vec<(String, String, (&str, &str), Fate)> = Vec::new();
    let mut shape = |name: &str, sql: String, ids, fate| shapes.push((name.to_owned(), sql, ids, fate));

    // Each column missing in turn.
    for column in GENERATIONS.split(", ").map(|column| column.split(' ').next().unwrap()) {
        let fate = match column {
            "id" => Refused {
                reason: "public.image_generations has no column id",
                mended_by: "alter table image_generations add column id uuid primary key default gen_random_uuid()",
            },
            "user_id" => Refused {
                reason: "public.image_generations has no column user_id, whose picture it is",
                mended_by: "alter table image_generations add column user_id uuid",
            },
            "status" => Refused {
                reason: "column g.status does not exist",
                mended_by: "alter table image_generations add column status text",
            },
            _ => Works,
        };
        let cascade = format!("alter table image_generations drop column {column} cascade");
        shape(&format!("generations without {column}"), tables(&cascade), uuids, fate);
    }
    for column in IMAGES.split(", ").map(|column| column.split(' ').next().unwrap()) {
        let fate = match column {
            "generation_id" => Refused {
                reason: "public.images has no column generation_id",
                mended_by: "alter table images add column generation_id uuid",
            },
            _ => Works,
        };
        shape(
            &format!("images without {column}"),
            tables(&format!("alter table images drop column {column}")),
            uuids,
            fate,
        );
    }
    let mut change = |name: &str, sql: &str, fate| shape(name, tables(sql), uuids, fate);

    for (name, statuses) in [
        ("all statuses", "'pending', 'queued', 'processing', 'downloading', 'completed', 'failed', 'cancelled'"),
        ("no cancelled", "'pending', 'queued', 'processing', 'downloading', 'completed', 'failed'"),
        ("only the plainest", "'pending', 'processing', 'completed', 'failed'"),
    ] {
        change(
            &format!("check, {name}"),
            &format!("alter table image_generations add check (status in ({statuses}))"),
            Works,
        );
        let as_enum = format!(
            "create type generation_status as enum ({statuses}); alter table image_generations alter status drop default,
            alter status type generation_status using status::generation_status, alter status set default 'pending'"
        );
        change(&format!("enum, {name}"), &as_enum, Works);
    }
    change(
        "a check without completed",
        "alter table image_generations add constraint states check (status in ('pending', 'queued', 'processing', 'downloading', 'done', 'failed', 'cancelled'))",
        Refused {
            reason: "a generation cannot be completed: new row for relation \"image_generations\" violates check constraint \"states\"",
            mended_by: "alter table image_generations drop constraint states",
        },
    );
    change(
        "images with a title that must be there",
        "alter table images add column title text not null",
        Refused {
            reason: "null value in column \"title\" of relation \"images\"",
            mended_by: "alter table images alter column title set default 'untitled'",
        },
    );
    change(
        "generations with a title that must be there",
        "alter table image_generations add column title text not null",
        Refused {
            reason: "null value in column \"title\" of relation \"image_generations\"",
            mended_by: "alter table image_generations alter column title set default 'untitled'",
        },
    );
    change(
        "defaults that no null overrides",
        "alter table images alter prompt set default 'none', alter prompt set not null, alter width set default 1, alter width set not null, alter negative_prompt set default '', alter negative_prompt set not null; alter table image_generations alter error_message set default '', alter error_message set not null, alter negative_prompt set default '', alter negative_prompt set not null",
        Works,
    );
    change(
        "an owner_id for user_id",
        "alter table image_generations rename user_id to owner_id",
        Refused {
            reason: "public.image_generations has no column user_id",
            mended_by: "alter table image_generations rename owner_id to user_id",
        },
    );
    change(
        "short and odd types",
        "alter table image_generations alter prompt type varchar(10), alter error_message type varchar(5), alter width type smallint, alter steps type text, alter guidance_scale type int, alter generation_time_seconds type text, alter created_at type timestamp, alter completed_at type timestamp; alter table images alter prompt type varchar(10), alter width type text, alter file_size type smallint, alter format type varchar(8)",
        Works,
    );
    change(
        "generated columns",
        "alter table images drop column public_url, add column public_url text generated always as ('https://cdn/' || storage_path) stored; alter table image_generations drop column model, add column model text generated always as ('m') stored",
        Works,
    );
    change(
        "pictures that are there twice",
        "alter table images drop constraint images_generation_id_fkey; insert into images (generation_id, filename) select '11111111-1111-4111-8111-111111111111', 'p.png' from generate_series(1, 3)",
        Works,
    );
    change(
        "a trigger that raises",
        "create function no() returns trigger language plpgsql as $$ begin raise exception 'no pictures on Sundays'; end $$; create trigger no before insert on images for each row execute function no()",
        Refused {
            reason: "a generation cannot be completed: no pictures on Sundays",
            mended_by: "create or replace function no() returns trigger language plpgsql as $$ begin return new; end $$",
        },
    );
    change(
        "a trigger with names of its own",
        "create table counts (n int); create function count_them() returns trigger language plpgsql as $$ begin insert into counts select count(*) from images; return new; end $$; create trigger count_them after insert or update on images for each row execute function count_them(); create trigger count_them after insert or update on image_generations for each row execute function count_them()",
        Works,
    );
    change(
        "a foreign key of users",
        "create table profiles (id uuid primary key); alter table image_generations add foreign key (user_id) references profiles; insert into profiles values ('00000000-0000-4000-8000-000000000001')",
        Works,
    );
    change("ids without a default", "alter table image_generations alter id drop default", Works);

    for (name, id, user) in
        [("text", "g-1", "u-1"), ("bigint", "42", "7"), ("int", "42", "7"), ("varchar(64)", "g-1", "u-1")]
    {
        let sql = format!(
            "create table image_generations (id {name} primary key, user_id {name}, prompt text, status text, error_message text);
            create table images (key serial primary key, generation_id {name} references image_generations, user_id {name},
                filename text, storage_path text)"
        );
        shape(&format!("ids of type {name}"), sql, (id, user), Works);
    }

    let (mut numbered, mut running) = (0, Vec::new());
    for (name, sql, ids, fate) in shapes {
        numbered += 1;
        running.push(async move { check(numbered, &name, &sql, ids, fate).await });
    }
    // A few at once, as the server allows.
    use futures_util::StreamExt;
    futures_util::stream::iter(running).buffer_unordered(4).collect::<Vec<()>>().await;
    assert!(numbered > 45, "{numbered} shapes");
}

/// A column that only the app can fill: its own generations get their pictures, and one that is not there is refused
/// when it is enqueued.
#[tokio::test(flavor = "multi_thread")]
async fn generations_that_only_the_app_can_make() {
    let rows_there = format!(
        "alter table image_generations add column title text not null; insert into image_generations (id, user_id, title) values ('{GENERATION}', '{USER}', 'x')"
    );
    let (database, owner) = app("image_tables_own_rows", &[&tables(&rows_there)]).await;
    install(&owner).await.expect("it moves in");
    let refused = owner
        .batch_execute(&format!(
            "select enqueue_job('generate-image', '{{\"generation_id\": \"{USER}\", \"user_id\": \"{USER}\"}}')"
        ))
        .await;
    let refused = refused.expect_err("no row can be made");
    assert!(refused.as_db_error().expect("refused").message().contains("null value in column \"title\""));
    enqueue(&owner, GENERATION, USER).await;
    let job = begun(&owner).await.expect("a job");
    assert_eq!(work(&owner, &job).await, json!(true));
    assert_eq!(
        rows(&owner, "select count(*) from image_generations").await,
        ["1"],
        "and nothing is left of the rehearsal"
    );
    drop(owner);
    database.drop().await;
}

/// An app without our tables writes by functions of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_replaces_the_writing_functions() {
    let own = "create schema app; create table app.said (what jsonb);
        create function app.write_generation(p_payload jsonb, p_generation jsonb) returns void language sql as 'insert into app.said values (p_generation)';
        create function app.write_images(p_payload jsonb, p_images jsonb) returns void language sql as 'insert into app.said values (p_images -> 0)'";
    let (database, owner) = app("image_tables_replaced", &[own]).await;
    install(&owner).await.expect("it moves in");
    owner
        .batch_execute("insert into process_jobs.image_writers values ('generation', 'app.write_generation'), ('images', 'app.write_images');
            drop table images, image_generations")
        .await
        .expect("its own");
    install(&owner).await.expect("an upgrade touches them not");
    enqueue(&owner, "g-1", "u-1").await;
    let job = begun(&owner).await.expect("a job");
    assert_eq!(work(&owner, &job).await, json!(true));
    assert_eq!(
        rows(&owner, "select what ->> 'status', what ->> 'filename' from app.said").await,
        [
            "queued null",
            "processing null",
            "processing null",
            "processing null",
            "processing null",
            "downloading null",
            "downloading null",
            "null p.png"
        ]
    );
    assert_eq!(rows(&owner, "select to_regclass('public.images')").await, ["null"], "no table of ours was made");
    drop(owner);
    database.drop().await;
}

/// Where recording is refused after all, the picture is not lost: `retry_job` records it, without a worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_could_not_be_recorded_is_recorded_later() {
    let (database, owner) = app("image_tables_recorded_later", &[&tables("")]).await;
    install(&owner).await.expect("it moves in");
    enqueue(&owner, GENERATION, USER).await;
    let job = begun(&owner).await.expect("a job");
    let parked = outcome(
        &job,
        json!({ "outcome": "completed", "result": { "prediction_id": "p" },
        "follow_ups": [{ "job_type": "download-image", "payload": job["payload"] }] }),
    );
    let claimed = exchange(&owner, json!([parked]), 1).await;
    let download = &claimed["jobs"][0];
    owner.batch_execute("alter table images add constraint small check (width < 100)").await.expect("a new rule");
    let refusal = store(&owner, download).await;
    assert!(refusal.as_str().is_some_and(|text| text.contains("small")), "{refusal}");
    let failed = outcome(
        download,
        json!({ "outcome": "failed", "error": refusal, "retry": "never",
        "unrecorded": { "result": picture(), "follow_ups": [] } }),
    );
    assert_eq!(exchange(&owner, json!([failed]), 0).await["settled"], json!([true]));
    assert_eq!(rows(&owner, "select j.status, g.status, j.result ->> 'storage_path' from job_queue j, image_generations g where job_type = 'download-image'").await, ["failed failed u/p.png"]);

    let retry = "select retry_job(id) from job_queue where job_type = 'download-image'";
    assert!(owner.batch_execute(retry).await.is_err(), "refused still");
    owner.batch_execute("alter table images drop constraint small").await.expect("mended");
    assert_eq!(rows(&owner, retry).await, ["t"]);
    assert_eq!(rows(&owner, "select j.status, g.status, i.storage_path from job_queue j, image_generations g, images i where job_type = 'download-image'").await, ["completed completed u/p.png"]);
    drop(owner);
    database.drop().await;
}

/// What an app does with its rows while our jobs are under way.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_does_meanwhile_holds() {
    let (database, owner) = app("image_tables_meanwhile", &[&tables("")]).await;
    install(&owner).await.expect("it moves in");
    let states = "select j.job_type, j.status, j.cancel_requested_at is not null, g.status, coalesce(g.error_message, '-') from job_queue j, image_generations g order by j.job_type";
    let cancel = "update image_generations set status = 'failed', error_message = 'Cancelled by user'";
    let again = "delete from images; delete from job_queue; delete from process_jobs.job_troubles; update image_generations set status = 'pending', error_message = null";
    let park = |job: &Value| {
        outcome(job, json!({ "outcome": "snoozed", "delay_seconds": 60, "checkpoint": { "prediction_id": "p" } }))
    };

    // Cancelled while its prediction runs: due at once, to be ended, and the app's words stay.
    enqueue(&owner, GENERATION, USER).await;
    let job = begun(&owner).await.expect("a job");
    exchange(&owner, json!([park(&job)]), 0).await;
    owner.batch_execute(cancel).await.expect("a cancel");
    let job = begun(&owner).await.expect("to be cancelled");
    assert_eq!(job["cancel_requested"], json!(true));
    assert_eq!(rows(&owner, states).await, ["generate-image processing t failed Cancelled by user"]);
    let ended = json!([{ "id": "p", "status": "canceled", "images": 0 }]);
    exchange(&owner, json!([outcome(&job, json!({ "outcome": "cancelled", "usage": ended }))]), 0).await;
    assert_eq!(rows(&owner, states).await, ["generate-image cancelled t failed Cancelled by user"]);

    // Begun again under its id, and cancelled before anything was begun.
    owner.batch_execute(again).await.expect("again");
    enqueue(&owner, GENERATION, USER).await;
    owner.batch_execute(cancel).await.expect("a cancel");
    assert_eq!(rows(&owner, states).await, ["generate-image cancelled f failed Cancelled by user"]);
    assert!(begun(&owner).await.is_none());

    // Cancelled while its picture is downloaded: none appears.
    owner.batch_execute(again).await.expect("again");
    enqueue(&owner, GENERATION, USER).await;
    let job = begun(&owner).await.expect("a job");
    let made = outcome(
        &job,
        json!({ "outcome": "completed", "result": { "prediction_id": "p" },
        "follow_ups": [{ "job_type": "download-image", "payload": job["payload"] }] }),
    );
    let claimed = exchange(&owner, json!([made]), 1).await;
    owner.batch_execute(cancel).await.expect("a cancel");
    assert_eq!(store(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(
        rows(&owner, states).await,
        ["download-image cancelled t failed Cancelled by user", "generate-image completed f failed Cancelled by user"]
    );
    assert_eq!(rows(&owner, "select count(*) from images").await, ["0"]);

    // In the very moment in which its picture is recorded: whoever comes first.
    owner.batch_execute(again).await.expect("again");
    enqueue(&owner, GENERATION, USER).await;
    let job = begun(&owner).await.expect("a job");
    let made = outcome(
        &job,
        json!({ "outcome": "completed", "result": { "prediction_id": "p" },
        "follow_ups": [{ "job_type": "download-image", "payload": job["payload"] }] }),
    );
    let claimed = exchange(&owner, json!([made]), 1).await;
    let app = database.owner().await;
    app.batch_execute(&format!("begin; {cancel}")).await.expect("a cancel that is not committed");
    let held = store(&owner, &claimed["jobs"][0]).await;
    assert!(held["again"].is_string(), "{held}");
    app.batch_execute("commit").await.expect("commit");
    assert_eq!(store(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(
        rows(&owner, "select g.status, (select count(*) from images) from image_generations g").await,
        ["failed 0"]
    );

    // A job that is set to cancelled: at once where it has begun nothing, else by way of a worker.
    owner.batch_execute(again).await.expect("again");
    enqueue(&owner, GENERATION, USER).await;
    let update = "update job_queue set status = 'cancelled' where status = 'pending'";
    owner.batch_execute(update).await.expect("a cancel");
    assert_eq!(rows(&owner, states).await, ["generate-image cancelled f cancelled -"]);
    assert_eq!(rows(&owner, "select completed_at is not null from job_queue").await, ["t"]);
    owner.batch_execute(again).await.expect("again");
    enqueue(&owner, GENERATION, USER).await;
    let job = begun(&owner).await.expect("a job");
    exchange(&owner, json!([park(&job)]), 0).await;
    owner.batch_execute(update).await.expect("a cancel");
    assert_eq!(rows(&owner, states).await, ["generate-image pending t processing -"]);
    let job = begun(&owner).await.expect("to be cancelled");
    assert_eq!((&job["cancel_requested"], &job["checkpoint"]["prediction_id"]), (&json!(true), &json!("p")));
    drop((owner, app));
    database.drop().await;
}

/// Where there is no user yet, the tables are tried once there is one, before anything is paid.
#[tokio::test(flavor = "multi_thread")]
async fn tables_without_a_user_are_tried_later() {
    let users = "create table profiles (id uuid primary key); alter table image_generations add foreign key (user_id) references profiles;
        alter table images add column title text not null";
    let (database, owner): (Database, Client) = app("image_tables_no_user", &[&tables(users)]).await;
    install(&owner).await.expect("it moves in");
    assert_eq!(rows(&owner, "select tried, refusal from process_jobs.image_tables").await, ["f null"]);
    owner.batch_execute(&format!("insert into profiles values ('{USER}')")).await.expect("the first user");
    enqueue(&owner, GENERATION, USER).await;
    assert!(begun(&owner).await.is_none(), "nothing is paid");
    assert!(text(&owner, "select refusal from process_jobs.image_tables").await.contains("title"));
    drop(owner);
    database.drop().await;
}
