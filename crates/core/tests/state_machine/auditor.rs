//! An auditor: it knows the lists and reads the entries, one map of entitlements, nothing of State's bits, sums or
//! indexes. What it holds true of every entitlement and every base unit is compared with State after each group.

mod offices;

use std::collections::{BTreeMap, BTreeSet};

use sluice_core::command::{Action, RoundMode};
use sluice_core::ids::{CampaignId, EntitlementId, IntakeKey};
use sluice_core::limits::{BATCH_GAS_MAX, SHARD, SKIP_RETRIES_MAX};
use sluice_core::log::entry::{BatchForm, BatchPlanned, Body, ChainEvent, Due, Entry, Skipped, WordMask};
use sluice_core::planner::GasModel;
use sluice_core::state::State;
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;

use crate::world::{amount, sum};

use offices::Offices;

type Key = (CampaignId, EntitlementId);

/// One entitlement, as the entries tell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) decided: bool,
    pub(crate) redirected: bool,
    /// Decided by the log, not only paid by another hand.
    counted: bool,
    pub(crate) void: bool,
    /// Annulled by a command. What only the chain annulled, the contract passes over by itself.
    ordered_void: bool,
    pub(crate) paid: bool,
    /// The batch in flight that names it.
    batch: Option<u64>,
    /// Seen paid by another hand, not final.
    by_wallet: bool,
    /// Failed transfers, and whether a retry is waited for.
    failed: u32,
    waits: bool,
}

impl Fate {
    pub(crate) fn payable(&self) -> bool {
        let free = self.batch.is_none() && !self.by_wallet && !self.waits;
        self.decided && !self.void && !self.paid && free && self.failed <= SKIP_RETRIES_MAX
    }

    pub(crate) fn given_up(&self) -> bool {
        self.failed > SKIP_RETRIES_MAX
    }
}

#[derive(Clone, Debug)]
struct Flight {
    plan: BatchPlanned,
    /// Whether this content was ever signed.
    signed: bool,
    mined: Option<(Vec<EntitlementId>, Vec<Skipped>)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Auditor {
    pub(crate) fates: BTreeMap<Key, Fate>,
    rounds: BTreeMap<(CampaignId, u64), (u64, RoundMode)>,
    flights: BTreeMap<(CampaignId, u64), Flight>,
    blocks: BTreeMap<(CampaignId, u64), Vec<ChainEvent>>,
    funded: BTreeMap<CampaignId, u128>,
    answered: BTreeSet<IntakeKey>,
    gas: Option<GasModel>,
    offices: Offices,
    counted: BTreeMap<CampaignId, u128>,
}

fn named(words: &[WordMask]) -> Vec<EntitlementId> {
    let of = |w: &WordMask| {
        let round = w.round;
        w.indexes().map(move |index| EntitlementId { round, index }).collect::<Vec<_>>()
    };
    words.iter().flat_map(of).collect()
}

impl Auditor {
    pub(crate) fn with_gas(gas: GasModel) -> Self {
        Self { gas: Some(gas), ..Self::default() }
    }

    fn fate(&mut self, campaign: CampaignId, id: EntitlementId) -> &mut Fate {
        self.fates.get_mut(&(campaign, id)).unwrap_or_else(|| panic!("{id:?} is not in a list"))
    }

