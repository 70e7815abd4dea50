//! The API keys of a project.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

/// Keys of one stack, in both of their forms.
pub(crate) struct Keys {
    /// `sb_secret_…`
    pub secret: String,
    /// `sb_publishable_…`
    pub publishable: String,
    /// The older forms: signed tokens that name a role.
    pub service_role: String,
    pub anon: String,
    pub jwt_secret: String,
}

impl Keys {
    pub fn new() -> Keys {
        Keys::of(random())
    }

    /// The keys of a project that is kept, in the file `keys` of `directory`; creates them if missing.
    pub fn kept_in(directory: &Path) -> Result<Keys> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join("keys");
        if !path.exists() {
            fs::write(&path, random().join("\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        let kept = fs::read_to_string(&path)?;
        let kept: Vec<String> = kept.lines().map(str::to_owned).collect();
        Ok(Keys::of(kept.try_into().map_err(|_| anyhow!("{} does not hold three lines", path.display()))?))
    }

    fn of([secret, publishable, jwt_secret]: [String; 3]) -> Keys {
        Keys {
            secret: format!("sb_secret_{secret}"),
            publishable: format!("sb_publishable_{publishable}"),
            service_role: key("service_role", &jwt_secret),
            anon: key("anon", &jwt_secret),
            jwt_secret,
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        sign(claims, &self.jwt_secret)
    }

    /// The claims of a token that the project has signed, or in Realtime's words why it is none.
    pub fn verify(&self, token: &str) -> Result<Value, String> {
        let malformed = || "MalformedJWT: The token provided is not a valid JWT".to_owned();
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (_, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed())?;
        mac(signed, &self.jwt_secret)
            .verify_slice(&decode(signature)?)
            .map_err(|_| "JwtSignatureError: Failed to validate JWT signature".to_owned())?;
        Ok(claims)
    }

    /// The token that the gateway puts in a key's place. `None`: it is no key.
    pub fn token(&self, key: &str) -> Option<String> {
        match self.roles()[key].as_str()? {
            "service_role" => Some(self.service_role.clone()),
            _ => Some(self.anon.clone()),
        }
    }

    /// Maps each key to its role.
    pub fn roles(&self) -> Value {
        json!({
            &self.secret: "service_role",
            &self.service_role: "service_role",
            &self.publishable: "anon",
            &self.anon: "anon",
        })
    }
}

/// Three texts of 128 random bits in hex.
fn random() -> [String; 3] {
    [(); 3].map(|()| Uuid::new_v4().simple().to_string())
}

/// A key of the older form, valid until 2100.
fn key(role: &str, secret: &str) -> String {
    sign(&json!({"iss": "supabase", "role": role, "iat": 1_700_000_000, "exp": 4_102_444_800_u64}), secret)
}

/// A JSON Web Token (HS256).
fn sign(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac(&signed, secret).finalize().into_bytes()))
}

fn mac(signed: &str, secret: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret.as_bytes()).expect("hmac takes keys of any length");
    mac.update(signed.as_bytes());
    mac
}
