//! How an institution's or a person's order gets into the log: a command is drafted from what the node says, signed with
//! the keys at hand or in papers, and handed in; deeds on chain that belong to it follow.

use std::path::Path;
use std::process::ExitCode;

use alloy_primitives::{Address, B256, Bytes};
use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sluice_chain::reads::institution_id;
use sluice_core::command::{Action, Command, HoldTarget};
use sluice_core::ids::{CampaignId, ChainId, DemandId, Seq};

use super::reach::{ChainArgs, NodeArgs, OperatorArgs, answer, client_now};
use super::sign::papers::{Deed, OffChain, Papers, Signatory};
use super::sign::{Collected, Signing, waiting};
use super::words;
use crate::api_client::{ApiClient, ApiError, CharterInfo};

mod deeds;
mod listed;
pub mod rows;

/// How an order is signed and handed in.
#[derive(Clone, Debug, Args)]
pub struct OrderArgs {
    /// The institution in whose name it is given: its id, or its name. Needed for one that the Charter does not name, and
    /// for a vendor's key.
    #[arg(long, value_name = "ID|NAME", value_parser = authority_id)]
    pub authority: Option<B256>,
    /// With --authority: the key that will sign in its name, where no --key is at hand (ERC-7913 bytes; an address for an
    /// account).
    #[arg(long, value_name = "KEY", requires = "authority", value_parser = words::signer)]
    pub signer: Option<Bytes>,
    /// The mandate under which it is given.
    #[arg(long, value_name = "ID", value_parser = words::id)]
    pub mandate: Option<B256>,
    /// The delegation under which a vendor's key signs.
    #[arg(long, value_name = "ID", requires = "authority", value_parser = words::id)]
    pub delegation: Option<B256>,
    /// Why, for the log.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// The position of the log at which its authors saw the subject; the node's position now by default.
    #[arg(long, value_name = "SEQ")]
    pub seen: Option<Seq>,
    /// From when it is meant to hold in the real world, Unix seconds; now by default.
    #[arg(long, value_name = "SECONDS")]
    pub valid_at: Option<u64>,
    /// Last second at which it is taken, Unix seconds; a week from now by default.
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Institutions to collect signatures of; by default as many as the order takes without a mandate.
    #[arg(long, value_name = "N")]
    pub institutions: Option<u16>,
    /// The command's id; give the same one again to repeat a command whose answer was lost.
    #[arg(long, value_name = "UUID")]
    pub id: Option<DemandId>,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// The keys, or the papers that collect signatures.
    #[command(flatten)]
    pub signing: Signing,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    pub json: bool,
}

/// Whether contracts are told too, and who pays for that.
#[derive(Clone, Debug, Default, Args)]
pub struct OnChainArgs {
    /// Order it from the Distributor too, or `=only` from the Distributor.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "also")]
    pub on_chain: Option<OnChain>,
    /// With --on-chain: the chain's JSON-RPC.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    pub rpc: Option<String>,
    /// With --on-chain: the key file of the account that pays for the transaction. It has no authority over anything.
    #[arg(long, value_name = "FILE", requires = "on_chain")]
    pub gas_key: Option<std::path::PathBuf>,
    /// With --on-chain: a file whose first line opens it.
    #[arg(long, value_name = "FILE", requires = "on_chain")]
    pub gas_password_file: Option<std::path::PathBuf>,
}

/// Where an order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnChain {
    /// To the log, then to the Distributor.
    Also,
    /// To the Distributor.
    Only,
}

impl OnChainArgs {
    /// For an order that only contracts are given.
    pub fn only(operator: OperatorArgs) -> Self {
        Self {
            on_chain: Some(OnChain::Only),
            rpc: Some(operator.chain.rpc),
            gas_key: Some(operator.gas_key),
            gas_password_file: Some(operator.gas_password_file),
        }
    }

    fn operator(&self) -> anyhow::Result<OperatorArgs> {
        let missing = |option: &str| format!("--on-chain needs {option}");
        Ok(OperatorArgs {
            chain: ChainArgs { rpc: self.rpc.clone().with_context(|| missing("--rpc URL"))? },
            gas_key: self.gas_key.clone().with_context(|| missing("--gas-key FILE"))?,
            gas_password_file: self
                .gas_password_file
                .clone()
                .with_context(|| missing("--gas-password-file FILE"))?,
        })
    }
}

/// An order to the log, to a Distributor, or to both.
#[derive(Clone, Debug)]
pub struct Order {
    /// In words, for those who sign.
    pub purpose: String,
    /// What the log is told.
    pub action: Option<Action>,
    /// What the contracts are told.
    pub deeds: Vec<Deed>,
    /// The deeds' chain.
    pub chain: Option<ChainId>,
}

