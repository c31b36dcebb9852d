//! `sluice project`: tenants and the keys of their programs.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::block_on;
use super::reach::{NodeArgs, answer, project_id};

/// Create projects and their API keys.
#[derive(Debug, Args)]
pub struct Project {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create a project; takes the operator's key (--api-key-file). Its id is derived from its name, so that creating
    /// it again is no error.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        node: NodeArgs,
        /// Print the result as one line of JSON, last.
        #[arg(long)]
        json: bool,
    },
    /// Make an API key for a project; it is shown only now. Takes the operator's key or one of the project.
    Key {
        /// The project's name, or its id.
        project: String,
        /// What its owner calls the key.
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        node: NodeArgs,
        /// Print the result as one line of JSON, last.
        #[arg(long)]
        json: bool,
    },
}

impl Project {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Create { name, node, json } => {
                    let id = project_id(&name);
                    let made = node.client()?.create_project(id, &name).await?;
                    answer(json, &made, &[("project", id.to_string()), ("name", name)])?;
                }
                What::Key { project, label, node, json } => {
                    let made = node.client()?.create_key(project_id(&project), &label).await?;
                    let facts =
                        [("id", made.id.clone()), ("key (keep it; it is shown only now)", made.key.clone())];
                    answer(json, &made, &facts)?;
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
