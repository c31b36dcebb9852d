//! What clients were told, word for word: nothing else is believed about the nodes afterwards.

use std::sync::Mutex;

use serde::Deserialize;
use serde_json::Value;
use sluice_core::ids::{BatchNo, CampaignId, DemandId, RoundNo, Seq};

/// What kind of question it was, which decides what its answers are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A reading of State: at one position it has one answer, whoever is asked.
    State,
    /// A demand handed in, or what became of one.
    Demand,
    /// Anything else.
    Other,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Who asked.
    pub(super) who: String,
    /// Whether it was asked as an office, under a mandate to read: who may see more is told more.
    pub(super) as_office: bool,
    /// Which node.
    pub(super) node: usize,
    pub(super) asked: Asked,
    pub(super) path: String,
    /// The position that was asked for at least.
    pub(super) min_seq: Option<Seq>,
    pub(super) status: u16,
    /// `As-Of-Seq`.
    pub(super) as_of: Seq,
    pub(super) body: Value,
}

impl Heard {
    /// The question, by whoever is told the same.
    pub(super) fn question(&self) -> (&str, &str, Seq) {
        (&self.path, if self.as_office { &self.who } else { "" }, self.as_of)
    }

    /// Whether the question was answered, and not put off or refused.
    pub(super) const fn is_good(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// All answers, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<Vec<Heard>>);

impl Record {
    pub(super) fn keep(&self, heard: Heard) {
        self.0.lock().expect("no panic inside").push(heard);
    }

    pub(super) fn all(&self) -> Vec<Heard> {
        self.0.lock().expect("no panic inside").clone()
    }
}

/// What became of a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was done, or decided, at this position.
    Done { seq: Seq },
    /// An entry at this position refused it.
    Refused { seq: Seq, code: String, changed_at: Option<Seq> },
    /// The node that was asked knew already, at this position or before, that it could not be: nothing was recorded.
    /// The position is the node's next answer's.
    Turned { as_of: Seq, code: String },
}

impl Verdict {
    pub(super) const fn done(&self) -> Option<Seq> {
        match self {
            Self::Done { seq } => Some(*seq),
            _ => None,
        }
    }

    /// The position at which it was answered.
    pub(super) const fn position(&self) -> Seq {
        match self {
            Self::Done { seq } | Self::Refused { seq, .. } => *seq,
            Self::Turned { as_of, .. } => *as_of,
        }
    }

    pub(super) fn code(&self) -> &str {
        match self {
            Self::Done { .. } => "done",
            Self::Refused { code, .. } | Self::Turned { code, .. } => code,
        }
    }
}

/// A line of the change feed, as far as it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Change {
    pub(super) seq: Seq,
    pub(super) kind: String,
    pub(super) recorded_at: u64,
    pub(super) leaf: Option<String>,
    pub(super) campaign: Option<CampaignId>,
    pub(super) round: Option<RoundNo>,
    pub(super) index: Option<u64>,
    pub(super) batch: Option<BatchNo>,
    pub(super) id: Option<DemandId>,
    pub(super) code: Option<String>,
    pub(super) command: Option<Ordered>,
    pub(super) events: Vec<String>,
}

/// The command of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Ordered {
    pub(super) action: String,
}

impl Change {
    pub(super) fn action(&self) -> &str {
        self.command.as_ref().map_or("", |command| &command.action)
    }
}
