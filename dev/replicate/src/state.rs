//! The server's state, behind one mutex.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::fault::{Endpoint, Fault, Mode};
use crate::gate::Request;
use crate::picture::Picture;
use crate::prediction::Record;
use crate::rate::{Bucket, Rate};
use crate::server::Options;
use crate::webhook::{Delivery, Sender};

pub struct Shared {
    pub options: Options,
    /// `http://127.0.0.1:PORT/v1`
    pub api_url: String,
    /// `127.0.0.1:PORT`
    pub files_host: String,
    pub catalogue: Catalogue,
    pub sender: Sender,
    pub clock: Clock,
    /// notified when a prediction is cancelled: waiting tasks look again
    pub cancelled: Notify,
    /// closes every connection and ends every webhook
    pub stop: CancellationToken,
    /// the listeners, the connections and the webhooks
    pub tasks: TaskTracker,
    state: Mutex<State>,
}

pub struct State {
    /// oldest first
    pub records: Vec<Record>,
    /// place in `records`, by id
    pub by_id: HashMap<String, usize>,
    pub requests: Vec<Request>,
    pub deliveries: Vec<Delivery>,
    pub faults: VecDeque<(Endpoint, Fault, u32)>,
    pub mode: Mode,
    pub creates: Bucket,
    pub low_credit_creates: Bucket,
    pub others: Bucket,
    /// model and input of the predictions that have failed once
    pub failed_once: HashSet<String>,
    /// paths of the files that have been answered with an error once
    pub refused_once: HashSet<String>,
    /// files given from outside, by path: content type and bytes
    pub extra_files: HashMap<String, (String, Bytes)>,
    /// encoded when first requested; the cell keeps two tasks from encoding the same picture
    pub pictures: HashMap<Picture, Arc<OnceLock<Bytes>>>,
}

impl Shared {
    pub fn new(options: Options, api_url: String, files_host: String, catalogue: Catalogue, sender: Sender) -> Shared {
        let clock = Clock::start();
        let now = clock.now();
        let state = State {
            records: Vec::new(),
            by_id: HashMap::new(),
            requests: Vec::new(),
            deliveries: Vec::new(),
            faults: VecDeque::new(),
            mode: Mode::Normal,
            creates: Bucket::full(options.creates, now),
            low_credit_creates: Bucket::full(Rate::LOW_CREDIT, now),
            others: Bucket::full(options.others, now),
            failed_once: HashSet::new(),
            refused_once: HashSet::new(),
            extra_files: HashMap::new(),
            pictures: HashMap::new(),
        };
        Shared {
            options,
            api_url,
            files_host,
            catalogue,
            sender,
            clock,
            cancelled: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            state: Mutex::new(state),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a picture, encoded off the async threads the first time.
    pub async fn bytes(&self, picture: Picture) -> anyhow::Result<Bytes> {
        let cell = self.state().pictures.entry(picture).or_default().clone();
        if let Some(bytes) = cell.get() {
            return Ok(bytes.clone());
        }
        tokio::task::spawn_blocking(move || {
            let mut failed = None;
            let bytes = cell.get_or_init(|| {
                picture.encode().unwrap_or_else(|error| {
                    failed = Some(error);
                    Bytes::new()
                })
            });
            failed.map_or(Ok(bytes.clone()), Err)
        })
        .await?
    }
}

impl State {
    pub fn record(&mut self, id: &str) -> Option<&mut Record> {
        self.records.get_mut(*self.by_id.get(id)?)
    }

    pub fn add(&mut self, record: Record) {
        self.by_id.insert(record.id.clone(), self.records.len());
        self.records.push(record);
    }

    /// The earliest fault set for this endpoint, if any is left.
    pub fn take_fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let place = self.faults.iter().position(|(on, _, _)| *on == endpoint)?;
        let (_, fault, times) = self.faults.get_mut(place)?;
        let fault = *fault;
        *times -= 1;
        if *times == 0 {
            self.faults.remove(place);
        }
        Some(fault)
    }

    /// An error means the answer 429, with the seconds until a token is available.
    pub fn take_token(&mut self, create: bool, now: Timestamp) -> Result<(), u64> {
        match (create, self.mode) {
            (true, Mode::LowCredit) => self.low_credit_creates.take(now),
            (true, Mode::Normal | Mode::Unauthorized | Mode::InsufficientCredit) => self.creates.take(now),
            (false, _) => self.others.take(now),
        }
    }
}
