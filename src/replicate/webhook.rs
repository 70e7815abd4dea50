//! Replicate's webhooks: where a prediction reports its end to, and the proof that a report is Replicate's.
//!
//! Signatures are those of Standard Webhooks: `webhook-signature` holds one or more `v1,<base64>`, each an
//! HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>` under the account's secret. They say that Replicate
//! sent the report for our account. The token in the address says that it is about a prediction which we made for
//! this job, and not about any other of the account's.

use super::input::outline;
use super::prediction::{output_urls, sentence};
use crate::error::cut;
use crate::json::object;
use base64ct::{Base64, Encoding};
use constant_time_eq::constant_time_eq;
use hmac_sha256::HMAC;
use serde_json::{Map, Value};

/// How far the clock of a report may be off, in seconds. Replicate tries for about a minute.
const TOLERANCE_SECONDS: u64 = 300;
/// Characters of a token, four bits each.
const TOKEN_LENGTH: usize = 32;
/// What a run reads of a prediction that has ended.
const EVENT_FIELDS: [&str; 10] =
    ["id", "status", "model", "version", "input", "output", "data_removed", "error", "metrics", "completed_at"];
const OUTPUT_BYTES_MOST: usize = 256 * 1024;
const ERROR_CHARACTERS_MOST: usize = 2000;

/// What webhooks are made and checked with.
#[derive(Debug, Clone)]
pub struct Webhooks {
    key: Vec<u8>,
    function_url: String,
}

/// The headers that a signature consists of.
pub struct Signature<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signatures: &'a str,
}

impl Webhooks {
    /// `secret` is `whsec_` and the key in base64, as `GET /v1/webhooks/default/secret` gives it; None: it is not.
    pub fn new(secret: &str, function_url: &str) -> Option<Webhooks> {
        let key = Base64::decode_vec(secret.strip_prefix("whsec_")?).ok().filter(|key| !key.is_empty())?;
        Some(Webhooks { key, function_url: function_url.to_owned() })
    }

    /// Where a prediction that is made in this life of the job reports to.
    pub fn url(&self, job_id: &str, life: u32) -> String {
        let token = self.token(job_id, life);
        format!("{}/webhooks/replicate?job={job_id}&life={life}&token={token}", self.function_url)
    }

    pub fn is_token(&self, job_id: &str, life: u32, found: &str) -> bool {
        constant_time_eq(self.token(job_id, life).as_bytes(), found.as_bytes())
    }

    fn token(&self, job_id: &str, life: u32) -> String {
        let mac = HMAC::mac(format!("process-jobs webhook for life {life} of job {job_id}"), &self.key);
        mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(TOKEN_LENGTH).collect()
    }

