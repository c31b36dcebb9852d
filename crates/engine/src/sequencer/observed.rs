//! What was observed, on its way into a group.

use sluice_core::limits::GROUP_OBSERVED_MAX;

use super::Submission;

/// Submissions of one group. One that is too large for what others leave of it is the next group's first; the first is taken
/// however large it is.
#[derive(Debug, Default)]
pub(super) struct Observed {
    taken: Vec<Submission>,
    count: usize,
    over: Option<Submission>,
}

impl Observed {
    /// Those of a group that begins with what the one before it had no room for.
    pub(super) fn beginning_with(over: Option<Submission>) -> Self {
        let mut observed = Self::default();
        over.into_iter().for_each(|first| observed.take(first));
        observed
    }

    /// Whether another is asked for.
    pub(super) fn is_open(&self) -> bool {
        self.over.is_none() && self.count < GROUP_OBSERVED_MAX
    }

    /// Takes one that came, for this group or for the next.
    pub(super) fn take(&mut self, submission: Submission) {
        let count = self.count + submission.bodies.len();
        if self.taken.is_empty() || count <= GROUP_OBSERVED_MAX {
            self.count = count;
            self.taken.push(submission);
        } else {
            self.over = Some(submission);
        }
    }

    /// How many were observed.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// This group's, and what is the next one's first.
    pub(super) fn end(self) -> (Vec<Submission>, Option<Submission>) {
        (self.taken, self.over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::limits::GROUP_INPUTS_MAX;
    use sluice_core::log::entry::{Body, EpochBegan};
    use tokio::sync::oneshot;

    fn of(count: usize) -> Submission {
        let body = Body::EpochBegan(EpochBegan { node: 1, sequencer: 1 });
        let (raw, destroys, done) = (Vec::new(), Vec::new(), oneshot::channel().0);
        Submission { bodies: vec![body; count], raw, destroys, done }
    }

    fn sizes(submissions: &[Submission]) -> Vec<usize> {
        submissions.iter().map(|submission| submission.bodies.len()).collect()
    }

    #[test]
    fn two_chains_that_are_caught_up_with_leave_half_of_each_group_to_demands() {
        let (mut over, mut waiting) = (None, vec![of(128), of(127), of(1), of(127)]);
        let mut groups = Vec::new();
        while over.is_some() || !waiting.is_empty() {
            let mut observed = Observed::beginning_with(over);
            while observed.is_open()
                && let Some(next) = waiting.pop()
            {
                observed.take(next);
            }
            assert!(observed.count() <= GROUP_INPUTS_MAX / 2, "{}", observed.count());
            let (taken, rest) = observed.end();
            groups.push(sizes(&taken));
            over = rest;
        }
        assert_eq!(groups, [vec![127, 1], vec![127], vec![128]]);
    }

    #[test]
    fn one_that_is_too_large_for_any_is_taken_alone() {
        let mut observed = Observed::default();
        assert!(observed.is_empty() && observed.is_open());
        observed.take(of(200));
        assert!(!observed.is_open());
        assert_eq!((observed.count(), sizes(&observed.end().0)), (200, vec![200]));
    }
}
