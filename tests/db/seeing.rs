//! What a user sees of their generations: progress, messages on a topic of their own and published rows, read from a
//! replication slot and as the user, and nothing of anybody else's. The server needs `wal_level = logical`.

mod database;
mod hands;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;

use database::{Database, migrate};
use hands::{exchange, install, outcome, picture, rows, store, text, work};

const ORIGINAL: &str = include_str!("../fixtures/apps/original.sql");
const REALTIME: &str = include_str!("realtime_stand_in.sql");
const AUTH: &str = "create schema auth; grant usage on schema auth to anon, authenticated, service_role;
    create function auth.uid() returns uuid language sql stable as
    $$ select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid $$";
const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BEN: &str = "00000000-0000-4000-8000-00000000000b";
const FOX: &str = "11111111-1111-4111-8111-111111111111";
const OWL: &str = "22222222-2222-4222-8222-222222222222";

/// A hosted project with Realtime, before the installation: its database, a superuser's session and its owner's.
async fn project(name: &str, fixture: &str) -> (Database, Client, Client) {
    let roles = "do $$ declare r text; begin
        foreach r in array '{anon,authenticated,service_role}'::text[] loop
            begin execute format('create role %I nologin', r); exception when others then null; end;
        end loop; end $$;";
    let database = Database::bare(name, &format!("{roles} {REALTIME}")).await;
    database.make_hosted().await;
    let admin = database.session().await;
    admin
        .batch_execute(&format!(
            "grant supabase_realtime_admin to {name}; alter publication supabase_realtime owner to {name};
            create publication supabase_realtime_messages_publication for table realtime.messages"
        ))
        .await
        .expect("what a hosted project's owner may");
    let owner = database.owner().await;
    owner.batch_execute(fixture).await.expect("the app");
    (database, admin, owner)
}

/// A message or a row, as it goes out.
#[derive(Debug)]
struct Change {
    table: String,
    is_insert: bool,
    row: HashMap<String, String>,
}

impl Change {
    fn get(&self, column: &str) -> &str {
        self.row.get(column).map_or("", String::as_str)
    }

    fn payload(&self) -> Value {
        serde_json::from_str(self.get("payload")).expect("a payload")
    }
}

/// Reads what Realtime's two publications let out since the last look: `pgoutput`'s messages.
async fn published(admin: &Client, slot: &str) -> Vec<Change> {
    // A slot reads up to where the log is flushed, which commits of a test server do not wait for; this one does.
    let flush = "set synchronous_commit = on; select pg_logical_emit_message(true, 'process-jobs', '')";
    admin.batch_execute(flush).await.expect("flush the log");
    let changes = format!(
        "select data from pg_logical_slot_get_binary_changes('{slot}', null, null, 'proto_version', '1',
        'publication_names', 'supabase_realtime,supabase_realtime_messages_publication')"
    );
    let mut tables: HashMap<u32, (String, Vec<String>)> = HashMap::new();
    let mut found = Vec::new();
    for row in admin.query(&changes, &[]).await.expect("decode") {
        let mut bytes = Bytes(row.get::<_, &[u8]>(0));
        let kind = bytes.take(1)[0];
        match kind {
            b'R' => {
                let id = bytes.number(4);
                let (_schema, name) = (bytes.text(), bytes.text());
                bytes.take(1);
                let columns = (0..bytes.number(2))
                    .map(|_| {
                        bytes.take(1);
                        let column = bytes.text();
                        bytes.take(8);
                        column
                    })
                    .collect();
                tables.insert(id, (name, columns));
            }
            b'I' | b'U' => {
                let (table, columns) = &tables[&bytes.number(4)];
                assert_eq!(bytes.take(1), b"N", "no old row");
                assert_eq!(bytes.number(2) as usize, columns.len());
                let mut row = HashMap::new();
                for column in columns {
                    if bytes.take(1) == b"t" {
                        let length = bytes.number(4) as usize;
                        let value = String::from_utf8(bytes.take(length).to_vec()).expect("text");
                        row.insert(column.clone(), value);
                    }
                }
                found.push(Change { table: table.clone(), is_insert: kind == b'I', row });
            }
            _ => {}
        }
    }
    found
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn number(&mut self, size: usize) -> u32 {
        self.take(size).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).expect("an end");
        let text = self.take(end + 1);
        String::from_utf8(text[..end].to_vec()).expect("text")
    }
}

