//! Attestations that passed the checks which need no claim. Writing one again changes nothing, so a delivery that was cut
//! is sent again from anywhere.

use sluice_core::ids::Millis;

use crate::Store;
use crate::columns::{from_bigint, from_bytea};
use crate::error::{Error, Result};
use crate::limits::{ATTESTATIONS_ABOUT_MAX, ATTESTATIONS_GROUP_MAX};
use crate::seal::Sealed;

/// An attestation to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttestation {
    /// What tells it apart.
    pub id: [u8; 32],
    /// Its uid, as its system names it.
    pub uid: [u8; 32],
    /// Who issued it.
    pub issuer: [u8; 20],
    /// SHA-256 of its schema's text form.
    pub schema: [u8; 32],
    /// Whom it is about: addresses (20 bytes) and persons (32 bytes).
    pub subjects: Vec<Vec<u8>>,
    /// Its canonical bytes; sealed before they are written.
    pub body: Vec<u8>,
}

/// Whom attestations are looked for about, and what of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutWhom {
    /// Addresses (20 bytes) and persons (32 bytes): one person in several spellings.
    pub subjects: Vec<Vec<u8>>,
    /// SHA-256 of schemas' text forms.
    pub schemas: Vec<[u8; 32]>,
}

/// An attestation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttestation {
    /// What tells it apart.
    pub id: [u8; 32],
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: Millis,
}

type Row = (Vec<u8>, Vec<u8>, i64, Vec<u8>, Vec<u8>);
/// The same behind the place of the question that it answers.
type FoundRow = (i64, Vec<u8>, Vec<u8>, i64, Vec<u8>, Vec<u8>);

const WHAT: &str = "attestations";

/// What an attestation's seal is bound to.
fn bound_to(id: &[u8; 32]) -> Vec<u8> {
    [b"attestation".as_slice(), id].concat()
}

impl Store {
    fn opened(&self, (id, body, received_at, name, wrapped): Row) -> Result<StoredAttestation> {
        let id = from_bytea("attestation.id", &id)?;
        let key = self.seal_key().ok_or(Error::NoSealKey { what: WHAT })?;
        Ok(StoredAttestation {
            id,
            body: key.open(WHAT, &bound_to(&id), &name, &Sealed { wrapped, body })?,
            received_at: from_bigint("attestation.received_at", received_at)?,
        })
    }

