//! Signatures of Standard Webhooks: those that we send, and those that we receive.
//!
//! `webhook-signature` holds one or more `v1,<base64>`, each an HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>`
//! under a secret that both sides know.

use base64ct::{Base64, Encoding};
use constant_time_eq::constant_time_eq;
use hmac_sha256::HMAC;

/// The largest difference of a timestamp from now, in seconds.
const TOLERANCE_SECONDS: u64 = 300;

/// The headers that form a signature.
pub struct Signature<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signatures: &'a str,
}

/// The key in a secret, which is `whsec_` and the key in base64; else returns `None`.
pub fn key(secret: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(secret.strip_prefix("whsec_")?).ok().filter(|key| !key.is_empty())
}

/// The key for messages to one user, who may know it: it tells nothing of the others'.
pub fn key_of_user(key: &[u8], user_id: &str) -> Vec<u8> {
    HMAC::mac(format!("user:{user_id}"), key).to_vec()
}

/// The headers that prove a body. `id` stays the same in each try, so that the receiver takes a body once;
/// `unix_seconds` is the try's time. While a secret is being replaced there are two keys, and a signature of each.
pub fn headers(keys: &[Vec<u8>], id: &str, unix_seconds: u64, body: &str) -> [(String, String); 3] {
    let timestamp = unix_seconds.to_string();
    let signatures: Vec<String> = keys.iter().map(|key| sign(key, id, &timestamp, body)).collect();
    [("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp), ("webhook-signature", signatures.join(" "))]
        .map(|(name, value)| (name.to_owned(), value))
}

/// Checks what was received; the error names the defect.
pub fn verify(key: &[u8], signature: &Signature<'_>, body: &str, unix_seconds: u64) -> Result<(), &'static str> {
    let timestamp = signature.timestamp.parse::<u64>().map_err(|_| "webhook-timestamp is no time")?;
    if timestamp.abs_diff(unix_seconds) > TOLERANCE_SECONDS {
        return Err("webhook-timestamp is more than 300 s off");
    }
    let expected = sign(key, signature.id, signature.timestamp, body);
    let is_ours = |found: &str| constant_time_eq(found.as_bytes(), expected.as_bytes());
    if signature.signatures.split(' ').any(is_ours) { Ok(()) } else { Err("webhook-signature is not the sender's") }
}

fn sign(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    let mut mac = HMAC::new(key);
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part);
    }
    format!("v1,{}", Base64::encode_string(&mac.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of Replicate's own JavaScript client, and of the specification's libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn a_body_is_proven_by_its_signature() {
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
            (ID, "1614265331", SIGNATURE, BODY, sent, Err("webhook-signature is not the sender's")),
            ("msg_other", TIMESTAMP, SIGNATURE, BODY, sent, Err("webhook-signature is not the sender's")),
            (ID, TIMESTAMP, other, BODY, sent, Err("webhook-signature is not the sender's")),
            (ID, TIMESTAMP, sha1.as_str(), BODY, sent, Err("webhook-signature is not the sender's")),
            (ID, TIMESTAMP, "", BODY, sent, Err("webhook-signature is not the sender's")),
            (ID, TIMESTAMP, SIGNATURE, r#"{"test": 2432232315}"#, sent, Err("webhook-signature is not the sender's")),
        ];
        let key = key(SECRET).unwrap();
        for (id, timestamp, signatures, body, now, expected) in table {
            let signature = Signature { id, timestamp, signatures };
            assert_eq!(verify(&key, &signature, body, now), expected, "{id} {timestamp} {signatures} {body} {now}");
        }
    }

    #[test]
    fn what_is_sent_has_a_signature_of_each_key() {
        let keys = [key("whsec_AAAA").unwrap(), key(SECRET).unwrap()];
        let [id, timestamp, signatures] = headers(&keys, ID, 1_614_265_330, BODY).map(|(_, value)| value);
        assert!(signatures.ends_with(&format!(" {SIGNATURE}")), "{signatures}");
        for key in &keys {
            let signature = Signature { id: &id, timestamp: &timestamp, signatures: &signatures };
            assert_eq!(verify(key, &signature, BODY, 1_614_265_330), Ok(()));
        }
    }
}