async fn make_slot(admin: &Client, slot: &str) {
    // Only what has been written out is decoded.
    let make = format!("set synchronous_commit = on; select pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    admin.batch_execute(&make).await.expect("a slot");
}

async fn enqueue(owner: &Client, generation: &str, user: &str) {
    let payload = json!({ "generation_id": generation, "user_id": user, "prompt": "a fox", "model_id": "owner/name" });
    owner.query("select enqueue_job('generate-image', $1)", &[&payload]).await.expect("enqueue");
}

/// What a query answers to a user, by their token.
async fn as_user(client: &Client, user: &str, query: &str) -> Vec<String> {
    let claims = json!({ "role": "authenticated", "sub": user });
    let begin = format!("begin; set local role authenticated; set local request.jwt.claims = '{claims}'");
    client.batch_execute(&begin).await.expect("a user");
    let found = rows(client, query).await;
    client.batch_execute("rollback").await.expect("the end of it");
    found
}

/// What a generation's user sees by looking.
async fn seen(client: &Client, user: &str, generation: &str) -> Value {
    let seen = as_user(client, user, &format!("select get_generation('{generation}')::text")).await;
    serde_json::from_str(&seen[0]).expect("json")
}

/// A look at each prediction, whose log tells this.
async fn look(owner: &Client, progress: Option<i32>, limit: i32) -> Value {
    let claimed = exchange(owner, json!([]), limit).await;
    let jobs = claimed["jobs"].as_array().expect("jobs");
    let parked = jobs.iter().map(|job| {
        let checkpoint = json!({ "prediction_id": "p" });
        let snoozed =
            json!({ "outcome": "snoozed", "delay_seconds": 0, "checkpoint": checkpoint, "progress": progress });
        outcome(job, snoozed)
    });
    let parked: Value = parked.collect();
    exchange(owner, parked, 0).await["settled"].clone()
}

/// A picture of each of two users, seen from its request to its end.
#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_told_of_their_own_generations_and_of_no_others() {
    let (database, admin, owner) = project("seeing_told", AUTH).await;
    install(&owner).await.expect("it moves in");
    owner.batch_execute("select process_jobs.note_model_time('owner/name', 8)").await.expect("a model that is known");
    make_slot(&admin, "seeing_told").await;
    let mut looks = Vec::new();
    for (generation, user) in [(FOX, ANN), (OWL, BEN)] {
        enqueue(&owner, generation, user).await;
        looks.push(seen(&admin, user, generation).await);
        assert_eq!(look(&owner, None, 1).await, json!([true]));
        looks.push(seen(&admin, user, generation).await);
        assert_eq!(look(&owner, Some(40), 1).await, json!([true]));
        looks.push(seen(&admin, user, generation).await);
        let claimed = exchange(&owner, json!([]), 1).await;
        assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
        looks.push(seen(&admin, user, generation).await);
    }
    assert_eq!(seen(&admin, ANN, OWL).await, Value::Null, "somebody else's");

    let changes = published(&admin, "seeing_told").await;
    let (messages, changes): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.table.starts_with("messages"));
    let stored = picture();
    for (generation, user) in [(FOX, ANN), (OWL, BEN)] {
        let told: Vec<Value> = messages
            .iter()
            .filter(|message| message.get("topic") == format!("process-jobs:{user}"))
            .map(|message| {
                assert_eq!((message.get("event"), message.get("private")), ("generation", "t"));
                message.payload()
            })
            .collect();
        let images: Value = ["filename", "storage_path", "public_url", "width", "height", "format"]
            .iter()
            .map(|field| ((*field).to_owned(), stored[field].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(
            told,
            [
                json!({ "id": generation, "status": "queued", "progress": 0 }),
                json!({ "id": generation, "status": "processing", "progress": 0, "usual_seconds": 8 }),
                json!({ "id": generation, "status": "processing", "progress": 36, "usual_seconds": 8 }),
                json!({ "id": generation, "status": "downloading", "progress": 90 }),
                json!({ "id": generation, "status": "completed", "progress": 100, "images": [images] }),
            ],
            "{user}"
        );
        // A look says the same.
        for mut told in told.into_iter().filter(|told| told["status"] != "downloading") {
            told["user_id"] = json!(user);
            assert_eq!(looks.remove(0), told);
        }

        let told: Vec<String> = changes
            .iter()
            .filter(|change| change.get("user_id") == user)
            .map(|change| {
                assert_eq!((change.table.as_str(), change.get("id")), ("image_generations", generation));
                format!("{} {} {}", change.is_insert, change.get("status"), change.get("progress"))
            })
            .collect();
        assert_eq!(
            told,
            [
                "true queued 0",
                "false processing 0",
                "false processing 0", // The prediction's id.
                "false processing 36",
                "false downloading 90",
                "false completed 100"
            ]
        );
    }
    assert_eq!((messages.len(), changes.len()), (10, 12), "nothing else goes out");

    // What Realtime asks as the user: may they see this row, and join this topic?
    for (user, own) in [(ANN, FOX), (BEN, OWL)] {
        assert_eq!(as_user(&admin, user, "select id from image_generations").await, [own]);
        assert_eq!(as_user(&admin, user, "select distinct generation_id from images").await, [own]);
        assert_eq!(
            as_user(&admin, user, "select distinct topic from realtime.messages").await,
            [format!("process-jobs:{user}")]
        );
    }
    for (user, topic, extension, joins) in [
        (ANN, format!("process-jobs:{ANN}"), "broadcast", true),
        (ANN, format!("process-jobs:{BEN}"), "broadcast", false),
        (ANN, "process-jobs:".to_owned(), "broadcast", false),
        (ANN, format!("process-jobs:{ANN}"), "presence", false),
        ("", format!("process-jobs:{ANN}"), "broadcast", false),
        ("", "process-jobs:".to_owned(), "broadcast", false),
    ] {
        let probe = format!(
            "begin; insert into realtime.messages (topic, extension, inserted_at) values ('{topic}', '{extension}', 'epoch');
            select set_config('role', 'authenticated', true), set_config('realtime.topic', '{topic}', true),
              set_config('request.jwt.claims', '{}', true)",
            json!({ "role": "authenticated", "sub": user })
        );
        admin.batch_execute(&probe).await.expect("a probe");
        let seen = rows(&admin, "select from realtime.messages where inserted_at = 'epoch'").await;
        assert_eq!(!seen.is_empty(), joins, "{user} {topic} {extension}");
        let sent = "insert into realtime.messages (topic, extension) values (realtime.topic(), 'broadcast')";
        assert!(admin.batch_execute(sent).await.is_err(), "a user sends nothing there");
        admin.batch_execute("rollback").await.expect("roll back");
    }
    let anon = admin.batch_execute("set role anon; select * from generation_progress").await;
    assert!(anon.is_err(), "who is not signed in reads nothing");
    admin.batch_execute("reset role; select pg_drop_replication_slot('seeing_told')").await.expect("the slot");
    drop(owner);
    database.drop().await;
}

/// An app whose own tables have no progress: theirs stay, ours is beside them.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_a_progress_sees_it_in_a_table_beside_its_own() {
    let (database, admin, owner) = project("seeing_original", ORIGINAL).await;
    let users = format!(
        "insert into auth.users values ('{ANN}'), ('{BEN}'); insert into profiles select id from auth.users;
        alter publication supabase_realtime add table image_generations;
        create policy mine on realtime.messages for select to authenticated using (topic = 'the app''s')"
    );
    owner.batch_execute(&users).await.expect("users, and a Realtime of the app's own");
    let published_tables = "select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1";
    let policies = "select policyname from pg_policies where schemaname = 'realtime' order by 1";
    for _ in 0..2 {
        install(&owner).await.expect("it moves in");
        assert_eq!(rows(&owner, published_tables).await, ["generation_progress", "image_generations"]);
        assert_eq!(rows(&owner, policies).await, ["mine", "users receive their own process-jobs topic"]);
    }
    make_slot(&admin, "seeing_original").await;
    for (generation, user) in [(FOX, ANN), (OWL, BEN)] {
        enqueue(&owner, generation, user).await;
        assert_eq!(look(&owner, Some(40), 1).await, json!([true]));
        let claimed = exchange(&owner, json!([]), 1).await;
        assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    }
    let changes = published(&admin, "seeing_original").await;
    let told: Vec<String> = changes
        .iter()
        .filter(|change| change.table == "generation_progress" && change.get("user_id") == ANN)
        .map(|change| format!("{} {} {}", change.get("generation_id"), change.get("status"), change.get("progress")))
        .collect();
    let states = ["queued 0", "processing 0", "processing 36", "downloading 90", "completed 100"];
    assert_eq!(told, states.map(|state| format!("{FOX} {state}")));
    assert_eq!(changes.iter().filter(|change| change.table.starts_with("messages")).count(), 10);
    for (user, own) in [(ANN, FOX), (BEN, OWL)] {
        assert_eq!(as_user(&admin, user, "select generation_id from generation_progress").await, [own]);
    }

    // A life that the app's own table has no word for, and one that the app itself ends.
    enqueue(&owner, &FOX.replace('1', "3"), ANN).await;
    enqueue(&owner, &FOX.replace('1', "4"), ANN).await;
    look(&owner, Some(50), 2).await;
    owner
        .batch_execute("select cancel_job(id) from job_queue where payload ->> 'generation_id' like '3%'")
        .await
        .expect("cancel");
    owner
        .batch_execute(
            "update image_generations set status = 'failed', error_message = 'enough' where id::text like '4%'",
        )
        .await
        .expect("end");
    for job in exchange(&owner, json!([]), 2).await["jobs"].as_array().expect("jobs") {
        exchange(&owner, json!([outcome(job, json!({ "outcome": "cancelled" }))]), 0).await;
    }
    assert_eq!(
        rows(&owner, "select g.status, p.status, p.progress from image_generations g join generation_progress p on p.generation_id = g.id::text
            where g.status <> 'completed' order by g.id").await,
        ["failed cancelled 45", "failed failed 45"]
    );
    let last = published(&admin, "seeing_original").await;
    let last = last.iter().rfind(|change| change.table.starts_with("messages")).expect("a message").payload();
    assert_eq!((&last["progress"], &last["error_message"]), (&json!(45), &json!("enough")), "{last}");
    for (digit, status, error_message) in [("3", "cancelled", "cancelled"), ("4", "failed", "enough")] {
        let generation = FOX.replace('1', digit);
        let told = json!({ "id": generation, "user_id": ANN, "status": status, "progress": 45, "error_message": error_message });
        assert_eq!(seen(&admin, ANN, &generation).await, told);
    }

    // Old rows go with old jobs.
    owner.batch_execute("update generation_progress set updated_at = now() - interval '2 days'; select prune_jobs(now() - interval '1 day')").await.expect("prune");
    assert_eq!(rows(&owner, "select * from generation_progress").await, [""; 0]);
    owner.batch_execute("select process_jobs.uninstall()").await.expect("uninstall");
    assert_eq!(rows(&owner, published_tables).await, ["image_generations"], "the app's own stays");
    assert_eq!(rows(&owner, policies).await, ["mine"]);
    admin.batch_execute("select pg_drop_replication_slot('seeing_original')").await.expect("the slot");
    drop(owner);
    database.drop().await;
}

/// A progress of the app's own is written where it is one of a hundred, and left alone where it is something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_progress_of_the_apps_own_is_written_where_it_fits() {
    for (number, (column, own, beside)) in [
        ("progress int", "36", ""),
        ("progress bigint not null default 0 check (progress between 0 and 100)", "36", ""),
        ("progress int check (progress between 0 and 10)", "null", "36"),
        ("progress numeric", "null", "36"),
        ("progress text", "null", "36"),
        ("progress int generated always as (7) stored", "7", "36"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("seeing_own_{number}");
        let (database, _, owner) = project(&name, ORIGINAL).await;
        let user = format!("insert into auth.users values ('{ANN}'); insert into profiles select id from auth.users;");
        owner.batch_execute(&format!("{user} alter table image_generations add column {column}")).await.expect(column);
        install(&owner).await.expect("it moves in");
        enqueue(&owner, FOX, ANN).await;
        look(&owner, Some(40), 1).await;
        assert_eq!(rows(&owner, "select progress from image_generations").await, [own], "{column}");
        assert_eq!(text(&owner, "select max(progress)::text from generation_progress").await, beside, "{column}");
        let claimed = exchange(&owner, json!([]), 1).await;
        assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true), "{column}");
        let end = rows(&owner, "select coalesce(p.progress, g.progress::int) from image_generations g left join generation_progress p on true").await;
        assert_eq!(end, ["100"], "{column}");
        let said = text(&owner, "select paused_reason from job_types where job_type = 'generate-image'").await;
        assert_eq!(said, "", "{column}");
        drop(owner);
        database.drop().await;
    }

    // One that writes its generations itself.
    let (database, _, owner) = project("seeing_writers", AUTH).await;
    install(&owner).await.expect("it moves in");
    owner
        .batch_execute(
            "create function write(p_payload jsonb, p_generation jsonb) returns void language sql as 'select';
            insert into process_jobs.image_writers values ('generation', 'public.write'), ('images', 'public.write')",
        )
        .await
        .expect("writers");
    enqueue(&owner, FOX, ANN).await;
    look(&owner, Some(40), 1).await;
    assert_eq!(
        rows(&owner, "select generation_id, status, progress from generation_progress").await,
        [format!("{FOX} processing 36")]
    );
    let claimed = exchange(&owner, json!([]), 1).await;
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(rows(&owner, "select status, progress from generation_progress").await, ["completed 100"]);
    drop(owner);
    database.drop().await;
}

