//! State: what `apply` refuses, what it moves, and its hash.
