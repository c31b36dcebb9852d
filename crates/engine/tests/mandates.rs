//! The sample mandates of six offices, end to end: what each may do through the log, and what not.

mod support;

use alloy_primitives::{Address, B256, Bytes, U256};
use sluice_chain::signer::Account;
use sluice_core::command::{
    Action, AppealAbout, Approval, AuthorityTerms, CampaignTerms, Command, DelegationTerms, Demand,
    GateTerms, HoldTarget, MandateTerms, RoundMode, RoundTerms, RulesTerms,
};
use sluice_core::ids::{DemandId, EntitlementId, Seq};
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use sluice_core::signing::command_digest;
use sluice_engine::follower::Outcome;
use sluice_engine::intake::SubmitError;
use sluice_engine::node::Node;
use sluice_gate::mandate::Mandate;
use sluice_gate::rules::{PolicySource, RuleSet, Sources};
use support::institutions::{done, sample};
use support::{FAR, World, account, decided, eventually};
use uuid::Uuid;

/// An office of the samples, with a key, its mandate and a vendor's key.
struct Office {
    id: B256,
    key: Account,
    mandate: B256,
    vendor: Account,
    delegation: B256,
}

/// What became of a command: its entry's position, or the code of its refusal.
type Became = Result<Seq, Code>;

fn became(outcome: &Outcome) -> Became {
    match &outcome.entry.body {
        Body::CommandRefused(refused) => Err(refused.code),
        _ => Ok(outcome.entry.seq),
    }
}

/// A command under the office's mandate, by its own key or by its vendor's.
async fn give(node: &Node, office: &Office, by_vendor: bool, action: Action) -> Became {
    eventually("a command that is not overtaken", || async {
        let became = give_once(node, office, by_vendor, action.clone()).await;
        (became != Err(Code::Stale)).then_some(became)
    })
    .await
}

async fn give_once(node: &Node, office: &Office, by_vendor: bool, action: Action) -> Became {
    let charter = eventually("the Charter is read", || async { node.home_charter() }).await;
    let id = DemandId(Uuid::now_v7());
    let key = if by_vendor { &office.vendor } else { &office.key };
    let mut command = Command {
        action,
        subject_version: node.follower().seq(),
        reason: "a test".into(),
        valid_at: 0,
        deadline: FAR * 1_000,
        mandate: office.mandate,
        delegation: if by_vendor { office.delegation } else { B256::ZERO },
        listed_at: None,
        approvals: Vec::new(),
    };
    let digest = command_digest(&command, id, office.id, charter.charter).expect("signed alone");
    let signature = key.sign_digest(digest).expect("signs");
    command.approvals = vec![Approval { authority: office.id, signer: key.signer_bytes(), signature }];
    match node.submit(id, Demand::Command(command)).await {
        Ok(submitted) => became(&decided(node, submitted).await),
        Err(SubmitError::Refused(code)) => Err(code),
        Err(other) => panic!("{other:?}"),
    }
}

/// Makes an office of the samples known, grants its mandate, and lets a vendor act for it.
async fn office(world: &World, node: &Node, name: &str) -> Office {
    // The samples speak of stream 0, these tests of stream 1.
    let policies = sample(&format!("mandates/{name}.cedar")).replace("Stream::\"0\"", "Stream::\"1\"");
    let (mandate, _) = Mandate::build(&sample(&format!("mandates/{name}.toml")), &policies)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let (id, key, vendor) = (mandate.holder, account(name), account(&format!("{name}'s vendor")));
    let terms = AuthorityTerms { authority: id, name: name.into(), signers: vec![key.signer_bytes()] };
    done(&world.command(node, Action::RegisterAuthority(terms), 2).await);
    let terms = MandateTerms { holder: id, text: mandate.encode().into() };
    let granted = terms.id(done(&world.command(node, Action::GrantMandate(terms.clone()), 2).await).id);
    let lent = ["bind_person", "change_payee", "hold", "release", "push"].map(str::to_owned).to_vec();
    let terms = DelegationTerms {
        authority: id,
        mandate: granted,
        vendor: vendor.signer_bytes(),
        actions: lent,
        campaign: None,
        amount_max: None,
        count_max: None,
        expires_at: FAR * 1_000,
    };
    let office = support::institutions::Office { id, key: key.clone(), mandate: B256::ZERO };
    let delegate = Action::Delegate(terms.clone());
    let delegation = terms.id(done(&world.command_of(node, &office, B256::ZERO, delegate).await).id);
    Office { id, key, mandate: granted, vendor, delegation }
}

fn person(n: u32) -> B256 {
    B256::from(U256::from(0xd000 + n))
}

fn bind(n: u32, jurisdiction: &str) -> Action {
    let payee = Address::repeat_byte(0x90);
    Action::BindPerson { person: person(n), payee, jurisdiction: jurisdiction.into() }
}

fn hold_person(n: u32) -> Action {
    Action::Hold { target: HoldTarget::Person { person: person(n) } }
}

