//! Webhooks: a prediction's events, posted to its creator's URL and signed by Standard Webhooks.
//!
//! Two facts about Replicate are unknown and chosen here: the pauses between the tries of the final event (only their
//! kind and end are documented), and that an aborted prediction sends nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::Value;
use sha2::Sha256;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::answer::{self, Refusal};
use crate::prediction::{Prediction, Status};
use crate::schema::Violation;
use crate::script;
use crate::state::Shared;

/// The least time between two events of the types `output` and `logs`.
const THROTTLE: Duration = Duration::from_millis(500);
/// The final event is tried again 1, 3, 7, 15, 31 and 63 s after its first try.
const LAST_TRY: Duration = Duration::from_secs(63);
/// The time for the answer to a try.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The age of a stale timestamp.
const STALE_SECONDS: i64 = 600;

/// One try to deliver an event.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub prediction_id: String,
    /// the same in every try
    pub webhook_id: String,
    /// the prediction's status in the body
    pub status: Status,
    pub url: String,
    /// none while it is under way, and if no answer came
    pub answered: Option<u16>,
    /// signed with a secret that is not the server's
    pub forged: bool,
}

/// The events that a create asks for, and their URL.
pub struct Webhook {
    url: Url,
    events: Vec<String>,
}

/// Signs and sends the events.
pub struct Sender {
    key: Vec<u8>,
    client: Client,
}

/// Has the same id and body in every try.
struct Event {
    id: String,
    url: Url,
    prediction: Prediction,
    forged: bool,
    stale: bool,
}

impl Webhook {
    /// Reads a create's body, whose form has been checked; `None` if it asks for no webhook. Without a filter the
    /// events are new outputs and the end.
    pub fn of_create(body: &Value) -> Result<Option<Webhook>, Refusal> {
        let Some(text) = body["webhook"].as_str() else { return Ok(None) };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| {
            let description = "Does not match format 'uri'".to_owned();
            answer::invalid(&[Violation { kind: "format", field: "webhook".to_owned(), description }])
        })?;
        let events = match body["webhook_events_filter"].as_array() {
            Some(events) => events.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => vec!["output".to_owned(), "completed".to_owned()],
        };
        Ok(Some(Webhook { url, events }))
    }

    pub fn url(&self) -> String {
        self.url.to_string()
    }

    fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted == event)
    }

    fn event(&self, prediction: Prediction) -> Event {
        let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
        Event { id, url: self.url.clone(), prediction, forged: false, stale: false }
    }
}

impl Sender {
    /// Fails unless the secret is `whsec_` and base64.
    pub fn new(secret: &str) -> anyhow::Result<Sender> {
        let encoded = secret.strip_prefix("whsec_").context("the webhook secret does not start with whsec_")?;
        let key = STANDARD.decode(encoded).context("the webhook secret is not base64 after whsec_")?;
        // A pool would keep timers, which a paused clock would run down at once.
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT).pool_max_idle_per_host(0);
        Ok(Sender { key, client: client.build().context("build the client that sends webhooks")? })
    }
}

/// Sends a new prediction's events from now on, until the last is delivered or given up.
pub fn follow(shared: &Arc<Shared>, id: String, webhook: Webhook, script: script::Webhook) {
    if !script.lost {
        spawn(shared, run(shared.clone(), id, webhook, script));
    }
}

