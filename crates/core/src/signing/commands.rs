//! One EIP-712 struct for each kind of command, all ending in the same fields: under which mandate and delegation, the
//! subject's version as its authors saw it, why, from when it is meant to hold, and until when it may be used.

use alloy_primitives::{B256, FixedBytes, U256, keccak256};
use alloy_sol_types::SolStruct;

use super::structs::*;
use crate::command::{Action, AppealAbout, Command, HoldTarget};
use crate::ids::DemandId;

/// The fields that every command's struct shares, around its own.
macro_rules! hashed {
    ($command:expr, $id:expr, $authority:expr, $name:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $name {
            authority: $authority,
            id: FixedBytes($id.0.into_bytes()),
            $($field: $value,)*
            mandate: $command.mandate,
            delegation: $command.delegation,
            subjectVersion: $command.subject_version,
            reason: $command.reason.clone(),
            validAt: $command.valid_at,
            deadline: $command.deadline,
        }
        .eip712_hash_struct()
    };
}

/// The struct hash of a command as this authority signs it: the whole of what is signed alone, a leaf of what is signed
/// as a list.
pub fn command_hash(command: &Command, id: DemandId, authority: B256) -> B256 {
    macro_rules! hash {
        ($name:ident { $($fields:tt)* }) => { hashed!(command, id, authority, $name { $($fields)* }) };
    }
    match &command.action {
        Action::CreateCampaign(terms) => hash!(CreateCampaignCommand {
            campaign: campaign(terms.campaign),
            project: FixedBytes(terms.project.0.into_bytes()),
            name: terms.name.clone(),
            distributorChain: U256::from(terms.distributor.chain_id),
            distributor: terms.distributor.address,
            token: terms.token,
            decimals: terms.decimals,
            deployedAt: terms.deployed_at,
            visibility: terms.visibility.as_str().to_owned(),
            jurisdiction: terms.jurisdiction.clone(),
        }),
        Action::Publish(terms) => hash!(PublishCommand {
            campaign: campaign(terms.campaign),
            round: U256::from(terms.round),
            root: terms.root,
            count: terms.count,
            total: terms.total.get(),
            // The rest of the terms; the on-chain `Publish` struct shows each field to the same people.
            termsHash: keccak256(borsh::to_vec(terms).expect("writing to memory cannot fail")),
        }),
        Action::Push { campaign: of, round, from, to } => hash!(PushCommand {
            campaign: campaign(*of),
            round: U256::from(*round),
            fromIndex: *from,
            toIndex: *to,
        }),
        Action::Void { campaign: of, round, indexes } => hash!(VoidCommand {
            campaign: campaign(*of),
            round: U256::from(*round),
            indexes: indexes.clone(),
        }),
        Action::RegisterAuthority(terms) => hash!(RegisterAuthorityCommand {
            registered: terms.authority,
            name: terms.name.clone(),
            signers: terms.signers.clone(),
        }),
        Action::ChangeKeys { authority: of, add, revoke } => {
            hash!(ChangeKeysCommand { changed: *of, added: add.clone(), revoked: revoke.clone() })
        }
        Action::GrantMandate(terms) => {
            hash!(GrantMandateCommand { holder: terms.holder, mandateText: terms.text.clone() })
        }
        Action::RevokeMandate { mandate } => hash!(RevokeMandateCommand { revoked: *mandate }),
        Action::Delegate(terms) => hash!(DelegateCommand {
            delegator: terms.authority,
            underMandate: terms.mandate,
            vendor: terms.vendor.clone(),
            actions: terms.actions.clone(),
            // The nil campaign stands for all of them, the greatest number for no limit.
            campaign: campaign(terms.campaign.unwrap_or_default()),
            amountMax: terms.amount_max.map_or(u128::MAX, |most| most.get()),
            countMax: terms.count_max.unwrap_or(u64::MAX),
            expiresAt: terms.expires_at,
        }),
        Action::RevokeDelegation { delegation } => hash!(RevokeDelegationCommand { revoked: *delegation }),
        Action::ProposeRules(terms) => hash!(ProposeRulesCommand {
            owner: terms.owner,
            lineage: terms.lineage.clone(),
            rules: terms.hash(),
        }),
        Action::ApproveRules { rules } => hash!(ApproveRulesCommand { rules: *rules }),
        Action::ActivateRules { rules, at } => hash!(ActivateRulesCommand { rules: *rules, at: *at }),
        Action::RetireRules { rules } => hash!(RetireRulesCommand { rules: *rules }),
        Action::DefineGate(terms) => hash!(DefineGateCommand {
            campaign: campaign(terms.campaign),
            gateVersion: terms.version,
            ruleSets: terms.rule_sets.clone(),
            attestations: terms.attestations.iter().map(|a| a.name.clone()).collect(),
            accepts: terms.attestations.iter().map(|a| a.accepts.clone()).collect(),
            signer: terms.signer.clone(),
        }),
        Action::Hold { target: HoldTarget::Entitlements { campaign: of, round, indexes } } => {
            hash!(HoldEntitlementsCommand {
                campaign: campaign(*of),
                round: U256::from(*round),
                indexes: indexes.clone(),
            })
        }
        Action::Hold { target: HoldTarget::Person { person } } => {
            hash!(HoldPersonCommand { person: *person })
        }
        Action::Hold { target: HoldTarget::Campaign { campaign: of } } => {
            hash!(HoldCampaignCommand { campaign: campaign(*of) })
        }
        Action::ConfirmHold { hold } => hash!(ConfirmHoldCommand { hold: *hold }),
        Action::RenewHold { hold } => hash!(RenewHoldCommand { hold: *hold }),
        Action::Release { hold } => hash!(ReleaseCommand { hold: *hold }),
        Action::BindPerson { person, payee, jurisdiction } => {
            hash!(BindPersonCommand { person: *person, payee: *payee, jurisdiction: jurisdiction.clone() })
        }
        Action::ChangePayee { person, payee } => hash!(ChangePayeeCommand { person: *person, payee: *payee }),
        Action::Pause { campaign: of, until } => {
            hash!(PauseCommand { campaign: campaign(*of), until: *until })
        }
        Action::Resume { campaign: of } => hash!(ResumeCommand { campaign: campaign(*of) }),
        Action::SetLimit { campaign: of, limit } => hash!(SetLimitCommand {
            campaign: campaign(*of),
            limited: limit.is_some(),
            limit: limit.map_or(0, |most| most.get()),
        }),
        Action::RevokeAttestation { uid } => hash!(RevokeAttestationCommand { uid: *uid }),
        Action::FileAppeal { about } => appeal_hash(command, id, authority, about),
        Action::AnswerAppeal { appeal, upheld } => {
            hash!(AnswerAppealCommand { appeal: *appeal, upheld: *upheld })
        }
    }
}

fn appeal_hash(command: &Command, id: DemandId, authority: B256, about: &AppealAbout) -> B256 {
    match about {
        AppealAbout::Hold { hold } => hashed!(command, id, authority, AppealHoldCommand { hold: *hold }),
        AppealAbout::Void { campaign: of, entitlement } => {
            hashed!(
                command,
                id,
                authority,
                AppealVoidCommand {
                    campaign: campaign(*of),
                    round: U256::from(entitlement.round),
                    index: entitlement.index,
                }
            )
        }
        AppealAbout::Refusal { campaign: of, entitlement } => {
            hashed!(
                command,
                id,
                authority,
                AppealRefusalCommand {
                    campaign: campaign(*of),
                    round: U256::from(entitlement.round),
                    index: entitlement.index,
                }
            )
        }
    }
}

fn campaign(id: crate::ids::CampaignId) -> FixedBytes<16> {
    FixedBytes(id.0.into_bytes())
}
