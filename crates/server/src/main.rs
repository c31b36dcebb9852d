//! The `sluice` program.

/// A claim makes hundreds of small allocations on one thread and frees them on another, which glibc's allocator is slow
/// at (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sluice_server::memory::without_huge_pages();
    sluice_server::cli::main()
}