    /// Keeps attestations, all or none; returns the ids of those that were not there before. A group may name an id twice.
    ///
    /// # Errors
    /// [`Error::TooMuch`] above the bound of a group; [`Error::NoSealKey`]; [`Error::Unknown`]: send the same again.
    pub async fn add_attestations(&self, group: &[NewAttestation]) -> Result<Vec<[u8; 32]>> {
        if group.len() > ATTESTATIONS_GROUP_MAX {
            return Err(Error::TooMuch {
                what: "attestations",
                given: group.len(),
                max: ATTESTATIONS_GROUP_MAX,
            });
        }
        let sql = "
            WITH new AS MATERIALIZED (
                SELECT DISTINCT ON (r.id) r.*
                FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $8::bytea[])
                    AS r(id, uid, issuer, schema, body, wrapped)
                ORDER BY r.id),
            added AS (
                INSERT INTO attestation (id, uid, issuer, schema, body)
                SELECT id, uid, issuer, schema, body FROM new
                ON CONFLICT (id) DO NOTHING RETURNING id, schema),
            keys AS (
                INSERT INTO attestation_key (attestation, seal_key, wrapped)
                SELECT added.id, $9, new.wrapped FROM added JOIN new USING (id)),
            subjects AS (
                INSERT INTO attestation_subject (subject, schema, attestation)
                SELECT DISTINCT s.subject, added.schema, added.id
                FROM added JOIN unnest($6::bytea[], $7::bytea[]) AS s(attestation, subject) ON s.attestation = added.id)
            SELECT id FROM added";
        let key = self.seal_key().ok_or(Error::NoSealKey { what: WHAT })?;
        let sealed: Vec<Sealed> = group.iter().map(|a| key.seal(&bound_to(&a.id), &a.body)).collect();
        let subjects = || group.iter().flat_map(|a| a.subjects.iter().map(move |subject| (a, subject)));
        let query = sqlx::query_as(sql)
            .bind(group.iter().map(|a| a.id.as_slice()).collect::<Vec<_>>())
            .bind(group.iter().map(|a| a.uid.as_slice()).collect::<Vec<_>>())
            .bind(group.iter().map(|a| a.issuer.as_slice()).collect::<Vec<_>>())
            .bind(group.iter().map(|a| a.schema.as_slice()).collect::<Vec<_>>())
            .bind(sealed.iter().map(|s| s.body.as_slice()).collect::<Vec<_>>())
            .bind(subjects().map(|(a, _)| a.id.as_slice()).collect::<Vec<_>>())
            .bind(subjects().map(|(_, subject)| subject.as_slice()).collect::<Vec<_>>())
            .bind(sealed.iter().map(|s| s.wrapped.as_slice()).collect::<Vec<_>>())
            .bind(key.name().to_vec());
        let rows: Vec<(Vec<u8>,)> = self.fetch_all("keep attestations", query).await?;
        rows.into_iter().map(|(id,)| from_bytea("attestation.id", &id)).collect()
    }

    /// An attestation by its id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attestation(&self, id: [u8; 32]) -> Result<Option<StoredAttestation>> {
        let sql = "
            SELECT a.id, a.body, millis(a.received_at), k.seal_key, k.wrapped
            FROM attestation a JOIN attestation_key k ON k.attestation = a.id WHERE a.id = $1";
        let query = sqlx::query_as::<_, Row>(sql).bind(id.as_slice());
        self.fetch_optional("read an attestation", query).await?.map(|row| self.opened(row)).transpose()
    }

    /// For each of these, attestations of its schemas about any of its subjects, newest first, at most
    /// [`ATTESTATIONS_ABOUT_MAX`]: whoever floods a subject with attestations of an accepted issuer hides older ones.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; for one of them, [`Error::NoSealKey`] or that what is kept cannot be read.
    pub async fn attestations_about(
        &self,
        asked: &[AboutWhom],
    ) -> Result<Vec<Result<Vec<StoredAttestation>>>> {
        let sql = "
            SELECT s.ord, t.id, t.body, t.received_at, t.seal_key, t.wrapped
            FROM (SELECT ord, array_agg(subject) AS subjects FROM unnest($1::bigint[], $2::bytea[]) AS s(ord, subject)
                  GROUP BY ord) s
            JOIN (SELECT ord, array_agg(schema) AS schemas FROM unnest($3::bigint[], $4::bytea[]) AS s(ord, schema)
                  GROUP BY ord) c ON c.ord = s.ord
            CROSS JOIN LATERAL (
                SELECT a.id, a.body, millis(a.received_at) AS received_at, k.seal_key, k.wrapped, a.received_at AS at
                FROM attestation a JOIN attestation_key k ON k.attestation = a.id
                WHERE a.id IN (SELECT attestation FROM attestation_subject
                               WHERE subject = ANY(s.subjects) AND schema = ANY(c.schemas))
                ORDER BY a.received_at DESC, a.id LIMIT $5) t
            ORDER BY s.ord, t.at DESC, t.id";
        let numbered = || (0_i64..).zip(asked);
        let subjects = || numbered().flat_map(|(ord, a)| a.subjects.iter().map(move |s| (ord, s.as_slice())));
        let schemas = || numbered().flat_map(|(ord, a)| a.schemas.iter().map(move |s| (ord, s.as_slice())));
        let query = sqlx::query_as(sql)
            .bind(subjects().map(|(ord, _)| ord).collect::<Vec<_>>())
            .bind(subjects().map(|(_, subject)| subject).collect::<Vec<_>>())
            .bind(schemas().map(|(ord, _)| ord).collect::<Vec<_>>())
            .bind(schemas().map(|(_, schema)| schema).collect::<Vec<_>>())
            .bind(ATTESTATIONS_ABOUT_MAX);
        let rows: Vec<FoundRow> = self.fetch_all("find attestations", query).await?;
        let mut found: Vec<_> = asked.iter().map(|_| Ok(Vec::new())).collect();
        for (ord, id, body, received_at, name, wrapped) in rows {
            let place = usize::try_from(ord).ok().and_then(|ord| found.get_mut(ord));
            let place = place.expect("the statement numbers what it was asked");
            match (place, self.opened((id, body, received_at, name, wrapped))) {
                (Ok(found), Ok(attestation)) => found.push(attestation),
                // One that cannot be read concerns only those who need it.
                (place @ Ok(_), Err(error)) => *place = Err(error),
                (Err(_), _) => {}
            }
        }
        Ok(found)
    }
}
