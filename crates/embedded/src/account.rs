//! The account a PostgreSQL server runs under: our own, or another one when we are root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::{Error, Result};

/// An operating-system account that may run PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Account {
    /// We are an ordinary user and stay it.
    Ours,
    /// We are root, which PostgreSQL refuses: its processes run as this user, its files belong to it.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// `Ours`, or for root `postgres` if it exists, else `nobody`.
    pub(crate) fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(Error::io("read", path))?;
        ["postgres", "nobody"].iter().find_map(|name| find_user(&passwd, name)).ok_or(Error::NoAccount)
    }

    /// Makes a command run under this account.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a path to this account, with the permission bits.
    pub(crate) fn give(self, path: &Path, mode: u32) -> Result<()> {
        if let Self::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid)).map_err(Error::io("change the owner of", path))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::io("change the mode of", path))
    }

    /// Whether this account can reach a folder through all of the folders above it. Access lists are not read.
    pub(crate) fn reaches(self, dir: &Path) -> bool {
        let Self::Other { uid, gid } = self else { return true };
        dir.ancestors().skip(1).all(|above| {
            fs::metadata(above).is_ok_and(|meta| {
                let search = match meta {
                    _ if meta.uid() == uid => 0o100,
                    _ if meta.gid() == gid => 0o010,
                    _ => 0o001,
                };
                meta.mode() & search != 0
            })
        })
    }
}

/// Finds a user's ids in the text of `/etc/passwd` (`name:x:uid:gid:…`).
fn find_user(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(str::parse::<u32>);
    Some(Account::Other { uid: ids.next()?.ok()?, gid: ids.next()?.ok()? })
}
