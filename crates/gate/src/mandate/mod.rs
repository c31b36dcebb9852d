//! Mandates: what an institution may do, where, and up to how much, as Cedar policies.
//!
//! A [`Mandate`] belongs to one authority. Its policies speak of `principal` (the authority), `action` (an
//! [`ActionKind`]), `resource` (the subject: stream, campaign, round, entitlement, person or jurisdiction, each inside
//! the larger ones) and a small `context`. What may be spent stands beside a permit as annotations: `@limit_amount` base
//! units in all, `@limit_count` items in all, `@limit_each` base units for one item. Cedar permits and names the limits;
//! the log's State counts what was spent and compares at the command's position, so that concurrent commands cannot
//! overspend.
//!
//! A [`Delegation`] lends part of an authority's mandate to a vendor's key. It never widens anything: the authority's own
//! mandate is asked as well, and the evidence names both.

mod book;
mod compile;
mod delegation;
mod evaluate;
mod facts;

pub use book::{MANDATES_MAX, MandateBook};
pub use compile::{CompiledMandate, Limits, Mandate, OverLimit, explain_mandate, schema};
pub use delegation::{Delegation, DelegationError, OutsideDelegation, Scope};
pub use evaluate::{MandateRefusal, Permit, PolicyRef, evaluate_mandates};
pub use facts::{CommandFacts, Spending, Subject};
pub use sluice_core::command::{ActionKind, UnknownAction};
