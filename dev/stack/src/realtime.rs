//! A stand-in for Supabase Realtime: channels on which the database speaks, over a WebSocket.
//!
//! What an app's users see of it is the original's: Phoenix' messages in both versions, tokens and when they run out, who
//! may join a private channel (a row of realtime.messages inserted, looked at by the policies and rolled back), the words of
//! a refusal, and what realtime.send has sent, once its transaction has committed. It has no messages of clients, no
//! presence and no changes of tables: who asks for those is refused. Source: supabase/realtime, realtime_channel.ex.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
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
const SPOKEN: &str = "select topic, private, json_build_object('type', 'broadcast', 'event', event, 'payload', payload,
    'meta', json_build_object('id', id)) from realtime.messages where id = $1";
/// (The last is what auth.uid() of @supabase/lite reads.)
const CONTEXT: &str = "select set_config('role', $1, true), set_config('realtime.topic', $2, true),
    set_config('request.jwt.claims', $3, true), set_config('request.jwt.claim.sub', $4, true)";

pub(crate) struct Realtime {
    keys: Arc<Keys>,
    /// Asks what the policies allow.
    database: Mutex<Client>,
    spoken: broadcast::Sender<Spoken>,
    is_on: AtomicBool,
}

#[derive(Clone)]
enum Spoken {
    Message {
        topic: String,
        private: bool,
        payload: Arc<Value>,
    },
    /// All connections are lost.
    Lost,
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
                let Ok(row) = listener.query_one(SPOKEN, &[&id]).await else { return };
                let payload = Arc::new(row.get(2));
                let _ = realtime.spoken.send(Spoken::Message { topic: row.get(0), private: row.get(1), payload });
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
        let is_known = query.get("apikey").is_some_and(|key| self.keys.roles().get(key).is_some());
        if !self.is_on.load(Ordering::Relaxed) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        } else if !is_known {
            return StatusCode::FORBIDDEN.into_response();
        }
        let is_v2 = query.get("vsn").is_some_and(|version| version.starts_with("2."));
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(move |socket| {
                let spoken = self.spoken.subscribe();
                Session { realtime: Arc::downgrade(&self), socket, is_v2, channels: HashMap::new() }.run(spoken)
            }),
            Err(rejection) => rejection.into_response(),
        }
    }

    /// Who a token speaks for: its claims, or the words of a refusal.
    fn claims(&self, token: Option<&str>) -> Result<Value, String> {
        // (A key of the newer form, or none, is nobody.)
        let Some(token) = token.filter(|token| !token.starts_with("sb_")) else { return Ok(json!({ "role": "anon" })) };
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
            let role = claims["role"].as_str().unwrap_or("anon");
            let user = claims["sub"].as_str().unwrap_or_default();
            database.query_one(CONTEXT, &[&role, &topic, &claims.to_string(), &user]).await?;
            let seen = "select from realtime.messages where id = $1 and topic = $2 and extension = 'broadcast'";
            Ok(!database.query(seen, &[&id, &topic]).await?.is_empty())
        };
        let seen = seen.await;
        database.batch_execute("rollback").await?;
        seen
    }
}

/// When the token runs out, or why it opens nothing.
async fn authorize(
    realtime: Option<Arc<Realtime>>,
    topic: &str,
    private: bool,
    token: Option<&str>,
) -> Result<u64, String> {
    let realtime = realtime.ok_or("RealtimeRestarting: Realtime is restarting, please standby")?;
    let claims = realtime.claims(token)?;
    let sub_topic = topic.strip_prefix("realtime:").unwrap_or(topic);
    if private && !realtime.may_read(sub_topic, &claims).await.unwrap_or(false) {
        return Err(format!("Unauthorized: You do not have permissions to read from this Channel topic: {sub_topic}"));
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
    /// By topic.
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
                        None => None,
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => None,
                    // (A client's own broadcast comes as bytes; without a policy for it the original drops it too.)
                    Some(Ok(_)) => Some(()),
                },
                heard = spoken.recv() => match heard {
                    Ok(Spoken::Message { topic, private, payload }) => self.tell(&topic, private, &payload).await,
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
        let Phoenix { topic, event, payload, .. } = &message;
        match event.as_str() {
            "heartbeat" if topic == "phoenix" => self.reply(&message, Ok(json!({}))).await,
            "phx_join" => {
                let joined = self.join(&message).await;
                self.reply(&message, joined.map(|()| json!({ "postgres_changes": [] }))).await
            }
            _ if !self.channels.contains_key(topic) => self.reply(&message, Err("unmatched topic".to_owned())).await,
            "phx_leave" => {
                self.reply(&message, Ok(json!({}))).await?;
                self.close(topic).await
            }
            "access_token" => match payload["access_token"].as_str() {
                Some(token) if !token.starts_with("sb_") => {
                    let private = self.channels[topic].private;
                    match authorize(self.realtime.upgrade(), topic, private, Some(token)).await {
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
            _ => Some(()),
        }
    }

    async fn join(&mut self, Phoenix { join_ref, topic, payload, .. }: &Phoenix) -> Result<(), String> {
        let config = &payload["config"];
        if config["postgres_changes"].as_array().is_some_and(|changes| !changes.is_empty()) {
            return Err("RealtimeDisabledForConfiguration: this stand-in tells no changes of tables".to_owned());
        }
        let private = config["private"] == true;
        let token = payload["access_token"].as_str();
        let expires_at = authorize(self.realtime.upgrade(), topic, private, token).await?;
        // One that joins again takes the place of the one before.
        self.close(topic).await;
        self.channels.insert(topic.clone(), Channel { join_ref: join_ref.clone(), private, expires_at });
        Ok(())
    }

    async fn tell(&mut self, topic: &str, private: bool, payload: &Value) -> Option<()> {
        let topic = format!("realtime:{topic}");
        match self.channels.get(&topic) {
            Some(channel) if channel.private == private => {
                self.push(&Value::Null, &Value::Null, &topic, "broadcast", payload).await
            }
            _ => Some(()),
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
        match self.channels.remove(topic) {
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
            false => {
                json!({ "join_ref": join_ref, "ref": reference, "topic": topic, "event": event, "payload": payload })
            }
        };
        self.socket.send(Message::Text(message.to_string().into())).await.ok()
    }
}
