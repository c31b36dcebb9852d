//! What the program tells about itself: log lines on stderr, figures at `/metrics`.
//!
//! A failure is logged once, at the boundary where it is answered, with ids as fields. Secrets are never logged;
//! claimants' addresses only at level `debug`.

use std::io::IsTerminal;
use std::sync::OnceLock;

use anyhow::Context;
use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Debug, Args)]
pub struct LogOptions {
    /// What to log, e.g. `info` or `warn,sluice_engine=debug`.
    #[arg(long = "log", global = true, help_heading = "Log", env = "SLUICE_LOG", value_name = "FILTER")]
    filter: Option<String>,
    /// In which form.
    #[arg(
        long = "log-format",
        global = true,
        help_heading = "Log",
        env = "SLUICE_LOG_FORMAT",
        value_enum,
        default_value_t = Form::Auto
    )]
    form: Form,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people on a terminal, for machines in a pipe.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(options: &LogOptions, default: &str) -> anyhow::Result<()> {
    let text = options.filter.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(text)
        .with_context(|| format!("--log {text:?} is no filter; write a level or target=level pairs"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = match options.form {
        Form::Auto => std::io::stderr().is_terminal(),
        Form::Pretty => true,
        Form::Json => false,
    };
    if pretty {
        lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
    Ok(())
}

/// Upper bounds of the histograms of times, in seconds: from one decision to what a client still waits for.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The process's figures; the first call begins to gather them. Names carry their unit.
///
/// # Errors
/// When something else in the process gathers them already.
pub fn figures() -> anyhow::Result<PrometheusHandle> {
    static FIGURES: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = FIGURES.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .context("the bounds of the histograms are wrong")?
        .build_recorder();
    let handle = recorder.handle();
    match metrics::set_global_recorder(recorder) {
        Ok(()) => Ok(FIGURES.get_or_init(|| handle).clone()),
        // Another thread was first.
        Err(_) => FIGURES.get().cloned().context("something else gathers this process's figures"),
    }
}
