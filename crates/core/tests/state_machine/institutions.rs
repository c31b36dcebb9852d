//! Who orders: institutions of the Charter, offices outside it, vendors and persons; and what the engine would establish
//! of their commands.

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::command::{
    Action, Approval, AuthorityTerms, Command, DelegationTerms, Demand, GateTerms, HoldTarget, MandateTerms,
    RoundMode, RulesTerms,
};
use sluice_core::decide::{
    CommandFacts, GateVerdict, Input, Listed, MandateSeen, PersonSeen, SignerSeen, VerifiedClaim,
    VerifiedCommand, VerifiedGate,
};
use sluice_core::ids::{DemandId, Seq};
use sluice_core::log::entry::{Body, ChainEvent, Commanded, GateMask, GateSigned, Outcome};
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::authority::Limits;

use crate::world::{CLOSES, World, campaign, refusal, sum, words};

/// An institution's id: 1 to 3 stand in the Charter, others are registered or unknown.
pub(crate) fn institution(n: u8) -> B256 {
    B256::repeat_byte(n)
}

/// Its first key.
pub(crate) fn signer(n: u8) -> Bytes {
    Bytes::from(vec![n; 20])
}

/// The person to whom an entitlement of every list belongs.
pub(crate) fn person_of(index: u64) -> B256 {
    person(index % 50)
}

pub(crate) fn person(n: u64) -> B256 {
    B256::left_padding_from(&(0xbe_0000 + n).to_be_bytes())
}

pub(crate) fn approvals(by: &[u8]) -> Vec<Approval> {
    by.iter()
        .map(|n| Approval {
            authority: institution(*n),
            signer: signer(*n),
            signature: Bytes::from(vec![9; 65]),
        })
        .collect()
}

/// What is established of a command whose signatures are good, as State knows the keys.
pub(crate) fn facts(state: &State, command: &Command, listed: Listed) -> CommandFacts {
    let seen =
        |a: &Approval| SignerSeen { authority: a.authority, key_version: state.key_version(a.authority) };
    CommandFacts {
        set_version: state.set_version(),
        signers: command.approvals.iter().map(seen).collect(),
        mandate: None,
        looked_at: None,
        listed,
    }
}

pub(crate) fn hold_of(indexes: &[u64]) -> Action {
    Action::Hold {
        target: HoldTarget::Entitlements { campaign: campaign(1), round: 1, indexes: indexes.to_vec() },
    }
}

pub(crate) fn hold_person(n: u64) -> Action {
    Action::Hold { target: HoldTarget::Person { person: person(n) } }
}

pub(crate) fn rules(owner: u8, text: &str) -> RulesTerms {
    RulesTerms {
        owner: institution(owner),
        lineage: "adults".into(),
        text: Bytes::from(text.as_bytes().to_vec()),
    }
}

pub(crate) fn gate(version: u16, rule_sets: Vec<B256>) -> GateTerms {
    GateTerms { campaign: campaign(1), version, rule_sets, attestations: Vec::new(), signer: signer(0x6a) }
}

pub(crate) fn delegation(by: u8, mandate: B256) -> DelegationTerms {
    DelegationTerms {
        authority: institution(by),
        mandate,
        vendor: signer(0x7e),
        actions: vec!["push".into(), "hold".into()],
        campaign: None,
        amount_max: None,
        count_max: None,
        expires_at: CLOSES * 1_000,
    }
}

impl World {
    /// A command by these institutions, on the subject as it is.
    pub(crate) fn by(&mut self, by: &[u8], action: Action) -> VerifiedCommand {
        let mut command = self.signed(action);
        command.command.approvals = approvals(by);
        self.reverify(&mut command);
        command
    }

    /// A command by a person's own address.
    pub(crate) fn by_person(&mut self, address: Address, action: Action) -> VerifiedCommand {
        let mut command = self.signed(action);
        let signer = Bytes::copy_from_slice(address.as_slice());
        command.command.approvals =
            vec![Approval { authority: B256::ZERO, signer, signature: Bytes::from(vec![9; 65]) }];
        self.reverify(&mut command);
        command
    }

    /// Makes the facts of a command those of this position; its mandate permits without limits.
    pub(crate) fn reverify(&self, command: &mut VerifiedCommand) {
        let listed = crate::lookup::listed(self.state(), &command.command.action);
        let mut facts = facts(self.state(), &command.command, listed);
        let person = self.state().concerned_by(&command.command.action).map(|person| PersonSeen {
            person,
            version: self.state().persons.get(&person).map_or(0, |known| known.version),
        });
        facts.mandate = self.state().mandates.get(&command.command.mandate).map(|mandate| MandateSeen {
            version: mandate.version,
            permits: true,
            policies: vec!["may".into()],
            limits: Limits::default(),
            person,
        });
        command.verdict = Ok(facts);
    }

