//! What the story stands on: a private PostgreSQL, a private anvil, two nodes with their APIs, a gate-signer, a campaign
//! with a round that is pushed and a round behind a gate, five institutions with mandates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use anyhow::{Context, bail};
use futures::future::try_join_all;
use sluice_chain::calls;
use sluice_chain::signer::Account;
use sluice_core::command::{Action, ClaimDemand, GateTerms, RoundMode, RoundTerms};
use sluice_core::ids::{CampaignId, ContractRef, RoundNo, Seq, StreamId};
use sluice_core::log::note::LogVerifier;
use sluice_core::signing::claim_digest;
use sluice_engine::node::Node;
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot, build};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cast::{self, Office, Person, Role};
use super::client::{Client, Draft, Law, Signed, sign_list};
use super::draw::Draw;
use super::gate;
use super::record::Record;
use crate::api_client::{ApiClient, CampaignInfo, CharterInfo};
use crate::cli::campaign::{fund, publish};
use crate::cli::reach::project_id;
use crate::cli::sign::papers::{Deed, Papers};
use crate::dev::{self, Prepared};
use crate::http::reading::OfficeKey;
use crate::keys::bearer::{self, Purpose};
use crate::{demo, http, telemetry};

/// The round that the payment job pushes.
pub(super) const PUSHED: RoundNo = 1;
/// The round behind the gate.
pub(super) const GATED: RoundNo = 2;
/// The round whose list is made of the register.
pub(super) const NEXT: RoundNo = 3;
/// The gate version.
const GATE: u16 = 1;
/// How long rounds stay open and signatures stay good, seconds.
const GOOD_FOR: u64 = 7 * 86_400;
/// How often conditions are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the servers may still answer at the end.
const SERVER_END: Duration = Duration::from_secs(15);
/// A node or a round that is not there after so long will not come.
const STUCK_AFTER: Duration = Duration::from_secs(90);

/// Both nodes and the gate-signer, for as long as the story runs.
pub(super) struct Running {
    nodes: Vec<Serving>,
    gate: Option<JoinHandle<()>>,
}

struct Serving {
    node: Node,
    url: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// Everything the people of the story share.
pub(super) struct Scene {
    pub(super) campaign: CampaignId,
    pub(super) distributor: ContractRef,
    pub(super) law: Law,
    pub(super) people: Vec<Person>,
    pub(super) offices: BTreeMap<Role, Office>,
    pub(super) mandates: BTreeMap<Role, B256>,
    /// The Charter's institutions, which found everything else: id and key.
    pub(super) founders: Vec<(B256, Account)>,
    lists: RwLock<BTreeMap<RoundNo, Arc<Snapshot>>>,
    pub(super) clients: BTreeMap<&'static str, Client>,
    pub(super) record: Arc<Record>,
    /// What receipts are verified with.
    pub(super) log_key: LogVerifier,
    pub(super) node: Node,
    /// The version of the rules in force, and the one that is proposed: their names.
    pub(super) rules: [B256; 2],
    /// The position at which the second was proposed.
    pub(super) proposed: Seq,
}

impl Scene {
    pub(super) fn client(&self, who: &str) -> &Client {
        &self.clients[who]
    }

    pub(super) fn office(&self, role: Role) -> &Office {
        &self.offices[&role]
    }

    /// A round's list.
    pub(super) fn list(&self, round: RoundNo) -> Arc<Snapshot> {
        Arc::clone(&self.lists.read().expect("no panic inside")[&round])
    }

    /// Somebody's index in a round's list.
    pub(super) fn index(&self, round: RoundNo, person: &Person) -> u64 {
        let list = self.list(round);
        (0..list.count()).find(|index| list.person(*index) == Some(person.id)).unwrap_or_default()
    }

    pub(super) fn entitlement(&self, round: RoundNo, index: u64) -> String {
        format!("/v1/campaigns/{}/rounds/{round}/indexes/{index}", self.campaign)
    }

    /// A person's claim to the listed wallet, signed.
    pub(super) fn claim(&self, round: RoundNo, person: &Person) -> anyhow::Result<ClaimDemand> {
        let index = self.index(round, person);
        let listed = self.list(round).entitlement(index).context("listed")?;
        let mut claim = ClaimDemand {
            round,
            index,
            recipient: listed.recipient,
            to: listed.recipient,
            amount: listed.amount,
            deadline: self.law.deadline / 1_000,
            signature: Bytes::new(),
        };
        claim.signature = person.wallet.sign_digest(claim_digest(&claim, self.distributor))?;
        Ok(claim)
    }

    /// A command of an office, under its mandate.
    pub(super) fn under_mandate(
        &self,
        role: Role,
        action: Action,
        seen: Seq,
        reason: &str,
    ) -> anyhow::Result<Signed> {
        self.sign(role, self.mandates[&role], action, seen, reason)
    }

