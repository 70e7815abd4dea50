//! Proves that a report of a prediction comes from Replicate.
//!
//! Signatures follow Standard Webhooks: `webhook-signature` holds one or more `v1,<base64>`, each an HMAC-SHA256 of
//! `<webhook-id>.<webhook-timestamp>.<body>` under the account's secret. They prove that Replicate sent the report for
//! this account.

use base64ct::{Base64, Encoding};
use constant_time_eq::constant_time_eq;
use hmac_sha256::HMAC;

/// The largest clock difference of a report, in seconds. Replicate retries for about a minute.
const TOLERANCE_SECONDS: u64 = 300;

/// The headers that form a signature.
pub struct Signature<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signatures: &'a str,
}

/// Checks a report; the error names the defect.
pub fn verify(key: &[u8], signature: &Signature<'_>, body: &str, unix_seconds: u64) -> Result<(), &'static str> {
    let timestamp = signature.timestamp.parse::<u64>().map_err(|_| "webhook-timestamp is no time")?;
    if timestamp.abs_diff(unix_seconds) > TOLERANCE_SECONDS {
        return Err("webhook-timestamp is more than 300 s off");
    }
    let mut mac = HMAC::new(key);
    for part in [signature.id, ".", signature.timestamp, ".", body] {
        mac.update(part);
    }
    let expected = Base64::encode_string(&mac.finalize());
    let is_ours = |found: &str| {
        found.strip_prefix("v1,").is_some_and(|found| constant_time_eq(found.as_bytes(), expected.as_bytes()))
    };
    if signature.signatures.split(' ').any(is_ours) { Ok(()) } else { Err("webhook-signature is not replicate's") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of Replicate's own JavaScript client.
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
        let key = Base64::decode_vec(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
        for (id, timestamp, signatures, body, now, expected) in table {
            let signature = Signature { id, timestamp, signatures };
            assert_eq!(verify(&key, &signature, body, now), expected, "{id} {timestamp} {signatures} {body} {now}");
        }
    }
}