    pub(crate) fn read(&mut self, entry: &Entry) {
        if let Some(key) = entry.body.intake() {
            assert!(self.answered.insert(key), "a row is answered once");
        }
        self.offices.read(entry);
        match &entry.body {
            Body::RoundPublished(published) => {
                let terms = &published.terms;
                self.rounds.insert((terms.campaign, terms.round), (terms.count, terms.mode));
                let id = |index| (terms.campaign, EntitlementId { round: terms.round, index });
                self.fates.extend((0..terms.count).map(|index| (id(index), Fate::default())));
            }
            Body::ClaimDecided(claim) => {
                assert_eq!(claim.amount, amount(claim.entitlement.index));
                let fate = self.fate(claim.intake.campaign, claim.entitlement);
                assert!(!fate.decided && !fate.void && !fate.paid && !fate.by_wallet, "decided at most once");
                (fate.decided, fate.redirected) = (true, claim.redirect.is_some());
                self.count(claim.intake.campaign, [claim.entitlement]);
            }
            Body::Pushed(pushed) => {
                let Action::Push { campaign, round, from, to } = pushed.command.command.action else {
                    panic!()
                };
                let mut shards: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
                for index in from..to {
                    let fate = self.fate(campaign, EntitlementId { round, index });
                    if !fate.decided && !fate.void {
                        fate.decided = true;
                        self.count(campaign, [EntitlementId { round, index }]);
                        shards.entry((index / SHARD) as u32).or_default().push(index);
                    }
                }
                let brute: Vec<_> =
                    shards.into_iter().map(|(at, new)| (at, new.len() as u32, sum(new))).collect();
                assert_eq!(pushed.decided, brute);
            }
            Body::Voided(voided) => {
                let Action::Void { campaign, round, .. } = voided.command.command.action else { panic!() };
                for (index, listed) in &voided.items {
                    assert_eq!(*listed, amount(*index));
                    let fate = self.fate(campaign, EntitlementId { round, index: *index });
                    assert!(!fate.void && !fate.paid);
                    (fate.void, fate.ordered_void) = (true, true);
                    self.uncount(campaign, EntitlementId { round, index: *index });
                }
                let annulled = voided.items.iter().map(|(index, _)| EntitlementId { round, index: *index });
                self.drop_unsigned(campaign, &annulled.collect::<BTreeSet<_>>());
            }
            Body::Due(Due::SkipRetry { campaign, entitlement }) => {
                self.fate(*campaign, *entitlement).waits = false;
            }
            body => self.read_chain(body),
        }
    }

    /// What the log decides stays within the campaign's limit.
    fn count(&mut self, campaign: CampaignId, ids: impl IntoIterator<Item = EntitlementId>) {
        for id in ids {
            self.fate(campaign, id).counted = true;
            *self.counted.entry(campaign).or_default() += amount(id.index).get();
        }
        assert!(self.counted[&campaign] <= self.offices.limit(campaign), "more than the limit is decided");
    }

    /// What was decided and annulled leaves room again.
    fn uncount(&mut self, campaign: CampaignId, id: EntitlementId) {
        if self.fate(campaign, id).counted {
            *self.counted.get_mut(&campaign).unwrap() -= amount(id.index).get();
        }
    }

    fn read_chain(&mut self, body: &Body) {
        match body {
            Body::BatchPlanned(plan) => self.planned(plan),
            Body::AttemptSigned(attempt) => {
                let flight = self.flights.get_mut(&(attempt.campaign, attempt.batch)).unwrap();
                let named = named(&flight.plan.words);
                let first = !std::mem::replace(&mut flight.signed, true);
                let void = named.iter().any(|id| self.fates[&(attempt.campaign, *id)].ordered_void);
                assert!(!first || !void, "nothing void is signed for the first time");
            }
            Body::BatchMined(mined) => {
                let paid = named(&mined.paid);
                let flight = self.flights.get_mut(&(mined.campaign, mined.batch)).unwrap();
                assert!(flight.mined.is_none() && mined.paid_total == sum(paid.iter().map(|id| id.index)));
                flight.mined = Some((paid, mined.skipped.clone()));
            }
            Body::BatchUnmined(at) => {
                self.flights.get_mut(&(at.campaign, at.batch)).unwrap().mined.take().unwrap();
            }
            Body::BatchFinal(at) => {
                let flight = self.flights.remove(&(at.campaign, at.batch)).unwrap();
                self.leave(at.campaign, &flight.plan.words);
                let (paid, skipped) = flight.mined.unwrap();
                let silent = named(&flight.plan.words)
                    .into_iter()
                    .filter(|id| !paid.contains(id) && skipped.iter().all(|s| s.entitlement != *id));
                let silent: Vec<_> = silent.collect();
                for id in paid {
                    self.pay(at.campaign, id);
                }
                self.fail(at.campaign, skipped.iter().map(|s| s.entitlement));
                // Passed over without a word, and nothing explains it yet: it counts as a failed transfer.
                let explained = |f: &Fate| f.void || f.by_wallet;
                let silent = silent.into_iter().filter(|id| !explained(&self.fates[&(at.campaign, *id)]));
                let unexplained: Vec<_> = silent.collect();
                self.fail(at.campaign, unexplained);
            }
            Body::BatchReplanned(replanned) => {
                let flight = self.flights.remove(&(replanned.campaign, replanned.batch)).unwrap();
                assert!(flight.mined.is_none());
                self.leave(replanned.campaign, &flight.plan.words);
                self.fail(replanned.campaign, replanned.poison.iter().map(|s| s.entitlement));
            }
            Body::EventsMined(mined) => {
                self.by_wallet(mined.campaign, &mined.events, true);
                let before = self.blocks.insert((mined.campaign, mined.block.number), mined.events.clone());
                assert!(before.is_none(), "a block is recorded once");
            }
            Body::EventsUnmined(at) => {
                let events = self.blocks.remove(&(at.campaign, at.block.number)).unwrap();
                self.by_wallet(at.campaign, &events, false);
            }
            Body::EventsFinal(at) => {
                let events = self.blocks.remove(&(at.campaign, at.block.number)).unwrap();
                self.by_wallet(at.campaign, &events, false);
                for event in events {
                    self.final_event(at.campaign, event);
                }
            }
            _ => {}
        }
    }