    /// Checks a report; the error says what is wrong with it.
    pub fn verify(&self, signature: &Signature<'_>, body: &str, unix_seconds: u64) -> Result<(), &'static str> {
        let timestamp = signature.timestamp.parse::<u64>().map_err(|_| "webhook-timestamp is no time")?;
        if timestamp.abs_diff(unix_seconds) > TOLERANCE_SECONDS {
            return Err("webhook-timestamp is more than 300 s off");
        }
        let mut mac = HMAC::new(&self.key);
        for part in [signature.id, ".", signature.timestamp, ".", body] {
            mac.update(part);
        }
        let expected = Base64::encode_string(&mac.finalize());
        let is_ours = |found: &str| {
            found.strip_prefix("v1,").is_some_and(|found| constant_time_eq(found.as_bytes(), expected.as_bytes()))
        };
        match signature.signatures.split(' ').any(is_ours) {
            true => Ok(()),
            false => Err("webhook-signature is not replicate's"),
        }
    }
}

/// What the job is told of a prediction: little enough to be kept with it. Outputs that are too much for that are
/// looked at by the run.
pub fn event(prediction: &Value) -> Value {
    let mut event = Map::new();
    for field in EVENT_FIELDS {
        if let Some(value) = prediction.get(field).filter(|value| !value.is_null()) {
            let kept = match field {
                "output" => match output_urls(value) {
                    urls if urls.iter().map(String::len).sum::<usize>() > OUTPUT_BYTES_MOST => continue,
                    mut urls if urls.len() == 1 && value.is_string() => urls.pop().into(),
                    urls => urls.into(),
                },
                // Where no checkpoint says it, what was sent.
                "input" => match value {
                    Value::Object(input) => outline(input).into(),
                    _ => continue,
                },
                "error" => cut(&sentence(value), ERROR_CHARACTERS_MOST).into(),
                "metrics" => match value.get("predict_time").and_then(Value::as_f64) {
                    Some(seconds) => object(vec![("predict_time", seconds.into())]),
                    None => continue,
                },
                _ => value.clone(),
            };
            event.insert(field.to_owned(), kept);
        }
    }
    Value::Object(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The vector that Replicate's own JavaScript client is tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn a_report_is_proven_by_its_signature() {
        let other = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=";
        let (two, sha1) = (format!("{other} {SIGNATURE}"), SIGNATURE.replace("v1,", "v1a,"));
        let sent = 1_614_265_330;
        let table = [
            (ID, TIMESTAMP, SIGNATURE, BODY, sent, Ok(())),
            (ID, TIMESTAMP, SIGNATURE, BODY, sent + 300, Ok(())),
            (ID, TIMESTAMP, SIGNATURE, BODY, sent - 300, Ok(())),
            (ID, TIMESTAMP, two.as_str(), BODY, sent, Ok(())),
            (ID, TIMESTAMP, SIGNATURE, BODY, sent + 301, Err("webhook-timestamp is more than 300 s off")),
            (ID, TIMESTAMP, SIGNATURE, BODY, sent - 301, Err("webhook-timestamp is more than 300 s off")),
            (ID, "soon", SIGNATURE, BODY, sent, Err("webhook-timestamp is no time")),
            (ID, "1614265331", SIGNATURE, BODY, sent, Err("webhook-signature is not replicate's")),
            ("msg_other", TIMESTAMP, SIGNATURE, BODY, sent, Err("webhook-signature is not replicate's")),
            (ID, TIMESTAMP, other, BODY, sent, Err("webhook-signature is not replicate's")),
            (ID, TIMESTAMP, sha1.as_str(), BODY, sent, Err("webhook-signature is not replicate's")),
            (ID, TIMESTAMP, "", BODY, sent, Err("webhook-signature is not replicate's")),
            (ID, TIMESTAMP, SIGNATURE, r#"{"test": 2432232315}"#, sent, Err("webhook-signature is not replicate's")),
        ];
        let webhooks = Webhooks::new(SECRET, "https://a").unwrap();
        for (id, timestamp, signatures, body, now, expected) in table {
            let signature = Signature { id, timestamp, signatures };
            assert_eq!(webhooks.verify(&signature, body, now), expected, "{id} {timestamp} {signatures} {body} {now}");
        }
    }

    #[test]
    fn a_token_is_of_one_life_of_one_job_and_one_secret() {
        let webhooks = Webhooks::new(SECRET, "https://a/process-jobs").unwrap();
        let url = webhooks.url("job-1", 2);
        let token = url.strip_prefix("https://a/process-jobs/webhooks/replicate?job=job-1&life=2&token=").unwrap();
        assert_eq!(token.len(), TOKEN_LENGTH);
        assert!(webhooks.is_token("job-1", 2, token));
        assert!(!webhooks.is_token("job-1", 1, token));
        assert!(!webhooks.is_token("job-2", 2, token));
        assert!(!webhooks.is_token("job-1", 2, &token[1..]));
        let other = Webhooks::new("whsec_AAAA", "https://a").unwrap();
        assert!(!other.is_token("job-1", 2, token));
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for secret in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64", "whsec_MfK"] {
            assert!(Webhooks::new(secret, "https://a").is_none(), "{secret}");
        }
    }

    #[test]
    fn an_event_is_what_a_run_reads() {
        let prediction = json!({
            "id": "p1", "status": "failed", "model": "o/n", "version": "hidden", "error": "E005", "output": null,
            "input": { "prompt": "a".repeat(500_000), "image": "https://a/b.png?token=secret", "mask": null },
            "logs": "long", "urls": { "get": "https://a" }, "completed_at": "2026-11-23T10:00:00Z",
        });
        assert_eq!(
            event(&prediction),
            json!({
                "id": "p1", "status": "failed", "model": "o/n", "version": "hidden", "error": "E005",
                "input": { "prompt": format!("{}… (500000 characters)", "a".repeat(200)), "image": "https://a/b.png" },
                "completed_at": "2026-11-23T10:00:00Z",
            })
        );
    }
}
