//! Rule sets from the outside: what they refuse to be, what they permit, and what people are told.

mod building;
mod changes;
mod common;
mod deciding;
mod sample;
mod tables;