/// A world whose campaign is the samples' payment operator's, in Germany, created by the programme owner under its mandate;
/// and an open PUSH round of eleven persons who get 10^11 base units each.
async fn germany() -> (World, Node, Office) {
    let mut world = World::new().await;
    world.campaign = "018f3a00-0000-7000-8000-000000000001".parse().expect("an id");
    let node = world.node(0).await;
    let owner = office(&world, &node, "programme-owner").await;
    let terms = CampaignTerms { jurisdiction: "DE".into(), ..world.campaign_terms() };
    give(&node, &owner, false, Action::CreateCampaign(terms)).await.expect("created under its mandate");
    (world, node, owner)
}

async fn open_round(world: &World, node: &Node) -> RoundTerms {
    let mut list = String::from("address,amount,person\n");
    for n in 0..11 {
        list.push_str(&format!("{},0.0000001,{}\n", support::wallet(n).address(), person(n)));
    }
    let (mut terms, _) = world.snapshot_of(&list);
    terms.mode = RoundMode::Push;
    world.publish_round(node, &terms).await;
    terms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registrar_keeps_the_persons_of_its_jurisdiction_and_no_others() {
    let (world, node, _) = germany().await;
    let registrar = office(&world, &node, "registrar").await;
    // A person in Austria, bound by the quorum.
    done(&world.command(&node, bind(2, "AT"), 2).await);
    let may = async |by_vendor, action| give(&node, &registrar, by_vendor, action).await;
    let no = Err(Code::MandateDenies);

    assert!(may(false, bind(1, "DE")).await.is_ok());
    assert!(may(false, bind(1, "DE-BE")).await.is_ok(), "Berlin lies in Germany");
    let state = node.follower().read(|s| s.persons[&person(1)].jurisdiction.clone());
    assert_eq!(state, "DE-BE");
    assert_eq!(may(false, bind(3, "AT")).await, no);
    assert_eq!(may(false, bind(3, "")).await, no, "nowhere is not in Germany");
    assert_eq!(may(false, bind(2, "DE")).await, no, "another's person is not taken over by saying so");
    assert_eq!(may(false, bind(1, "AT")).await, no, "nor given away");
    assert_eq!(may(false, bind(1, "de")).await, no, "and there is no such place");

    let payee = |n| Action::ChangePayee { person: person(n), payee: Address::repeat_byte(0x91) };
    assert!(may(false, payee(1)).await.is_ok());
    assert!(may(true, payee(1)).await.is_ok(), "a vendor keys in changes of address");
    assert_eq!(may(true, bind(1, "DE")).await, no, "but binds nobody");
    assert_eq!(may(false, payee(2)).await, no);

    let hold = may(false, hold_person(1)).await.expect("held");
    assert_eq!(may(false, hold_person(2)).await, no);
    assert_eq!(may(false, hold_person(7)).await, no, "whom nobody knows belongs nowhere");
    assert!(may(false, Action::Release { hold }).await.is_ok());
    let campaign = world.campaign;
    for other in [
        Action::Pause { campaign, until: FAR },
        Action::RevokeAttestation { uid: B256::repeat_byte(1) },
        Action::AnswerAppeal { appeal: 1, upheld: true },
    ] {
        let became = may(false, other.clone()).await;
        assert!(
            matches!(became, Err(Code::MandateDenies | Code::AttestationMissing)),
            "{other:?} {became:?}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_operator_pushes_its_campaign_up_to_its_limit() {
    let (world, node, owner) = germany().await;
    open_round(&world, &node).await;
    let operator = office(&world, &node, "payment-operator").await;
    let may = async |action| give(&node, &operator, false, action).await;
    let campaign = world.campaign;
    let push = |from, to| Action::Push { campaign, round: 1, from, to };
    assert!(may(push(0, 4)).await.is_ok());
    let by_vendor = give(&node, &operator, true, push(4, 10)).await;
    assert!(by_vendor.is_ok(), "{by_vendor:?}");
    assert_eq!(may(push(10, 11)).await, Err(Code::MandateSpent), "ten times 10^11 base units were all");
    let hold = HoldTarget::Entitlements { campaign, round: 1, indexes: vec![10] };
    assert_eq!(may(Action::Hold { target: hold }).await, Err(Code::MandateDenies));
    assert_eq!(give(&node, &owner, false, push(10, 11)).await, Err(Code::MandateDenies));

    let now = node.follower().read(|s| s.recorded_at);
    assert!(may(Action::Pause { campaign, until: now + 3_600_000 }).await.is_ok());
    assert_eq!(may(Action::Resume { campaign }).await, Err(Code::MandateDenies), "others end the pause");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compliance_holds_anywhere_in_person_and_an_auditor_changes_nothing() {
    let (world, node, _) = germany().await;
    open_round(&world, &node).await;
    let compliance = office(&world, &node, "compliance").await;
    let registrar = office(&world, &node, "registrar").await;
    let auditor = office(&world, &node, "auditor").await;
    done(&world.command(&node, bind(1, "DE"), 2).await);
    let may = async |by_vendor, action| give(&node, &compliance, by_vendor, action).await;
    let campaign = world.campaign;
    let listed = |index| Action::Hold {
        target: HoldTarget::Entitlements { campaign, round: 1, indexes: vec![index] },
    };
    let hold = may(false, listed(3)).await.expect("held");
    assert!(may(false, hold_person(7)).await.is_ok(), "of any jurisdiction or none");
    assert_eq!(may(true, listed(4)).await, Err(Code::MandateDenies), "no vendor holds");
    assert!(may(true, Action::Release { hold }).await.is_ok(), "but releases what the office held");
    let of_registrar = give(&node, &registrar, false, hold_person(1)).await.expect("held");
    assert!(may(false, Action::ConfirmHold { hold: of_registrar }).await.is_ok());
    assert_eq!(may(false, Action::Release { hold: of_registrar }).await, Err(Code::NotPlacer));
    // Its mandate covers these; the Charter's quorum is missing.
    let void = Action::Void { campaign, round: 1, indexes: vec![3] };
    assert_eq!(may(false, void).await, Err(Code::NotAuthorized));
    assert_eq!(may(false, Action::RenewHold { hold: of_registrar }).await, Err(Code::NotAuthorized));
    assert_eq!(may(false, bind(1, "DE")).await, Err(Code::MandateDenies));

    for action in [
        listed(5),
        hold_person(1),
        bind(1, "DE"),
        Action::ConfirmHold { hold: of_registrar },
        Action::Push { campaign, round: 1, from: 0, to: 1 },
        Action::Pause { campaign, until: FAR },
        Action::SetLimit { campaign, limit: None },
    ] {
        let became = give(&node, &auditor, false, action.clone()).await;
        assert_eq!(became, Err(Code::MandateDenies), "{action:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agency_writes_rules_and_answers_appeals_and_the_owner_runs_the_programme() {
    let (world, node, owner) = germany().await;
    let terms = open_round(&world, &node).await;
    let agency = office(&world, &node, "eligibility-agency").await;
    let may = async |action| give(&node, &agency, false, action).await;
    let campaign = world.campaign;
    let (manifest, table) = (sample("income/rules.toml"), sample("income/table.csv"));
    let sources = Sources { manifest: &manifest, policies: PolicySource::Table(&table), never: "" };
    let (set, _) = RuleSet::build(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(set.manifest.owner, agency.id);
    let (owner_of, lineage, text) = (set.manifest.owner, set.manifest.lineage.clone(), set.encode().into());
    let rules = RulesTerms { owner: owner_of, lineage, text };
    let name = rules.hash();
    let by_owner = give(&node, &owner, false, Action::ProposeRules(rules.clone())).await;
    assert_eq!(by_owner, Err(Code::MandateDenies), "the owner writes no rules");
    assert!(may(Action::ProposeRules(rules)).await.is_ok());
    // In both mandates, and in no hands but those of the Charter's institutions.
    assert_eq!(may(Action::ApproveRules { rules: name }).await, Err(Code::NotAuthorized));
    let early = give(&node, &owner, false, Action::ActivateRules { rules: name, at: 0 }).await;
    assert_eq!(early, Err(Code::NotAuthorized));
    done(&world.command(&node, Action::ApproveRules { rules: name }, 2).await);

    let refusal = AppealAbout::Refusal { campaign, entitlement: EntitlementId { round: 1, index: 3 } };
    let appeal = may(Action::FileAppeal { about: refusal }).await.expect("filed for a claimant");
    assert!(may(Action::AnswerAppeal { appeal, upheld: false }).await.is_ok(), "in its jurisdiction");
    let gate = GateTerms {
        campaign,
        version: 1,
        rule_sets: Vec::new(),
        attestations: Vec::new(),
        signer: Bytes::from(vec![1; 20]),
    };
    assert_eq!(may(Action::DefineGate(gate)).await, Err(Code::NotAuthorized));
    let void = Action::Void { campaign, round: 1, indexes: vec![3] };
    // Each item may have 900 tokens of six decimals: 9 · 10^8 base units, and this one has 10^11.
    assert_eq!(may(void.clone()).await, Err(Code::MandateDenies));
    assert_eq!(may(Action::SetLimit { campaign, limit: None }).await, Err(Code::MandateDenies));

    let may = async |action| give(&node, &owner, false, action).await;
    assert!(may(Action::SetLimit { campaign, limit: Some(terms.total) }).await.is_ok());
    let now = node.follower().read(|s| s.recorded_at);
    assert!(may(Action::Pause { campaign, until: now + 3_600_000 }).await.is_ok());
    assert!(may(Action::Resume { campaign }).await.is_ok(), "its own pause");
    assert_eq!(may(void).await, Err(Code::NotAuthorized));
    assert_eq!(may(Action::RetireRules { rules: name }).await, Err(Code::NotAuthorized));
    let mandate = MandateTerms { holder: owner.id, text: Bytes::from_static(b"more") };
    let granted = may(Action::GrantMandate(mandate)).await;
    assert!(matches!(granted, Err(Code::NotAuthorized | Code::BadRules)), "{granted:?}");
    assert_eq!(may(hold_person(1)).await, Err(Code::MandateDenies));
    node.stop().await;
}
