//! What is established about a command outside State: who signed, what the mandate says, what the snapshots and the chain
//! say of its subject.

use sluice_core::command::{Action, Command};
use sluice_core::decide::{CommandFacts, Listed};
use sluice_core::ids::{BlockRef, DemandId, Millis};
use sluice_core::refusal::Code;

use super::Verifier;
use super::door::LookUpFor;
use crate::error::EngineError;

impl Verifier {
    pub(super) async fn command(
        &self,
        id: DemandId,
        command: &Command,
        accepted_at: Millis,
    ) -> Result<Result<CommandFacts, Code>, EngineError> {
        let signed = match self.approvals(id, command, LookUpFor::Decision).await? {
            Ok(signed) => signed,
            Err(code) => return Ok(Err(code)),
        };
        // What brings rules along is read before anything is looked up: it costs a moment of one core, and no round's list.
        if let Err(code) = self.usable(&command.action).await? {
            return Ok(Err(code));
        }
        let mut looked_at = signed.looked_at;
        let listed = match self.subject(&command.action, &mut looked_at).await? {
            Ok(listed) => listed,
            Err(code) => return Ok(Err(code)),
        };
        let mandate = match self.mandate(command, &listed, accepted_at).await? {
            Ok(mandate) => mandate,
            Err(code) => return Ok(Err(code)),
        };
        Ok(Ok(CommandFacts {
            set_version: signed.set_version,
            signers: signed.signers,
            mandate,
            looked_at,
            listed,
        }))
    }

    /// What snapshots and chain say of what a command is about.
    async fn subject(
        &self,
        action: &Action,
        looked_at: &mut Option<BlockRef>,
    ) -> Result<Result<Listed, Code>, EngineError> {
        match action {
            Action::CreateCampaign(terms) => Ok(self.registered(terms).await?.map(|(listed, block)| {
                // One block is named: the one that says most of what the campaign rests on.
                *looked_at = Some(block);
                listed
            })),
            Action::Publish(terms) => self.publishable(terms).await,
            Action::Push { campaign, round, from, to } => self.edges(*campaign, *round, *from, *to),
            Action::Void { campaign, round, indexes } => self.amounts(*campaign, *round, indexes),
            Action::Hold { target } => self.covered(target),
            Action::FileAppeal { about } => self.appellants(about),
            _ => Ok(Ok(Listed::Nothing)),
        }
    }
}