/// What is written and sent for a hundred users who wait, and for one whole life of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn looks_that_change_nothing_write_nothing_and_send_nothing() {
    for (name, fixture, table) in
        [("seeing_hundred", AUTH, "image_generations"), ("seeing_hundred_beside", ORIGINAL, "generation_progress")]
    {
        let (database, _, owner) = project(name, fixture).await;
        if fixture == ORIGINAL {
            let user =
                format!("insert into auth.users values ('{ANN}'); insert into profiles select id from auth.users");
            owner.batch_execute(&user).await.expect("a user");
        }
        install(&owner).await.expect("it moves in");
        owner.batch_execute("update job_types set starts_per_minute = null").await.expect("all at once");
        for number in 0..100 {
            enqueue(&owner, &format!("{:08}-1111-4111-8111-111111111111", number), ANN).await;
        }
        assert_eq!(look(&owner, Some(30), 100).await, json!(vec![true; 100]));

        let versions = format!(
            "select string_agg(concat(g.xmin, g.xmax, g.ctid), ',' order by g) from image_generations g
            union all select string_agg(concat(g.xmin, g.xmax, g.ctid), ',' order by g) from {table} g"
        );
        let messages = "select count(*) from realtime.messages";
        let sent = rows(&owner, messages).await;
        assert_eq!(sent, ["300"], "queued, processing, and the log's first word");
        let before = rows(&owner, &versions).await;
        for progress in [None, Some(30), Some(31), Some(35), Some(10)] {
            assert_eq!(look(&owner, progress, 100).await, json!(vec![true; 100]));
        }
        assert_eq!(rows(&owner, &versions).await, before, "five hundred looks, no version and no lock of a row");
        assert_eq!(rows(&owner, messages).await, sent, "and no message");

        // One whose log tells each of its steps.
        let first = "update job_queue set priority = 1 where payload ->> 'generation_id' like '00000000%'";
        owner.batch_execute(first).await.expect("the first one");
        for progress in 36..=100 {
            let step = "select snooze_job(id, lease_token, 0, '{\"prediction_id\": \"p\"}', $1) from claim_next_job()";
            owner.query(step, &[&progress]).await.expect("a look");
        }
        let one = "select count(*), max((payload ->> 'progress')::int) from realtime.messages where payload ->> 'id' like '00000000%'";
        assert_eq!(rows(&owner, one).await, ["15 87"], "three before, and twelve of sixty-five");
        drop(owner);
        database.drop().await;
    }
}

