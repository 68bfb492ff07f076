//! How fast this machine works through these files, stage by stage, and how far that is from what the hardware allows.
//!
//! * Takes: files that are already on disk, a scratch folder, and somebody who runs one [`Job`] after the other, each in a
//!   process of its own.
//! * Gives: a [`Report`]: medians with their spread for every stage, the floor, ratios, sizes, latencies; and a comparison of two.
//! * Promises: the files are only read; memory is bounded by slices, never by the corpus; what was not measured says so.
//! * Never: prints a zero for something that it could not measure, or keeps anything outside the scratch folder.
//! * Start reading at: [`run()`], then [`perform()`].

mod compare;
mod error;
mod import;
mod job;
mod machine;
mod plain;
mod queries;
mod raw;
mod report;
mod run;
mod slices;
mod spread;
mod survey;

pub use compare::{Comparison, LEAST_ROUNDS, Verdict, compare};
pub use error::BenchError;
pub use import::{Sizes, measured_into_vault};
pub use job::{Answer, Job, Sample, Stage, Work, perform};
pub use machine::Machine;
pub use plain::{Unparsed, minimal_parse};
pub use queries::{QueryTimes, QueryWords};
pub use report::{CorpusReport, Floor, GrowthRow, QueryReport, Report, StageReport};
pub use run::{Plan, grow, run};
pub use spread::Spread;
pub use survey::{LeftOut, Survey, TextStatistics};
