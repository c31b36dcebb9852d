//! Reading State: every answer says at which position.

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sluice_core::ids::{CampaignId, RoundNo, Seq};
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_core::state::round::Round;
use sluice_engine::follower::Follower;

use super::front::AS_OF_SEQ;

/// What was read, and at which position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsOf<T> {
    pub seq: Seq,
    pub value: T,
}

/// Reads State under one lock, so that everything in an answer is of one position.
pub(crate) fn read<T>(follower: &Follower, read: impl FnOnce(&State) -> T) -> AsOf<T> {
    follower.read(|state| AsOf { seq: state.seq, value: read(state) })
}

impl<T> AsOf<T> {
    /// The same position, something else read there.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> AsOf<U> {
        AsOf { seq: self.seq, value: map(self.value) }
    }

    /// Its answer, with the position in the head.
    pub(crate) fn answer(self) -> Response
    where
        T: Serialize,
    {
        marked(axum::Json(self.value).into_response(), self.seq)
    }
}

impl<T, E> AsOf<Result<T, E>> {
    /// What was read, or why it could not be.
    pub(crate) fn transpose(self) -> Result<AsOf<T>, E> {
        Ok(AsOf { seq: self.seq, value: self.value? })
    }
}

/// An answer with the position it was read at.
pub(crate) fn marked(mut response: Response, seq: Seq) -> Response {
    response.headers_mut().insert(AS_OF_SEQ, HeaderValue::from(seq));
    response
}

/// A campaign, or that there is none.
pub(crate) fn campaign(state: &State, id: CampaignId) -> Result<&Campaign, Code> {
    state.campaign(id).ok_or(Code::UnknownCampaign)
}

/// A round with its campaign, or what there is none of.
pub(crate) fn round(state: &State, id: CampaignId, number: RoundNo) -> Result<(&Campaign, &Round), Code> {
    let campaign = campaign(state, id)?;
    Ok((campaign, campaign.round(number).ok_or(Code::UnknownRound)?))
}
