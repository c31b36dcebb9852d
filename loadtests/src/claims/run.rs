//! How a measurement runs: on a runtime of its own, and ended by Ctrl-C in an orderly way.

use anyhow::bail;

/// Runs a measurement to its end. Ctrl-C drops it, which stops its servers and removes what they kept.
///
/// # Errors
/// The measurement's own, or that it was interrupted.
pub(crate) fn to_the_end<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SLUICE_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted; its servers are stopped"),
        }
    })
}