/// A generation that somebody holds, a Realtime that refuses or is locked: no settle fails for it, nor waits.
#[tokio::test(flavor = "multi_thread")]
async fn no_settle_waits_or_fails_for_what_a_user_is_told() {
    let (database, admin, owner) = project("seeing_refused", AUTH).await;
    install(&owner).await.expect("it moves in");
    enqueue(&owner, FOX, ANN).await;
    look(&owner, Some(10), 1).await;
    let seen = "select status, progress from image_generations";

    admin.batch_execute("begin; select from image_generations for update").await.expect("somebody holds it");
    let begun = Instant::now();
    assert_eq!(look(&owner, Some(50), 1).await, json!([true]));
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    assert_eq!(rows(&owner, "select * from process_jobs.job_troubles").await, [""; 0], "nothing to be mended");
    admin.batch_execute("rollback").await.expect("let go");
    assert_eq!(rows(&owner, seen).await, ["processing 9"]);
    assert_eq!(look(&owner, None, 1).await, json!([true]));
    assert_eq!(rows(&owner, seen).await, ["processing 45"], "the next look tells it");

    let count = "select count(*) from realtime.messages";
    let sent = rows(&owner, count).await;
    admin
        .batch_execute("begin; lock table realtime.messages in access exclusive mode")
        .await
        .expect("a partition is made");
    let begun = Instant::now();
    assert_eq!(look(&owner, Some(60), 1).await, json!([true]));
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    admin.batch_execute("rollback; drop table realtime.messages_default").await.expect("no partition");
    assert_eq!(look(&owner, Some(70), 1).await, json!([true]));
    let raises =
        "create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
        returns void language plpgsql as $$ begin raise 'no' using errcode = '23505'; end $$";
    admin.batch_execute(raises).await.expect("one that swallows nothing");
    assert_eq!(look(&owner, Some(80), 1).await, json!([true]));
    assert_eq!(rows(&owner, seen).await, ["processing 72"]);
    assert_eq!(rows(&owner, count).await, ["0"], "{sent:?} were in the partition");
    admin.batch_execute("drop schema realtime cascade").await.expect("no Realtime");
    let claimed = exchange(&owner, json!([]), 1).await;
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    assert_eq!(rows(&owner, seen).await, ["completed 100"]);
    drop(owner);
    database.drop().await;
}

