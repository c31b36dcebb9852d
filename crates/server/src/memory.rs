//! How the programs use memory.

/// Asks the system for no huge pages, for the whole process and the programs it starts; where the system cannot, nothing
/// changes.
///
/// mimalloc asks for them. Building a snapshot touches gigabytes for the first time, in a thousand places at once, and whole
/// huge pages are then zeroed for a little of each: half as much memory again, and in a virtual machine whose host supplies
/// memory at the first touch three times the build's time (docs/PERFORMANCE.md). Decisions are as fast with and without.
pub fn without_huge_pages() {
    let _ = nix::sys::prctl::set_thp_disable(true);
}
