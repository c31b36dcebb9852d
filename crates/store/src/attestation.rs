//! Attestations that passed the checks which need no claim. Writing one again changes nothing, so a delivery that was cut
//! is sent again from anywhere.

use std::collections::BTreeSet;
use std::sync::Mutex;

use sluice_core::ids::Millis;

use crate::Store;
use crate::columns::{from_bigint, from_bytea, to_bigint};
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
    /// Whether a key signed it. That was checked, and stays true: nobody has to recover the signer again.
    pub signed_by_key: bool,
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
    /// Only those that came by then; `None` for all.
    pub until: Option<Millis>,
}

/// An attestation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttestation {
    /// What tells it apart.
    pub id: [u8; 32],
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// Whether a key signed it, as was checked when it came. The seal vouches for it as for the body: only a node that has
    /// the seal key can have written it.
    pub signed_by_key: bool,
    /// When it came.
    pub received_at: Millis,
}

type Row = (Vec<u8>, Vec<u8>, bool, i64, Vec<u8>, Vec<u8>);

const WHAT: &str = "attestations";

/// What an attestation's seal is bound to: its id, and how it was checked.
pub(crate) fn bound_to(id: &[u8; 32], signed_by_key: bool) -> Vec<u8> {
    [b"attestation".as_slice(), &[signed_by_key.into()], id].concat()
}

/// The newest ids first, each once: one person's subjects may name the same attestation.
fn newest(mut found: Vec<(i64, [u8; 32])>) -> Vec<[u8; 32]> {
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.dedup();
    found.truncate(usize::try_from(ATTESTATIONS_ABOUT_MAX).unwrap_or(usize::MAX));
    found.into_iter().map(|(_, id)| id).collect()
}

impl Store {
    fn opened(
        &self,
        (id, body, signed_by_key, received_at, name, wrapped): Row,
    ) -> Result<StoredAttestation> {
        let id = from_bytea("attestation.id", &id)?;
        let key = self.seal_key().ok_or(Error::NoSealKey { what: WHAT })?;
        Ok(StoredAttestation {
            id,
            body: key.open(WHAT, &bound_to(&id, signed_by_key), &name, &Sealed { wrapped, body })?,
            signed_by_key,
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
                FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $8::bytea[], $10::boolean[])
                    AS r(id, uid, issuer, schema, body, wrapped, signed_by_key)
                ORDER BY r.id),
            added AS (
                INSERT INTO attestation (id, uid, issuer, schema, body, seal_key, wrapped, signed_by_key)
                SELECT id, uid, issuer, schema, body, $9, wrapped, signed_by_key FROM new
                ON CONFLICT (id) DO NOTHING RETURNING id, schema, received_at),
            subjects AS (
                INSERT INTO attestation_subject (subject, schema, received_at, attestation)
                SELECT DISTINCT s.subject, added.schema, added.received_at, added.id
                FROM added JOIN unnest($6::bytea[], $7::bytea[]) AS s(attestation, subject) ON s.attestation = added.id)
            SELECT id FROM added";
        let key = self.seal_key().ok_or(Error::NoSealKey { what: WHAT })?;
        let sealed: Vec<Sealed> =
            group.iter().map(|a| key.seal(&bound_to(&a.id, a.signed_by_key), &a.body)).collect();
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
            .bind(key.name().to_vec())
            .bind(group.iter().map(|a| a.signed_by_key).collect::<Vec<_>>());
        let rows: Vec<(Vec<u8>,)> = self.fetch_all("keep attestations", query).await?;
        rows.into_iter().map(|(id,)| from_bytea("attestation.id", &id)).collect()
    }

