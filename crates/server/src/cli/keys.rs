//! `sluice keys`: makes keys and says whose they are. No secret is ever printed but the operator key, once.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::hex;
use anyhow::Context;
use clap::{Args, Subcommand};

use crate::keys::{self, Kind, Password, split};

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
    /// Split a list key into N shares of which M give it back: one for each authority, for an exit.
    Split(SplitArgs),
    /// Put a list key together from its shares.
    Join(JoinArgs),
    /// Print what a key file holds: kind and public half.
    Show {
        /// The key file.
        file: PathBuf,
        /// Open it with this password's file and print the public half of what is in it, instead of what it claims.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct SplitArgs {
    /// The list key's file.
    file: PathBuf,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// Shares that give the key together.
    #[arg(long, value_name = "M")]
    needed: u8,
    /// Shares to make, one for each authority.
    #[arg(long, value_name = "N")]
    shares: u8,
    /// An existing folder; the shares become `share-1.json` and so on, readable by their owner alone.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct JoinArgs {
    /// Shares' files, as many as are needed.
    #[arg(required = true)]
    shares: Vec<PathBuf>,
    #[command(flatten)]
    at: At,
}

impl SplitArgs {
    fn run(self) -> anyhow::Result<()> {
        let secret = keys::open_list_key(&self.file, &Password::read(&self.password_file)?)?;
        for (share, number) in split::split(&secret, self.needed, self.shares)?.iter().zip(1..) {
            let path = self.out.join(format!("share-{number}.json"));
            let mut open = std::fs::OpenOptions::new();
            let file = open.write(true).create_new(true).mode(0o600).open(&path);
            let file = file.with_context(|| format!("cannot create {}", path.display()))?;
            serde_json::to_writer_pretty(file, share)?;
            println!("{}", path.display());
        }
        Ok(())
    }
}

impl JoinArgs {
    fn run(self) -> anyhow::Result<()> {
        let shares = self.shares.iter().map(|path| split::read(path)).collect::<Result<Vec<_>, _>>()?;
        let password = Password::read(&self.at.password_file)?;
        Ok(keys::write_list_key(&self.at.out, &password, &split::join(&shares)?)?)
    }
}

#[derive(Debug, Subcommand)]
enum New {
    /// An account: a lane, a sequencer's control key, an authority.
    Account(At),
    /// A log key (Ed25519): signs tree heads, receipts and tickets; to be registered in the Charter.
    Log(At),
    /// A seal key: nodes seal personal data in the database with it; every node of a stream has the same.
    Seal(At),
    /// A list key: encrypts the proof pages of a campaign's private lists.
    List(At),
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
            What::New(New::Seal(at)) => {
                println!("{}", keys::new_seal_key(&at.out, &Password::read(&at.password_file)?)?);
            }
            What::New(New::List(at)) => keys::new_list_key(&at.out, &Password::read(&at.password_file)?)?,
            What::Split(split) => split.run()?,
            What::Join(join) => join.run()?,
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
        (Some(path), Kind::ListKey) => {
            keys::open_list_key(&file, &Password::read(&path)?)?;
            "the password opens it".to_owned()
        }
        (Some(path), Kind::SealKey) => {
            keys::seal_key_name(&keys::open_seal_key(&file, &Password::read(&path)?)?)
        }
    };
    println!("{}: {public}", shown.kind);
    Ok(())
}
