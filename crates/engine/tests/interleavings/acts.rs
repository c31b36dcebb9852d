//! What actors do: draws from a seed become commands and claims by whoever comes, allowed or not.

use std::sync::Mutex;

use alloy_primitives::{Address, B256, Bytes, U256};
use sluice_chain::signer::Account;
use sluice_core::amount::Total;
use sluice_core::command::{
    Action, AppealAbout, Approval, AuthorityTerms, Command, DelegationTerms, Demand, GateTerms, HoldTarget,
    MandateTerms, RoundTerms,
};
use sluice_core::ids::{DemandId, EntitlementId, Seq};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::signing::command_digest;
use sluice_core::state::State;
use sluice_core::state::rules::RulesPhase;
use sluice_engine::intake::Submitted;
use sluice_engine::node::Node;
use sluice_gate::mandate::Mandate;
use sluice_snapshot::Snapshot;
use uuid::Uuid;

use crate::support::institutions::residency;
use crate::support::{World, account, decided, eventually, wallet};

/// People of the list; each is a wallet and a person.
pub const PEOPLE: u32 = 24;
const FAR_MILLIS: u64 = 40_000_000_000_000;
const OFFICE: B256 = B256::repeat_byte(0x33);
/// What the office may do, up to so many things in all.
const POLICIES: &str = include_str!("office.cedar");

pub fn person(i: u32) -> B256 {
    B256::from(U256::from(0xd000 + i))
}

/// The list, and terms of a round that may be pushed as well as claimed.
pub fn people(world: &World) -> (RoundTerms, Snapshot) {
    let mut list = String::from("address,amount,person\n");
    for i in 0..PEOPLE {
        list.push_str(&format!("{},{},{}\n", wallet(i).address(), i + 1, person(i)));
    }
    world.snapshot_of(&list)
}

/// Numbers from a seed (SplitMix64).
pub struct Draw(u64);

impl Draw {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn person(&mut self) -> u32 {
        u32::try_from(self.below(u64::from(PEOPLE))).expect("small")
    }
}

/// Who signs, and by which right.
#[derive(Clone)]
struct By {
    signers: Vec<(B256, Account)>,
    mandate: B256,
    delegation: B256,
}

pub struct Actor<'a> {
    number: u64,
    draw: Draw,
    world: &'a World,
    nodes: &'a [Node; 2],
    snapshot: &'a Snapshot,
    told: &'a Mutex<Vec<(DemandId, Entry)>>,
}

impl<'a> Actor<'a> {
    pub fn new(
        seed: u64,
        number: u64,
        world: &'a World,
        nodes: &'a [Node; 2],
        snapshot: &'a Snapshot,
        told: &'a Mutex<Vec<(DemandId, Entry)>>,
    ) -> Self {
        Self { number, draw: Draw(seed.wrapping_mul(1_000_003) + number), world, nodes, snapshot, told }
    }

    pub async fn act(&mut self, acts: u32) {
        for at in 0..acts {
            if self.draw.below(4) == 0 {
                self.claim().await;
            } else if let Some((action, by)) = self.action(at) {
                self.order(action, by).await;
            }
        }
    }

