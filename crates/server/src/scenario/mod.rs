//! `sluice scenario institutions`: five institutions act at once, over HTTP at two nodes, on the same people, while claims
//! run. Afterwards every race is explained by the positions of two entries, the auditor's replay is compared with every
//! decision, and every answer that any client got is compared with every other. Nothing that is checked depends on who won.

mod audit;
mod cast;
mod checks;
mod client;
mod draw;
mod explain;
mod gate;
mod ground;
mod races;
mod reader;
mod record;
mod told;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use sluice_core::command::{Action, RoundMode};
use sluice_core::ids::Seq;
use sluice_embedded::Mining;

use crate::api_client::ApiClient;
use crate::cli::campaign::fund;
use crate::cli::serve::told_to_stop;
use crate::dev::{self, Prepared};

use cast::Role;
use client::Draft;
use draw::Draw;
use explain::Facts;
use ground::{GATED, LOOK_EVERY, NEXT, PUSHED, Running, Scene};
use races::{Happened, Plan, Stopped};
use told::{Told, tell};

/// Time between blocks; every transaction makes one besides.
const BLOCK: Duration = Duration::from_millis(100);
/// A story in which no payment became final for so long has failed.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// The fewest people with whom every race has its own.
const PEOPLE_MIN: u32 = 12;
/// The most: compliance alone may hold 256 entitlements, and every person claims at once.
const PEOPLE_MAX: u32 = 200;

