//! The stand-in of Realtime, beside the official client.

use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use local_stack::{Deno, Options, Stack, repository};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// A function that speaks; a text takes back what was said before it.
const SAY: &str = "
    create function say(p_topic text, p_messages jsonb) returns void language plpgsql as $$
    declare v_message jsonb;
    begin
        for v_message in select jsonb_array_elements(p_messages) loop
            if jsonb_typeof(v_message) = 'string' then raise 'taken back'; end if;
            perform realtime.send(v_message, 'generation', p_topic, true);
        end loop;
    end $$;
    insert into user_limits (applies_to, max_open) values ('all', 1);
    notify pgrst, 'reload schema'";

const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BEN: &str = "00000000-0000-4000-8000-00000000000b";

#[tokio::test]
async fn the_official_client_hears_what_it_may() {
    let stack = Stack::start(Options::default()).await.unwrap();
    stack.sql().await.unwrap().batch_execute(SAY).await.unwrap();
    let token = |user, seconds| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        stack.token(&json!({ "role": "authenticated", "sub": user, "exp": now + seconds }))
    };
    // (Node has had WebSockets since its version 22 only.)
    let mut script = Command::new(Deno::Latest.binary().unwrap())
        .args(["run", "--allow-all", "--no-lock", "--node-modules-dir=manual"])
        .arg(repository().join("dev/stack/tests/realtime.mjs"))
        .env("URL", stack.api_url())
        .env("KEY", stack.publishable_key())
        .env("SECRET_KEY", stack.secret_key())
        .env("TOKENS", json!([token(ANN, 3600), token(BEN, 3600)]).to_string())
        .env("TOPICS", json!([format!("process-jobs:{ANN}"), format!("process-jobs:{BEN}")]).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("deno is there");
    let mut input = script.stdin.take().unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let answer = match line.as_str() {
            "a token for three seconds" => token(ANN, 3),
            "send and delete" => {
                let send = format!("select realtime.send('{{}}', 'generation', 'process-jobs:{ANN}')");
                stack
                    .sql()
                    .await
                    .unwrap()
                    .batch_execute(&format!("{send}; delete from realtime.messages"))
                    .await
                    .unwrap();
                String::new()
            }
            "drain" => stack.post_drain().await.unwrap().to_string(),
            "lose" => {
                stack.turn_realtime(false);
                String::new()
            }
            _ => {
                stack.turn_realtime(true);
                String::new()
            }
        };
        let _ = input.write_all(format!("{answer}\n").as_bytes()).await;
        last = line;
    }
    assert!(script.wait().await.unwrap().success() && last == "done", "{}", stack.logs().unwrap());
    stack.stop().await.unwrap();
}
