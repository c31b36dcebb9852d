//! Tenants and the keys of their programs.

use sluice_core::ids::{Millis, ProjectId};
use uuid::Uuid;

use crate::Store;
use crate::columns::from_bigint;
use crate::error::{Error, Result};
use crate::limits::LIST_MAX;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its name; no two projects share one.
    pub name: String,
    /// When it was created.
    pub created_at: Millis,
}

/// Names an API key without being it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(pub Uuid);

/// An API key, as far as the database knows it: not the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub project: ProjectId,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created_at: Millis,
    /// Since when it does not work any more.
    pub revoked_at: Option<Millis>,
}

fn project((id, name, created_at): (Uuid, String, i64)) -> Result<Project> {
    Ok(Project { id: ProjectId(id), name, created_at: from_bigint("project.created_at", created_at)? })
}

impl Store {
    /// Creates a project. Creating the same one again is no error.
    ///
    /// # Errors
    /// [`Error::Exists`] when the id or the name belongs to another project; [`Error::Refused`] for a name that is
    /// empty or longer than 200 characters.
    pub async fn add_project(&self, id: ProjectId, name: &str) -> Result<Project> {
        let sql = "INSERT INTO project (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute("create a project", sqlx::query(sql).bind(id.0).bind(name)).await?;
        let sql = "SELECT id, name, millis(created_at) FROM project WHERE id = $1 AND name = $2";
        let row = self.fetch_optional("read a project", sqlx::query_as(sql).bind(id.0).bind(name)).await?;
        row.map(project)
            .unwrap_or(Err(Error::Exists { what: "a project with this id or name", differs: "name or id" }))
    }

    /// The project of this name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn project_by_name(&self, name: &str) -> Result<Option<Project>> {
        let sql = "SELECT id, name, millis(created_at) FROM project WHERE name = $1";
        let row = self.fetch_optional("find a project", sqlx::query_as(sql).bind(name)).await?;
        row.map(project).transpose()
    }

    /// All projects, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn projects(&self) -> Result<Vec<Project>> {
        let sql = "SELECT id, name, millis(created_at) FROM project ORDER BY name LIMIT $1";
        let rows = self.fetch_all("list the projects", sqlx::query_as(sql).bind(LIST_MAX)).await?;
        rows.into_iter().map(project).collect()
    }

    /// Stores an API key by the SHA-256 of its 32 random bytes. The key itself is shown once, to its owner.
    ///
    /// # Errors
    /// [`Error::Refused`] when the project does not exist or the key does.
    pub async fn add_api_key(&self, project: ProjectId, hash: &[u8; 32], label: &str) -> Result<ApiKeyId> {
        let sql = "INSERT INTO api_key (id, project, hash, label) VALUES ($1, $2, $3, $4)";
        let id = Uuid::now_v7();
        let query = sqlx::query(sql).bind(id).bind(project.0).bind(hash.as_slice()).bind(label);
        self.execute("store an API key", query).await?;
        Ok(ApiKeyId(id))
    }

    /// Whose key hashes to this, unless it was revoked. Looking a hash up tells a guesser nothing by its time: what is
    /// compared is the SHA-256 of what was sent, and nobody can steer its bytes towards a stored one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn project_of_key(&self, hash: &[u8; 32]) -> Result<Option<ProjectId>> {
        let sql = "SELECT project FROM api_key WHERE hash = $1 AND revoked_at IS NULL";
        let query = sqlx::query_as(sql).bind(hash.as_slice());
        let row: Option<(Uuid,)> = self.fetch_optional("look up an API key", query).await?;
        Ok(row.map(|(id,)| ProjectId(id)))
    }

    /// Ends an API key of a project; `false` when there is no such key or it was revoked before.
    ///
    /// # Errors
    /// [`Error::Unknown`]: call again.
    pub async fn revoke_api_key(&self, project: ProjectId, id: ApiKeyId) -> Result<bool> {
        let sql = "UPDATE api_key SET revoked_at = clock_millis()
                   WHERE id = $1 AND project = $2 AND revoked_at IS NULL";
        Ok(self.execute("revoke an API key", sqlx::query(sql).bind(id.0).bind(project.0)).await? == 1)
    }

    /// A project's API keys, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn api_keys(&self, project: ProjectId) -> Result<Vec<ApiKey>> {
        let sql = "SELECT id, label, millis(created_at), millis(revoked_at) FROM api_key WHERE project = $1
                   ORDER BY created_at, id LIMIT $2";
        let query = sqlx::query_as(sql).bind(project.0).bind(LIST_MAX);
        let rows: Vec<(Uuid, String, i64, Option<i64>)> = self.fetch_all("list API keys", query).await?;
        rows.into_iter()
            .map(|(id, label, created_at, revoked_at)| {
                Ok(ApiKey {
                    id: ApiKeyId(id),
                    project,
                    label,
                    created_at: from_bigint("api_key.created_at", created_at)?,
                    revoked_at: revoked_at.map(|at| from_bigint("api_key.revoked_at", at)).transpose()?,
                })
            })
            .collect()
    }
}
