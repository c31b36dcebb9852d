//! Jurisdictions: tags that persons and campaigns are given in signed commands, and that mandates speak of.

use crate::limits::JURISDICTION_BYTES_MAX;

/// Whether a text is a jurisdiction's tag: parts of upper-case letters and digits joined by `-`, as `DE` or `DE-BE`. The
/// empty text stands for none.
pub fn is_jurisdiction(tag: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    tag.is_empty() || tag.len() <= JURISDICTION_BYTES_MAX && tag.split('-').all(part)
}

/// The jurisdictions a tag lies in, itself first: `DE-BE` lies in `DE-BE` and in `DE`. None for the empty tag.
pub fn jurisdictions_around(tag: &str) -> Vec<String> {
    let mut around = Vec::new();
    let mut rest = Some(tag).filter(|tag| !tag.is_empty());
    while let Some(tag) = rest {
        around.push(tag.to_owned());
        rest = tag.rsplit_once('-').map(|(outer, _)| outer);
    }
    around
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_and_nested_by_their_parts() {
        for tag in ["", "DE", "DE-BE", "EU27", "DE-BE-11001"] {
            assert!(is_jurisdiction(tag), "{tag}");
        }
        for tag in ["de", "DE-", "-DE", "DE--BE", "D E", "DE_BE", &"A".repeat(33)] {
            assert!(!is_jurisdiction(tag), "{tag}");
        }
        assert_eq!(jurisdictions_around("DE-BE-1"), ["DE-BE-1", "DE-BE", "DE"]);
        assert!(jurisdictions_around("").is_empty());
    }
}
