//! A stand-in for the platform's management API, as far as `functions deploy` asks it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use axum::extract::{DefaultBodyLimit, Multipart, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// 20 letters, as the CLI demands.
const PROJECT: &str = "abcdefghijklmnopqrst";

/// What was deployed.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    pub slug: String,
    pub metadata: Value,
    /// By their path from the project's root.
    pub files: BTreeMap<String, Vec<u8>>,
}

pub struct Platform {
    url: String,
    upload: Shared,
}

type Shared = Arc<Mutex<Option<Upload>>>;

impl Platform {
    pub async fn start() -> Result<Platform> {
        let upload = Shared::default();
        let project = format!("/v1/projects/{PROJECT}");
        let router = Router::new()
            .route(&project, get(async || Json(json!({ "id": PROJECT, "ref": PROJECT, "name": "ship" }))))
            .route(&format!("{project}/functions"), get(async || Json(json!([]))))
            .route(&format!("{project}/functions/deploy"), post(deploy))
            .layer(DefaultBodyLimit::disable())
            .with_state(upload.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Platform { url, upload })
    }

    /// What points the CLI here; writes its profile into `directory`.
    pub fn env(&self, directory: &Path) -> Result<[(&'static str, String); 3]> {
        let profile = directory.join("profile.yaml");
        let url = &self.url;
        std::fs::write(
            &profile,
            format!("name: ship\napi_url: {url}\ndashboard_url: {url}\nproject_host: localhost\n"),
        )?;
        Ok([
            ("SUPABASE_PROFILE", profile.display().to_string()),
            ("SUPABASE_ACCESS_TOKEN", format!("sbp_{}", "0".repeat(40))),
            ("SUPABASE_PROJECT_ID", PROJECT.to_owned()),
        ])
    }

    pub fn upload(&self) -> Option<Upload> {
        self.upload.lock().unwrap().clone()
    }
}

async fn deploy(
    State(upload): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    parts: Multipart,
) -> Result<(StatusCode, Json<Value>), (StatusCode, String)> {
    let slug = query.get("slug").cloned().unwrap_or_default();
    let received = receive(slug, parts).await.map_err(|error| (StatusCode::BAD_REQUEST, format!("{error:#}")))?;
    let answer = json!({
        "id": "00000000-0000-0000-0000-000000000001", "slug": received.slug, "name": received.slug,
        "status": "ACTIVE", "version": 1, "created_at": 1, "updated_at": 1, "verify_jwt": received.metadata["verify_jwt"],
    });
    *upload.lock().unwrap() = Some(received);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn receive(slug: String, mut parts: Multipart) -> Result<Upload> {
    let mut upload = Upload { slug, ..Upload::default() };
    while let Some(part) = parts.next_field().await? {
        match part.name() {
            Some("metadata") => upload.metadata = serde_json::from_str(&part.text().await?)?,
            Some("file") => {
                let name = part.file_name().context("a file without a name")?.to_owned();
                upload.files.insert(name, part.bytes().await?.to_vec());
            }
            other => anyhow::bail!("an unknown part {other:?}"),
        }
    }
    Ok(upload)
}
