//! `sluice keys`: makes keys and says whose they are. No secret is ever printed but the operator key, once.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::hex;
use clap::{Args, Subcommand};

use crate::keys::{self, Kind, Password};

/// Make and show keys.
#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key; prints its public half.
    #[command(subcommand)]
    New(New),
    /// Print what a key file holds: kind and public half.
    Show {
        /// The key file.
        file: PathBuf,
        /// Open it with this password's file and print the public half of what is in it, instead of what it claims.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum New {
    /// An account: a lane, a sequencer's control key, an authority.
    Account(At),
    /// A log key (Ed25519): signs tree heads, receipts and tickets; to be registered in the Charter.
    Log(At),
    /// An operator key: printed once; its SHA-256 goes into the configuration.
    Operator,
}

#[derive(Debug, Args)]
struct At {
    /// The file to write; readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
}

impl Keys {
    /// Does it.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a password is wrong.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::New(New::Account(at)) => {
                println!(
                    "{}",
                    keys::new_account(&at.out, &Password::read(&at.password_file)?)?.to_checksum(None)
                );
            }
            What::New(New::Log(at)) => {
                println!("{}", keys::new_log_key(&at.out, &Password::read(&at.password_file)?)?);
            }
            What::New(New::Operator) => {
                let (secret, hash) = keys::bearer::new(keys::bearer::Purpose::Operator)?;
                println!("key (keep it; it is shown only now): {secret}");
                println!("for the configuration: operator_key_sha256 = \"{}\"", hex::encode(hash));
            }
            What::Show { file, password_file } => show(file, password_file)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(file: PathBuf, password_file: Option<PathBuf>) -> anyhow::Result<()> {
    let shown = keys::show(&file)?;
    let public = match (password_file, shown.kind) {
        (None, _) => {
            shown.public.unwrap_or_else(|| "not named in the file; open it with --password-file".into())
        }
        (Some(path), Kind::Account) => {
            keys::open_account(&file, &Password::read(&path)?)?.address().to_checksum(None)
        }
        (Some(path), Kind::LogKey) => {
            keys::public_half(&keys::open_log_key(&file, &Password::read(&path)?)?).to_string()
        }
    };
    println!("{}: {public}", shown.kind);
    Ok(())
}
