//! The state hash: a Merkle root over the pages State consists of. Bitmaps are pages of 4 KiB, every other record is a
//! page of its own; only pages that changed are hashed again.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};

use super::State;
use super::bits::Bits;
use crate::ids::{CampaignId, ChainId, EntitlementId, Millis, NodeId, RoundNo, Seq};
use crate::log::entry::Due;
use crate::log::merkle::Frontier;

/// Names a page. The order of names is the order of pages under the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum PageId {
    /// Stream, position, epoch, time, home.
    Head,
    /// A Charter.
    Charter(ChainId),
    /// A chain's cursors.
    Chain(ChainId),
    /// A due item.
    Due(Millis, Due),
    /// A queue's cursor.
    Cursor(CampaignId, NodeId),
    /// Terms, version, funds of a campaign.
    Campaign(CampaignId),
    /// A batch in flight.
    Batch(CampaignId, u64),
    /// A redirected claim.
    Redirected(CampaignId, EntitlementId),
    /// A block that is not final.
    Unfinal(CampaignId, u64),
    /// Final events of a round that is not announced.
    Ahead(CampaignId, RoundNo),
    /// Terms, phase, totals of a round.
    Round(CampaignId, RoundNo),
    /// A failed transfer.
    Skip(CampaignId, EntitlementId),
    /// Sums of a shard.
    Shard(CampaignId, RoundNo, u32),
    /// Half a bitmap of a shard: 4 KiB.
    Bits(CampaignId, RoundNo, u32, BitKind, u8),
    /// An institution's keys.
    Authority(B256),
    /// A mandate.
    Mandate(B256),
    /// A delegation.
    Delegation(B256),
    /// A rule set.
    Rules(B256),
    /// Which rule set of a lineage is in force.
    Lineage(B256),
    /// A person.
    Person(B256),
    /// A hold.
    Hold(Seq),
    /// What an institution held alone.
    HoldUse(B256),
    /// A revoked attestation.
    Revoked(B256),
    /// An appeal.
    Appeal(Seq),
    /// Pause, limit, holds and gates of a campaign.
    Offices(CampaignId),
    /// The holds that cover an entitlement.
    Held(CampaignId, EntitlementId),
    /// That an institution held an entitlement alone.
    HeldAlone(CampaignId, B256, EntitlementId),
    /// A word's holds on chain.
    HeldOnChain(CampaignId, RoundNo, u64),
    /// What a gate signed of a word.
    Approved(CampaignId, RoundNo, u64),
}

/// Which of a shard's bitmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum BitKind {
    /// Decided.
    Decided,
    /// Annulled.
    Void,
    /// Held.
    Held,
    /// Busy.
    Busy,
    /// Finally paid.
    Paid,
    /// Finally annulled on chain.
    Annulled,
}

impl BitKind {
    const ALL: [Self; 6] = [Self::Decided, Self::Void, Self::Held, Self::Busy, Self::Paid, Self::Annulled];
}

/// Hashes of unchanged pages, and which pages changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    hashes: BTreeMap<PageId, [u8; 32]>,
    changed: BTreeSet<PageId>,
    /// Nothing is noted: this State is not hashed, and what changed would never be forgotten.
    left_out: bool,
}

impl Pages {
    /// Notes a change.
    pub(super) fn touch(&mut self, page: PageId) {
        if !self.left_out {
            self.changed.insert(page);
        }
    }

    /// Notes a change of one entitlement's bit.
    pub(super) fn touch_bit(&mut self, campaign: CampaignId, id: EntitlementId, kind: BitKind) {
        let shard = u32::try_from(super::round::shard_of(id.index)).expect("shards are counted in u32");
        let half = u8::from(super::round::place_of(id.index) >= 32_768);
        self.touch(PageId::Bits(campaign, id.round, shard, kind, half));
    }

    /// Notes a change of a whole bitmap and the shard's sums.
    pub(super) fn touch_shard(&mut self, campaign: CampaignId, round: RoundNo, shard: u32, kind: BitKind) {
        self.touch(PageId::Shard(campaign, round, shard));
        for half in 0..2 {
            self.touch(PageId::Bits(campaign, round, shard, kind, half));
        }
    }
}

impl State {
    /// The same for somebody who never asks for its hash: which pages change is not noted. A State that is changed and not
    /// hashed would remember each of them for ever, a page for each entitlement that was paid.
    pub fn unhashed(self) -> Self {
        Self { pages: Pages { left_out: true, ..Pages::default() }, ..self }
    }