    /// A command of an office in its own affair.
    pub(super) fn own(&self, role: Role, action: Action, seen: Seq, reason: &str) -> anyhow::Result<Signed> {
        self.sign(role, B256::ZERO, action, seen, reason)
    }

    fn sign(
        &self,
        role: Role,
        mandate: B256,
        action: Action,
        seen: Seq,
        reason: &str,
    ) -> anyhow::Result<Signed> {
        let office = self.office(role);
        Draft { action, seen, by: &[(office.id, &office.key)], mandate, reason }.sign(self.law)
    }

    /// A command that these institutions of the Charter sign together.
    pub(super) fn together(
        &self,
        founders: &[usize],
        action: Action,
        seen: Seq,
        reason: &str,
    ) -> anyhow::Result<Signed> {
        let by: Vec<_> = founders.iter().map(|at| (self.founders[*at].0, &self.founders[*at].1)).collect();
        Draft { action, seen, by: &by, mandate: B256::ZERO, reason }.sign(self.law)
    }
}

impl Serving {
    async fn start(prepared: &Prepared, sequencer: u32, options: http::Options) -> anyhow::Result<Self> {
        let node =
            Node::start(prepared.node(sequencer, &format!("scenario-{}", uuid::Uuid::now_v7()))?).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = http::app(node.clone(), options, telemetry::figures()?);
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(http::serve(listener, app, async {
            // A dropped sender stops it, too.
            let _ = stopped.await;
        }));
        let api = ApiClient::new(&url, None)?;
        let ready = async {
            while api.ready().await.is_err() || api.charter().await.is_err() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(STUCK_AFTER, ready).await.context("a node did not become ready")?;
        Ok(Self { node, url, stop, server })
    }
}

impl Running {
    /// A node's URL.
    pub(super) fn url(&self, node: usize) -> &str {
        &self.nodes[node].url
    }

    /// Ends when a node must exit.
    pub(super) async fn failed(&self) -> anyhow::Error {
        let failed = self.nodes.iter().map(|serving| Box::pin(serving.node.failed()));
        let (error, ..) = futures::future::select_all(failed).await;
        anyhow::anyhow!(error).context("a node stopped")
    }