    /// What becomes of one command: the code of its refusal, if it is refused.
    pub(crate) fn code(&mut self, command: VerifiedCommand) -> Option<Code> {
        let bodies = self.submit(vec![Input::Command(command)]);
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        refusal(&bodies[0])
    }

    /// The code of a refused order by these institutions.
    pub(crate) fn refused(&mut self, by: &[u8], action: Action) -> Option<Code> {
        let command = self.by(by, action);
        self.code(command)
    }

    /// Orders something that is done; returns its outcome and position.
    pub(crate) fn order(&mut self, by: &[u8], action: Action) -> (Seq, Outcome) {
        let command = self.by(by, action);
        self.done(command)
    }

    pub(crate) fn done(&mut self, command: VerifiedCommand) -> (Seq, Outcome) {
        match self.submit(vec![Input::Command(command)]).pop().unwrap() {
            Body::Ordered(Commanded { outcome, .. }) => (self.state().seq, outcome),
            other => panic!("{other:?}"),
        }
    }

    /// A mandate for an institution.
    pub(crate) fn mandate(&mut self, holder: u8) -> B256 {
        let terms = MandateTerms { holder: institution(holder), text: Bytes::from_static(b"permit") };
        let command = self.by(&[1, 2], Action::GrantMandate(terms.clone()));
        let id = terms.id(command.id);
        self.done(command);
        id
    }

    /// An office outside the Charter.
    pub(crate) fn register(&mut self, n: u8) {
        let terms =
            AuthorityTerms { authority: institution(n), name: "office".into(), signers: vec![signer(n)] };
        self.order(&[1, 2], Action::RegisterAuthority(terms));
    }

    /// A command by an office under its mandate.
    pub(crate) fn under(&mut self, mandate: B256, by: u8, action: Action) -> VerifiedCommand {
        let mut command = self.by(&[by], action);
        command.command.mandate = mandate;
        self.reverify(&mut command);
        command
    }

    /// A rule set of institution 1 in force.
    pub(crate) fn in_force(&mut self, text: &str) -> B256 {
        let terms = rules(1, text);
        let name = terms.hash();
        self.order(&[1], Action::ProposeRules(terms));
        self.order(&[2], Action::ApproveRules { rules: name });
        self.order(&[1], Action::ActivateRules { rules: name, at: 0 });
        name
    }

    /// A stream with campaign 1, whose round 1 is gated, open and funded; with the name of the rule set in force.
    pub(crate) fn gated(count: u64) -> (Self, B256) {
        let mut world = Self::new();
        world.create(campaign(1));
        let name = world.in_force("permit");
        let terms = gate(1, vec![rules(1, "").lineage_id()]);
        world.order(&[1, 2], Action::DefineGate(terms.clone()));
        let mut round = world.terms(campaign(1), 1, count, RoundMode::Gated);
        (round.gate, round.rules_hash) = (1, terms.hash());
        let publish = world.command(Action::Publish(round));
        assert!(matches!(world.submit(vec![publish])[..], [Body::RoundPublished(_)]));
        world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..count) }]);
        world.open_round(campaign(1), 1);
        (world, name)
    }

    /// A claim that the gate permits by the rule sets in force.
    pub(crate) fn permitted(&mut self, index: u64) -> VerifiedClaim {
        let mut claim = self.claim(index);
        let verdict = self.gate_verdict();
        claim.verdict.as_mut().unwrap().gate = Some(verdict);
        claim
    }

    pub(crate) fn gate_verdict(&self) -> GateVerdict {
        let lineages = &self.known().gates[&1].terms.rule_sets;
        GateVerdict {
            gate: 1,
            rule_sets: lineages
                .iter()
                .map(|id| self.state().rules_in_force(*id).unwrap_or_default())
                .collect(),
            policies: vec!["adults".into()],
            attestations: Vec::new(),
            as_of: self.state().seq,
            facts: Bytes::from_static(b"facts"),
        }
    }

    /// Whether the log takes note of what a gate signed.
    pub(crate) fn signs(&mut self, signed: GateSigned) -> bool {
        let key = self.key(campaign(1));
        let body_hash = Demand::Gate(signed.clone()).body_hash();
        let gate = VerifiedGate { key, id: DemandId::default(), signed, body_hash, verdict: Ok(()) };
        matches!(self.submit(vec![Input::Gate(gate)])[..], [Body::GateSigned(_)])
    }

    /// What the gate signs over these indexes of round 1.
    pub(crate) fn mask(&self, indexes: impl IntoIterator<Item = u64>) -> GateSigned {
        let mask = |w: sluice_core::log::entry::WordMask| GateMask {
            round: 1,
            word: w.word,
            mask: w.mask,
            as_of: self.state().seq,
            expiry: CLOSES * 10,
            signature: Bytes::from(vec![3; 65]),
        };
        GateSigned {
            campaign: campaign(1),
            version: 1,
            words: words(1, indexes).into_iter().map(mask).collect(),
        }
    }
}
