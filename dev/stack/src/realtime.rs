//! A stand-in for Supabase Realtime: channels on which the database speaks, over a WebSocket.
//!
//! What an app's users see of it is the original's: Phoenix' messages in both versions, tokens and when they run out, who
//! may join a private channel (a row of realtime.messages inserted, looked at by the policies and rolled back), the words of
//! a refusal, and what realtime.send has sent, once its transaction has committed. It reads the table on a notification and
//! not the log, refuses at once and not after 5 s, and limits nothing. What clients send goes nowhere, as on a private
//! channel of the original whose policies let nobody send; who asks for presence or changes of tables is refused. Source:
//! supabase/realtime 2.129.8, user_socket.ex, realtime_channel.ex and v2_serializer.ex; Phoenix' own socket.ex.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Query};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{Mutex, broadcast};
use tokio_postgres::{AsyncMessage, Client, NoTls};
use uuid::Uuid;

use crate::keys::Keys;

/// Tells whoever listens which row was inserted, when its transaction has committed.
const TRIGGER: &str = "
    create function realtime.tell_stand_in() returns trigger language plpgsql as
      $$ begin perform pg_notify('realtime_stand_in', new.id::text); return null; end $$;
    create trigger tell_stand_in after insert on realtime.messages for each row execute function realtime.tell_stand_in()";
const SPOKEN: &str = "select topic, private, event, payload::text, id::text from realtime.messages
    where id = $1 and private is not null and event is not null and payload is not null";
/// (auth.uid() of @supabase/lite reads the claim's own setting.)
const CONTEXT: &str = "select set_config('role', $1, true), set_config('realtime.topic', $2, true),
    set_config('request.jwt.claims', $3, true), set_config('request.jwt.claim.sub', $4, true),
    set_config('request.jwt.claim.role', $1, true)";

pub(crate) struct Realtime {
    keys: Arc<Keys>,
    /// Asks what the policies allow.
    database: Mutex<Client>,
    spoken: broadcast::Sender<Spoken>,
    is_on: AtomicBool,
}

#[derive(Clone)]
enum Spoken {
    Message(Arc<Row>),
    /// All connections are lost.
    Lost,
}

/// Of realtime.messages.
struct Row {
    topic: String,
    private: bool,
    event: String,
    payload: String,
    id: String,
}

impl Row {
    /// As version 2 has it: the lengths of topic, event and metadata, that the payload is JSON, and those four. `None`: one
    /// is too long.
    fn bytes(&self) -> Option<Vec<u8>> {
        let (topic, meta) = (format!("realtime:{}", self.topic), json!({ "id": self.id }).to_string());
        let length = |text: &str| u8::try_from(text.len()).ok();
        let head = vec![4, length(&topic)?, length(&self.event)?, length(&meta)?, 1];
        Some([&head, topic.as_bytes(), self.event.as_bytes(), meta.as_bytes(), self.payload.as_bytes()].concat())
    }

    /// As version 1 has it.
    fn json(&self) -> Value {
        let payload: Value = serde_json::from_str(&self.payload).unwrap_or_default();
        json!({ "type": "broadcast", "event": self.event, "payload": payload, "meta": { "id": self.id } })
    }
}

impl Realtime {
    /// Makes what the original makes in a project's database, unless it is there.
    pub async fn prepare(database: &Client) -> Result<()> {
        let is_there = "select to_regnamespace('realtime') is not null";
        if database.query_one(is_there, &[]).await?.get(0) {
            return Ok(());
        }
        let stand_in = crate::repository().join("tests/db/realtime_stand_in.sql");
        database.batch_execute(&std::fs::read_to_string(stand_in)?).await.context("the stand-in of Realtime")?;
        Ok(database.batch_execute(TRIGGER).await?)
    }

