//! Progress of long runs: a bar on a terminal, JSON lines for machines, nothing otherwise.

use super::output::{Output, ProgressStyle};
use chatvault::acquire::{AcquireEvent, ProgressSink};
use chatvault::pipeline::Step;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A display that both halves of a run feed.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    json: bool,
    verbose: bool,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    files: AtomicU64,
    files_ahead: AtomicU64,
    conversations: AtomicU64,
}

impl Progress {
    pub(crate) fn new(output: &Output, verb: &'static str) -> Progress {
        let bar = match output.progress {
            ProgressStyle::Bar => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let template = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}  {msg}";
                bar.set_style(BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()));
                bar.set_prefix(verb);
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }
            _ => ProgressBar::hidden(),
        };
        let json = output.progress == ProgressStyle::Json;
        Progress { bar, json, verbose: output.verbose > 0, state: Arc::default() }
    }

    /// Takes a step of the pipeline.
    pub(crate) fn step(&self, step: Step) {
        match &step {
            Step::Ahead { files, bytes } => {
                self.state.files_ahead.fetch_add(*files, Ordering::Relaxed);
                self.bar.set_length(self.bar.length().unwrap_or(0) + bytes);
            }
            Step::Archived { .. } | Step::Validated { .. } => {}
            Step::Copied { bytes } => self.bar.inc(*bytes),
            Step::Indexed { bytes, conversations } => {
                self.state.files.fetch_add(1, Ordering::Relaxed);
                self.state.conversations.fetch_add(*conversations, Ordering::Relaxed);
                self.bar.inc(*bytes);
            }
            Step::Committing => {}
        }
        let files = self.state.files.load(Ordering::Relaxed);
        let of = self.state.files_ahead.load(Ordering::Relaxed).max(files);
        let conversations = self.state.conversations.load(Ordering::Relaxed);
        if self.json {
            let event = match step {
                Step::Ahead { files, bytes } => json!({ "event": "ahead", "files": files, "bytes": bytes }),
                Step::Archived { bytes } => json!({ "event": "archived", "bytes": bytes }),
                Step::Indexed { bytes, .. } => {
                    json!({ "event": "indexed", "bytes": bytes, "files": files, "conversations": conversations })
                }
                Step::Copied { bytes } => json!({ "event": "copied", "bytes": bytes }),
                Step::Validated { bytes } => json!({ "event": "validated", "bytes": bytes }),
                Step::Committing => json!({ "event": "committing" }),
            };
            eprintln!("{event}");
        } else if matches!(step, Step::Committing) {
            self.bar.set_message("writing the index");
        } else if matches!(step, Step::Validated { .. }) {
            self.bar.set_message("checking the bag");
        } else if matches!(step, Step::Copied { .. }) {
            self.bar.set_message(format!("{of} files"));
        } else {
            self.bar.set_message(format!("{files}/{of} files, {conversations} conversations"));
        }
    }

    /// Takes what acquire tells.
    pub(crate) fn sink(&self) -> ProgressSink {
        let display = self.clone();
        Arc::new(move |event| display.acquire(&event))
    }

    fn acquire(&self, event: &AcquireEvent) {
        if self.json {
            let line = match event {
                AcquireEvent::Planned { fetch, already, estimated_bytes } => {
                    json!({ "event": "planned", "files": fetch, "already": already, "estimated_bytes": estimated_bytes })
                }
                AcquireEvent::Finished { stream, name, bytes } => {
                    json!({ "event": "downloaded", "stream": stream, "name": name, "bytes": bytes })
                }
                AcquireEvent::Waiting { name, reason, pause, attempts } => json!({
                    "event": "waiting", "name": name, "reason": reason, "seconds": pause.as_secs_f64(), "attempts": attempts
                }),
                _ => return,
            };
            eprintln!("{line}");
            return;
        }
        match event {
            AcquireEvent::Planned { fetch, estimated_bytes, .. } => {
                self.state.files_ahead.fetch_add(*fetch, Ordering::Relaxed);
                self.bar.set_length(self.bar.length().unwrap_or(0) + estimated_bytes.unwrap_or(0));
            }
            AcquireEvent::Finished { bytes, .. } => {
                // Sizes are not in listings: the length grows as files come, so that the bar never passes its end.
                let known = self.bar.length().unwrap_or(0);
                self.bar.set_length(known.max(self.bar.position() + bytes));
            }
            AcquireEvent::Waiting { name, reason, pause, .. } => {
                let line = format!("waiting {:.0} s: {name}: {reason}", pause.as_secs_f64());
                self.note(&line);
            }
            AcquireEvent::Remark(remark) => self.note(remark),
            AcquireEvent::Listed { done, of, files, .. } => {
                self.bar.set_message(format!("listing {done}/{of}, {files} files"));
            }
            _ => {}
        }
    }

    fn note(&self, line: &str) {
        if self.bar.is_hidden() {
            if self.verbose {
                eprintln!("{}", super::output::printable(line));
            }
        } else {
            self.bar.println(super::output::printable(line));
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}