/// Predictions of one model that end at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_settle_waits_for_a_models_usual_time() {
    let (database, admin, owner) = project("seeing_times", AUTH).await;
    install(&owner).await.expect("it moves in");
    for generation in [FOX, OWL] {
        enqueue(&owner, generation, ANN).await;
    }
    look(&owner, None, 2).await;
    let jobs = exchange(&owner, json!([]), 2).await["jobs"].clone();
    let done = |at: usize| {
        outcome(&jobs[at], json!({ "outcome": "completed", "result": { "prediction_id": "p", "predict_seconds": 5 } }))
    };
    admin.query("select 1 from pg_class limit 1", &[]).await.expect("a session");
    admin.batch_execute("begin").await.expect("one under way");
    assert_eq!(exchange(&admin, json!([done(0)]), 0).await["settled"], json!([true]));
    let begun = Instant::now();
    assert_eq!(exchange(&owner, json!([done(1)]), 0).await["settled"], json!([true]));
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    admin.batch_execute("commit").await.expect("its end");
    assert_eq!(rows(&owner, "select model, seconds, recent from process_jobs.model_times").await, ["owner/name 5 {5}"]);
    drop(owner);
    database.drop().await;
}

/// What an operator has made of it since, an upgrade leaves, and an uninstall takes out what is ours.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_made_once_and_taken_out_again() {
    let (database, _, owner) = project("seeing_undone", AUTH).await;
    let published_tables = "select tablename from pg_publication_tables where pubname = 'supabase_realtime'";
    install(&owner).await.expect("it moves in");
    assert_eq!(rows(&owner, published_tables).await, ["image_generations"]);
    owner.batch_execute("alter publication supabase_realtime drop table image_generations").await.expect("not wanted");
    install(&owner).await.expect("again");
    assert_eq!(rows(&owner, published_tables).await, [""; 0], "an upgrade leaves it so");
    owner.batch_execute("select process_jobs.uninstall()").await.expect("uninstall");
    install(&owner).await.expect("anew");
    assert_eq!(rows(&owner, published_tables).await, ["image_generations"]);
    owner.batch_execute("select process_jobs.uninstall()").await.expect("uninstall");
    assert_eq!(rows(&owner, published_tables).await, [""; 0], "the table stays, and is not published");
    assert_eq!(rows(&owner, "select from pg_policies where schemaname = 'realtime'").await.len(), 0);
    install(&owner).await.expect("and again");
    owner.batch_execute("select process_jobs.uninstall(p_drop_tables => true)").await.expect("with its tables");
    drop(owner);
    database.drop().await;

    // An owner who may neither, and a publication of all tables.
    let (database, admin, owner) = project("seeing_forbidden", AUTH).await;
    let forbid =
        "revoke supabase_realtime_admin from seeing_forbidden; grant usage on schema realtime to seeing_forbidden;
        drop publication supabase_realtime; create publication supabase_realtime";
    admin.batch_execute(forbid).await.expect("an owner of little");
    install(&owner).await.expect("it moves in all the same");
    admin
        .batch_execute("drop publication supabase_realtime; create publication supabase_realtime for all tables")
        .await
        .expect("all");
    migrate(&admin).await;
    assert_eq!(rows(&admin, "select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid where p.pubname = 'supabase_realtime'").await.len(), 0);
    enqueue(&owner, FOX, ANN).await;
    let claimed = exchange(&owner, json!([]), 1).await;
    assert_eq!(work(&owner, &claimed["jobs"][0]).await, json!(true));
    drop(owner);
    database.drop().await;
}

/// A database of 0.1.0's development, without a progress.
#[tokio::test(flavor = "multi_thread")]
async fn generations_of_before_get_a_progress() {
    let database = Database::create("seeing_before").await;
    let client = database.session().await;
    client
        .batch_execute(
            "insert into image_generations (id, user_id, status) values ('done', 'u', 'completed'), ('ended', 'u', 'failed');
            alter table image_generations drop column progress;
            create function process_jobs.set_generation_status(jsonb, text, text, text, boolean) returns boolean
            language sql as 'select true'",
        )
        .await
        .expect("a state of before");
    migrate(&client).await;
    assert_eq!(rows(&client, "select id, progress from image_generations order by 1").await, ["done 100", "ended 0"]);
    enqueue(&client, "g-1", "u").await;
    let claimed = exchange(&client, json!([]), 1).await;
    assert_eq!(store(&client, &claimed["jobs"][0]).await, json!(true));
    database.drop().await;
}
