//! Against real anvils with the committed contracts: every read, event, call, signature and refusal.

mod actions;
mod deploy;
mod events;
mod head;
mod proxy;
mod reads;
mod send;
mod settle;
mod signatures;
mod tree;
mod world;
