//! Projects and their API keys. The operator creates projects; a project manages its own keys.

use alloy_primitives::B256;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_core::ids::ProjectId;
use sluice_store::{ApiKeyId, Error};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::auth::{ByOperator, Managed};
use super::extract::{Json, Path};
use super::problem::{self, Problem};
use crate::keys::bearer::{self, Purpose};

/// Characters of a project's name and of a key's label.
const NAME_CHARS_MAX: usize = 200;

/// A project to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProject {
    /// The client's own id of it; creating the same project again is no error.
    #[schema(value_type = uuid::Uuid)]
    id: ProjectId,
    /// Its name; no two projects share one.
    name: String,
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: ProjectId,
    /// Its name.
    name: String,
    /// When it was created, milliseconds since 1970 on the database's clock.
    created_at: u64,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// What its owner calls it.
    label: String,
}

/// A key just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeKey {
    /// Names the key without being it.
    id: Uuid,
    /// The key. It is shown only now.
    key: String,
}

/// A key, as far as the service knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// Names the key without being it.
    id: Uuid,
    /// What its owner calls it.
    label: String,
    /// When it was made, milliseconds since 1970.
    created_at: u64,
    /// Since when it does not work any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<u64>,
}

/// Create a project. Takes the operator's key.
#[utoipa::path(post, path = "/v1/projects", operation_id = "createProject", tag = "projects", request_body = NewProject, security(("key" = [])),
    responses((status = 201, body = ProjectView), (status = 401, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    _: ByOperator,
    Json(new): Json<NewProject>,
) -> Result<(StatusCode, axum::Json<ProjectView>), Problem> {
    check_length("name", &new.name, 1)?;
    let project = api.node.store().add_project(new.id, &new.name).await.map_err(|error| match error {
        Error::Exists { .. } => Problem::from(problem::NAME_TAKEN).detail(error.to_string()),
        other => super::from_store(other),
    })?;
    Ok((StatusCode::CREATED, axum::Json(project.into())))
}

/// List projects. Takes the operator's key.
#[utoipa::path(get, path = "/v1/projects", operation_id = "listProjects", tag = "projects", security(("key" = [])),
    responses((status = 200, body = Vec<ProjectView>), (status = 401, body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    _: ByOperator,
) -> Result<axum::Json<Vec<ProjectView>>, Problem> {
    let projects = api.node.store().projects().await.map_err(super::from_store)?;
    Ok(axum::Json(projects.into_iter().map(ProjectView::from).collect()))
}

/// Make an API key for a project. Takes the operator's key or one of the project.
#[utoipa::path(post, path = "/v1/projects/{project}/keys", operation_id = "makeKey", tag = "projects", params(("project" = uuid::Uuid, Path)),
    request_body = NewKey, security(("key" = [])),
    responses((status = 201, body = MadeKey), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn make_key(
    State(api): State<Api>,
    Managed(project): Managed,
    Json(new): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<MadeKey>), Problem> {
    check_length("label", &new.label, 0)?;
    let (key, hash): (String, B256) = bearer::new(Purpose::Project).map_err(Problem::internal)?;
    let made = api.node.store().add_api_key(project, &hash, &new.label).await;
    let ApiKeyId(id) = made.map_err(|error| match error {
        Error::Refused { .. } => {
            Problem::from(problem::NOT_FOUND).field("project").detail("there is no such project")
        }
        other => super::from_store(other),
    })?;
    Ok((StatusCode::CREATED, axum::Json(MadeKey { id, key })))
}

/// List a project's API keys. Takes the operator's key or one of the project.
#[utoipa::path(get, path = "/v1/projects/{project}/keys", operation_id = "listKeys", tag = "projects", params(("project" = uuid::Uuid, Path)),
    security(("key" = [])), responses((status = 200, body = Vec<KeyView>), (status = 401, body = Problem)))]
pub(crate) async fn list_keys(
    State(api): State<Api>,
    Managed(project): Managed,
) -> Result<axum::Json<Vec<KeyView>>, Problem> {
    let keys = api.node.store().api_keys(project).await.map_err(super::from_store)?;
    let view = |key: sluice_store::ApiKey| KeyView {
        id: key.id.0,
        label: key.label,
        created_at: key.created_at,
        revoked_at: key.revoked_at,
    };
    Ok(axum::Json(keys.into_iter().map(view).collect()))
}

/// Revoke an API key. Other nodes honour it for at most 30 seconds more.
#[utoipa::path(delete, path = "/v1/projects/{project}/keys/{key}", operation_id = "revokeKey", tag = "projects",
    params(("project" = uuid::Uuid, Path), ("key" = uuid::Uuid, Path)), security(("key" = [])),
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn revoke_key(
    State(api): State<Api>,
    Managed(project): Managed,
    Path((_project, key)): Path<(ProjectId, Uuid)>,
) -> Result<StatusCode, Problem> {
    let revoked = api.node.store().revoke_api_key(project, ApiKeyId(key)).await.map_err(super::from_store)?;
    api.front.keys.forget();
    if revoked {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::from(problem::NOT_FOUND)
        .field("key")
        .detail("there is no such key, or it was revoked before"))
}

fn check_length(field: &str, text: &str, least: usize) -> Result<(), Problem> {
    if (least..=NAME_CHARS_MAX).contains(&text.chars().count()) {
        return Ok(());
    }
    let detail = format!("it has {least} to {NAME_CHARS_MAX} characters");
    Err(Problem::from(problem::MALFORMED_BODY).field(field).detail(detail))
}

impl From<sluice_store::Project> for ProjectView {
    fn from(project: sluice_store::Project) -> Self {
        Self { id: project.id, name: project.name, created_at: project.created_at }
    }
}
