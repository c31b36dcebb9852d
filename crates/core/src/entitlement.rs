//! One entitlement as one EVM word.