    /// How many pages have changed since the hash was last taken.
    pub fn pages_changed(&self) -> usize {
        self.pages.changed.len()
    }

    /// The state hash at this position.
    pub fn hash(&mut self) -> [u8; 32] {
        if self.pages.left_out {
            return self.hash_anew();
        }
        self.pages.touch(PageId::Head);
        for page in std::mem::take(&mut self.pages.changed) {
            match self.page(&page) {
                Some(bytes) => {
                    let mut hash = Sha256::new();
                    hash.update(borsh::to_vec(&page).expect("writing to memory cannot fail"));
                    hash.update(&bytes);
                    self.pages.hashes.insert(page, hash.finalize().into());
                }
                None => {
                    self.pages.hashes.remove(&page);
                }
            }
        }
        let mut tree = Frontier::default();
        for hash in self.pages.hashes.values() {
            tree.push(crate::log::merkle::leaf_hash(hash));
        }
        tree.root()
    }

    /// The state hash with every page hashed again: for a State read from a dump, and to check [`Self::hash`].
    pub fn hash_anew(&mut self) -> [u8; 32] {
        self.pages = Pages::default();
        let mut pages = BTreeSet::new();
        pages.extend(self.charters.keys().map(|c| PageId::Charter(*c)));
        pages.extend(self.chains.keys().map(|c| PageId::Chain(*c)));
        pages.extend(self.due.iter().map(|(at, due)| PageId::Due(*at, due.clone())));
        pages.extend(self.cursors.keys().map(|(c, n)| PageId::Cursor(*c, *n)));
        pages.extend(self.office_pages());
        for (id, campaign) in &self.campaigns {
            pages.insert(PageId::Campaign(*id));
            pages.insert(PageId::Offices(*id));
            pages.extend(campaign.held.keys().map(|e| PageId::Held(*id, *e)));
            pages.extend(campaign.held_alone.iter().map(|(by, e)| PageId::HeldAlone(*id, *by, *e)));
            pages.extend(campaign.held_on_chain.keys().map(|(r, w)| PageId::HeldOnChain(*id, *r, *w)));
            pages.extend(campaign.approved.keys().map(|(r, w)| PageId::Approved(*id, *r, *w)));
            pages.extend(campaign.batches.keys().map(|b| PageId::Batch(*id, *b)));
            pages.extend(campaign.redirected.keys().map(|e| PageId::Redirected(*id, *e)));
            pages.extend(campaign.unfinal.keys().map(|b| PageId::Unfinal(*id, *b)));
            pages.extend(campaign.ahead.keys().map(|r| PageId::Ahead(*id, *r)));
            for (number, round) in &campaign.rounds {
                pages.insert(PageId::Round(*id, *number));
                pages.extend(
                    round
                        .skips
                        .keys()
                        .map(|i| PageId::Skip(*id, EntitlementId { round: *number, index: *i })),
                );
                for shard in 0..u32::try_from(round.shards.len()).expect("shards are counted in u32") {
                    pages.insert(PageId::Shard(*id, *number, shard));
                    for kind in BitKind::ALL {
                        pages.extend((0..2).map(|half| PageId::Bits(*id, *number, shard, kind, half)));
                    }
                }
            }
        }
        self.pages.changed = pages;
        self.hash()
    }