    fn by_wallet(&mut self, campaign: CampaignId, events: &[ChainEvent], seen: bool) {
        for event in events {
            if let ChainEvent::Paid { entitlement, .. } = event {
                self.fate(campaign, *entitlement).by_wallet = seen;
            }
        }
    }

    fn final_event(&mut self, campaign: CampaignId, event: ChainEvent) {
        match event {
            ChainEvent::Funded { amount } => *self.funded.entry(campaign).or_default() += amount.get(),
            ChainEvent::Paid { entitlement, .. } => {
                self.pay(campaign, entitlement);
                self.fate(campaign, entitlement).decided = true;
            }
            ChainEvent::Voided { items } => {
                for (id, _) in items {
                    if !self.fate(campaign, id).void {
                        self.uncount(campaign, id);
                    }
                    self.fate(campaign, id).void = true;
                }
            }
            _ => {}
        }
    }

    fn pay(&mut self, campaign: CampaignId, id: EntitlementId) {
        let fate = self.fate(campaign, id);
        assert!(!fate.paid, "paid at most once");
        (fate.paid, fate.waits) = (true, false);
        // Annulled too late: it counts again, whatever the limit says now.
        if fate.void && fate.counted {
            *self.counted.get_mut(&campaign).unwrap() += amount(id.index).get();
        }
    }

    /// What was planned, not signed, and names something annulled is given up.
    fn drop_unsigned(&mut self, campaign: CampaignId, annulled: &BTreeSet<EntitlementId>) {
        let names = |flight: &Flight| named(&flight.plan.words).iter().any(|id| annulled.contains(id));
        let gone = self.flights.iter().filter(|((c, _), f)| *c == campaign && !f.signed && names(f));
        for key in gone.map(|(key, _)| *key).collect::<Vec<_>>() {
            let flight = self.flights.remove(&key).unwrap();
            self.leave(campaign, &flight.plan.words);
        }
    }

    fn leave(&mut self, campaign: CampaignId, words: &[WordMask]) {
        for id in named(words) {
            self.fate(campaign, id).batch = None;
        }
    }

    fn fail(&mut self, campaign: CampaignId, failed: impl IntoIterator<Item = EntitlementId>) {
        for id in failed {
            let fate = self.fate(campaign, id);
            if !fate.paid {
                fate.failed += 1;
                fate.waits = fate.failed <= SKIP_RETRIES_MAX;
            }
        }
    }

