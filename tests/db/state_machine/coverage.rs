//! What was done, so that one sees that it was all.

use std::collections::BTreeMap;
use std::fmt;

use crate::invariants::{IN_EVERY_STATUS, transitions};
use crate::model::Answer;
use crate::operation::Operation;
use crate::rows::Jobs;

/// By which operation a job went from which status to which; from `-` where it is new.
pub type Transition = (String, String, String);

#[derive(Default)]
pub struct Coverage {
    pub sequences: u32,
    /// The first sequence that failed; those after it are shrunk ones.
    pub failed: Option<u32>,
    tried: BTreeMap<&'static str, usize>,
    /// How many of those tried changed something.
    took: BTreeMap<&'static str, usize>,
    /// How many of them a taken unique key refused.
    refused: BTreeMap<&'static str, usize>,
    transitions: BTreeMap<Transition, usize>,
}

impl Coverage {
    pub fn and(mut self, other: Coverage) -> Coverage {
        self.sequences += other.sequences;
        let counts = [(&mut self.tried, other.tried), (&mut self.took, other.took), (&mut self.refused, other.refused)];
        for (mine, others) in counts {
            others.into_iter().for_each(|(name, count)| *mine.entry(name).or_default() += count);
        }
        other.transitions.into_iter().for_each(|(name, count)| *self.transitions.entry(name).or_default() += count);
        self
    }

    pub fn step(&mut self, operation: &Operation, answer: &Answer, before: &Jobs) {
        let took = match answer {
            Answer::Id(id) => !before.contains_key(id),
            Answer::Claimed(jobs) => !jobs.is_empty(),
            Answer::Bool(took) => *took,
            Answer::Count(count) => *count > 0,
            Answer::Refused(_) => false,
        };
        *self.tried.entry(operation.name()).or_default() += 1;
        *self.took.entry(operation.name()).or_default() += usize::from(took);
        let refused = matches!(answer, Answer::Refused(_));
        *self.refused.entry(operation.name()).or_default() += usize::from(refused);
    }

    pub fn count(&mut self, transitions: Vec<Transition>) {
        for transition in transitions {
            *self.transitions.entry(transition).or_default() += 1;
        }
    }

    /// Every operation took, every clash of keys was refused, and every transition was seen, more than now and then.
    pub fn assert_complete(&self) {
        for name in Operation::NAMES {
            let (tried, took) = (self.tried.get(name).unwrap_or(&0), self.took.get(name).unwrap_or(&0));
            assert!(*took >= 50, "{name} took {took} times only, of {tried}");
        }
        for name in ["retry", "insert", "set_pending", "set_type", "set_key"] {
            let refused = self.refused.get(name).unwrap_or(&0);
            assert!(*refused >= 5, "{name} was refused {refused} times only");
        }
        for (by, from, to) in transitions() {
            let seen = self.transitions.get(&(by.into(), from.into(), to.into())).unwrap_or(&0);
            let least = if IN_EVERY_STATUS.contains(&by) { 1 } else { 5 };
            assert!(*seen >= least, "{by}: {from} -> {to} was seen {seen} times only");
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        for (name, tried) in &self.tried {
            write!(out, "{name:<13}{tried:>6} tried {:>6} took {:>5} refused  ", self.took[name], self.refused[name])?;
            for ((_, from, to), seen) in self.transitions.iter().filter(|((by, ..), _)| by == name) {
                write!(out, "  {from} -> {to} {seen}")?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{} sequences, {} steps", self.sequences, self.tried.values().sum::<usize>())
    }
}
