//! Amounts in base units.
