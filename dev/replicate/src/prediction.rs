//! A prediction and its life cycle.
//!
//! Its course is fixed when it is created, so its state at any time is only looked up: no task runs for it except the
//! one that sends its webhooks, and a finished one costs nothing.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::picture::Picture;
use crate::script::File;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Starting,
    Processing,
    Succeeded,
    Failed,
    Canceled,
    /// ended before it ran, because its deadline came first
    Aborted,
}

/// A prediction's state at one moment.
#[derive(Clone, Debug)]
pub struct Prediction {
    pub id: String,
    /// `owner/name`
    pub model: String,
    /// `hidden` for official models
    pub version: String,
    pub input: Map<String, Value>,
    pub status: Status,
    /// null until it has succeeded
    pub output: Value,
    pub data_removed: bool,
    pub error: Option<String>,
    pub logs: String,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    /// the URL for its events
    pub webhook: Option<String>,
}

/// The stored data of a prediction.
pub struct Record {
    pub id: String,
    pub model: String,
    pub version: String,
    pub input: Map<String, Value>,
    pub created_at: Timestamp,
    pub deadline: Option<Timestamp>,
    pub webhook: Option<String>,
    pub starts_at: Timestamp,
    /// none: it hangs and never ends
    pub ends: Option<(Timestamp, Ending)>,
    pub processing: Duration,
    /// the steps that the logs count; none: the model logs no percentages
    pub steps: Option<u32>,
    /// shown once it has succeeded
    pub output: Value,
    /// the time from its end until input, output, logs and files are removed
    pub retention: Duration,
    pub pictures: Vec<Picture>,
    pub file: File,
}

