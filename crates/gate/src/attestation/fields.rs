//! A schema's text as named, typed fields: the grammar of EAS ("bool like, uint256 n, string[] names"), used for Sign
//! Protocol too, whose schemas are lists of the same names and types.

use alloy_dyn_abi::DynSolType;

use super::limits::{SCHEMA_BYTES_MAX, SCHEMA_DIMENSIONS_MAX, SCHEMA_FIELDS_MAX, SCHEMA_WORDS_MAX};

/// A field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, unique within the schema.
    pub name: String,
    /// Its type: an elementary one, or an array of them.
    pub kind: DynSolType,
}

/// The fields of a schema, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub(super) Vec<Field>);

/// Why a schema's text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// Longer, or of more fields, than is taken.
    #[error("a schema of {size} {unit}; at most {max} are accepted")]
    TooLarge {
        /// How many it has.
        size: usize,
        /// Of what.
        unit: &'static str,
        /// The bound.
        max: usize,
    },
    /// Not "type name".
    #[error("\"{0}\" is not a type and a name; every field needs both, and tuples are not supported")]
    NotAField(String),
    /// Not a type.
    #[error("{field}: \"{kind}\" is not an elementary type of the ABI or an array of one")]
    BadType {
        /// The field.
        field: String,
        /// The type as written.
        kind: String,
    },
    /// Two fields of one name.
    #[error("{0}: the schema has two fields of this name")]
    Twice(String),
}

impl Fields {
    /// Reads a schema's text. The empty text has no fields. Tuples are refused: their parts have no names that a rule
    /// could use.
    ///
    /// # Errors
    /// A field that is not a type and a name, a type that is none, a name used twice, or too much of something.
    pub fn parse(text: &str) -> Result<Self, FieldsError> {
        at_most(text.len(), "bytes", SCHEMA_BYTES_MAX)?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let fields: Vec<Field> = text.split(',').map(field).collect::<Result<_, _>>()?;
        at_most(fields.len(), "fields", SCHEMA_FIELDS_MAX)?;
        let words = fields.iter().fold(0_usize, |sum, field| sum.saturating_add(fixed_words(&field.kind)));
        at_most(words, "words of fixed size", SCHEMA_WORDS_MAX)?;
        for (n, field) in fields.iter().enumerate() {
            if fields[..n].iter().any(|earlier| earlier.name == field.name) {
                return Err(FieldsError::Twice(field.name.clone()));
            }
        }
        Ok(Self(fields))
    }

    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name)
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }
}

fn at_most(size: usize, unit: &'static str, max: usize) -> Result<(), FieldsError> {
    if size <= max { Ok(()) } else { Err(FieldsError::TooLarge { size, unit, max }) }
}

fn field(text: &str) -> Result<Field, FieldsError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [written, name] = words[..] else { return Err(FieldsError::NotAField(text.trim().into())) };
    if !is_name(name) || written.contains(['(', ')']) {
        return Err(FieldsError::NotAField(text.trim().into()));
    }
    // The SDK's own alias.
    let kind = if written == "ipfsHash" { "bytes32" } else { written };
    let bad = || FieldsError::BadType { field: name.into(), kind: written.into() };
    let kind = DynSolType::parse(kind).map_err(|_| bad())?;
    if kind.nesting_depth() > SCHEMA_DIMENSIONS_MAX || !is_elementary(&kind) {
        return Err(bad());
    }
    Ok(Field { name: name.into(), kind })
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

fn is_elementary(kind: &DynSolType) -> bool {
    match kind {
        DynSolType::Array(of) | DynSolType::FixedArray(of, _) => is_elementary(of),
        DynSolType::Tuple(_) | DynSolType::Function => false,
        _ => true,
    }
}

/// The words that the arrays of fixed size make of one value, inside arrays of any size too: what decoding allocates
/// before it has seen any data.
fn fixed_words(kind: &DynSolType) -> usize {
    match kind {
        DynSolType::FixedArray(of, size) => size.saturating_mul(fixed_words(of)),
        DynSolType::Array(of) => fixed_words(of),
        _ => 1,
    }
}
