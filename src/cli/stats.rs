//! `stats`: counts and charts over all conversations, or those that match a query.

use super::args::Stats;
use super::exit::{Exit, Failure};
use super::output::{Output, counted, time_zone};
use super::search::{coverage_json, facets_json, print_facets, request, warn_if_incomplete};
use super::{activity, open, open_index};
use chatvault::pipeline;
use chatvault::search::facets::Facet;
use chatvault::search::search;
use serde_json::json;
use std::path::Path;

/// What is charted, in this order.
const CHARTS: [Facet; 7] =
    [Facet::Day, Facet::EndReason, Facet::Skill, Facet::Agent, Facet::Transfers, Facet::Mcs, Facet::Device];

pub(crate) fn run(args: &Stats, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if let Some(stream) = &args.stream {
        return activity::run(stream, vault, output);
    }
    let archive = open(vault)?;
    let reader = open_index(vault)?;
    let mut request = request(&args.query, &time_zone(&args.tz)?, vault)?;
    request.limit = Some(0);
    request.facets = CHARTS.to_vec();
    let mut answer = search(&reader, &request)?;
    let coverage = pipeline::coverage(&archive, &reader)?;
    if output.for_machines() {
        let document = json!({
            "query": args.query,
            "conversations": answer.total,
            "coverage": coverage_json(coverage),
            "facets": facets_json(&answer.facets),
        });
        output.document(document, "stats")?;
        return Ok(Exit::Complete);
    }
    outln!("{}", counted(answer.total, "conversation"));
    // A contact centre has hundreds of agents; the chart shows the busiest and says what it leaves out.
    for (facet, counts) in &mut answer.facets {
        const SHOWN: usize = 15;
        if !facet.is_ordered() && counts.len() > SHOWN {
            let rest: u64 = counts[SHOWN..].iter().map(|entry| entry.count).sum();
            let left_out = counts.len() - SHOWN;
            counts.truncate(SHOWN);
            output.note(&format!("{}: {left_out} further values with {rest} counts; --json lists all", facet.name()));
        }
    }
    print_facets(&answer.facets);
    warn_if_incomplete(coverage);
    Ok(Exit::Complete)
}
