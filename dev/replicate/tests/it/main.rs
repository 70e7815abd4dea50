//! The stand-in, asked over HTTP. Time is tokio's paused clock wherever it matters.

mod catalogue;
mod create;
mod faults;
mod files;
mod life;
mod limits;
mod list;
mod official_client;
mod scripts;
mod webhooks;

use std::time::Duration;

use replicate_stand_in::{Options, Server};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

pub const TOKEN: &str = "r8_stand_in";
pub const SCHNELL: &str = "black-forest-labs/flux-schnell";
pub const SDXL: &str = "stability-ai/sdxl";
pub const SDXL_VERSION: &str = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc";

/// An answer: status, headers that matter, body.
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub retry_after: Option<String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }
}

pub struct Api {
    pub server: Server,
    pub client: Client,
}

impl Api {
    /// Boots in 1 s and runs for 4 s, of tokio's time.
    pub async fn start() -> Api {
        Api::with(Options {
            starting: Duration::from_secs(1),
            processing: Duration::from_secs(4),
            ..Options::default()
        })
        .await
    }

    pub async fn with(options: Options) -> Api {
        // A pool would keep timers, which a paused clock runs down at once.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("client");
        Api { server: Server::start(options).await.expect("server"), client }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.server.api_url())).bearer_auth(TOKEN)
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.client.get(format!("{}{path}", self.server.api_url())).bearer_auth(TOKEN)).await
    }

    pub async fn create(&self, version: &str, input: Value) -> Answer {
        send(self.post("/predictions").json(&json!({"version": version, "input": input}))).await
    }

    /// Creates one that must be accepted and answers its id.
    pub async fn created(&self, version: &str, input: Value) -> String {
        let answer = self.create(version, input).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_str().expect("id").to_owned()
    }

    /// Creates one and answers it when it has ended.
    pub async fn finished(&self, version: &str, input: Value) -> Value {
        let request =
            self.post("/predictions").header("prefer", "wait").json(&json!({"version": version, "input": input}));
        let answer = send(request).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }

    pub async fn prediction(&self, id: &str) -> Value {
        self.get(&format!("/predictions/{id}")).await.json()
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("answer");
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().expect("ascii").to_owned());
    Answer {
        status: response.status().as_u16(),
        location: header("location"),
        retry_after: header("retry-after"),
        text: response.text().await.expect("body"),
    }
}
