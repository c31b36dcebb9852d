//! A database server with nothing in memory: stopped, its files dropped from the page cache, and started again.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, ensure};
use sluice_embedded::Postgres;

use crate::claims::cluster;

/// Starts the server of a cluster in `dir` again, with cold files.
pub(super) async fn restarted(postgres: Postgres, dir: &Path) -> anyhow::Result<Postgres> {
    let (folder, url) = (postgres.dir().to_owned(), postgres.url());
    // Sessions end and a checkpoint is written, so that no file has pages that the disk lacks.
    postgres.stop().await;
    tokio::task::spawn_blocking(move || drop_from_cache(&folder)).await??;
    let postgres = Postgres::start(dir, &cluster::options()).await?;
    ensure!(postgres.url() == url, "the server listens elsewhere now: {}", postgres.url());
    Ok(postgres)
}

/// Has the system forget what it holds in memory of all files below a folder.
fn drop_from_cache(folder: &Path) -> anyhow::Result<()> {
    let failed = |path: &Path| format!("cannot drop {} from the page cache", path.display());
    for entry in std::fs::read_dir(folder).with_context(|| failed(folder))? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        match entry? {
            kind if kind.is_dir() => drop_from_cache(&path)?,
            kind if kind.is_file() => {
                let file = File::open(&path).with_context(|| failed(&path))?;
                // What is not on the disk stays in memory.
                file.sync_all().with_context(|| failed(&path))?;
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                    .with_context(|| failed(&path))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::bytes_read;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_was_dropped_comes_from_the_disk_again() {
        // Beside this program: not where temporary files are, which may be memory.
        let here = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(here.parent().unwrap()).unwrap();
        let path = folder.path().join("below").join("file");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let length = 8 << 20;
        File::create(&path).unwrap().write_all(&vec![7; length]).unwrap();
        drop_from_cache(folder.path()).unwrap();
        let before = bytes_read();
        let mut all = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), length);
        assert!(bytes_read() - before >= length as u64 / 2, "it was in memory still");
    }
}