    /// An attestation by its id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attestation(&self, id: [u8; 32]) -> Result<Option<StoredAttestation>> {
        let sql = "
            SELECT id, body, signed_by_key, millis(received_at), seal_key, wrapped FROM attestation WHERE id = $1";
        let query = sqlx::query_as::<_, Row>(sql).bind(id.as_slice());
        self.fetch_optional("read an attestation", query).await?.map(|row| self.opened(row)).transpose()
    }

    /// Whom an attestation may be about, as it was filed: addresses (20 bytes) and persons (32 bytes). None, where there is no
    /// such attestation.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attestation_subjects(&self, id: [u8; 32]) -> Result<Vec<Vec<u8>>> {
        let sql = "SELECT DISTINCT subject FROM attestation_subject WHERE attestation = $1";
        let query = sqlx::query_as::<_, (Vec<u8>,)>(sql).bind(id.as_slice());
        let rows = self.fetch_all("read whom an attestation is about", query).await?;
        Ok(rows.into_iter().map(|(subject,)| subject).collect())
    }

    /// For each of these, the ids of attestations of its schemas about any of its subjects, newest first, at most
    /// [`ATTESTATIONS_ABOUT_MAX`]: whoever floods a subject with attestations of an accepted issuer hides older ones, and
    /// delays nobody.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attestations_about(&self, asked: &[AboutWhom]) -> Result<Vec<Vec<[u8; 32]>>> {
        // Each subject's newest of each schema come from the end of an index, however many there are.
        let sql = "
            SELECT q.ord, n.attestation, millis(n.received_at)
            FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[]) AS q(ord, subject, schema, until)
            CROSS JOIN LATERAL (
                SELECT x.attestation, x.received_at FROM attestation_subject x
                WHERE x.subject = q.subject AND x.schema = q.schema
                  AND x.received_at <= coalesce('epoch'::timestamptz + q.until * interval '1 millisecond', 'infinity')
                ORDER BY x.received_at DESC, x.attestation DESC LIMIT $5) n";
        let (mut ords, mut subjects, mut schemas, mut untils) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (ord, whom) in (0_i64..).zip(asked) {
            let until = whom.until.map(|at| to_bigint("until", at)).transpose()?;
            for (subject, schema) in
                whom.subjects.iter().flat_map(|s| whom.schemas.iter().map(move |c| (s, c)))
            {
                ords.push(ord);
                subjects.push(subject.as_slice());
                schemas.push(schema.as_slice());
                untils.push(until);
            }
        }
        let query = sqlx::query_as(sql).bind(ords).bind(subjects).bind(schemas).bind(untils);
        let rows: Vec<(i64, Vec<u8>, i64)> =
            self.fetch_all("find attestations", query.bind(ATTESTATIONS_ABOUT_MAX)).await?;
        let mut found = vec![Vec::new(); asked.len()];
        for (ord, id, received_at) in rows {
            let place = usize::try_from(ord).ok().and_then(|ord| found.get_mut(ord));
            let place = place.expect("the statement numbers what it was asked");
            place.push((received_at, from_bytea("attestation_subject.attestation", &id)?));
        }
        Ok(found.into_iter().map(newest).collect())
    }

    /// These attestations, in any order. One that does not open is left out, and told of once.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::NoSealKey`].
    pub async fn attestations(&self, ids: &[[u8; 32]]) -> Result<Vec<StoredAttestation>> {
        // A row is fetched by its key and nothing else, also while the table is small or the planner knows little of it:
        // LIMIT 1 says so.
        let sql = "
            SELECT a.id, a.body, a.signed_by_key, millis(a.received_at), a.seal_key, a.wrapped
            FROM unnest($1::bytea[]) AS q(id)
            CROSS JOIN LATERAL (SELECT * FROM attestation WHERE id = q.id LIMIT 1) a";
        let ids: Vec<&[u8]> = ids.iter().map(<[u8; 32]>::as_slice).collect();
        self.readable_of(self.fetch_all("read attestations", sqlx::query_as(sql).bind(ids)).await?)
    }

    /// Of these attestations, those of some schemas about some subjects, newest first, however many others there are.
    ///
    /// # Errors
    /// As [`Self::attestations_about`].
    pub async fn attestations_named(
        &self,
        ids: &[[u8; 32]],
        whom: &AboutWhom,
    ) -> Result<Vec<StoredAttestation>> {
        let sql = "
            SELECT a.id, a.body, a.signed_by_key, millis(a.received_at), a.seal_key, a.wrapped FROM attestation a
            WHERE a.id = ANY($1)
              AND EXISTS (SELECT FROM attestation_subject s
                          WHERE s.attestation = a.id AND s.subject = ANY($2) AND s.schema = ANY($3))
            ORDER BY a.received_at DESC, a.id DESC";
        let query = sqlx::query_as::<_, Row>(sql)
            .bind(ids.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
            .bind(whom.subjects.iter().map(Vec::as_slice).collect::<Vec<_>>())
            .bind(whom.schemas.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>());
        self.readable_of(self.fetch_all("find attestations by name", query).await?)
    }

    fn readable_of(&self, rows: Vec<Row>) -> Result<Vec<StoredAttestation>> {
        rows.into_iter().filter_map(|row| self.readable(row).transpose()).collect()
    }

    /// A row's attestation; `None` where it does not open, which never changes: who waited for it would wait for ever.
    fn readable(&self, row: Row) -> Result<Option<StoredAttestation>> {
        let id = row.0.clone();
        match self.opened(row) {
            Ok(attestation) => Ok(Some(attestation)),
            Err(error @ (Error::Corrupt { .. } | Error::SealedOtherwise { .. })) => {
                if told_first(&id) {
                    tracing::error!(%error, id = alloy_primitives::hex::encode(&id), "an attestation does not open");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Attestations that were told of; above it all are told of again.
const TOLD_MAX: usize = 10_000;

/// Whether an attestation that does not open was not told of before in this process.
fn told_first(id: &[u8]) -> bool {
    static TOLD: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().expect("no panic inside");
    if told.len() >= TOLD_MAX {
        told.clear();
    }
    told.insert(id.to_vec())
}