impl Order {
    /// An order to the log alone.
    pub fn to_log(purpose: impl Into<String>, action: Action) -> Self {
        Self { purpose: purpose.into(), action: Some(action), deeds: Vec::new(), chain: None }
    }
}

/// A command that was done.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its id.
    pub id: DemandId,
    /// The command.
    pub command: Command,
    /// The position of its decision.
    pub seq: Seq,
}

impl OrderArgs {
    /// Gives an order to the log and tells its position. `more` says what else is to be told, as names and texts.
    ///
    /// # Errors
    /// When it cannot be signed, or the log refuses, naming why.
    pub async fn give(
        &self,
        order: Order,
        more: impl Fn(&Given) -> Vec<(&'static str, String)>,
    ) -> anyhow::Result<ExitCode> {
        self.give_with(order, &OnChainArgs::default(), more).await
    }

    /// As [`Self::give`], with deeds on chain.
    ///
    /// # Errors
    /// As [`Self::give`]; and when the chain refuses.
    pub async fn give_with(
        &self,
        order: Order,
        on_chain: &OnChainArgs,
        more: impl Fn(&Given) -> Vec<(&'static str, String)>,
    ) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let operator = match order.chain.filter(|_| !order.deeds.is_empty()) {
            Some(chain) => Some(on_chain.operator()?.connect(chain).await?),
            None => None,
        };
        // Contracts ask the chain's clock, the log the database's; a week is long enough for both.
        let now = match &operator {
            Some(operator) => operator.chain.timestamp().await?,
            None => client_now(),
        };
        let (kind, deeds) = (order.action.as_ref().map(Action::name), order.deeds.len());
        let papers = match self.signing.collect(self.draft(&api, order, now)).await? {
            Collected::Waiting(papers) => return waiting(&papers, self.signing.papers.as_deref(), self.json),
            Collected::Ready(papers) => papers,
        };
        let written = papers.command.as_ref().map(|paper| paper.command.action.name());
        ensure!(written == kind && papers.actions.len() == deeds, another(&papers));
        let given = match &papers.command {
            Some(paper) => Some(hand_in(&api, paper).await?),
            None => None,
        };
        let mut facts = Vec::new();
        let mut value = json!({});
        if let Some(given) = &given {
            value = json!({ "id": given.id, "action": given.command.action.name(), "seq": given.seq });
            facts.push(("decided at", given.seq.to_string()));
            facts.extend(more(given));
        }
        if let Some(operator) = &operator {
            let done = deeds::all(operator, &papers).await.with_context(|| match &given {
                Some(given) => format!(
                    "it stands in the log at {}, not on chain; go on with --on-chain=only, or with the same --papers",
                    given.seq
                ),
                None => "not on chain".to_owned(),
            })?;
            facts.extend(done);
        }
        add(&mut value, &facts[usize::from(given.is_some())..]);
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Gives an order to the log that may have been given before: a refusal with `before` says that it was, which is no
    /// error and tells no position.
    ///
    /// # Errors
    /// As [`Self::give`].
    pub async fn give_unless_done(&self, order: Order, before: &str) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let kind = order.action.as_ref().map(Action::name);
        let papers = match self.signing.collect(self.draft(&api, order, client_now())).await? {
            Collected::Waiting(papers) => return waiting(&papers, self.signing.papers.as_deref(), self.json),
            Collected::Ready(papers) => papers,
        };
        let paper = papers.command.as_ref().filter(|paper| Some(paper.command.action.name()) == kind);
        let paper = paper.with_context(|| another(&papers))?;
        let given = match hand_in(&api, paper).await {
            Ok(given) => Some(given),
            Err(error) if code_of(&error) == Some(before) => None,
            Err(error) => return Err(error),
        };
        let seq = given.map(|given| given.seq);
        let at = seq.map_or_else(|| "before".to_owned(), |seq| seq.to_string());
        answer(self.json, &json!({ "id": paper.id, "action": kind, "seq": seq }), &[("decided at", at)])?;
        Ok(ExitCode::SUCCESS)
    }

    /// Gives many orders under one signature. Each has its own position and answer; the exit code is 0 if all are done.
    ///
    /// # Errors
    /// When they cannot be signed or handed in at all.
    pub async fn give_list(&self, actions: Vec<Action>) -> anyhow::Result<ExitCode> {
        listed::give(self, actions).await
    }

    /// The papers of an order that nobody has signed.
    async fn draft(&self, api: &ApiClient, order: Order, now: u64) -> anyhow::Result<Papers> {
        let charter = api.charter().await?;
        let needed = self.needed(&charter, &order);
        let command = match order.action {
            Some(action) => Some((action, self.seen(api).await?, self.reason.clone())),
            None => None,
        };
        let mut papers = Papers::new(order.purpose, &charter, needed, now, command, order.deeds);
        if let Some(paper) = &mut papers.command {
            self.complete(paper);
        }
        self.add_signatories(&mut papers)?;
        Ok(papers)
    }

    fn complete(&self, paper: &mut OffChain) {
        let command = &mut paper.command;
        command.mandate = self.mandate.unwrap_or_default();
        command.delegation = self.delegation.unwrap_or_default();
        command.valid_at = self.valid_at.map_or(command.valid_at, |at| at.saturating_mul(1_000));
        command.deadline = self.deadline.map_or(command.deadline, |at| at.saturating_mul(1_000));
        paper.id = self.id.unwrap_or(paper.id);
    }

    /// The version its authors saw: the node's position is as good as the subject's own, for what changed later makes
    /// both stale.
    async fn seen(&self, api: &ApiClient) -> anyhow::Result<Seq> {
        match self.seen {
            Some(seq) => Ok(seq),
            None => Ok(api.status().await?.seq),
        }
    }

    /// Who signs beside the Charter's institutions: the keys at hand speak for `--authority`.
    fn add_signatories(&self, papers: &mut Papers) -> anyhow::Result<()> {
        let Some(authority) = self.authority else { return Ok(()) };
        let known =
            |papers: &Papers, key: &Bytes| papers.institutions.iter().any(|i| i.signers.contains(key));
        let mut keys: Vec<Bytes> = self.signer.iter().cloned().collect();
        keys.extend(self.signing.keys.open()?.iter().map(|account| account.signer_bytes()));
        keys.retain(|key| !known(papers, key));
        match papers.institutions.iter_mut().find(|i| i.id == authority) {
            Some(institution) => institution.signers.extend(keys),
            None if keys.is_empty() && self.signer.is_none() => {
                bail!("--authority {authority} is none of the Charter's; give its --key, or --signer KEY")
            }
            None => papers.institutions.insert(0, Signatory { id: authority, signers: keys }),
        }
        Ok(())
    }

    fn needed(&self, charter: &CharterInfo, order: &Order) -> u16 {
        let by_right = self.mandate.is_some() || self.delegation.is_some() || self.authority.is_some();
        match (&order.action, self.institutions) {
            (_, Some(institutions)) => institutions.max(1),
            (Some(_), None) if by_right => 1,
            (Some(action), None) => takes(action, charter),
            (None, None) => order.deeds.iter().map(|deed| deeds::takes(deed, charter)).max().unwrap_or(1),
        }
    }
}

/// Gives an order that a person signs about what is theirs, in nobody else's name.
///
/// # Errors
/// As [`OrderArgs::give`].
pub async fn give_as_person(
    order_args: &OrderArgs,
    order: Order,
    more: impl Fn(&Given) -> Vec<(&'static str, String)>,
) -> anyhow::Result<ExitCode> {
    let api = order_args.node.client()?;
    let person = order_args.signing.keys.open_one().context("a person signs with one key")?;
    let action = order.action.context("nothing is ordered")?;
    let charter = api.charter().await?;
    let command = Some((action, order_args.seen(&api).await?, order_args.reason.clone()));
    let mut papers = Papers::new(order.purpose, &charter, 1, client_now(), command, Vec::new());
    papers.institutions = vec![Signatory { id: B256::ZERO, signers: vec![person.signer_bytes()] }];
    papers.sign(&person)?;
    let paper = papers.command.as_mut().context("nothing is ordered")?;
    let given = hand_in(&api, paper).await?;
    let mut facts = vec![("decided at", given.seq.to_string())];
    facts.extend(more(&given));
    let mut value = json!({ "id": given.id, "action": given.command.action.name(), "seq": given.seq });
    add(&mut value, &facts[1..]);
    answer(order_args.json, &value, &facts)?;
    Ok(ExitCode::SUCCESS)
}

/// Adds what is told beside the position to the line of JSON; what is told twice stands in a list.
fn add(value: &mut Value, facts: &[(&'static str, String)]) {
    for (name, text) in facts {
        let field = &mut value[name.replace(' ', "_")];
        *field = match field.take() {
            Value::Null => json!(text),
            Value::Array(mut before) => {
                before.push(json!(text));
                Value::Array(before)
            }
            before => json!([before, text]),
        };
    }
}

/// How many institutions of the Charter an action takes where nobody acts under a mandate or in their own affair.
fn takes(action: &Action, charter: &CharterInfo) -> u16 {
    let all = u16::try_from(charter.institutions.len()).unwrap_or(u16::MAX);
    match action {
        Action::RenewHold { .. } => (all * 3).div_ceil(4).max(1),
        Action::Publish(_)
        | Action::Void { .. }
        | Action::RegisterAuthority(_)
        | Action::ChangeKeys { .. }
        | Action::GrantMandate(_)
        | Action::RevokeMandate { .. }
        | Action::DefineGate(_)
        | Action::BindPerson { .. }
        | Action::SetLimit { .. }
        | Action::RevokeAttestation { .. }
        | Action::AnswerAppeal { .. }
        | Action::Hold { target: HoldTarget::Campaign { .. } } => charter.threshold,
        _ => 1,
    }
}

fn another(papers: &Papers) -> String {
    format!("--papers holds {:?}, which is another order; name another file", papers.purpose)
}

/// The log's code, where an error is its refusal.
fn code_of(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<ApiError>().and_then(ApiError::code)
}

async fn hand_in(api: &ApiClient, paper: &OffChain) -> anyhow::Result<Given> {
    let done = match api.command(paper.id, &paper.command).await {
        // Signed anew it has another deadline; what counts is the one that came first under this id.
        Err(error) if error.code() == Some("id_conflict") => {
            eprintln!("a command was handed in under {} before; this is its answer", paper.id);
            api.command_status(paper.command.action.queue(), paper.id).await.map_err(|_| error)
        }
        done => done,
    };
    let done = done.map_err(|error| told(error, &paper.command))?;
    ensure!(done.state != "refused", "command {} is refused: {}", done.id, done.code.unwrap_or_default());
    let seq = done.seq.with_context(|| {
        format!(
            "command {} is not decided yet; repeat it with --id {} or the same --papers",
            done.id, done.id
        )
    })?;
    Ok(Given { id: paper.id, command: paper.command.clone(), seq })
}

/// A refusal with what its authors can do about it.
fn told(error: ApiError, command: &Command) -> anyhow::Error {
    let changed = match &error {
        ApiError::Refused(refused) => refused.problem.get("changed_at").and_then(Value::as_u64),
        _ => None,
    };
    let as_person = command.approvals.first().is_some_and(|approval| approval.authority.is_zero());
    let advice = match (error.code(), changed) {
        (Some("stale"), Some(at)) => format!(
            "the subject changed at {at}, its authors saw {}; look at it as it is now and order again",
            command.subject_version
        ),
        (Some("quorum_missing"), _) => {
            "more institutions must sign; give more --key, or --papers FILE with --institutions N".to_owned()
        }
        (Some("mandate_missing"), _) => {
            "name a mandate of the institution that signs with --mandate ID".to_owned()
        }
        (Some("not_authorized"), _) if as_person => {
            "sign with the key of the address that receives for the person, or that is listed".to_owned()
        }
        (Some("not_authorized"), _) => {
            "sign with a key in force; for an institution outside the Charter say --authority ID".to_owned()
        }
        _ => return anyhow::Error::new(error).context(format!("{} is refused", command.action.name())),
    };
    anyhow::Error::new(error).context(format!("{} is refused: {advice}", command.action.name()))
}

/// An institution by its id, or by its name as the Charter derives ids from names.
///
/// # Errors
/// When it is empty.
pub fn authority_id(text: &str) -> Result<B256, String> {
    match text.parse::<B256>() {
        Ok(id) => Ok(id),
        Err(_) if text.is_empty() => Err("an institution has an id (0x and 64 digits) or a name".to_owned()),
        Err(_) if text.starts_with("0x") => Err(format!("{text} is no id: 0x and 64 hexadecimal digits")),
        Err(_) => Ok(institution_id(text, 0)),
    }
}

/// Where a campaign pays: its chain and its Distributor.
///
/// # Errors
/// When the node does not know it.
pub async fn distributor(node: &NodeArgs, campaign: CampaignId) -> anyhow::Result<(ChainId, Address)> {
    let head = node.client()?.campaign(campaign).await?.head;
    Ok((head.chain_id, head.distributor))
}

/// A number that no deed had before.
pub fn nonce() -> u64 {
    rand::random()
}

/// Reads a list's rows as actions.
///
/// # Errors
/// Naming the row and column that is wrong.
pub fn listed_actions(
    path: &Path,
    columns: &[&str],
    action: impl Fn(&rows::Row<'_>) -> anyhow::Result<Action>,
) -> anyhow::Result<Vec<Action>> {
    rows::read(path, columns, action)
}
