//! Cedar text into policies with ids of their own: what rule sets and mandates have in common.

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use sluice_core::limits::RULES_BYTES_MAX;

use super::problem::{Problem, Problems};

/// Policies of one set. Each is evaluated for every claim.
pub const POLICIES_MAX: usize = 256;
/// One policy, from its first annotation to its semicolon: more than a page is no rule that people can judge.
pub const POLICY_BYTES_MAX: usize = 8 * 1024;
/// Characters of operators (`&&` has two), dots and `if`s in one policy. The parser, the type checker and the evaluator
/// recurse into `a && b && …` as they do into brackets, and threads have small stacks. Some forty conditions fit.
const OPERATORS_MAX: usize = 200;
/// Brackets within brackets, for the same reason.
const NESTING_MAX: usize = 32;
/// An id's or an annotation's length.
const ANNOTATION_BYTES_MAX: usize = 1_000;

const PART: &str = "policies";

/// A policy under its `@id`.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) policy: Policy,
    /// Where it begins in the text.
    pub(crate) offset: usize,
}

impl Named {
    /// An annotation's text.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.policy.annotation(key)
    }
}

/// The policies of `source` in their order. Templates, unknown annotations, missing and repeated ids are refused;
/// `known` are the annotations besides `id`.
pub(crate) fn parse(source: &str, known: &[&str]) -> Result<Vec<Named>, Problems> {
    bounds(source)?;
    let set: PolicySet = source.parse().map_err(|errors: cedar_policy::ParseErrors| {
        Problems(errors.iter().map(|error| Problem::from_cedar(PART, source, error)).collect())
    })?;
    let mut problems = Vec::new();
    if let Some(template) = set.templates().next() {
        let offset = template.to_cedar();
        let offset = source.find(offset.as_str()).unwrap_or_default();
        problems.push(Problem::at(
            PART,
            source,
            offset,
            "a policy with a slot (?principal, ?resource) is a template; write it out",
        ));
    }
    let named = in_order(source, &set);
    if named.is_empty() && problems.is_empty() {
        problems.push(Problem::of(PART, "no policies; a set without a permit permits nothing"));
    }
    if named.len() > POLICIES_MAX {
        problems
            .push(Problem::of(PART, format!("{} policies; at most {POLICIES_MAX} are taken", named.len())));
    }
    let mut result: Vec<Named> = Vec::with_capacity(named.len());
    for (offset, policy) in named {
        problems.extend(
            annotations(&policy, known).into_iter().map(|message| Problem::at(PART, source, offset, message)),
        );
        let Some(id) = policy.annotation("id").map(str::to_owned) else { continue };
        if result.iter().any(|other| other.id == id) {
            problems.push(Problem::at(
                PART,
                source,
                offset,
                format!("the id {id:?} is taken by an earlier policy"),
            ));
        }
        result.push(Named { policy: policy.new_id(PolicyId::new(&id)), id, offset });
    }
    if problems.is_empty() { Ok(result) } else { Err(Problems(problems)) }
}

/// The policies with the offsets at which they begin. Cedar numbers them `policy0`, `policy1`, … as they stand in the
/// text, and gives each one's text back as it was written.
fn in_order(source: &str, set: &PolicySet) -> Vec<(usize, Policy)> {
    let number = |policy: &Policy| -> usize {
        let id: &str = policy.id().as_ref();
        id.trim_start_matches("policy").parse().unwrap_or(usize::MAX)
    };
    let mut policies: Vec<Policy> = set.policies().cloned().collect();
    policies.sort_by_key(number);
    let mut from = 0;
    policies
        .into_iter()
        .map(|policy| {
            let text = policy.to_cedar().unwrap_or_default();
            let offset =
                source.get(from..).and_then(|rest| rest.find(&text)).map_or(from, |found| from + found);
            from = (offset + text.len()).min(source.len());
            (offset, policy)
        })
        .collect()
}

fn annotations(policy: &Policy, known: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    match policy.annotation("id") {
        None => problems.push("a policy needs an id: write @id(\"…\") before it".to_owned()),
        Some(id) if !is_id(id) => problems.push(format!(
            "the id {id:?} is not an id: 1 to 64 of a-z, A-Z, 0-9, -, _ and ., so that it can stand in evidence and in addresses"
        )),
        Some(_) => {}
    }
    for (key, value) in policy.annotations() {
        if key != "id" && !known.contains(&key) {
            let known = known.join(", @");
            problems.push(format!("the annotation @{key} is unknown; known are @id, @{known}"));
        } else if value.is_empty() || value.len() > ANNOTATION_BYTES_MAX {
            problems.push(format!("@{key} needs a text of 1 to {ANNOTATION_BYTES_MAX} bytes: @{key}(\"…\")"));
        }
    }
    problems
}

/// An id or a code: short, printable, without need of quotes anywhere.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The set that Cedar evaluates.
pub(crate) fn set<'a>(policies: impl IntoIterator<Item = &'a Named>) -> Result<PolicySet, Problems> {
    PolicySet::from_policies(policies.into_iter().map(|named| named.policy.clone()))
        .map_err(|error| Problem::of(PART, error.to_string()).into())
}

/// Strict validation: every policy has types, under every kind of request that the schema knows.
pub(crate) fn validate(source: &str, set: &PolicySet, schema: Schema) -> (Vec<Problem>, Vec<Problem>) {
    let result = Validator::new(schema).validate(set, ValidationMode::Strict);
    let errors = result.validation_errors().map(|error| Problem::from_cedar(PART, source, error)).collect();
    let warnings =
        result.validation_warnings().map(|warning| Problem::from_cedar(PART, source, warning)).collect();
    (errors, warnings)
}

/// Sizes and nesting, before any recursive code sees the text.
fn bounds(source: &str) -> Result<(), Problem> {
    if source.len() > RULES_BYTES_MAX {
        let message = format!("{} bytes of policies; at most {RULES_BYTES_MAX} are taken", source.len());
        return Err(Problem::of(PART, message));
    }
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let (mut begin, mut quoted, mut comment, mut escaped) = (0, false, false, false);
    for (offset, byte) in source.bytes().enumerate() {
        match byte {
            b'\n' if comment => comment = false,
            _ if comment => {}
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'/' if source[offset..].starts_with("//") => comment = true,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => (begin, operators) = (offset + 1, 0),
            b'&' | b'|' | b'+' | b'-' | b'*' | b'!' | b'.' => operators += 1,
            b'i' if source[offset..].starts_with("if") => operators += 1,
            _ => {}
        }
        if depth > NESTING_MAX {
            let message = format!("brackets are nested more than {NESTING_MAX} deep");
            return Err(Problem::at(PART, source, offset, message));
        }
        if operators > OPERATORS_MAX {
            let message =
                format!("more than {OPERATORS_MAX} operators and dots in a policy; split it into several");
            return Err(Problem::at(PART, source, begin, message));
        }
        if offset.saturating_sub(begin) > POLICY_BYTES_MAX {
            let message = format!("a policy of more than {POLICY_BYTES_MAX} bytes; split it into several");
            return Err(Problem::at(PART, source, begin, message));
        }
    }
    Ok(())
}