    /// Ends everything in order: first who asks, then who answers.
    pub(super) async fn stop(self) {
        if let Some(gate) = self.gate {
            gate.abort();
        }
        for serving in self.nodes {
            let _ = serving.stop.send(());
            if tokio::time::timeout(SERVER_END, serving.server).await.is_err() {
                tracing::warn!("an HTTP server did not end in time");
            }
            serving.node.stop().await;
        }
    }
}

/// Starts two nodes: the first leads, the second follows and takes demands as well.
pub(super) async fn start(prepared: &Prepared) -> anyhow::Result<(Running, String)> {
    let (operator_key, hash) = bearer::new(Purpose::Operator)?;
    let options = http::Options { operator_key: Some(hash), ..http::Options::default() };
    let leader = Serving::start(prepared, 1, options.clone()).await?;
    let standby = Serving::start(prepared, 2, options).await?;
    Ok((Running { nodes: vec![leader, standby], gate: None }, operator_key))
}

/// Who has a client of his own, beside the five institutions.
pub(super) const OTHERS: [&str; 3] = ["programme owner", "citizens", "issuer"];

/// Campaign, rounds, institutions, rules, gate, register, attestations.
pub(super) async fn set_up(
    prepared: &Prepared,
    running: &mut Running,
    operator_key: String,
    people: Vec<Person>,
    draw: &mut Draw,
) -> anyhow::Result<Scene> {
    let (node, urls) = (running.nodes[0].node.clone(), [0, 1].map(|at: usize| running.nodes[at].url.clone()));
    let api = ApiClient::new(&urls[0], Some(operator_key))?;
    let name = "Institutions";
    let (new, campaign) = demo::campaign(prepared, &api, "scenario", name).await?;
    let (record, nodes) = (Arc::new(Record::default()), Arc::new(urls));
    let mut clients = BTreeMap::new();
    api.create_project(project_id("scenario"), name).await?;
    for who in Role::ALL.map(Role::name).into_iter().chain(OTHERS) {
        let key = api.create_key(project_id("scenario"), who).await?.key;
        clients.insert(who, Client::new(who, Arc::clone(&nodes), key, Arc::clone(&record))?);
    }
    let charter = api.charter().await?;
    let now = prepared.chain.timestamp().await?;
    let founder = |account: &Account| {
        let id = charter.institution_of(account.address()).context("an institution of the Charter")?;
        Ok((id, account.clone()))
    };
    let offices = Role::ALL.into_iter().map(|role| Ok((role, Office::new(role, campaign)?)));
    let mut scene = Scene {
        campaign,
        distributor: ContractRef { chain_id: prepared.chain.id(), address: new.distributor },
        law: Law { charter: prepared.home(), now: now * 1_000, deadline: (now + GOOD_FOR) * 1_000 },
        people,
        offices: offices.collect::<anyhow::Result<_>>()?,
        mandates: BTreeMap::new(),
        founders: prepared.authorities.iter().map(founder).collect::<anyhow::Result<_>>()?,
        lists: RwLock::default(),
        clients,
        record,
        log_key: api.status().await?.log_key.parse().map_err(|error| anyhow::anyhow!("log key: {error}"))?,
        node,
        rules: [B256::ZERO; 2],
        proposed: 0,
    };
    scene.institute().await?;
    let gate = scene.gate(prepared, &api, &charter).await?;
    for (round, mode) in [(PUSHED, RoundMode::Push), (GATED, RoundMode::Gated)] {
        let list = scene.listed(prepared.dir.as_path(), round, |person| person.wallet.address()).await?;
        let gate = (mode == RoundMode::Gated).then_some(&gate);
        scene.publish(prepared, &api, &charter, &list, mode, gate).await?;
    }
    for round in [PUSHED, GATED] {
        fund::open(&prepared.operator, new.distributor, round).await?;
    }
    let (attested, bound) = tokio::join!(scene.attest(), scene.register(draw));
    attested?;
    bound?;
    for round in [PUSHED, GATED] {
        fund::wait_open(&api, campaign, round).await?;
    }
    running.gate = Some(gate::start(prepared, scene.client("issuer").clone())?);
    Ok(scene)
}

impl Scene {
    /// Five institutions become known, and are given what they may do; the agency's first rules come into force, its
    /// second ones are proposed.
    async fn institute(&mut self) -> anyhow::Result<()> {
        let owner = self.client("programme owner").clone();
        let register = |office: &Office| {
            self.together(
                &[0, 1],
                Action::RegisterAuthority(office.terms()),
                0,
                "takes part in the programme",
            )
        };
        let known: Vec<Signed> = self.offices.values().map(register).collect::<anyhow::Result<_>>()?;
        let known = try_join_all(known.iter().map(|signed| owner.done(0, signed))).await?;
        let seen = known.iter().map(|(seq, _)| *seq).max().unwrap_or_default();
        let mut mandates = BTreeMap::new();
        for (role, office) in &self.offices {
            let terms = office.mandate();
            let signed = self.together(&[0, 1], Action::GrantMandate(terms.clone()), seen, "its mandate")?;
            owner.done(0, &signed).await?;
            mandates.insert(*role, terms.id(signed.id));
        }
        self.mandates = mandates;
        // From now on they read under their mandates what others are not shown.
        for role in [Role::Registrar, Role::Auditor] {
            let office = self.office(role);
            let key = OfficeKey {
                account: office.key.clone(),
                authority: office.id,
                mandate: self.mandates[&role],
                charter: self.law.charter,
                stream: StreamId(0),
            };
            let client = self.client(role.name()).reading(&key)?;
            self.clients.insert(role.name(), client);
        }
        let agency = self.office(Role::Agency).id;
        let [old, new] = [cast::rules(agency, cast::CAP_OLD)?, cast::rules(agency, cast::CAP_NEW)?];
        self.rules = [old.hash(), new.hash()];
        let by = self.client(Role::Agency.name());
        let propose = |terms| {
            self.under_mandate(Role::Agency, Action::ProposeRules(terms), 0, "who is eligible this year")
        };
        let (mut seen, _) = by.done(0, &propose(old)?).await?;
        let rules = self.rules[0];
        for founder in [0, 1] {
            let approve =
                self.together(&[founder], Action::ApproveRules { rules }, seen, "read and found good")?;
            seen = owner.done(0, &approve).await?.0;
        }
        let activate = self.own(Role::Agency, Action::ActivateRules { rules, at: 0 }, seen, "from now on")?;
        by.done(0, &activate).await?;
        self.proposed = by.done(0, &propose(new)?).await?.0;
        Ok(())
    }

