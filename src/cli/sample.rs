//! `search --sample`: a random sample that can be drawn again, and what it can say.

use super::exit::Failure;
use super::output::{Output, number, printable};
use chatvault::search::sample::{RULE, Sample, SampleRequest};
use clap::Args;
use serde_json::{Value, json};

/// Options of `search` that a sample does not go with.
const NOT_BESIDE: [&str; 6] = ["limit", "term_report", "after", "digest", "prove", "explain"];

/// Options of a random sample.
#[derive(Args, Debug, Default)]
pub(crate) struct SampleOptions {
    /// Draw a random sample of so many of the conversations found, or of a share such as 5%
    #[arg(long, value_name = "N", conflicts_with_all = NOT_BESIDE)]
    pub(crate) sample: Option<String>,
    /// Seed of the sample, any text: equal seeds draw equal samples
    // What a present option conflicts with is not required: without the conflicts of its own, a seed beside one of these would
    // be ignored in silence.
    #[arg(long, value_name = "S", default_value = "1", requires = "sample", conflicts_with_all = NOT_BESIDE)]
    pub(crate) seed: String,
}

/// Longest seed, bytes.
const LONGEST_SEED: usize = 200;

/// The sample that was asked for, if one was.
pub(super) fn wanted(options: &SampleOptions) -> Result<Option<SampleRequest>, Failure> {
    let Some(size) = &options.sample else { return Ok(None) };
    let size = size.parse().map_err(|why: String| Failure::usage(format!("--sample: {why}")))?;
    let seed = options.seed.clone();
    if seed.is_empty() || seed.len() > LONGEST_SEED || seed.contains(char::is_control) {
        return Err(Failure::usage(format!("--seed is 1 to {LONGEST_SEED} bytes of text on one line")));
    }
    Ok(Some(SampleRequest { size, seed }))
}

/// What was drawn, for scripts.
pub(super) fn json(sample: &Sample) -> Value {
    let rounded = |percent: f64| (percent * 100.0).round() / 100.0;
    json!({
        "size": sample.size,
        "population": sample.population,
        "seed": sample.seed,
        "rule": RULE,
        "margin_of_error_95": sample.margin_of_error().map(rounded),
        "upper_bound_if_none_95": sample.bound_if_none().map(rounded),
    })
}

/// What was drawn and what it can say, for people: on stderr, like every line that is no data.
pub(super) fn note(sample: &Sample, output: &Output) {
    let (size, population) = (number(sample.size), number(sample.population));
    output.note(&format!("random sample: {size} of {population} found, seed {}: {RULE}", printable(&sample.seed)));
    match (sample.margin_of_error(), sample.bound_if_none()) {
        (Some(_), Some(_)) if sample.size == sample.population => {
            output.note("  it is all of them: what it shows holds for them without error");
        }
        (Some(margin), Some(bound)) => {
            output.note(&format!(
                "  a share measured on it is within ±{margin:.1} percentage points of that of all, at 95 % (worst case)"
            ));
            output.note(&format!("  what none of it shows is true of at most {bound:.1} % of all, at 95 %"));
        }
        _ => {}
    }
}
