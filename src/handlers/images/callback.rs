//! The URL to which a job's prediction reports its end, and the event that the job gets from the report.
//!
//! The token in the URL proves that the report is about a prediction that this worker made for this job, not about
//! another of the account's.

use crate::config::Webhooks;
use crate::json::object;
use crate::models::input::outline;
use crate::replicate::prediction::{output_urls, sentence};
use crate::text::cut;
use constant_time_eq::constant_time_eq;
use hmac_sha256::HMAC;
use serde_json::{Map, Value};

/// The characters of a token, four bits each.
const TOKEN_LENGTH: usize = 32;
/// The fields that a run reads of a prediction that has ended.
const EVENT_FIELDS: [&str; 10] =
    ["id", "status", "model", "version", "input", "output", "data_removed", "error", "metrics", "completed_at"];
const OUTPUT_MAX_BYTES: usize = 256 * 1024;
const ERROR_MAX_CHARACTERS: usize = 2000;

/// The URL for the report of a prediction made in this life of the job.
pub fn url(webhooks: &Webhooks, job_id: &str, life: u32) -> String {
    let token = token(webhooks, job_id, life);
    format!("{}/webhooks/replicate?job={job_id}&life={life}&token={token}", webhooks.function_url)
}

pub fn is_token(webhooks: &Webhooks, job_id: &str, life: u32, found: &str) -> bool {
    constant_time_eq(token(webhooks, job_id, life).as_bytes(), found.as_bytes())
}

fn token(webhooks: &Webhooks, job_id: &str, life: u32) -> String {
    let mac = HMAC::mac(format!("process-jobs webhook for life {life} of job {job_id}"), &webhooks.key);
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(TOKEN_LENGTH).collect()
}

/// The event for the job about a prediction, small enough to be kept with it. Outputs too large for that are left out;
/// the run fetches them.
pub fn event(prediction: &Value) -> Value {
    let mut event = Map::new();
    for field in EVENT_FIELDS {
        if let Some(value) = prediction.get(field).filter(|value| !value.is_null()) {
            let kept = match field {
                "output" => match output_urls(value) {
                    urls if urls.iter().map(String::len).sum::<usize>() > OUTPUT_MAX_BYTES => continue,
                    mut urls if urls.len() == 1 && value.is_string() => urls.pop().into(),
                    urls => urls.into(),
                },
                // The record of the sent input, if no checkpoint has one.
                "input" => match value {
                    Value::Object(input) => outline(input).into(),
                    _ => continue,
                },
                "error" => cut(&sentence(value), ERROR_MAX_CHARACTERS).into(),
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

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_token_is_of_one_life_of_one_job_and_one_secret() {
        let webhooks = Webhooks::new(SECRET, "https://a/process-jobs").unwrap();
        let url = super::url(&webhooks, "job-1", 2);
        let token = url.strip_prefix("https://a/process-jobs/webhooks/replicate?job=job-1&life=2&token=").unwrap();
        assert_eq!(token.len(), TOKEN_LENGTH);
        assert!(is_token(&webhooks, "job-1", 2, token));
        assert!(!is_token(&webhooks, "job-1", 1, token));
        assert!(!is_token(&webhooks, "job-2", 2, token));
        assert!(!is_token(&webhooks, "job-1", 2, &token[1..]));
        let other = Webhooks::new("whsec_AAAA", "https://a").unwrap();
        assert!(!is_token(&other, "job-1", 2, token));
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
