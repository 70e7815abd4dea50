//! Each table, view and function of ours, tried as each role, beside the table in migrations/README.md.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::{ANOTHER, ME, hosted, session_of};

const README: &str = include_str!("../../../migrations/README.md");
/// Rows of two users, and one in each table that is of none.
const ROWS: &str = "
    insert into images (generation_id, user_id, filename, storage_path)
    select id, user_id, 'a.png', user_id || '/a.png' from image_generations;
    insert into generation_progress select user_id, id, 'queued', 0 from image_generations;
    insert into usage_ledger (id, job_id, user_id, status) select id, gen_random_uuid(), user_id, 'failed' from image_generations";

/// Runs a statement as a role, with the token of `ME`, and undoes it: true unless the role may not, or no row is there for
/// it.
async fn is_let(admin: &Client, role: &str, statement: &str) -> bool {
    let claims = format!(r#"{{"role": "{role}", "sub": "{ME}"}}"#);
    let begin = format!("begin; set local role {role}; set local request.jwt.claims = '{claims}'");
    admin.batch_execute(&begin).await.expect("a role");
    let answer = admin.query(statement, &[]).await;
    admin.batch_execute("rollback").await.expect("undo");
    match answer {
        Ok(rows) => !rows.is_empty(),
        Err(error) => {
            let error = error.as_db_error().expect("an answer of the database");
            // Anything else comes of what the statement says, once it may. (A view of sums takes no row from anybody.)
            let refused = error.message().starts_with("permission denied for")
                || error.message().contains("row-level security")
                || error.detail().is_some_and(|detail| detail.starts_with("Views containing"));
            !refused
        }
    }
}

struct Relation {
    name: String,
    column: String,
    has_users: bool,
}

/// What a role may do with the rows of a user.
async fn rights(admin: &Client, Relation { name, column, has_users }: &Relation, role: &str, user_id: &str) -> String {
    let rows = if *has_users { format!("user_id::text = '{user_id}'") } else { "true".to_owned() };
    let values = if *has_users { format!("(user_id) values ('{user_id}')") } else { "default values".to_owned() };
    let statements = [
        ("select", format!("select 1 from {name} where {rows}")),
        ("insert", format!("insert into {name} {values} returning 1")),
        ("update", format!("update {name} set {column} = {column} where {rows} returning 1")),
        ("delete", format!("delete from {name} where {rows} returning 1")),
    ];
    let mut rights = Vec::new();
    for (right, statement) in statements {
        if is_let(admin, role, &statement).await {
            rights.push(right);
        }
    }
    if rights.is_empty() { "–".to_owned() } else { rights.join(", ") }
}

async fn relations(admin: &Client, schema: &str) -> Vec<Relation> {
    let query = "select c.oid::regclass::text,
            quote_ident(min(a.attname) filter (where a.attgenerated = '' and a.attidentity = '')),
            bool_or(a.attname = 'user_id')
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
        group by c.oid order by 1";
    let rows = admin.query(query, &[&schema]).await.expect("relations");
    rows.iter().map(|row| Relation { name: row.get(0), column: row.get(1), has_users: row.get(2) }).collect()
}

/// Names of functions, each with a call that gives every text this value, and null for the rest that must be given.
async fn calls(admin: &Client, schema: &str, text: Option<&str>) -> Vec<(String, String)> {
    let query = "select p.proname::text, format('select %s.%I(%s)', $1::text, p.proname, (
            select string_agg(case when t.type = 'text'::regtype then quote_nullable($2::text) else 'null' end
                || '::' || format_type(t.type, null), ', ' order by t.n)
            from unnest(p.proargtypes) with ordinality t (type, n) where t.n <= p.pronargs - p.pronargdefaults))
        from pg_proc p where p.pronamespace = $1::text::regnamespace and p.prokind = 'f' order by 1";
    let rows = admin.query(query, &[&schema, &text]).await.expect("functions");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Everything of another user's, as text.
async fn theirs(admin: &Client) -> String {
    let query = "select string_agg(t::text, e'\n' order by t::text) from (
        select to_jsonb(g) from image_generations g where user_id = $1 union all
        select to_jsonb(j) from job_queue j where payload ->> 'user_id' = $1 union all
        select to_jsonb(r) from process_jobs.requests r where user_id = $1) t";
    admin.query_one(query, &[&ANOTHER]).await.expect("rows of another user").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_as_the_documented_table_says() {
    let database = hosted("users_privileges").await;
    let admin = database.session().await;
    admin.batch_execute("insert into user_limits (applies_to) values ('all')").await.expect("limits");
    let me = session_of(&database, ME).await;
    for client in [&me, &session_of(&database, ANOTHER).await] {
        client.batch_execute("select request_generation('a fox', 'a/b')").await.expect("a generation");
    }
    admin.batch_execute(ROWS).await.expect("rows");

    let mut found = BTreeSet::new();
    for relation in relations(&admin, "public").await {
        let rows = format!("select 1 from {}", relation.name);
        assert!(is_let(&admin, "postgres", &rows).await, "{} has no row to try it on", relation.name);
        let columns = [
            rights(&admin, &relation, "anon", ME).await,
            rights(&admin, &relation, "authenticated", ME).await,
            rights(&admin, &relation, "authenticated", ANOTHER).await,
            rights(&admin, &relation, "service_role", ME).await,
        ];
        found.insert(format!("| `{}` | {} |", relation.name, columns.join(" | ")));
    }
    let their_id = "select id from image_generations where user_id = $1";
    let their_id: String = admin.query_one(their_id, &[&ANOTHER]).await.expect("a generation").get(0);
    let with_their_id = calls(&admin, "public", Some(&their_id)).await;
    for ((name, call), (_, with_their_id)) in calls(&admin, "public", None).await.into_iter().zip(with_their_id) {
        let mut columns = Vec::new();
        for role in ["anon", "authenticated", "service_role"] {
            columns.push(if is_let(&admin, role, &call).await { "execute" } else { "–" });
        }
        let before = theirs(&admin).await;
        // As it is done, not undone.
        let _ = me.query(&with_their_id, &[]).await;
        assert_eq!(theirs(&admin).await, before, "{with_their_id}");
        found.insert(format!("| `{name}()` | {} | {} | – | {} |", columns[0], columns[1], columns[2]));
    }
    let documented: BTreeSet<String> = README
        .split_once("## Who may do what")
        .and_then(|(_, section)| section.split("\n## ").next())
        .expect("migrations/README.md says who may do what")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(str::to_owned)
        .collect();
    let lines: Vec<&str> = found.iter().map(String::as_str).collect();
    assert!(found == documented, "migrations/README.md says otherwise than what is so:\n{}", lines.join("\n"));

    // And nothing of the inner schema, to nobody.
    let inner = relations(&admin, "process_jobs").await;
    let functions = calls(&admin, "process_jobs", None).await;
    assert!(inner.len() > 10 && functions.len() > 40, "{} tables, {} functions", inner.len(), functions.len());
    for role in ["anon", "authenticated", "service_role"] {
        for relation in &inner {
            assert_eq!(rights(&admin, relation, role, ME).await, "–", "{role}: {}", relation.name);
        }
        for (_, call) in &functions {
            assert!(!is_let(&admin, role, call).await, "{role}: {call}");
        }
    }
    database.drop().await;
}
