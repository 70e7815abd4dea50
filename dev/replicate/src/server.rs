//! The server's handle: two listeners and the controls for tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::{Extension, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::catalogue::Catalogue;
use crate::fault::{Endpoint, Fault, Mode};
use crate::gate::{Connection, Request};
use crate::prediction::Prediction;
use crate::rate::Rate;
use crate::state::Shared;
use crate::webhook::{Delivery, Sender};
use crate::{api, files};

#[derive(Clone, Debug)]
pub struct Options {
    /// the only accepted token
    pub token: String,
    /// the time from creation to start: the cold boot
    pub starting: Duration,
    /// the time from start to end
    pub processing: Duration,
    pub creates: Rate,
    /// for every call of the API but creates
    pub others: Rate,
    /// the time from a prediction's end until its input, output and logs are removed
    pub retention: Duration,
    /// other inputs for models of `models.json`, or additional models, by id: JSON schemas by name
    pub published: HashMap<String, Map<String, Value>>,
    /// `whsec_` and the base64 of the key
    pub webhook_secret: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            token: "r8_stand_in".to_owned(),
            starting: Duration::from_millis(200),
            processing: Duration::from_millis(300),
            creates: Rate::CREATES,
            others: Rate::OTHERS,
            retention: Duration::from_secs(3600),
            published: HashMap::new(),
            webhook_secret: "whsec_c3RhbmQtaW4gd2ViaG9vayBzZWNyZXQh".to_owned(),
        }
    }
}

/// A running stand-in. It runs until it is stopped or its runtime ends.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl Server {
    /// Listens on two ports of 127.0.0.1 that the system chooses. Fails if the webhook secret has another form.
    pub async fn start(options: Options) -> anyhow::Result<Server> {
        let api = TcpListener::bind("127.0.0.1:0").await.context("listen for the API")?;
        let files = TcpListener::bind("127.0.0.1:0").await.context("listen for the files")?;
        let sender = Sender::new(&options.webhook_secret)?;
        let mut catalogue = Catalogue::load()?;
        for (id, inputs) in &options.published {
            catalogue.publish(id, inputs.clone());
        }
        let shared = Arc::new(Shared::new(
            options,
            format!("http://{}/v1", api.local_addr()?),
            files.local_addr()?.to_string(),
            catalogue,
            sender,
        ));
        shared.tasks.spawn(serve(shared.clone(), api, api::router(shared.clone())));
        shared.tasks.spawn(serve(shared.clone(), files, files::router(shared.clone())));
        shared.tasks.close();
        Ok(Server(shared))
    }

    /// `http://127.0.0.1:PORT/v1`, for `REPLICATE_API_URL`.
    pub fn api_url(&self) -> String {
        self.0.api_url.clone()
    }

    /// `127.0.0.1:PORT`, for `ALLOWED_OUTPUT_HOSTS`.
    pub fn files_host(&self) -> String {
        self.0.files_host.clone()
    }

    /// `http://127.0.0.1:PORT`
    pub fn files_url(&self) -> String {
        format!("http://{}", self.0.files_host)
    }

    /// All predictions in their present state, oldest first.
    pub fn predictions(&self) -> Vec<Prediction> {
        let now = self.0.clock.now();
        self.0.state().records.iter().map(|record| record.at(now)).collect()
    }

    /// All requests to both ports, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.0.state().requests.clone()
    }

    /// The key that signs webhooks: `whsec_…`
    pub fn webhook_secret(&self) -> String {
        self.0.options.webhook_secret.clone()
    }

    /// Every try to deliver a webhook, in the order of sending.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.0.state().deliveries.clone()
    }

    pub fn set_mode(&self, mode: Mode) {
        self.0.state().mode = mode;
    }

    /// Makes the next `times` calls of this kind fail; faults on the same call queue up.
    pub fn fail_next(&self, on: Endpoint, fault: Fault, times: u32) {
        if times > 0 {
            self.0.state().faults.push_back((on, fault, times));
        }
    }

    /// Serves these bytes on the files' port under `path`, which starts with a slash, and returns the URL.
    pub fn serve_file(&self, path: &str, content_type: &str, bytes: impl Into<Bytes>) -> String {
        self.0.state().extra_files.insert(path.to_owned(), (content_type.to_owned(), bytes.into()));
        format!("{}{path}", self.files_url())
    }

    /// Frees both ports, closes every connection and sends no more webhooks.
    pub async fn stop(self) {
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }
}

/// Answers every connection until the server is stopped.
async fn serve(shared: Arc<Shared>, listener: TcpListener, router: Router) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // The connection has closed already, or there are no file descriptors left: wait for some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let closed = shared.stop.child_token();
        let router = router.clone().layer(Extension(Connection(closed.clone())));
        shared.tasks.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            tokio::select! {
                // The end of a connection is the caller's concern.
                _ = connection => {}
                () = closed.cancelled() => {}
            }
        });
    }
}