#[derive(Clone, Debug)]
pub enum Ending {
    Succeeded,
    Failed(String),
    Canceled,
    Aborted,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Processing => "processing",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
            Status::Aborted => "aborted",
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Status::Starting | Status::Processing => false,
            Status::Succeeded | Status::Failed | Status::Canceled | Status::Aborted => true,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Record {
    /// Ends it at its deadline if that comes first: aborted before the start, canceled after.
    pub fn with_deadline(mut self) -> Record {
        if let Some(deadline) = self.deadline
            && self.ends.as_ref().is_none_or(|(at, _)| deadline < *at)
        {
            let ending = if deadline < self.starts_at { Ending::Aborted } else { Ending::Canceled };
            self.ends = Some((deadline, ending));
        }
        self
    }

    /// A running one stops after its current step, as in real life; a waiting one stops at once; a finished one does
    /// not change.
    pub fn cancel(&mut self, now: Timestamp) {
        let at = match self.status(now) {
            Status::Starting => now,
            Status::Processing => {
                now + SignedDuration::try_from(self.processing / self.steps.unwrap_or(1).max(1)).unwrap_or_default()
            }
            Status::Succeeded | Status::Failed | Status::Canceled | Status::Aborted => return,
        };
        if self.ends.as_ref().is_none_or(|(ends_at, _)| at < *ends_at) {
            self.ends = Some((at, Ending::Canceled));
        }
    }

    pub fn status(&self, now: Timestamp) -> Status {
        match &self.ends {
            Some((at, ending)) if *at <= now => match ending {
                Ending::Succeeded => Status::Succeeded,
                Ending::Failed(_) => Status::Failed,
                Ending::Canceled => Status::Canceled,
                Ending::Aborted => Status::Aborted,
            },
            Some(_) | None if self.starts_at <= now => Status::Processing,
            Some(_) | None => Status::Starting,
        }
    }

    /// The time of its next change of status; `None` if there is none.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let ends_at = self.ends.as_ref().map(|(at, _)| *at);
        [Some(self.starts_at), ends_at].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// True if its input, output, logs and files have been removed.
    pub fn is_removed(&self, now: Timestamp) -> bool {
        let age = self.ends.as_ref().and_then(|(at, _)| Duration::try_from(now.duration_since(*at)).ok());
        age.is_some_and(|age| age >= self.retention)
    }

    pub fn at(&self, now: Timestamp) -> Prediction {
        let status = self.status(now);
        let removed = self.is_removed(now);
        let completed_at = self.ends.as_ref().filter(|_| status.is_terminal()).map(|(at, _)| *at);
        let started_at = Some(self.starts_at).filter(|at| *at <= completed_at.unwrap_or(now) && *at <= now);
        Prediction {
            id: self.id.clone(),
            model: self.model.clone(),
            version: self.version.clone(),
            input: if removed { Map::new() } else { self.input.clone() },
            status,
            output: if status == Status::Succeeded && !removed { self.output.clone() } else { Value::Null },
            data_removed: removed,
            error: match &self.ends {
                Some((_, Ending::Failed(error))) if status == Status::Failed => Some(error.clone()),
                Some(_) | None => None,
            },
            logs: match started_at {
                Some(started_at) if !removed => self.logs(completed_at.unwrap_or(now).duration_since(started_at)),
                Some(_) | None => String::new(),
            },
            created_at: self.created_at,
            started_at,
            completed_at,
            deadline: self.deadline,
            webhook: self.webhook.clone(),
        }
    }

    /// The model's output after running for this time: a tqdm bar, a line each twentieth.
    fn logs(&self, run: SignedDuration) -> String {
        let run = run.as_secs_f64();
        let whole = self.processing.as_secs_f64().max(0.001);
        let done = (run / whole).min(1.0);
        let Some(steps) = self.steps else {
            let (width, height) = self.pictures.first().map_or((1024, 1024), |picture| (picture.width, picture.height));
            let mut logs = format!("Generating {width}x{height} image ...\n");
            if done >= 1.0 {
                logs += &format!("Generated in {run:.1}sec\n");
            }
            return logs;
        };
        let seed = self.input.get("seed").filter(|seed| !seed.is_null()).cloned().unwrap_or(json!(42));
        let mut logs = format!("Using seed: {seed}\n");
        for step in (0..=(done * f64::from(steps)) as u32).step_by((steps / 20).max(1) as usize) {
            let percent = step * 100 / steps;
            let filled = (percent / 10) as usize;
            let bar = "█".repeat(filled) + &" ".repeat(10 - filled);
            let rate = f64::from(steps) / whole;
            logs += &format!(
                "{percent:3}%|{bar}| {step}/{steps} [00:{:02.0}<00:{:02.0}, {rate:.2}it/s]\n",
                whole * f64::from(step) / f64::from(steps),
                whole * f64::from(steps - step) / f64::from(steps)
            );
        }
        logs
    }
}

impl Prediction {
    /// The prediction object of the API; its links begin with `api_url`.
    pub fn to_json(&self, api_url: &str) -> Value {
        let get = format!("{api_url}/predictions/{}", self.id);
        let mut object = json!({
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "input": self.input,
            "output": self.output,
            "data_removed": self.data_removed,
            "error": self.error,
            "logs": self.logs,
            "status": self.status.as_str(),
            "source": "api",
            "created_at": time(self.created_at),
            "urls": {"web": format!("https://replicate.com/p/{}", self.id), "get": get, "cancel": format!("{get}/cancel")},
        });
        if let Some(started_at) = self.started_at {
            object["started_at"] = time(started_at).into();
        }
        if let Some(deadline) = self.deadline {
            object["deadline"] = time(deadline).into();
        }
        if let Some(completed_at) = self.completed_at {
            let since = |start: Timestamp| completed_at.duration_since(start).as_secs_f64();
            object["completed_at"] = time(completed_at).into();
            object["metrics"] = json!({"total_time": since(self.created_at)});
            if let Some(started_at) = self.started_at {
                object["metrics"]["predict_time"] = since(started_at).into();
            }
        }
        object
    }
}

fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}