/// Five institutions act at once on the same people, over HTTP, while claims run; then positions explain who won what.
///
/// Starts a private PostgreSQL, a private anvil and two nodes. A registrar, an eligibility agency, a payment operator,
/// compliance and an auditor, each with its key, its mandate and its own client, act beside citizens and the programme's
/// owners: a citizen's move races a correction, a payment job races holds and its own key's revocation, rules change while
/// claims run, approvals lapse. At the end the log is audited, chain and log are compared, and every answer that any client
/// got is compared with the others. The exit code is 0 only if nothing contradicts anything.
///
/// The seed chooses who acts on whom, where and when; who is first is up to the machine, and nothing that is checked depends
/// on it.
#[derive(Clone, Debug, Args)]
pub struct Institutions {
    /// Chooses who acts on whom, at which node, and when.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many people there are.
    #[arg(long, value_name = "N", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(i64::from(PEOPLE_MIN)..=i64::from(PEOPLE_MAX)))]
    people: u32,
    /// Show every race in the table; else of orders and claims those next to what they race with.
    #[arg(long)]
    all: bool,
    /// The folder for the servers' data.
    #[arg(long, value_name = "DIR", default_value = ".sluice/scenario")]
    dir: PathBuf,
    /// This empty PostgreSQL database instead of a private one.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Institutions {
    /// Does it. The exit code is 0 only if every check is good.
    ///
    /// # Errors
    /// When a server or a step fails, or on Ctrl-C; the servers are stopped either way.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        crate::cli::block_on(async {
            let mut stop = pin!(told_to_stop()?);
            let options = dev::Options {
                mining: Mining::Mixed(BLOCK),
                // Each story begins with the first block.
                keep_chain: false,
                database_url: self.database_url.clone(),
                ..dev::Options::new(&self.dir)
            };
            tell("starting a private PostgreSQL and a private anvil");
            let prepared = tokio::select! {
                prepared = dev::prepare(&options) => prepared?,
                () = &mut stop => bail!("interrupted"),
            };
            let done = self.course(&prepared, stop).await;
            if let Err(error) = prepared.drop_database().await {
                tracing::warn!(error = format!("{error:#}"), "the story's database was not dropped");
            }
            prepared.stop().await;
            done
        })
    }

    async fn course(
        &self,
        prepared: &Prepared,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let (mut running, key) = tokio::select! {
            started = ground::start(prepared) => started?,
            () = &mut stop => bail!("interrupted; nothing of this story stays"),
        };
        tell("two nodes serve; the first one leads, the second follows and takes demands as well");
        let told = tokio::select! {
            told = self.story(prepared, &mut running, key) => told,
            () = &mut stop => Err(anyhow::anyhow!("interrupted; nothing of this story stays")),
        };
        running.stop().await;
        let told = told?;
        told.print(self.all, begun.elapsed());
        if self.json {
            println!("{}", told.json(self.seed));
        }
        Ok(if told.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn story(
        &self,
        prepared: &Prepared,
        running: &mut Running,
        operator_key: String,
    ) -> anyhow::Result<Told> {
        let mut draw = Draw::new(self.seed, "story");
        let people = cast::people(self.people, &mut draw)?;
        tell(&format!(
            "setting up: a Charter of {} institutions, five more with mandates, rules, a gate, two rounds, {} people",
            prepared.authorities.len(),
            people.len()
        ));
        let scene = Arc::new(ground::set_up(prepared, running, operator_key, people, &mut draw).await?);
        let plan = Plan::new(scene.people.len(), &mut draw);
        tell(&format!(
            "all at once: {} people claim behind the gate while its rules change, {} claim what the payment job pushes while \
             the operator's key changes, compliance holds {}, {} move while the registrar corrects them, {} while two \
             institutions bind them anew",
            scene.people.len(),
            plan.claimants.len(),
            plan.held.len(),
            plan.movers.len(),
            plan.rebound.len()
        ));
        let reading = reader::Reading::start(Arc::clone(&scene), self.seed);
        let story = async {
            let happened = races::run(&scene, &plan, self.seed).await?;
            tell("everything was answered");
            let released = release(&scene, &happened).await?;
            next_round(&scene, prepared, &api(running)?).await?;
            settled(&scene).await?;
            anyhow::Ok((happened, released))
        };
        let (happened, released) = tokio::select! {
            done = story => done?,
            error = running.failed() => return Err(error),
        };
        reading.end().await?;
        self.look(prepared, &scene, &happened, &released).await
    }

    /// Everything is over: ask everything once more, audit, explain, compare.
    async fn look(
        &self,
        prepared: &Prepared,
        scene: &Arc<Scene>,
        happened: &Happened,
        released: &BTreeMap<Seq, Seq>,
    ) -> anyhow::Result<Told> {
        tell("all payments are final or held; asking both nodes for everything once more");
        let pairs = reader::once_more(scene).await?;
        let auditor = scene.client(Role::Auditor.name());
        let (one, other) = tokio::try_join!(auditor.feed(0), auditor.feed(1))?;
        let shorter = one.len().min(other.len());
        tell("the auditor exports the log, verifies it, and decides every claim again");
        let audited = audit::audit(scene, prepared, &prepared.dir).await?;
        let heard = scene.record.all();
        let feed = &one[..shorter];
        ensure!(
            happened.activation.is_some() && happened.rotation.is_some(),
            "the rules and the key were to change"
        );
        let mut facts = Facts {
            scene,
            feed,
            audited: &audited,
            released,
            order: checks::Check::new("every race is explained by two positions"),
            money: checks::Check::new("the money went where the positions say"),
        };
        let rows = explain::explain(&mut facts, happened);
        let mut all = vec![facts.order, facts.money];
        all.push(checks::reads_agree(&heard));
        let across_nodes = checks::across_nodes(&heard);
        all.push(checks::nodes_met(across_nodes, pairs));
        all.push(checks::states_follow_entries(&heard, feed, &audited.planned));
        all.push(checks::persons_follow_entries(&heard, feed));
        all.push(checks::min_seq_is_kept(&heard));
        all.push(checks::decided_once(&heard));
        all.push(checks::decisions_are_entries(&heard, feed));
        all.push(checks::receipts_prove(&heard, feed, &scene.log_key));
        all.push(checks::feeds_agree(feed, &other[..shorter]));
        all.extend(audited.checks.clone());
        let asked_again = happened
            .activation
            .as_ref()
            .map_or(0, |activation| explain::asked_again(feed, activation, &happened.gated));
        Ok(Told {
            rows,
            checks: all,
            answers: heard.len(),
            across_nodes,
            last_pairs: pairs,
            asked_again,
            entries: audited.entries,
            paid: audited.paid.len(),
            held: audited.held.len(),
        })
    }
}

/// A client for what the command line does as well, at the leader.
fn api(running: &Running) -> anyhow::Result<ApiClient> {
    ApiClient::new(running.url(0), None)
}

/// Compliance has looked into it: half of what it held on persons goes on. Each hold with its release.
async fn release(scene: &Scene, happened: &Happened) -> anyhow::Result<BTreeMap<Seq, Seq>> {
    let client = scene.client(Role::Compliance.name());
    let mut released = BTreeMap::new();
    let of_persons = happened.holds.iter().filter(|hold| hold.stopped == Stopped::Person);
    for placed in of_persons.step_by(2).filter_map(|hold| hold.answer.verdict.done()) {
        let signed =
            scene.own(Role::Compliance, Action::Release { hold: placed }, placed, "nothing was found")?;
        released.insert(placed, client.done(0, &signed).await?.0);
    }
    tell(&format!("compliance has looked into it, and releases {} of its holds", released.len()));
    Ok(released)
}

/// The next round's list is made of the register, as anybody reads it over HTTP, and pushed.
async fn next_round(scene: &Scene, prepared: &Prepared, api: &ApiClient) -> anyhow::Result<()> {
    tell("the next round is listed from the register, published by the Charter's institutions, and pushed");
    let registrar = scene.client(Role::Registrar.name());
    let mut payees = BTreeMap::new();
    for person in &scene.people {
        let heard = registrar.state(0, &format!("/v1/persons/{}", person.id), None).await?;
        let payee: alloy_primitives::Address = serde_json::from_value(heard.body["payee"].clone())
            .with_context(|| format!("the register names no payee: {}", heard.body))?;
        payees.insert(person.id, payee);
    }
    let list = scene.listed(&prepared.dir, NEXT, |person| payees[&person.id]).await?;
    let charter = api.charter().await?;
    let terms = scene.publish(prepared, api, &charter, &list, RoundMode::Push, None).await?;
    fund::open(&prepared.operator, scene.distributor.address, NEXT).await?;
    fund::wait_open(api, scene.campaign, NEXT).await?;
    let round = api.round(scene.campaign, NEXT).await?;
    let (office, key) = (scene.office(Role::Operator), races::next_key()?);
    let draft = Draft {
        action: Action::Push { campaign: scene.campaign, round: NEXT, from: 0, to: terms.count },
        seen: round.head.version,
        by: &[(office.id, &key)],
        mandate: scene.mandates[&Role::Operator],
        reason: "next month's payments",
    };
    scene.client(Role::Operator.name()).done(1, &draft.sign(scene.law)?).await?;
    Ok(())
}

/// Waits until everything decided is final or held.
async fn settled(scene: &Scene) -> anyhow::Result<()> {
    let client = scene.client("programme owner");
    let (mut moved, mut last) = (Instant::now(), 0);
    loop {
        let campaign = client.state(0, &format!("/v1/campaigns/{}", scene.campaign), None).await?.body;
        let batches = campaign["batches"].as_array().map_or(0, Vec::len);
        let (pending, done) = states(scene).await?;
        if pending == 0 && batches == 0 {
            return Ok(());
        }
        if done != last {
            (moved, last) = (Instant::now(), done);
        }
        if moved.elapsed() > STUCK_AFTER {
            bail!(
                "nothing became final for {STUCK_AFTER:?}: {pending} wait, {batches} batches are in flight"
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many payments are under way, and how many are final.
async fn states(scene: &Scene) -> anyhow::Result<(usize, usize)> {
    let client = scene.client("programme owner");
    let (mut pending, mut done) = (0, 0);
    for round in [PUSHED, GATED, NEXT] {
        for index in 0..scene.list(round).count() {
            let heard = client.state(0, &scene.entitlement(round, index), None).await?;
            match heard.body["entitlements"][0]["state"].as_str() {
                Some("decided" | "batched" | "sent" | "paid" | "skipped") => pending += 1,
                Some("final") => done += 1,
                _ => {}
            }
        }
    }
    Ok((pending, done))
}