    pub async fn start(database_url: &str, keys: Arc<Keys>) -> Result<Arc<Realtime>> {
        let (listener, mut connection) = tokio_postgres::connect(database_url, NoTls).await?;
        let (notifications, mut notified) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = notifications.send(notification.payload().parse::<Uuid>());
                }
            }
        });
        listener.batch_execute("listen realtime_stand_in").await?;
        let realtime = Arc::new(Realtime {
            keys,
            database: Mutex::new(crate::postgres::connect(database_url).await?),
            spoken: broadcast::channel(10_000).0,
            is_on: AtomicBool::new(true),
        });
        let weak: Weak<Realtime> = Arc::downgrade(&realtime);
        tokio::spawn(async move {
            while let Some(id) = notified.recv().await {
                let (Ok(id), Some(realtime)) = (id, weak.upgrade()) else { return };
                let Ok(found) = listener.query_opt(SPOKEN, &[&id]).await else { return };
                // (One that has been deleted since is not told.)
                let Some(found) = found else { continue };
                let row = Row {
                    topic: found.get(0),
                    private: found.get(1),
                    event: found.get(2),
                    payload: found.get(3),
                    id: found.get(4),
                };
                let _ = realtime.spoken.send(Spoken::Message(Arc::new(row)));
            }
        });
        Ok(realtime)
    }

    /// False: every connection is lost, and none is taken.
    pub fn turn(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
        if !on {
            let _ = self.spoken.send(Spoken::Lost);
        }
    }

    /// A WebSocket's beginning, or why there is none.
    pub async fn connect(self: Arc<Self>, mut parts: Parts) -> Response {
        let Ok(Query(query)) = Query::<HashMap<String, String>>::try_from_uri(&parts.uri) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        if !self.is_on.load(Ordering::Relaxed) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let unauthorized = |error: &str| (StatusCode::UNAUTHORIZED, Json(json!({ "error": error }))).into_response();
        let Some(key) = query.get("apikey") else { return unauthorized("API key is missing") };
        let Some(token) = self.keys.token(key) else { return unauthorized("The token provided is not a valid JWT") };
        let is_v2 = match query.get("vsn").map(String::as_str) {
            None | Some("1.0.0") => false,
            Some("2.0.0") => true,
            Some(_) => return StatusCode::FORBIDDEN.into_response(),
        };
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(move |socket| {
                let spoken = self.spoken.subscribe();
                Session { realtime: Arc::downgrade(&self), socket, is_v2, token, channels: HashMap::new() }.run(spoken)
            }),
            Err(rejection) => rejection.into_response(),
        }
    }

    /// Who a token speaks for: its claims, or the words of a refusal.
    fn claims(&self, token: &str) -> Result<Value, String> {
        let claims = self.keys.verify(token)?;
        let (Some(_), Some(expires_at)) = (claims["role"].as_str(), claims["exp"].as_u64()) else {
            return Err("InvalidJWTToken: Fields `role` and `exp` are required in JWT".to_owned());
        };
        match now().checked_sub(expires_at) {
            Some(seconds) => Err(format!("InvalidJWTToken: Token has expired {seconds} seconds ago")),
            None => Ok(claims),
        }
    }

    /// True: the policies show a row of this topic to whom these claims are of.
    async fn may_read(&self, topic: &str, claims: &Value) -> Result<bool, tokio_postgres::Error> {
        let database = self.database.lock().await;
        database.batch_execute("begin").await?;
        let seen = async {
            let insert = "insert into realtime.messages (topic, extension) values ($1, 'broadcast') returning id";
            let id: Uuid = database.query_one(insert, &[&topic]).await?.get(0);
            let (role, sub) = (claims["role"].as_str(), claims["sub"].as_str());
            database.query_one(CONTEXT, &[&role, &topic, &claims.to_string(), &sub]).await?;
            Ok(database.query_opt("select from realtime.messages where id = $1", &[&id]).await?.is_some())
        };
        let seen = seen.await;
        database.batch_execute("rollback").await?;
        seen
    }
}

