//! Counts by agent and by month: ids of agents have names beside them.

use super::super::exit::Failure;
use chatvault::index::Reader;
use chatvault::search::facets::{Facet, FacetCount, FacetValue};
use chatvault::search::names::name_of;
use chatvault::search::terms::TermReport;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The names of the agents of a report, by id, where some conversation shows one.
#[derive(Default)]
pub(super) struct AgentNames(HashMap<String, String>);

impl AgentNames {
    /// Looks up every agent once.
    pub(super) fn of(report: &TermReport, reader: &Reader) -> Result<AgentNames, Failure> {
        let mut names = HashMap::new();
        // Whoever has a conversation with one query has one with some query.
        for entry in &report.families.by_agent {
            let Some(FacetValue::Text(id)) = &entry.value else { continue };
            if let Some(name) = name_of(reader, Facet::Agent, id)? {
                names.insert(id.clone(), name);
            }
        }
        Ok(AgentNames(names))
    }

    pub(super) fn name(&self, value: Option<&FacetValue>) -> Option<&str> {
        match value {
            Some(FacetValue::Text(id)) => self.0.get(id).map(String::as_str),
            _ => None,
        }
    }

    /// Agents, with `label` where there is a name: the shape that facets have.
    pub(super) fn json(&self, counts: &[FacetCount]) -> Value {
        let entry = |entry: &FacetCount| {
            let mut fields = json(entry);
            if let Some(name) = self.name(entry.value.as_ref()) {
                fields["label"] = json!(name);
            }
            fields
        };
        counts.iter().map(entry).collect()
    }
}

/// Months.
pub(super) fn months_json(counts: &[FacetCount]) -> Value {
    counts.iter().map(json).collect()
}

fn json(entry: &FacetCount) -> Value {
    let value = match &entry.value {
        None => Value::Null,
        Some(FacetValue::Number(number)) => json!(number),
        Some(FacetValue::Text(text)) => json!(text),
    };
    json!({ "value": value, "count": entry.count })
}

/// A value as text: `(none)` for those without one.
pub(super) fn value_text(value: Option<&FacetValue>) -> String {
    match value {
        None => "(none)".to_owned(),
        Some(FacetValue::Number(number)) => number.to_string(),
        Some(FacetValue::Text(text)) => text.clone(),
    }
}