    fn office_pages(&self) -> impl Iterator<Item = PageId> + '_ {
        (self.authorities.keys().map(|id| PageId::Authority(*id)))
            .chain(self.mandates.keys().map(|id| PageId::Mandate(*id)))
            .chain(self.delegations.keys().map(|id| PageId::Delegation(*id)))
            .chain(self.rule_sets.keys().map(|name| PageId::Rules(*name)))
            .chain(self.lineages.keys().map(|id| PageId::Lineage(*id)))
            .chain(self.persons.keys().map(|id| PageId::Person(*id)))
            .chain(self.holds.keys().map(|at| PageId::Hold(*at)))
            .chain(self.hold_use.keys().map(|id| PageId::HoldUse(*id)))
            .chain(self.revoked.keys().map(|uid| PageId::Revoked(*uid)))
            .chain(self.appeals.keys().map(|at| PageId::Appeal(*at)))
    }

    /// A page's bytes; `None` where there is nothing, which is the same as all zeros.
    fn page(&self, page: &PageId) -> Option<Vec<u8>> {
        fn bytes<T: BorshSerialize>(value: &T) -> Option<Vec<u8>> {
            Some(borsh::to_vec(value).expect("writing to memory cannot fail"))
        }
        let campaign = |id: &CampaignId| self.campaigns.get(id);
        match page {
            PageId::Head => {
                let held = (self.persons_held_at, self.published_at);
                bytes(&(self.stream, self.seq, self.epoch, self.recorded_at, self.home, held))
            }
            PageId::Charter(chain) => self.charters.get(chain).and_then(bytes),
            PageId::Chain(chain) => self.chains.get(chain).and_then(bytes),
            PageId::Due(at, due) => (self.due.time_of(due) == Some(*at)).then(Vec::new),
            PageId::Cursor(id, node) => self.cursors.get(&(*id, *node)).and_then(bytes),
            PageId::Campaign(id) => campaign(id).and_then(|c| {
                bytes(&(&c.terms, c.version, c.watched, c.paused, &c.funds, c.next_batch, c.final_block))
            }),
            PageId::Batch(id, batch) => campaign(id)?.batches.get(batch).and_then(bytes),
            PageId::Redirected(id, entitlement) => campaign(id)?.redirected.get(entitlement).and_then(bytes),
            PageId::Unfinal(id, block) => campaign(id)?.unfinal.get(block).and_then(bytes),
            PageId::Ahead(id, round) => campaign(id)?.ahead.get(round).and_then(bytes),
            PageId::Round(id, round) => campaign(id)?
                .round(*round)
                .and_then(|r| bytes(&(&r.terms, r.closes_at, r.version, r.phase, r.swept, &r.shard_totals))),
            PageId::Skip(id, e) => campaign(id)?.round(e.round)?.skips.get(&e.index).and_then(bytes),
            PageId::Shard(id, round, shard) => {
                let shard = campaign(id)?.round(*round)?.shards.get(*shard as usize)?;
                (shard.taken > 0).then(|| bytes(&(shard.taken, shard.taken_total))).flatten()
            }
            PageId::Authority(id) => self.authorities.get(id).and_then(bytes),
            PageId::Mandate(id) => self.mandates.get(id).and_then(bytes),
            PageId::Delegation(id) => self.delegations.get(id).and_then(bytes),
            PageId::Rules(name) => self.rule_sets.get(name).and_then(bytes),
            PageId::Lineage(id) => self.lineages.get(id).and_then(bytes),
            PageId::Person(id) => self.persons.get(id).and_then(bytes),
            PageId::Hold(at) => self.holds.get(at).and_then(bytes),
            PageId::HoldUse(id) => self.hold_use.get(id).and_then(bytes),
            PageId::Revoked(uid) => self.revoked.get(uid).and_then(bytes),
            PageId::Appeal(at) => self.appeals.get(at).and_then(bytes),
            PageId::Offices(id) => campaign(id).and_then(|c| {
                let pauses = (c.pause, &c.paused_alone, c.paused_on_chain);
                let holds = (&c.campaign_holds, c.held_until_on_chain);
                bytes(&(c.decided, pauses, holds, &c.gates, &c.gate_keys, &c.gates_off))
            }),
            PageId::Held(id, entitlement) => campaign(id)?.held.get(entitlement).and_then(bytes),
            PageId::HeldAlone(id, by, e) => campaign(id)?.held_alone.contains(&(*by, *e)).then(Vec::new),
            PageId::HeldOnChain(id, round, word) => {
                campaign(id)?.held_on_chain.get(&(*round, *word)).and_then(bytes)
            }
            PageId::Approved(id, round, word) => campaign(id)?.approved.get(&(*round, *word)).and_then(bytes),
            PageId::Bits(id, round, shard, kind, half) => {
                let shard = campaign(id)?.round(*round)?.shards.get(*shard as usize)?;
                half_page(kind.of(shard), *half)
            }
        }
    }
}

impl BitKind {
    fn of(self, shard: &super::round::Shard) -> &Bits {
        match self {
            Self::Decided => &shard.decided,
            Self::Void => &shard.void,
            Self::Held => &shard.held,
            Self::Busy => &shard.busy,
            Self::Paid => &shard.paid,
            Self::Annulled => &shard.annulled,
        }
    }
}

/// Half a bitmap in little-endian words, or `None` while it is all zeros: a bitmap that was cleared again is the same
/// state as one never touched.
fn half_page(bits: &Bits, half: u8) -> Option<Vec<u8>> {
    let words = bits.words()?;
    let half = &words[usize::from(half) * 512..][..512];
    half.iter().any(|w| *w != 0).then(|| half.iter().flat_map(|w| w.to_le_bytes()).collect())
}
