//! What falls due, by time and by item: each item is due once.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::ids::Millis;
use crate::log::entry::Due;

/// Items with their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueTimes {
    by_time: BTreeSet<(Millis, Due)>,
    /// The same, by item, so that an item is found without reading all of them.
    times: BTreeMap<Due, Millis>,
}

impl DueTimes {
    /// The earliest item.
    pub fn first(&self) -> Option<&(Millis, Due)> {
        self.by_time.first()
    }

    /// All of them, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = &(Millis, Due)> {
        self.by_time.iter()
    }

    /// When an item falls due.
    pub fn time_of(&self, due: &Due) -> Option<Millis> {
        self.times.get(due).copied()
    }

    /// Sets an item's time; returns its earlier one.
    pub(super) fn set(&mut self, at: Millis, due: Due) -> Option<Millis> {
        let before = self.remove(&due);
        self.times.insert(due.clone(), at);
        self.by_time.insert((at, due));
        before
    }

    /// Forgets an item; returns the time it had.
    pub(super) fn remove(&mut self, due: &Due) -> Option<Millis> {
        let (due, at) = self.times.remove_entry(due)?;
        self.by_time.remove(&(at, due));
        Some(at)
    }
}

impl BorshSerialize for DueTimes {
    fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.by_time.serialize(writer)
    }
}

impl BorshDeserialize for DueTimes {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        let by_time = BTreeSet::<(Millis, Due)>::deserialize_reader(reader)?;
        let times: BTreeMap<_, _> = by_time.iter().map(|(at, due)| (due.clone(), *at)).collect();
        if times.len() != by_time.len() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "an item is due twice"));
        }
        Ok(Self { by_time, times })
    }
}