/// When the token runs out, or why it opens nothing.
async fn authorize(realtime: &Weak<Realtime>, topic: &str, private: bool, token: &str) -> Result<u64, String> {
    let realtime = realtime.upgrade().ok_or("RealtimeRestarting: Realtime is restarting, please standby")?;
    let claims = realtime.claims(token)?;
    let topic = topic.strip_prefix("realtime:").unwrap_or(topic);
    if private && !realtime.may_read(topic, &claims).await.unwrap_or(false) {
        return Err(format!("Unauthorized: You do not have permissions to read from this Channel topic: {topic}"));
    }
    Ok(claims["exp"].as_u64().unwrap_or(u64::MAX))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A channel that a connection has joined.
struct Channel {
    join_ref: Value,
    private: bool,
    /// Of its token, in seconds since 1970; a key runs out in 2100.
    expires_at: u64,
}

/// A message of Phoenix: of version 1 an object, of version 2 a list.
struct Phoenix {
    join_ref: Value,
    reference: Value,
    topic: String,
    event: String,
    payload: Value,
}

impl Phoenix {
    fn read(text: &str) -> Option<Phoenix> {
        let mut message: Value = serde_json::from_str(text).ok()?;
        let mut take = |place: usize, name: &str| match &mut message {
            Value::Array(list) => list.get_mut(place).map(Value::take).unwrap_or_default(),
            object => object.get_mut(name).map(Value::take).unwrap_or_default(),
        };
        Some(Phoenix {
            join_ref: take(0, "join_ref"),
            reference: take(1, "ref"),
            topic: take(2, "topic").as_str()?.to_owned(),
            event: take(3, "event").as_str()?.to_owned(),
            payload: take(4, "payload"),
        })
    }
}

struct Session {
    realtime: Weak<Realtime>,
    socket: WebSocket,
    is_v2: bool,
    /// Of its key.
    token: String,
    /// By topic, each with the prefix `realtime:`.
    channels: HashMap<String, Channel>,
}

impl Session {
    /// Until either end has gone.
    async fn run(mut self, mut spoken: broadcast::Receiver<Spoken>) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            let goes_on = tokio::select! {
                said = self.socket.recv() => match said {
                    Some(Ok(Message::Text(text))) => match Phoenix::read(&text) {
                        Some(message) => self.answer(message).await,
                        None => Some(()),
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => None,
                    // (A client's own broadcast comes as bytes.)
                    Some(Ok(_)) => Some(()),
                },
                heard = spoken.recv() => match heard {
                    Ok(Spoken::Message(row)) => self.tell(&row).await,
                    Ok(Spoken::Lost) | Err(_) => None,
                },
                _ = seconds.tick() => self.close_what_has_run_out().await,
            };
            if goes_on.is_none() {
                return;
            }
        }
    }

    async fn answer(&mut self, message: Phoenix) -> Option<()> {
        let Phoenix { join_ref, topic, event, payload, .. } = &message;
        match (event.as_str(), self.channels.get(topic)) {
            ("heartbeat", _) if topic == "phoenix" => self.reply(&message, Ok(json!({}))).await,
            ("phx_join", _) if topic.starts_with("realtime:") => {
                let before = self.channels.remove(topic);
                let joined = self.join(&message).await;
                self.reply(&message, joined.map(|()| json!({ "postgres_changes": [] }))).await?;
                self.tell_closed(topic, before).await
            }
            ("phx_leave", None) => self.reply(&message, Ok(json!({}))).await,
            (_, None) => {
                let payload = json!({ "status": "error", "response": { "reason": "unmatched topic" } });
                self.push(&Value::Null, &message.reference, topic, "phx_reply", &payload).await
            }
            // (To a channel that has been joined again since.)
            (_, Some(channel)) if !join_ref.is_null() && channel.join_ref != *join_ref => Some(()),
            ("phx_leave", Some(_)) => {
                self.reply(&message, Ok(json!({}))).await?;
                self.close(topic).await
            }
            ("access_token", Some(channel)) => match payload["access_token"].as_str() {
                Some(token) if !token.starts_with("sb_") => {
                    match authorize(&self.realtime, topic, channel.private, token).await {
                        Ok(expires_at) => {
                            self.channels.entry(topic.clone()).and_modify(|channel| channel.expires_at = expires_at);
                            Some(())
                        }
                        Err(refusal) => {
                            let words = refusal.split_once(": ").map_or(refusal.as_str(), |(_, words)| words);
                            self.shut_down(topic, words).await
                        }
                    }
                }
                _ => Some(()),
            },
            ("presence", Some(_)) => self.reply(&message, Err("this stand-in has no presence".to_owned())).await,
            _ => Some(()),
        }
    }

    async fn join(&mut self, Phoenix { join_ref, topic, payload, .. }: &Phoenix) -> Result<(), String> {
        if topic == "realtime:" {
            return Err("TopicNameRequired: You must provide a topic name".to_owned());
        }
        let config = &payload["config"];
        if config["postgres_changes"].as_array().is_some_and(|changes| !changes.is_empty()) {
            return Err("RealtimeDisabledForConfiguration: this stand-in tells no changes of tables".to_owned());
        }
        let private = config["private"] == true;
        // (A key of the newer form is not a token.)
        let token = payload["access_token"].as_str().filter(|token| !token.starts_with("sb_"));
        let expires_at = authorize(&self.realtime, topic, private, token.unwrap_or(&self.token)).await?;
        self.channels.insert(topic.clone(), Channel { join_ref: join_ref.clone(), private, expires_at });
        Ok(())
    }

    async fn tell(&mut self, row: &Row) -> Option<()> {
        let topic = format!("realtime:{}", row.topic);
        if self.channels.get(&topic).is_none_or(|channel| channel.private != row.private) {
            return Some(());
        }
        match (self.is_v2, row.bytes()) {
            (true, Some(bytes)) => self.socket.send(Message::Binary(bytes.into())).await.ok(),
            (true, None) => Some(()),
            (false, _) => self.push(&Value::Null, &Value::Null, &topic, "broadcast", &row.json()).await,
        }
    }

    async fn close_what_has_run_out(&mut self) -> Option<()> {
        let over = self.channels.iter().filter(|(_, channel)| channel.expires_at <= now());
        for topic in over.map(|(topic, _)| topic.clone()).collect::<Vec<_>>() {
            self.shut_down(&topic, "Token has expired 0 seconds ago").await?;
        }
        Some(())
    }

    /// Says why, and closes it.
    async fn shut_down(&mut self, topic: &str, message: &str) -> Option<()> {
        let join_ref = self.channels.get(topic)?.join_ref.clone();
        let sub_topic = topic.strip_prefix("realtime:");
        let payload = json!({ "extension": "system", "status": "error", "message": message, "channel": sub_topic });
        self.push(&join_ref, &Value::Null, topic, "system", &payload).await?;
        self.close(topic).await
    }

    async fn close(&mut self, topic: &str) -> Option<()> {
        let channel = self.channels.remove(topic);
        self.tell_closed(topic, channel).await
    }

    async fn tell_closed(&mut self, topic: &str, channel: Option<Channel>) -> Option<()> {
        match channel {
            Some(Channel { join_ref, .. }) => self.push(&join_ref, &join_ref, topic, "phx_close", &json!({})).await,
            None => Some(()),
        }
    }

    async fn reply(&mut self, to: &Phoenix, answer: Result<Value, String>) -> Option<()> {
        let payload = match answer {
            Ok(response) => json!({ "status": "ok", "response": response }),
            Err(reason) => json!({ "status": "error", "response": { "reason": reason } }),
        };
        self.push(&to.join_ref, &to.reference, &to.topic, "phx_reply", &payload).await
    }

    /// `None`: the connection has gone.
    async fn push(
        &mut self,
        join_ref: &Value,
        reference: &Value,
        topic: &str,
        event: &str,
        payload: &Value,
    ) -> Option<()> {
        let message = match self.is_v2 {
            true => json!([join_ref, reference, topic, event, payload]),
            false => json!({ "ref": reference, "topic": topic, "event": event, "payload": payload }),
        };
        self.socket.send(Message::Text(message.to_string().into())).await.ok()
    }
}