    fn node(&mut self) -> &'a Node {
        let nodes = self.nodes;
        &nodes[usize::try_from(self.draw.below(2)).expect("small")]
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.nodes[0].follower().read(look)
    }

    async fn claim(&mut self) {
        let key = wallet(self.draw.person());
        let to = if self.draw.below(5) == 0 { Address::repeat_byte(0x77) } else { key.address() };
        let claim = self.world.claim(self.snapshot, 1, &key, to);
        let id = DemandId(Uuid::now_v7());
        let node = self.node();
        // Refused before a row was written: the log has nothing of it, which the answers' count shows.
        if let Ok(submitted) = node.submit_claim(self.world.campaign, id, claim).await {
            self.hear(node, id, submitted).await;
        }
    }

    async fn order(&mut self, action: Action, by: By) {
        let node = self.node();
        let charter = eventually("the Charter is read", || async { node.home_charter() }).await;
        let id = DemandId(Uuid::now_v7());
        // Now and then somebody signs what was seen long ago.
        let seen: Seq = if self.draw.below(12) == 0 { 1 } else { node.follower().seq() };
        let mut command = Command {
            action,
            subject_version: seen,
            reason: format!("actor {}", self.number),
            valid_at: 0,
            deadline: FAR_MILLIS,
            mandate: by.mandate,
            delegation: by.delegation,
            listed_at: None,
            approvals: Vec::new(),
        };
        command.approvals = by
            .signers
            .iter()
            .map(|(authority, key)| {
                let digest = command_digest(&command, id, *authority, charter.charter).expect("signed alone");
                let signature = key.sign_digest(digest).expect("signs");
                Approval { authority: *authority, signer: key.signer_bytes(), signature }
            })
            .collect();
        if let Ok(submitted) = node.submit(id, Demand::Command(command)).await {
            self.hear(node, id, submitted).await;
        }
    }

    async fn hear(&self, node: &Node, id: DemandId, submitted: Submitted) {
        let outcome = decided(node, submitted).await;
        self.told.lock().expect("no panic inside").push((id, outcome.entry));
    }

    fn institution(&self, number: usize) -> (B256, Account) {
        let key = self.world.institutions[number].clone();
        let charter = self.nodes[0].home_charter().expect("read before the round");
        (charter.view.institution_of(&key.signer_bytes()).expect("an institution"), key)
    }

    /// Some institutions, in some order.
    fn some(&mut self) -> By {
        let (first, count) = (self.draw.below(3), 1 + self.draw.below(3));
        let signers = (first..first + count)
            .map(|n| self.institution(usize::try_from(n % 3).expect("small")))
            .collect();
        By { signers, mandate: B256::ZERO, delegation: B256::ZERO }
    }

    fn citizen(&self, i: u32) -> By {
        By { signers: vec![(B256::ZERO, wallet(i))], mandate: B256::ZERO, delegation: B256::ZERO }
    }

    /// The office outside the Charter, under its last mandate; its vendor, if it has one.
    fn office(&mut self) -> By {
        let mandate = self.read(|s| s.mandates.iter().max_by_key(|(_, m)| m.version).map(|(id, _)| *id));
        let mandate = mandate.unwrap_or_default();
        let vendor =
            self.read(|s| s.delegations.iter().rfind(|(_, d)| d.terms.mandate == mandate).map(|(id, _)| *id));
        match vendor.filter(|_| self.draw.below(2) == 0) {
            Some(delegation) => By { signers: vec![(OFFICE, account("vendor"))], mandate, delegation },
            None => By { signers: vec![(OFFICE, account("office"))], mandate, delegation: B256::ZERO },
        }
    }

    fn some_hold(&mut self) -> Option<Seq> {
        let n = usize::try_from(self.draw.below(8)).expect("small");
        self.read(|s| s.holds.keys().nth(n % s.holds.len().max(1)).copied())
    }

    fn indexes(&mut self) -> Vec<u64> {
        let mut all: Vec<u64> =
            (0..1 + self.draw.below(3)).map(|_| self.draw.below(u64::from(PEOPLE))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// One kind of command after the other at first, so that each is there; then any.
    fn action(&mut self, at: u32) -> Option<(Action, By)> {
        let kind = if at < 20 { u64::from(at) * 3 + self.number } else { self.draw.below(60) } % 28;
        let campaign = self.world.campaign;
        let by = self.some();
        Some(match kind {
            0 => (Action::CreateCampaign(self.world.campaign_terms()), by),
            1 => (Action::Push { campaign, round: 1, from: 2 * self.draw.below(11), to: 24 }, by),
            2 => (Action::Void { campaign, round: 1, indexes: self.indexes() }, by),
            3..=5 => (Action::Hold { target: self.target() }, by),
            6 | 7 => (Action::Hold { target: self.target() }, self.office()),
            8 => (Action::ConfirmHold { hold: self.some_hold()? }, by),
            9 => (Action::RenewHold { hold: self.some_hold()? }, by),
            10 | 11 => (Action::Release { hold: self.some_hold()? }, by),
            12 => {
                let until = self.read(|s| s.recorded_at) + 300 + self.draw.below(4_000);
                (Action::Pause { campaign, until }, by)
            }
            13 => (Action::Resume { campaign }, by),
            14 => {
                let limit = [None, Some(Total(10u128.pow(20))), Some(Total(10u128.pow(21)))];
                (Action::SetLimit { campaign, limit: limit[usize::try_from(self.draw.below(3)).ok()?] }, by)
            }
            15 => {
                let (person, payee) = (person(self.draw.person()), wallet(self.draw.person()).address());
                (Action::BindPerson { person, payee, jurisdiction: String::new() }, by)
            }
            16 => {
                let i = self.draw.person();
                let payee = wallet(self.draw.person()).address();
                (Action::ChangePayee { person: person(i), payee }, self.citizen(i))
            }
            17 => (Action::RevokeAttestation { uid: person(self.draw.person()) }, by),
            18 | 19 => return self.appeal(),
            20 => {
                let appeal = self.read(|s| s.appeals.keys().next().copied())?;
                (Action::AnswerAppeal { appeal, upheld: self.draw.below(2) == 0 }, by)
            }
            21..=23 => return self.rules(),
            24 => {
                let signer = account("gate").signer_bytes();
                let version = 1 + u16::try_from(self.draw.below(3)).ok()?;
                let (rule_sets, attestations) = (Vec::new(), Vec::new());
                let terms = GateTerms { campaign, version, rule_sets, attestations, signer };
                (Action::DefineGate(terms), by)
            }
            25 => return self.keys(),
            _ => return self.mandates(),
        })
    }

    fn target(&mut self) -> HoldTarget {
        match self.draw.below(7) {
            0 => HoldTarget::Campaign { campaign: self.world.campaign },
            1..=3 => HoldTarget::Person { person: person(self.draw.person()) },
            _ => {
                HoldTarget::Entitlements { campaign: self.world.campaign, round: 1, indexes: self.indexes() }
            }
        }
    }

    fn appeal(&mut self) -> Option<(Action, By)> {
        let (i, hold) = (self.draw.person(), self.some_hold());
        let entitlement = EntitlementId { round: 1, index: self.snapshot.find(wallet(i).address()).start };
        let campaign = self.world.campaign;
        let about = match (self.draw.below(3), hold) {
            (0 | 1, Some(hold)) => AppealAbout::Hold { hold },
            (0, None) => AppealAbout::Void { campaign, entitlement },
            _ => AppealAbout::Refusal { campaign, entitlement },
        };
        let by = if self.draw.below(3) == 0 { self.office() } else { self.citizen(i) };
        Some((Action::FileAppeal { about }, by))
    }

    /// Versions of the first institution's rules: proposed, approved, put into force, retired.
    fn rules(&mut self) -> Option<(Action, By)> {
        let (owner, key) = self.institution(0);
        let alone = By { signers: vec![(owner, key)], mandate: B256::ZERO, delegation: B256::ZERO };
        let (count, last) = self.read(|s| {
            let last =
                s.rule_sets.iter().max_by_key(|(_, r)| r.version).map(|(id, r)| (*id, r.phase.clone()));
            (s.rule_sets.len(), last)
        });
        let propose = || {
            Action::ProposeRules(residency(|text| {
                let id = "0x1111111111111111111111111111111111111111111111111111111111111111";
                text.replace(id, &owner.to_string()).replace("\"2026-1\"", &format!("\"v{count}\""))
            }))
        };
        Some(match (last, self.draw.below(4)) {
            (Some((rules, RulesPhase::Proposed { .. })), 0 | 1) => {
                (Action::ApproveRules { rules }, self.some())
            }
            (Some((rules, RulesPhase::Proposed { .. })), _) => {
                let at = self.read(|s| s.recorded_at) + self.draw.below(2) * 500;
                (Action::ActivateRules { rules, at }, alone)
            }
            (Some((rules, _)), 0) => (Action::RetireRules { rules }, alone),
            _ => (propose(), alone),
        })
    }

    /// An institution takes another key, or gives one up.
    fn keys(&mut self) -> Option<(Action, By)> {
        if self.read(|s| !s.authorities.contains_key(&OFFICE)) {
            let signers = vec![account("office").signer_bytes()];
            let terms = AuthorityTerms { authority: OFFICE, name: "office".into(), signers };
            return Some((Action::RegisterAuthority(terms), self.some()));
        }
        let used = self.read(|s| s.authorities[&OFFICE].keys.len() + s.authorities[&OFFICE].revoked.len());
        let add = vec![account(&format!("office {used}")).signer_bytes()];
        let spare = self.read(|s| {
            let office = account("office").signer_bytes();
            s.authorities[&OFFICE].keys.iter().find(|key| **key != office).cloned()
        });
        let revoke: Vec<Bytes> = spare.into_iter().collect();
        Some((Action::ChangeKeys { authority: OFFICE, add, revoke }, self.some()))
    }

    fn mandates(&mut self) -> Option<(Action, By)> {
        if self.read(|s| !s.authorities.contains_key(&OFFICE)) {
            return self.keys();
        }
        let mandate = self.read(|s| s.mandates.iter().find(|(_, m)| !m.ended).map(|(id, _)| *id));
        let delegation = self.read(|s| s.delegations.iter().find(|(_, d)| !d.ended).map(|(id, _)| *id));
        Some(match (self.draw.below(6), mandate, delegation) {
            (0, Some(mandate), _) => (Action::RevokeMandate { mandate }, self.some()),
            (1, _, Some(delegation)) => (Action::RevokeDelegation { delegation }, self.some()),
            (2..=4, Some(mandate), _) => {
                let terms = DelegationTerms {
                    authority: OFFICE,
                    mandate,
                    vendor: account("vendor").signer_bytes(),
                    actions: vec!["hold".into(), "bind_person".into()],
                    campaign: None,
                    amount_max: None,
                    count_max: Some(2),
                    expires_at: FAR_MILLIS,
                };
                let office = vec![(OFFICE, account("office"))];
                let by = By { signers: office, mandate: B256::ZERO, delegation: B256::ZERO };
                (Action::Delegate(terms), by)
            }
            _ => {
                let manifest = format!("holder = \"{OFFICE}\"\nname = \"office\"\nversion = \"1\"\n");
                let (mandate, _) =
                    Mandate::build(&manifest, POLICIES).unwrap_or_else(|problems| panic!("{problems}"));
                let terms = MandateTerms { holder: OFFICE, text: mandate.encode().into() };
                (Action::GrantMandate(terms), self.some())
            }
        })
    }
}

/// Nothing is held or paused any more; then everything decided and not annulled becomes final.
pub async fn finish(world: &World, node: &Node) {
    eventually("nothing is held or paused", || async {
        let (hold, paused) = node
            .follower()
            .read(|s| (s.holds.keys().next().copied(), s.campaigns[&world.campaign].pause.is_some()));
        if let Some(hold) = hold {
            world.command(node, Action::Release { hold }, 3).await;
        } else if paused {
            world.command(node, Action::Resume { campaign: world.campaign }, 2).await;
        } else {
            return Some(());
        }
        None
    })
    .await;
    eventually("whatever is decided is final", || async {
        node.follower().read(|s| {
            let campaign = &s.campaigns[&world.campaign];
            let ended = (0..u64::from(PEOPLE)).all(|index| {
                let state = campaign.status(EntitlementId { round: 1, index });
                matches!(state.map(|s| s.as_str()), None | Some("final" | "voided"))
            });
            (ended && campaign.in_flight() == 0).then_some(())
        })
    })
    .await;
    let log = world.log(node).await;
    assert!(log.iter().any(|e| matches!(e.body, Body::BatchFinal(_))), "somebody was paid");
}
