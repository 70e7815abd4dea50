//! What is done to the queue, one step of a sequence.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub const GENERATE: &str = "generate-image";
pub const DOWNLOAD: &str = "download-image";
pub const WORK: &str = "work";

#[derive(Clone, Debug)]
pub enum Operation {
    /// `again`: an image of a generation that is completed already, where there is one.
    Enqueue {
        job_type: &'static str,
        key: Key,
        priority: i32,
        max_attempts: i32,
        delay_seconds: Option<i32>,
        again: bool,
    },
    /// An app's own `insert`.
    Insert {
        job_type: &'static str,
        key: Key,
        priority: i32,
        delay_seconds: Option<i32>,
        again: bool,
    },
    Claim {
        only: Option<&'static str>,
        limit: i32,
        lease_seconds: Option<i32>,
    },
    /// `follow_up`: `generate-image` hands over to `download-image`, and `work` to more work; `picture`: what
    /// `download-image` answers when it has stored one.
    Complete {
        job: Pick,
        token: Token,
        follow_up: bool,
        key: Key,
        picture: bool,
    },
    Fail {
        job: Pick,
        token: Token,
        retry: &'static str,
    },
    Snooze {
        job: Pick,
        token: Token,
        delay_seconds: i32,
        prediction: Option<u8>,
        hold: bool,
        pause: bool,
    },
    Heartbeat {
        job: Pick,
        token: Token,
        lease_seconds: Option<i32>,
    },
    Wake {
        job: Pick,
        event: u8,
    },
    Cancel {
        job: Pick,
        token: Token,
    },
    Retry {
        job: Pick,
        attempts: i32,
    },
    Redrive {
        only: Option<&'static str>,
        limit: i32,
        attempts: i32,
    },
    Pause {
        job_type: &'static str,
    },
    Resume {
        job_type: &'static str,
    },
    /// Time goes by: leases expire, jobs fall due, holds end, starts are free again.
    Pass {
        seconds: i32,
    },
    /// The operator's `update job_queue set status = 'pending' where status = 'processing'`.
    Reset,
    /// An operator's or an app's `update` of one job.
    Set {
        job: Pick,
        to: Set,
    },
    /// An operator's or an app's `delete` of one job.
    Delete {
        job: Pick,
    },
    ChangePriority {
        job: Pick,
        priority: i32,
    },
    /// `work` gets a fair_key, or has none any more.
    SetFair {
        fair: bool,
    },
    /// Of what ended more than an hour ago.
    Prune {
        limit: i32,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Set {
    Pending,
    Cancelled,
    Priority(i32),
    /// Seconds from now.
    ScheduledAt(i32),
    JobType(&'static str),
    UniqueKey(Key),
}

impl Operation {
    pub const NAMES: [&str; 25] = [
        "enqueue",
        "claim",
        "complete",
        "fail",
        "snooze",
        "heartbeat",
        "wake",
        "cancel",
        "retry",
        "redrive",
        "pause",
        "resume",
        "pass",
        "reset",
        "insert",
        "set_pending",
        "set_cancelled",
        "set_priority",
        "set_time",
        "set_type",
        "set_key",
        "delete",
        "change_priority",
        "set_fair",
        "prune",
    ];

    pub fn name(&self) -> &'static str {
        match self {
            Operation::Enqueue { .. } => "enqueue",
            Operation::Claim { .. } => "claim",
            Operation::Complete { .. } => "complete",
            Operation::Fail { .. } => "fail",
            Operation::Snooze { .. } => "snooze",
            Operation::Heartbeat { .. } => "heartbeat",
            Operation::Wake { .. } => "wake",
            Operation::Cancel { .. } => "cancel",
            Operation::Retry { .. } => "retry",
            Operation::Redrive { .. } => "redrive",
            Operation::Pause { .. } => "pause",
            Operation::Resume { .. } => "resume",
            Operation::Pass { .. } => "pass",
            Operation::Reset => "reset",
            Operation::Insert { .. } => "insert",
            Operation::Set { to: Set::Pending, .. } => "set_pending",
            Operation::Set { to: Set::Cancelled, .. } => "set_cancelled",
            Operation::Set { to: Set::Priority(_), .. } => "set_priority",
            Operation::Set { to: Set::ScheduledAt(_), .. } => "set_time",
            Operation::Set { to: Set::JobType(_), .. } => "set_type",
            Operation::Set { to: Set::UniqueKey(_), .. } => "set_key",
            Operation::Delete { .. } => "delete",
            Operation::ChangePriority { .. } => "change_priority",
            Operation::SetFair { .. } => "set_fair",
            Operation::Prune { .. } => "prune",
        }
    }
}

/// Which job: the nth, counted round, of those that the operation is meant for (where there is none, of all), or of
/// all.
#[derive(Clone, Copy, Debug)]
pub enum Pick {
    Fitting(usize),
    Any(usize),
}

/// Which token goes with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token {
    /// The last that was handed out for the job, whether it still counts or not.
    Last,
    /// The first one.
    First,
    Random,
    None,
}

/// A unique key: there are two.
pub type Key = Option<u8>;

/// Some jobs, and what is done to them.
pub fn sequence() -> impl Strategy<Value = Vec<Operation>> {
    (vec(enqueue(), 0..8), vec(operation(), 1..=40)).prop_map(|(jobs, operations)| {
        let later = |operation| match operation {
            Operation::Prune { .. } => vec![Operation::Pass { seconds: 3590 }, operation],
            _ => vec![operation],
        };
        [jobs, operations.into_iter().flat_map(later).collect()].concat()
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let only = || prop::option::weighted(0.2, job_type());
    let lease_seconds = || prop::option::weighted(0.2, select(vec![5, 200]));
    let often = || prop::bool::weighted(0.8);
    let set = || {
        prop_oneof![
            2 => Just(Set::Pending),
            2 => Just(Set::Cancelled),
            1 => (0..3i32).prop_map(Set::Priority),
            1 => select(vec![-60, 0, 5, 600]).prop_map(Set::ScheduledAt),
            1 => job_type().prop_map(Set::JobType),
            1 => prop::option::weighted(0.7, 0..2u8).prop_map(Set::UniqueKey),
        ]
    };
    let (hold, pause) = (|| prop::bool::weighted(0.4), || prop::bool::weighted(0.1));
    prop_oneof![
        5 => enqueue(),
        9 => (only(), 1..4i32, lease_seconds())
            .prop_map(|(only, limit, lease_seconds)| Operation::Claim { only, limit, lease_seconds }),
        5 => (pick(), token(), often(), key(), often()).prop_map(
            |(job, token, follow_up, key, picture)| Operation::Complete { job, token, follow_up, key, picture }
        ),
        3 => (pick(), token(), select(vec!["backoff", "backoff", "never"]))
            .prop_map(|(job, token, retry)| Operation::Fail { job, token, retry }),
        4 => (pick(), token(), select(vec![0, 2, 300]), prop::option::of(0..3u8), hold(), pause()).prop_map(
            |(job, token, delay_seconds, prediction, hold, pause)| {
                Operation::Snooze { job, token, delay_seconds, prediction, hold, pause }
            }
        ),
        1 => (pick(), token(), lease_seconds())
            .prop_map(|(job, token, lease_seconds)| Operation::Heartbeat { job, token, lease_seconds }),
        2 => (pick(), 0..2u8).prop_map(|(job, event)| Operation::Wake { job, event }),
        3 => (pick(), prop_oneof![3 => Just(Token::None), 1 => token()])
            .prop_map(|(job, token)| Operation::Cancel { job, token }),
        2 => (pick(), 1..4i32).prop_map(|(job, attempts)| Operation::Retry { job, attempts }),
        1 => (only(), select(vec![1, 1000]), 1..4i32)
            .prop_map(|(only, limit, attempts)| Operation::Redrive { only, limit, attempts }),
        2 => job_type().prop_map(|job_type| Operation::Pause { job_type }),
        4 => job_type().prop_map(|job_type| Operation::Resume { job_type }),
        5 => select(vec![1, 3, 10, 60, 600]).prop_map(|seconds| Operation::Pass { seconds }),
        2 => Just(Operation::Reset),
        1 => insert(),
        6 => (pick(), set()).prop_map(|(job, to)| Operation::Set { job, to }),
        1 => pick().prop_map(|job| Operation::Delete { job }),
        2 => (pick(), 0..3i32).prop_map(|(job, priority)| Operation::ChangePriority { job, priority }),
        1 => any::<bool>().prop_map(|fair| Operation::SetFair { fair }),
        1 => select(vec![1, 1000]).prop_map(|limit| Operation::Prune { limit }),
    ]
}

fn enqueue() -> impl Strategy<Value = Operation> {
    let max_attempts = select(vec![1, 1, 2, 3]);
    let delay_seconds = prop::option::weighted(0.1, Just(30));
    (job_type(), key(), 0..3i32, max_attempts, delay_seconds, any::<bool>()).prop_map(
        |(job_type, key, priority, max_attempts, delay_seconds, again)| Operation::Enqueue {
            job_type,
            key,
            priority,
            max_attempts,
            delay_seconds,
            again,
        },
    )
}

fn insert() -> impl Strategy<Value = Operation> {
    let delay_seconds = prop::option::of(select(vec![-30, 30]));
    (job_type(), key(), 0..3i32, delay_seconds, any::<bool>()).prop_map(
        |(job_type, key, priority, delay_seconds, again)| Operation::Insert {
            job_type,
            key,
            priority,
            delay_seconds,
            again,
        },
    )
}

fn job_type() -> impl Strategy<Value = &'static str> {
    select(vec![WORK, GENERATE, DOWNLOAD])
}

fn key() -> impl Strategy<Value = Key> {
    prop::option::weighted(0.5, 0..2u8)
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![8 => (0..8usize).prop_map(Pick::Fitting), 1 => (0..8usize).prop_map(Pick::Any)]
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![10 => Just(Token::Last), 2 => Just(Token::First), 1 => Just(Token::Random), 1 => Just(Token::None)]
}
