//! Naming a list: a file, standard input, an object of a store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use url::Url;

/// Where a list comes from. Each may be plain or compressed with gzip, xz or zstd, or a Parquet file in builds with the
/// feature `parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// An object: `s3://bucket/list.csv`, `gs://`, `az://`, `https://`, `http://`, in builds with the features `s3`,
    /// `gcs`, `azure`, `http`. The environment's variables of those services configure access.
    Remote(Url),
}

/// Why a text names no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It looks like a URL and is none.
    #[error("{text:?} is no URL")]
    NoUrl {
        /// As given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: url::ParseError,
    },
    /// A `file://` URL that names no file of this machine.
    #[error("{0:?} names no file of this machine; write file:///path or the path alone")]
    NoFile(String),
    /// A query, which object stores do not have.
    #[error(
        "{0:?} has a query, which would be lost; fetch it: curl -f ADDRESS | sluice snapshot build - --out FILE"
    )]
    Query(String),
}

impl Input {
    /// Reads a command line's argument: `-` is standard input, what holds `://` is a URL (`file://` among them), the
    /// rest are paths.
    ///
    /// # Errors
    /// When a URL is none or cannot be kept to.
    pub fn parse(argument: &OsStr) -> Result<Self, InputError> {
        match argument.to_str() {
            Some("-") => Ok(Self::Stdin),
            Some(text) if text.contains("://") => Self::parse_url(text),
            _ => Ok(Self::File(argument.into())),
        }
    }

    fn parse_url(text: &str) -> Result<Self, InputError> {
        let url = Url::parse(text).map_err(|source| InputError::NoUrl { text: text.to_owned(), source })?;
        if url.query().is_some() {
            return Err(InputError::Query(text.to_owned()));
        }
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| InputError::NoFile(text.to_owned()))?;
            return Ok(Self::File(path));
        }
        Ok(Self::Remote(url))
    }

    /// The list's name without folders, where it has one.
    pub fn file_name(&self) -> Option<&Path> {
        match self {
            Self::File(path) => path.file_name().map(Path::new),
            Self::Stdin => None,
            Self::Remote(url) => {
                url.path_segments()?.next_back().filter(|name| !name.is_empty()).map(Path::new)
            }
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("standard input"),
            Self::Remote(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_lists() {
        let parse = |text: &str| Input::parse(OsStr::new(text));
        assert_eq!(parse("-"), Ok(Input::Stdin));
        assert_eq!(parse("a/list.csv"), Ok(Input::File("a/list.csv".into())));
        assert_eq!(parse("file:///a/list%20of%20may.csv"), Ok(Input::File("/a/list of may.csv".into())));
        let remote = parse("s3://bucket/2026/list.csv.zst").unwrap();
        assert_eq!(remote, Input::Remote(Url::parse("s3://bucket/2026/list.csv.zst").unwrap()));
        assert_eq!(remote.file_name(), Some(Path::new("list.csv.zst")));
        assert_eq!(parse("https://example.org").unwrap().file_name(), None);
        assert!(matches!(parse("https://example.org/list.csv?signature=1"), Err(InputError::Query(_))));
        assert!(matches!(parse("file://elsewhere/list.csv"), Err(InputError::NoFile(_))));
        assert!(matches!(parse("://list.csv"), Err(InputError::NoUrl { .. })));
    }
}