    fn planned(&mut self, plan: &BatchPlanned) {
        let ids = named(&plan.words);
        assert!(ids.is_empty() || !self.offices.is_stopped(plan.campaign), "planned in a pause or a hold");
        let cost = self.gas.unwrap_or_default().cost_at(&plan.form, &plan.words, |_| 0).gas;
        assert!(cost <= BATCH_GAS_MAX, "{cost} gas for {:?}", plan.form);
        assert_eq!(plan.total, sum(ids.iter().map(|id| id.index)));
        for id in &ids {
            let fate = self.fate(plan.campaign, *id);
            assert!(fate.payable(), "{id:?} is planned as {fate:?}");
            assert_eq!(fate.redirected, matches!(plan.form, BatchForm::Redirected { .. }), "{id:?}");
            fate.batch = Some(plan.batch);
            let redirected = fate.redirected;
            let (count, mode) = self.rounds[&(plan.campaign, id.round)];
            let gated = mode == RoundMode::Gated;
            assert!(id.index < count && (!gated || self.offices.is_approved(&(plan.campaign, *id))));
            assert_eq!(gated && !redirected, plan.form == BatchForm::Gated, "{id:?}");
            assert!(!self.offices.is_held(&(plan.campaign, *id)), "{id:?} is held");
        }
        if let BatchForm::Dense { round, start, levels } = plan.form {
            let (count, mode) = self.rounds[&(plan.campaign, round)];
            assert_eq!(mode, RoundMode::Push);
            for index in start..(start + (4 << levels)).min(count) {
                let id = EntitlementId { round, index };
                let inside = ids.contains(&id);
                assert!(inside || self.fates[&(plan.campaign, id)].paid, "{index} is paid unasked");
            }
        }
        let before = self
            .flights
            .insert((plan.campaign, plan.batch), Flight { plan: plan.clone(), signed: false, mined: None });
        assert!(before.is_none(), "a number is used once at a time");
    }

    /// Compares every base unit, and whether there is something to plan where nothing is in flight.
    pub(crate) fn compare(&self, state: &State) {
        self.offices.compare(state);
        for (id, campaign) in &state.campaigns {
            let mut expected: BTreeMap<Account, u128> = BTreeMap::new();
            for ((_, entitlement), fate) in self.fates.iter().filter(|((c, _), _)| c == id) {
                let account = match fate {
                    Fate { paid: true, .. } => Account::Paid,
                    Fate { void: true, .. } => Account::Voided,
                    Fate { decided: true, .. } => Account::Reserved,
                    _ => continue,
                };
                *expected.entry(account).or_default() += amount(entitlement.index).get();
            }
            let funded = self.funded.get(id).copied().unwrap_or_default();
            expected.insert(Account::Free, funded - expected.values().sum::<u128>());
            for account in [Account::Free, Account::Reserved, Account::Paid, Account::Voided] {
                let wanted = expected.get(&account).copied().unwrap_or_default();
                assert_eq!(campaign.funds.balance(account), wanted as i128, "{account:?}");
            }
            assert_eq!(campaign.funds.balance(Account::Funded), -(funded as i128));
            assert_eq!(campaign.decided.total.get(), self.counted.get(id).copied().unwrap_or_default());
        }
    }

    /// Compares what is said of every entitlement.
    pub(crate) fn compare_status(&self, state: &State) {
        for ((id, entitlement), fate) in &self.fates {
            let status = state.campaign(*id).unwrap().status(*entitlement);
            assert_eq!(status == Some(ClaimState::Final), fate.paid, "{entitlement:?}");
            assert_eq!(status.is_none(), !fate.decided && !fate.void && !fate.by_wallet);
        }
    }

    /// Entitlements of a campaign that a batch could name now.
    pub(crate) fn payable(&self, campaign: CampaignId) -> usize {
        if self.offices.is_stopped(campaign) {
            return 0;
        }
        let allowed = |key: &Key| {
            let gated = self.rounds[&(key.0, key.1.round)].1 == RoundMode::Gated;
            !self.offices.is_held(key) && (!gated || self.offices.is_approved(key))
        };
        let of = self.fates.iter().filter(|((c, _), _)| *c == campaign);
        of.filter(|(key, fate)| fate.payable() && allowed(key)).count()
    }

    /// Whether no failed transfer waits for a retry, and every decided entitlement is paid, void or given up.
    pub(crate) fn nothing_waits(&self) -> bool {
        self.fates.values().all(|f| !f.waits && (!f.decided || f.paid || f.void || f.given_up()))
    }
}