/// Runs the work until the server stops.
fn spawn(shared: &Shared, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<Option<()>> {
    shared.tasks.spawn(shared.stop.clone().run_until_cancelled_owned(work))
}

async fn run(shared: Arc<Shared>, id: String, webhook: Webhook, script: script::Webhook) {
    let mut started = false;
    let mut logs = String::new();
    let mut throttled_until = Timestamp::MIN;
    let ended_at = loop {
        let mut cancelled = pin!(shared.cancelled.notified());
        cancelled.as_mut().enable();
        let now = shared.clock.now();
        let look = shared.state().record(&id).map(|record| (record.at(now), record.next_change(now)));
        let Some((prediction, next_change)) = look else { return };
        if let Some(ended_at) = prediction.completed_at {
            break ended_at;
        }
        let mut next = next_change.unwrap_or(now + SignedDuration::from_hours(1));
        if prediction.status == Status::Processing {
            if !started && webhook.wants("start") {
                send_once(&shared, webhook.event(prediction.clone())).await;
            }
            started = true;
            if webhook.wants("logs") {
                if prediction.logs != logs && now >= throttled_until {
                    throttled_until = now + THROTTLE;
                    logs.clone_from(&prediction.logs);
                    send_once(&shared, webhook.event(prediction)).await;
                }
                next = next.min(now + THROTTLE);
            }
        }
        tokio::select! {
            () = cancelled => {}
            () = shared.clock.sleep_until(next) => {}
        }
    };

    let just_before = ended_at - SignedDuration::from_micros(1);
    let look = shared.state().record(&id).map(|record| (record.at(just_before), record.at(ended_at)));
    let Some((running, ended)) = look else { return };
    if ended.status == Status::Aborted {
        return;
    }
    if webhook.wants("output") && !ended.output.is_null() && ended_at >= throttled_until {
        let with_output = Prediction { output: ended.output.clone(), ..running.clone() };
        send_once(&shared, webhook.event(with_output)).await;
    }
    if webhook.wants("completed") {
        let event = Event { forged: script.forged, stale: script.stale, ..webhook.event(ended) };
        tokio::time::sleep(script.late).await;
        send_until_taken(&shared, &event, script.twice).await;
    }
    if script.reordered {
        send_once(&shared, webhook.event(running)).await;
    }
}

/// Waits for the answer, so that the next event comes after this one, but not for long: a slow receiver does not delay
/// the others.
async fn send_once(shared: &Arc<Shared>, event: Event) {
    let sender = shared.clone();
    let answer = spawn(shared, async move {
        deliver(&sender, &event).await;
    });
    let _ = tokio::time::timeout(THROTTLE, answer).await;
}

/// `twice`: continues after the first accepted try as if it had failed.
async fn send_until_taken(shared: &Shared, event: &Event, mut twice: bool) {
    let first = Instant::now();
    let mut wait = Duration::ZERO;
    while wait <= LAST_TRY {
        tokio::time::sleep_until(first + wait).await;
        let answered = deliver(shared, event).await;
        if answered.is_some_and(|status| status < 400) && !std::mem::take(&mut twice) {
            return;
        }
        // Tries that fell due while this one hung are left out.
        while wait <= first.elapsed() {
            wait = 2 * wait + Duration::from_secs(1);
        }
    }
}

/// Makes one try and returns the status.
async fn deliver(shared: &Shared, event: &Event) -> Option<u16> {
    let place = {
        let mut state = shared.state();
        state.deliveries.push(Delivery {
            prediction_id: event.prediction.id.clone(),
            webhook_id: event.id.clone(),
            status: event.prediction.status,
            url: event.url.to_string(),
            answered: None,
            forged: event.forged,
        });
        state.deliveries.len() - 1
    };
    let body = event.prediction.to_json(&shared.api_url).to_string();
    let timestamp = shared.clock.now().as_second() - if event.stale { STALE_SECONDS } else { 0 };
    let key = if event.forged { b"a key of somebody else's" } else { shared.sender.key.as_slice() };
    let request = shared
        .sender
        .client
        .post(event.url.clone())
        .header("content-type", "application/json")
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", sign(key, &event.id, timestamp, &body))
        .body(body);
    let answered = request.send().await.ok().map(|response| response.status().as_u16());
    if let Some(delivery) = shared.state().deliveries.get_mut(place) {
        delivery.answered = answered;
    }
    answered
}

/// The value of `webhook-signature`; `timestamp` is in seconds.
fn sign(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("hmac takes keys of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector is that of the tests of replicate-javascript.
    #[test]
    fn the_published_signature_is_reproduced() {
        let sender = Sender::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a sound secret");
        let signature = sign(&sender.key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