    /// The gate in the log and in the Distributor.
    async fn gate(
        &self,
        prepared: &Prepared,
        api: &ApiClient,
        charter: &CharterInfo,
    ) -> anyhow::Result<GateTerms> {
        let agency = self.office(Role::Agency).id;
        let terms = GateTerms {
            campaign: self.campaign,
            version: GATE,
            rule_sets: vec![sluice_core::command::lineage_id(agency, "means")],
            attestations: vec![cast::accepted(prepared.chain.id(), &cast::key("issuer")?)],
            signer: cast::key("gate")?.signer_bytes(),
        };
        let seen = api.campaign(self.campaign).await?.head.version;
        let define = self.together(&[0, 1], Action::DefineGate(terms.clone()), seen, "who may be paid")?;
        self.client("programme owner").done(0, &define).await?;
        let deed = Deed::InstallGate {
            distributor: self.distributor.address,
            version: GATE,
            signer: terms.signer.clone(),
            rules_hash: terms.hash(),
        };
        let now = prepared.chain.timestamp().await?;
        let papers = Papers::new("install the gate", charter, charter.threshold, now, None, vec![deed]);
        let papers = demo::signed(prepared, papers)?;
        let approvals = papers.approvals(|deed| matches!(deed, Deed::InstallGate { .. })).unwrap_or_default();
        let data = calls::install_gate(GATE.into(), terms.signer.clone(), terms.hash(), &approvals)?;
        prepared.operator.send("installGate", Some(self.distributor.address), data, U256::ZERO).await?;
        Ok(terms)
    }

    /// Makes a round's list of everybody, and its snapshot.
    pub(super) async fn listed(
        &self,
        dir: &Path,
        round: RoundNo,
        payee: impl Fn(&Person) -> alloy_primitives::Address,
    ) -> anyhow::Result<std::path::PathBuf> {
        let mut text = "person,address,amount\n".to_owned();
        for (at, person) in self.people.iter().enumerate() {
            text += &format!("{},{},{}\n", person.id, payee(person), round * 100 + at as u64);
        }
        let (list, out) =
            (dir.join(format!("round-{round}.csv")), dir.join(format!("round-{round}.snapshot")));
        std::fs::write(&list, text).with_context(|| format!("cannot write {}", list.display()))?;
        let options = BuildOptions { decimals: dev::DECIMALS, ..BuildOptions::default() };
        let path = out.clone();
        tokio::task::spawn_blocking(move || {
            let built = build(&options, &Input::File(list.clone()), &path, &|_| {});
            built.with_context(|| format!("cannot build a snapshot of {}", list.display()))
        })
        .await??;
        let list = Arc::new(Snapshot::open(&out)?);
        self.lists.write().expect("no panic inside").insert(round, list);
        Ok(out)
    }

    /// Publishes a round, in the log and on chain, with the money for it.
    pub(super) async fn publish(
        &self,
        prepared: &Prepared,
        api: &ApiClient,
        charter: &CharterInfo,
        list: &Path,
        mode: RoundMode,
        gate: Option<&GateTerms>,
    ) -> anyhow::Result<RoundTerms> {
        let operator = &prepared.operator;
        let (snapshot, hash) = publish::store(list, &prepared.snapshots()).await?;
        let now = prepared.chain.timestamp().await?;
        let wanted = publish::NewRound {
            campaign: self.campaign,
            mode,
            opens_at: now,
            closes_at: now + GOOD_FOR,
            supersedes: 0,
            list_uri: String::new(),
            again: true,
        };
        let info: CampaignInfo = api.campaign(self.campaign).await?;
        let mut terms = publish::terms(api, &info, &wanted, &snapshot, hash).await?;
        if let Some(gate) = gate {
            (terms.gate, terms.rules_hash) = (gate.version.into(), gate.hash());
        }
        let papers = publish::papers(api, operator, charter, &info, &terms).await?;
        publish::publish(api, operator, &info, &demo::signed(prepared, papers)?).await?;
        operator.mint(prepared.token, self.distributor.address, terms.total).await?;
        Ok(terms)
    }

    /// The issuer states everybody's means.
    async fn attest(&self) -> anyhow::Result<()> {
        let (issuer, client) = (cast::key("issuer")?, self.client("issuer"));
        for person in &self.people {
            let heard = client.post(0, "/v1/attestations", &cast::stated(&issuer, person)?).await?;
            if !heard.is_good() {
                bail!("an attestation was refused: {}", heard.body);
            }
        }
        Ok(())
    }

    /// The registrar makes everybody known, in one list under one signature.
    async fn register(&self, draw: &mut Draw) -> anyhow::Result<()> {
        let office = self.office(Role::Registrar);
        let drafts: Vec<Draft<'_>> = self
            .people
            .iter()
            .map(|person| Draft {
                action: Action::BindPerson {
                    person: person.id,
                    payee: person.wallet.address(),
                    jurisdiction: String::new(),
                },
                seen: 0,
                by: &[],
                mandate: self.mandates[&Role::Registrar],
                reason: "first registration",
            })
            .collect();
        let items = sign_list(self.law, (office.id, &office.key), &drafts)?;
        let client = self.client(Role::Registrar.name());
        let nodes: Vec<usize> = items.iter().map(|_| draw.node()).collect();
        try_join_all(items.iter().zip(nodes).map(|(item, node)| client.done(node, item))).await?;
        Ok(())
    }
}
